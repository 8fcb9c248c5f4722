"""Taps become scores on the recording's clock. That cuts into pushes do not matter: tests/property."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from tercet.errors import OptionError
from tercet.readings.frames import FrameScores, Rows, frames_of


class MeanScorer:
    """Label i's logit is the mean of feature i over the window and the layers; it notes what it heard."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, ...]] = []

    def score(self, taps, windows):
        assert np.int64 == windows.dtype
        taps = np.asarray(taps)
        assert windows.min() >= 0
        assert windows.max() < taps.shape[1]
        self.heard += [tuple(taps[0, window, 0].astype(int)) for window in windows]
        return taps[:, windows].mean(axis=(0, 2)).astype(np.float32)


def numbered(n: int) -> np.ndarray:
    """Two layers of three features; the first one is the frame's number."""
    taps = np.random.default_rng(n).standard_normal((2, n, 3)).astype(np.float32)
    taps[:, :, 0] = np.arange(n)
    return taps


def all_rows(scores: FrameScores, taps: np.ndarray, *, push: int = 1000) -> Rows:
    """The rows of everything, laid end to end."""
    parts = [scores.push(taps[:, at : at + push]) for at in range(0, taps.shape[1], push)]
    parts.append(scores.finish())
    at = 0
    for part in parts:
        assert at == part.start_frame or not len(part)
        at += len(part) * part.row_frames
    logits = None if parts[0].logits is None else np.concatenate([p.logits for p in parts])
    return Rows(0, parts[0].row_frames, np.concatenate([p.scores for p in parts]), logits)


def frame_scores(scorer, window: int, hop: int, **options) -> FrameScores:
    return FrameScores(scorer, n_labels=3, window_frames=window, hop_frames=hop, **options)


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def test_a_frame_has_the_mean_of_the_windows_that_hear_it():
    taps = numbered(10)
    rows = all_rows(frame_scores(MeanScorer(), 4, 2), taps)

    def window(first, end):
        return sigmoid(taps[:, first:end].mean(axis=(0, 1)))

    spans = [(0, 2), (0, 4), (2, 6), (4, 8), (6, 10), (8, 10)]
    pairs = [(window(*a) + window(*b)) / 2 for a, b in pairwise(spans)]
    assert (10, 3) == rows.scores.shape
    assert np.float32 == rows.scores.dtype
    np.testing.assert_allclose(np.repeat(pairs, 2, axis=0), rows.scores, atol=1e-6)
    assert rows.logits is None


@pytest.mark.parametrize(("window", "hop"), [(1, 1), (5, 1), (9, 3), (25, 5), (6, 6)])
def test_the_mean_is_over_all_windows_of_a_frame_however_many(window, hop):
    taps = numbered(31)
    expected = []
    for frame in range(31):
        ends = range((frame // hop + 1) * hop, frame // hop * hop + window + 1, hop)
        spans = [(max(0, end - window), min(31, end)) for end in ends]
        expected.append(
            np.mean([sigmoid(taps[:, a:b].mean(axis=(0, 1))) for a, b in spans], axis=0)
        )
    rows = all_rows(frame_scores(MeanScorer(), window, hop), taps, push=7)
    np.testing.assert_allclose(expected, rows.scores, atol=1e-6)


@pytest.mark.parametrize(("window", "hop"), [(1, 1), (5, 1), (6, 2), (25, 5), (25, 25), (4, 4)])
@pytest.mark.parametrize("n", [1, 2, 24, 25, 26, 60])
def test_every_frame_is_heard_by_equally_many_windows(window, hop, n):
    heard: list[tuple[int, int]] = []

    class Spans:
        def score(self, taps, windows):
            numbers = np.asarray(taps)[0, :, 0].astype(int)
            heard.extend((numbers[each[0]], numbers[each[-1]] + 1) for each in windows)
            return np.zeros((len(windows), 3), np.float32)

    rows = all_rows(frame_scores(Spans(), window, hop), numbered(n), push=7)
    assert n == len(rows)
    starts = np.arange(-(window - hop), n, hop)
    wanted = {(max(0, start), min(n, start + window)) for start in starts}
    # Equal windows of a short recording are scored once, or once more where it turns out to end.
    assert len(heard) <= len(set(heard)) + 1
    assert wanted == set(heard)
    covering = [sum(start <= f < start + window for start in starts) for f in range(n)]
    assert [window // hop] * n == covering


def test_a_row_leaves_when_no_later_window_can_change_it():
    scores = frame_scores(MeanScorer(), 6, 2)
    sizes = [len(scores.push(numbered(20)[:, at : at + 1])) for at in range(9)]
    assert [0, 0, 0, 0, 0, 2, 0, 2, 0] == sizes
    last = scores.finish()
    assert (4, 5) == (last.start_frame, len(last))


def test_windows_that_do_not_overlap_are_rows_with_logits():
    taps = numbered(12)
    rows = all_rows(frame_scores(MeanScorer(), 5, 5, row_frames=5), taps, push=4)
    expected = [taps[:, a:b].mean(axis=(0, 1)) for a, b in [(0, 5), (5, 10), (10, 12)]]
    np.testing.assert_allclose(expected, rows.logits, atol=1e-6)
    np.testing.assert_allclose(sigmoid(expected), rows.scores, atol=1e-6)
    assert 5 == rows.row_frames


def test_rows_may_be_shorter_than_windows():
    taps = numbered(7)
    rows = all_rows(frame_scores(MeanScorer(), 4, 4, row_frames=2), taps)
    expected = [taps[:, a:b].mean(axis=(0, 1)) for a, b in [(0, 4), (0, 4), (4, 7), (4, 7)]]
    np.testing.assert_allclose(expected, rows.logits, atol=1e-6)


def test_the_last_window_hears_real_frames_only_or_zeros_behind_them():
    # Differs from whisper-at, which lets zeros take part; `zero_padded` is its way.
    taps = numbered(7)
    alone = all_rows(frame_scores(MeanScorer(), 5, 5, row_frames=5), taps)
    padded = all_rows(frame_scores(MeanScorer(), 5, 5, row_frames=5, zero_padded=True), taps)
    np.testing.assert_allclose(taps[:, 5:].mean(axis=(0, 1)), alone.logits[1], atol=1e-6)
    np.testing.assert_allclose(taps[:, 5:].sum(axis=1).mean(0) / 5, padded.logits[1], atol=1e-6)
    assert (2, 2) == (len(alone), len(padded))


@pytest.mark.parametrize("zero_padded", [False, True])
def test_padding_changes_nothing_where_windows_are_full(zero_padded):
    scorer = MeanScorer()
    rows = all_rows(frame_scores(scorer, 5, 5, zero_padded=zero_padded), numbered(10))
    assert [(0, 1, 2, 3, 4), (5, 6, 7, 8, 9)] == scorer.heard
    assert 10 == len(rows)


def test_zero_padded_rows_end_with_the_sound():
    rows = all_rows(frame_scores(MeanScorer(), 5, 5, zero_padded=True), numbered(7))
    assert (7, 7) == (len(rows), len(rows.logits))


def test_nothing_heard_gives_no_rows():
    scores = frame_scores(MeanScorer(), 5, 1)
    assert (0, 3) == scores.push(numbered(0)).scores.shape
    assert (0, 3) == scores.finish().scores.shape
    assert (0, 3) == frame_scores(MeanScorer(), 5, 5).finish().logits.shape


def test_finishing_twice_gives_nothing_new():
    scores = frame_scores(MeanScorer(), 5, 1, zero_padded=False)
    scores.push(numbered(7))
    assert 4 == len(scores.finish())
    assert 0 == len(scores.finish())


def test_torch_taps_give_the_same(peer):
    torch = peer("torch")
    taps = numbered(33)
    for options in ({"hop": 1}, {"hop": 5, "zero_padded": True}):
        expected = all_rows(frame_scores(MeanScorer(), 5, **options), taps, push=8)
        found = all_rows(frame_scores(MeanScorer(), 5, **options), torch.from_numpy(taps), push=8)
        np.testing.assert_array_equal(expected.scores, found.scores)


@pytest.mark.parametrize(("window", "hop"), [(25, 5), (25, 25), (10, 10), (25, 1)])
def test_memory_does_not_grow_with_the_recording(window, hop):
    # whisper-at keeps what every segment computed until the end.
    class Quiet:
        def score(self, taps, windows):
            assert taps.shape[1] < window + 75
            return np.zeros((len(windows), 3), np.float32)

    def kept_after(pushes: int) -> int:
        scores = frame_scores(Quiet(), window, hop)
        for _ in range(pushes):
            scores.push(np.ones((4, 75, 64), np.float32))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    few = kept_after(3)
    before = tracemalloc.get_traced_memory()[0]
    many = kept_after(200)
    tracemalloc.stop()
    assert many - before < few + 20_000
    assert many - before < 4 * window * 64 * 4 + 40_000


def test_what_does_not_divide_is_refused():
    with pytest.raises(OptionError, match=r"hop_s 1\.6 s does not divide window_s 10\.0 s"):
        frame_scores(MeanScorer(), 25, 4)
    with pytest.raises(OptionError, match=r"a row of 1\.6 s does not divide hop_s 2\.0 s"):
        frame_scores(MeanScorer(), 25, 5, row_frames=4)
    with pytest.raises(OptionError, match="overlapping windows are not zero-padded"):
        frame_scores(MeanScorer(), 25, 5, zero_padded=True)
    for window, hop, row in [(0, 1, 1), (5, 0, 1), (5, -5, 1), (5, 5, 0)]:
        with pytest.raises(OptionError):
            frame_scores(MeanScorer(), window, hop, row_frames=row)


@pytest.mark.parametrize("k", range(1, 76))
def test_every_multiple_of_two_fifths_of_a_second_is_accepted(k):
    # Differs from whisper-at, which refuses 4.4, 8.8, 3 x 0.4, ...
    assert k == frames_of(k * 0.4)
    assert k == frames_of(round(k * 0.4, 1))
    assert k == frames_of(k / 2.5)
    assert k == frames_of(sum([0.4] * k))


@pytest.mark.parametrize(("seconds", "frames"), [(10, 25), (2, 5), (40.0, 100), (36000, 90000)])
def test_longer_windows_and_whole_seconds_are_accepted(seconds, frames):
    assert frames == frames_of(seconds)


@pytest.mark.parametrize(
    ("seconds", "near"),
    [
        (0.5, "0.4 or 0.8"),
        (1, "0.8 or 1.2"),
        (4.3, "4.0 or 4.4"),
        (4.40001, "4.4 or 4.8"),
        (0.1, "0.4 or 0.8"),
        (0, "0.4 or 0.8"),
        (-0.4, "0.4 or 0.8"),
    ],
)
def test_anything_else_is_refused_with_its_neighbours(seconds, near):
    with pytest.raises(OptionError) as refused:
        frames_of(seconds)
    assert f"at_time_res is {seconds} s, not a multiple of 0.4; give {near}" == str(refused.value)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), "10", None, True])
def test_what_is_no_number_of_seconds_is_refused(seconds):
    with pytest.raises(OptionError, match=r"hop_s is .*; give seconds, a multiple of 0\.4"):
        frames_of(seconds, name="hop_s")
