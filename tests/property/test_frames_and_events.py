"""Scores and events do not depend on how a recording's taps and rows came: in one piece or in many."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tercet.readings.events import EventOptions, EventTracker, in_order
from tercet.readings.frames import FrameScores


class LastFrameScorer:
    """Hears the mean of a window and its last frame, so that order and length both matter."""

    def score(self, taps, windows):
        heard = taps[:, windows].sum(axis=0)
        return heard.mean(axis=1) + 2 * heard[:, -1] - 0.1 * windows.shape[1]


def cut(draw, array: np.ndarray, axis: int) -> list[np.ndarray]:
    """The array in pieces, empty ones among them."""
    n = array.shape[axis]
    inner = draw(st.lists(st.integers(0, n), max_size=8), label="cuts")
    edges = sorted([0, *inner, n])
    return [np.take(array, np.arange(a, b), axis=axis) for a, b in pairwise(edges)]


def rows_of(pieces, **options):
    scores = FrameScores(LastFrameScorer(), n_labels=2, **options)
    parts = [*(scores.push(piece) for piece in pieces), scores.finish()]
    at = 0
    for part in parts:
        assert at == part.start_frame or not len(part)
        at += len(part) * part.row_frames
    logits = [part.logits for part in parts if part.logits is not None]
    return np.concatenate([part.scores for part in parts]), logits and np.concatenate(logits)


@given(data=st.data())
def test_frame_scores_do_not_depend_on_pushes(data):
    hop = data.draw(st.integers(1, 6), label="hop")
    overlap = data.draw(st.integers(1, 5), label="windows that hear a frame")
    row = data.draw(st.sampled_from([r for r in range(1, hop + 1) if hop % r == 0]), label="row")
    n = data.draw(st.integers(0, 60), label="frames")
    taps = np.random.default_rng(n).standard_normal((2, n, 2)).astype(np.float32)
    options = {
        "window_frames": hop * overlap,
        "hop_frames": hop,
        "row_frames": row,
        "zero_padded": overlap == 1 and data.draw(st.booleans(), label="zero padded"),
    }
    expected, expected_logits = rows_of([taps], **options)
    found, logits = rows_of(cut(data.draw, taps, axis=1), **options)
    assert -(-n // row) == len(found)
    np.testing.assert_allclose(expected, found, atol=1e-6)
    np.testing.assert_allclose(expected_logits, logits, atol=1e-6)


def events_by_hand(scores, on, off, gap_s, least_s, top_k, frame_s, duration_s):
    """(start, end, column) of all events, label by label and row by row."""
    found = []
    for column in range(scores.shape[1]):
        spans, is_on = [], False
        for i, row in enumerate(scores):
            before = sum(row > row[column]) + sum(row[:column] == row[column])
            counts = before < top_k and row[column] >= off[column]
            is_on = counts and (is_on or row[column] >= on[column])
            if is_on and spans and spans[-1][1] == i:
                spans[-1][1] = i + 1
            elif is_on:
                spans.append([i, i + 1])
        joined = []
        for start, end in spans:
            if joined and (start - joined[-1][1]) * frame_s < gap_s[column] - 1e-9:
                joined[-1][1] = end
            else:
                joined.append([start, end])
        for start, end in joined:
            start_s, end_s = start * frame_s, min(end * frame_s, duration_s)
            if end_s - start_s >= least_s[column] - 1e-9:
                found.append((start_s, end_s, column))
    return sorted(found, key=lambda event: (event[0], event[2]))


def tracked(pieces, options, labels, frame_s, duration_s):
    tracker = EventTracker(options, labels, frame_s)
    found = [event for piece in pieces for event in tracker.push(piece)]
    return in_order([*found, *tracker.finish(duration_s)])


LABELS = ("a", "b", "c")
EIGHTHS = st.integers(0, 8).map(lambda n: n / 8)


@given(data=st.data())
def test_events_do_not_depend_on_pushes_and_are_those_of_the_definition(data):
    n = data.draw(st.integers(0, 40), label="rows")
    cell = st.integers(0, 8).map(lambda n: n / 8)
    rows = data.draw(st.lists(st.tuples(cell, cell, cell), min_size=n, max_size=n), label="scores")
    scores = np.array(rows, np.float32).reshape(n, 3)
    on = data.draw(st.tuples(EIGHTHS, EIGHTHS, EIGHTHS), label="threshold")
    off = [t * data.draw(st.sampled_from([0.0, 0.5, 1.0]), label="off") for t in on]
    steps = st.sampled_from([0.0, 0.5, 0.75, 1.0, 1.5, 4.0])
    gap_s = data.draw(st.tuples(steps, steps, steps), label="gap")
    least_s = data.draw(st.tuples(steps, steps, steps), label="duration")
    top_k = data.draw(st.integers(1, 3), label="top k")
    duration_s = max(0.0, n * 0.5 - data.draw(st.sampled_from([0.0, 0.125, 0.375])))
    options = EventOptions.of(
        LABELS,
        on,
        off_threshold=dict(zip(LABELS, off, strict=True)),
        min_gap_s=dict(zip(LABELS, gap_s, strict=True)),
        min_duration_s=dict(zip(LABELS, least_s, strict=True)),
        top_k=top_k,
    )
    expected = events_by_hand(scores, on, off, gap_s, least_s, top_k, 0.5, duration_s)
    whole = tracked([scores], options, LABELS, 0.5, duration_s)
    assert expected == [(event.start_s, event.end_s, event.label_id) for event in whole]
    assert whole == tracked(cut(data.draw, scores, axis=0), options, LABELS, 0.5, duration_s)
    for event in whole:
        inside = scores[int(event.start_s * 2) : int(np.ceil(event.end_s * 2)), event.label_id]
        assert event.score in inside
        assert event.score >= on[event.label_id]
