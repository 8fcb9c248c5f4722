"""Any sequence of steps, roll-backs and reorders gives what a fresh pass gives, in ONNX Runtime."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tercet.checkpoint.geometry import Geometry
from tercet.engine.onnx import PRECISIONS, OnnxDecoder
from tercet.engine.onnx_rows import moved

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


FAIR = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(data=st.data())
@FAIR
def test_a_session_never_differs_from_a_fresh_pass(onnx_decoders, session_check, ragged, data):
    rows = data.draw(st.integers(1, 3), label="rows at first")
    states = ragged(data.draw, rows, longest=30, width=16)
    for decoder, tolerance in onnx_decoders:
        session_check(data.draw, decoder, states, tolerance)


@given(data=st.data())
@FAIR
def test_rows_leave_one_after_the_other_and_the_others_go_on(onnx_decoders, ragged, data):
    """As decoding does it: the holes are filled from behind, until nobody is left."""
    n = data.draw(st.integers(2, 5), label="rows at first")
    states = ragged(data.draw, n, longest=30, width=16)
    for decoder, tolerance in onnx_decoders:
        windows = [decoder.project(one) for one in states]
        session = decoder.open(windows)
        seats, texts = list(range(n)), [[] for _ in range(n)]
        while seats:
            tokens = np.array(data.draw(st.lists(st.integers(0, 49), min_size=n, max_size=n)))
            logits = np.array(session.step(tokens[: len(seats), None]))
            for seat, (window, token) in enumerate(zip(seats, tokens, strict=False)):
                texts[window].append(int(token))
                fresh = decoder.open([windows[window]]).step(np.array([texts[window]]))
                np.testing.assert_allclose(fresh[0, 0], logits[seat, 0], atol=tolerance, rtol=0)
            stay = data.draw(st.lists(st.booleans(), min_size=len(seats), max_size=len(seats)))
            if len(texts[seats[0]]) == 8:
                stay = [False] * len(seats)
            order = [seat for seat, stays in enumerate(stay) if stays]
            behind = [seat for seat in order if seat >= len(order)]
            order = [seat if stay[seat] else behind.pop() for seat in range(len(order))]
            session.reorder(np.array(order, np.int64))
            seats = [seats[seat] for seat in order]
            assert len(seats) == session.rows


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_moving_rows_is_numpys_indexing(data):
    n = data.draw(st.integers(1, 5), label="rows")
    rows = np.array(data.draw(st.lists(st.integers(0, n - 1), max_size=6)), np.int64)
    dtype = data.draw(st.sampled_from([np.float32, np.int8]))
    buffer = np.arange(n * 2 * 4 * 3).reshape(n, 2, 4, 3).astype(dtype)
    before = buffer.copy()
    is_locked = data.draw(st.booleans(), label="read-only")
    buffer.flags.writeable = not is_locked
    length = data.draw(st.none() | st.integers(0, 4), label="length")
    found = moved(buffer, rows, length)
    assert (len(rows), 2, 4, 3) == found.shape
    assert dtype == found.dtype
    np.testing.assert_array_equal(before[rows][:, :, :length], found[:, :, :length])
    if n == 1 or is_locked:  # it may be a window's own, which other sessions read
        np.testing.assert_array_equal(before, buffer)
