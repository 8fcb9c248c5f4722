"""What property tests of several engines share."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import strategies as st

from tercet.engine.protocol import Decoder, open_over


def ragged_states(draw, rows: int, *, longest: int, width: int) -> list[np.ndarray]:
    """Random states of windows that differ in length, or do not."""
    lengths = draw(st.lists(st.integers(1, longest), min_size=rows, max_size=rows))
    if draw(st.booleans(), label="equally long"):
        lengths = [longest] * rows
    rng = np.random.default_rng(rows)
    return [rng.normal(size=(frames, width)).astype(np.float32) for frames in lengths]


def check_session(draw, decoder: Decoder, states: Sequence[np.ndarray], tolerance: float) -> None:
    """Play random steps, roll-backs and reorders; every logit must equal that of one fresh pass.

    Args:
        draw: Hypothesis's `data.draw`.
        decoder: Any engine's.
        states: float32 [frames, width], one per row that the session starts with.
        tolerance: Largest absolute difference of logits, and of alignment weights.
    """
    limit, vocab = decoder.geometry.n_text_ctx, decoder.geometry.vocab_size
    session = decoder.open([decoder.project(each) for each in states], align=True)
    texts: list[list[int]] = [[] for _ in states]
    voices = list(range(len(states)))
    for _ in range(draw(st.integers(1, 6), label="actions")):
        action = draw(st.sampled_from(["step", "step", "step", "roll_back", "reorder"]))
        if action == "step":
            room = limit - max(map(len, texts))
            if room < 1:
                continue
            check_step(
                draw, decoder, session, states, texts, voices, min(room, 5), vocab, tolerance
            )
        elif action == "roll_back":
            lengths = [draw(st.integers(0, len(text))) for text in texts]
            session.roll_back(np.array(lengths, np.int64))
            texts = [text[:length] for text, length in zip(texts, lengths, strict=True)]
        else:
            row = st.integers(0, len(texts) - 1)
            rows = draw(st.lists(row, min_size=1, max_size=4), label="rows")
            session.reorder(np.array(rows, np.int64))
            texts, voices = [texts[i].copy() for i in rows], [voices[i] for i in rows]
        assert len(texts) == session.rows
        assert [len(text) for text in texts] == session.lengths.tolist()
    check_alignment(decoder, session, states, texts, voices, tolerance)


def check_step(draw, decoder, session, states, texts, voices, most, vocab, tolerance) -> None:
    """One ragged step of all rows; `texts` grow."""
    counts = np.array([draw(st.integers(1, most), label="count") for _ in texts], np.int64)
    n = int(counts.max())
    seed = draw(st.integers(0, 2**16), label="tokens")
    tokens = np.random.default_rng(seed).integers(0, vocab, (len(texts), n))
    before = [len(text) for text in texts]
    for text, row, count in zip(texts, tokens, counts, strict=True):
        text.extend(int(token) for token in row[:count])
    if draw(st.booleans(), label="all positions"):
        keep = np.minimum(np.arange(n), counts[:, None] - 1)
        logits = session.step(tokens, counts=counts, keep=keep)
    else:
        keep = counts[:, None] - 1
        logits = session.step(tokens, counts=counts)
    assert (len(texts), keep.shape[1], vocab) == tuple(logits.shape)
    for i, text in enumerate(texts):
        fresh = fresh_pass(decoder, states[voices[i]], text)[0]
        np.testing.assert_allclose(
            fresh[before[i] + keep[i]], np.asarray(logits[i]), atol=tolerance, rtol=0
        )


def check_alignment(decoder, session, states, texts, voices, tolerance) -> None:
    """The kept attention equals a fresh pass's, and is zero behind a row's and a window's end."""
    attention = np.asarray(session.alignment())
    assert (len(texts), max(map(len, texts))) == (attention.shape[0], attention.shape[2])
    assert max(map(len, states)) == attention.shape[3]
    for i, text in enumerate(texts):
        voice = states[voices[i]]
        if text:
            fresh = fresh_pass(decoder, voice, text)[1]
            heard = attention[i, :, : len(text), : len(voice)]
            np.testing.assert_allclose(fresh, heard, atol=tolerance, rtol=0)
            np.testing.assert_allclose(1, attention[i, :, : len(text)].sum(-1), atol=1e-3)
        assert not attention[i, :, len(text) :].any()
        assert not attention[i, :, :, len(voice) :].any()


def fresh_pass(decoder, voice: np.ndarray, text: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """(logits of every position, attention) of one text over one voice, in one step."""
    session = open_over(decoder, voice[None], align=True)
    logits = session.step(np.array([text], np.int64), keep=np.arange(len(text))[None])
    return np.asarray(logits[0]), np.asarray(session.alignment()[0])


@pytest.fixture(scope="session")
def session_check() -> Callable[..., None]:
    """`session_check(draw, decoder, states, tolerance)`: see `check_session`."""
    return check_session


@pytest.fixture(scope="session")
def ragged() -> Callable[..., list[np.ndarray]]:
    """`ragged(draw, rows, longest=, width=)`: see `ragged_states`."""
    return ragged_states
