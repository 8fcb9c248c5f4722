"""Any sequence of steps, roll-backs and reorders gives what a fresh pass gives, in the torch engine."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tercet.checkpoint.geometry import Geometry
from tercet.model import load_torch

pytest.importorskip("torch")

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
def decoder_engines(random_checkpoint):
    """(name, decoder, tolerance) of every engine that this file tests."""
    _, decoder = load_torch(random_checkpoint(GEOMETRY))
    return [("torch", decoder, 1e-4)]


@given(data=st.data())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_session_never_differs_from_a_fresh_pass(decoder_engines, session_check, ragged, data):
    rows = data.draw(st.integers(1, 3), label="rows at first")
    states = ragged(data.draw, rows, longest=30, width=16)
    for _, decoder, tolerance in decoder_engines:
        session_check(data.draw, decoder, states, tolerance)
