"""Any sequence of steps, roll-backs and reorders gives what a fresh pass gives, in ONNX Runtime."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tercet.checkpoint.geometry import Geometry
from tercet.engine.onnx import PRECISIONS, OnnxDecoder

GEOMETRY = Geometry(
    n_mels=8,
    width=16,
    encoder_layers=1,
    encoder_heads=2,
    decoder_layers=2,
    decoder_heads=2,
    vocab_size=50,
    n_audio_ctx=30,
    n_text_ctx=14,
)


@pytest.fixture(scope="module")
def onnx_decoders(random_checkpoint):
    """(decoder, tolerance) of both precisions."""
    checkpoint = random_checkpoint(GEOMETRY)
    return [
        (OnnxDecoder(checkpoint, PRECISIONS[name], threads=1), tolerance)
        # int8 against int8: activations are rounded alike, unless float32 sums of another order
        # push one across the border between two steps.
        for name, tolerance in (("float32", 1e-4), ("int8", 0.1))
    ]


@given(data=st.data())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_session_never_differs_from_a_fresh_pass(onnx_decoders, session_check, data):
    rows = data.draw(st.integers(1, 3), label="rows at first")
    states = np.random.default_rng(rows).normal(size=(rows, 30, 16)).astype(np.float32)
    for decoder, tolerance in onnx_decoders:
        session_check(data.draw, decoder, states, tolerance)
