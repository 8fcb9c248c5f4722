"""Chunks of one length with strides: where they lie, and that it does not matter how sound was pushed."""

import numpy as np
import pytest

from tercet.audio.chunks import Chunker, ChunkPlan, chunks
from tercet.audio.vad import VadOptions

PLAN = ChunkPlan(length=60, left=10, right=15)  # hop 35


def counted(n: int) -> np.ndarray:
    """Samples that are their own numbers."""
    return np.arange(n, dtype=np.float32)


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (0, []),
        (1, [(0, 1, "end")]),
        (60, [(0, 60, "end")]),
        (61, [(0, 60, "stride"), (35, 61, "end")]),
        (95, [(0, 60, "stride"), (35, 95, "end")]),
        (96, [(0, 60, "stride"), (35, 95, "stride"), (70, 96, "end")]),
    ],
)
def test_the_last_chunk_is_the_first_that_reaches_the_end(n: int, expected: list) -> None:
    found = list(chunks([counted(n)], PLAN, None))
    assert expected == [(chunk.start, chunk.end, chunk.cut) for chunk in found]
    for chunk in found:
        np.testing.assert_array_equal(np.arange(chunk.start, chunk.end), chunk.samples)
        assert ((chunk.start, chunk.end),) == chunk.speech  # nobody listened


def test_a_last_chunk_hears_more_than_what_its_neighbour_answers_for() -> None:
    for n in range(61, 300):
        *_, last = chunks([counted(n)], PLAN, None)
        assert PLAN.left + PLAN.right < last.samples.size <= PLAN.length


def test_chunks_without_strides_lie_side_by_side() -> None:
    found = list(chunks([counted(100)], ChunkPlan(length=40, left=0, right=0), None))
    assert [(0, 40), (40, 80), (80, 100)] == [(chunk.start, chunk.end) for chunk in found]


@pytest.mark.parametrize("size", [160, 3200, 100_001, 400_000])
def test_chunks_are_the_same_however_sound_is_pushed(size: int) -> None:
    rng = np.random.default_rng(0)
    sound = rng.normal(0, 0.1, 45 * 16000).astype(np.float32)
    sound[5 * 16000 : 15 * 16000] *= 1e-4
    plan = ChunkPlan(length=10 * 16000, left=26667, right=26667)
    pushes = [sound[at : at + size] for at in range(0, sound.size, size)]
    whole, pieces = (list(chunks(blocks, plan, VadOptions())) for blocks in ([sound], pushes))
    assert len(whole) == len(pieces) == 7
    for expected, found in zip(whole, pieces, strict=True):
        assert (expected.start, expected.cut, expected.speech) == (
            found.start,
            found.cut,
            found.speech,
        )
        np.testing.assert_array_equal(expected.samples, found.samples)
        np.testing.assert_array_equal(expected.voice, found.voice)


def test_a_chunk_comes_as_soon_as_it_is_known_not_to_be_the_last() -> None:
    chunker = Chunker(PLAN, None)
    assert [] == chunker.push(counted(60))
    assert [(0, "stride")] == [(c.start, c.cut) for c in chunker.push(counted(1))]
    assert [(35, "end")] == [(c.start, c.cut) for c in chunker.finish()]
