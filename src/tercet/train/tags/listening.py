"""A head over encoded scenes, exactly as it serves: frame scores, events, thresholds; figures of all that."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tercet.checkpoint.heads import TagHead
from tercet.dataset.encoded import EncodedReader
from tercet.engine.protocol import TagScorer
from tercet.evaluate.event_scores import EventScores, score_events
from tercet.readings.events import EventOptions, EventTracker
from tercet.readings.frames import FrameScores
from tercet.results import SoundEvent
from tercet.text.labels import labels_of
from tercet.train.tags.data import events_of
from tercet.train.tags.scene import FRAME_S, SPEECH, Event

RATE_HZ = 16000
_GRID = tuple(float(each) for each in np.round(np.arange(0.1, 0.81, 0.025), 3))
_PRIOR_EVENTS = (
    30.0  # a label's own threshold counts as much as the common one at so many true events
)


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no one answer to ==
class Listened:
    """One scene and what a head made of it."""

    key: str
    scores: np.ndarray  # float32 [frames, labels]
    events: tuple[Event, ...]  # the true ones
    duration_s: float
    facts: Mapping[str, Any]


def listened(
    head: TagHead, scorer: TagScorer, reader: EncodedReader, numbers: Iterable[int] | None = None
) -> list[Listened]:
    """Score scenes with the head's own windows."""
    found = []
    for number in range(len(reader)) if numbers is None else numbers:
        item = reader[number]
        assert item.taps is not None
        scores = FrameScores(
            scorer,
            n_labels=head.n_labels,
            window_frames=head.window_frames,
            hop_frames=head.hop_frames,
        )
        taps = np.asarray(item.taps, np.float32)
        rows = np.concatenate([scores.push(taps).scores, scores.finish().scores])
        events = events_of(item.facts) if "events" in item.facts else ()
        duration_s = item.facts["n_samples"] / RATE_HZ
        found.append(Listened(item.key, rows, events, duration_s, item.facts))
    return found


def events_in(
    scene: Listened, labels: Sequence[str], thresholds: Sequence[float]
) -> list[SoundEvent]:
    """The events that `Model.tag` would give."""
    tracker = EventTracker(EventOptions.of(labels, thresholds), labels, FRAME_S)
    return [*tracker.push(scene.scores), *tracker.finish(scene.duration_s)]


def event_scores(
    scenes: Sequence[Listened],
    head: TagHead,
    *,
    labels: Sequence[str] | None = None,
    thresholds: Sequence[float] | None = None,
) -> EventScores:
    """How well the head's events match the true ones."""
    names = labels_of(head.labels)
    used = head.thresholds if thresholds is None else thresholds
    return score_events(
        ((events_in(scene, names, used), scene.events) for scene in scenes), labels=labels
    )


def with_thresholds(
    head: TagHead,
    scenes: Sequence[Listened],
    grid: Sequence[float] = _GRID,
    *,
    beta: float = 1.0,
    least_precision: float = 0.0,
) -> TagHead:
    """A copy whose thresholds give the best event F-beta (1 s collar) on these scenes.

    A label with few events borrows from all: what is maximised for it is its own F, and the common one
    with the weight of 30 events. Labels that do not occur get the common threshold. Thresholds at which a
    label's precision is below `least_precision` are not taken, where any other is there.
    """
    names = labels_of(head.labels)
    by_threshold = [
        event_scores(scenes, head, thresholds=[threshold] * len(names)) for threshold in grid
    ]
    common = np.array([scores.counts.f(beta) for scores in by_threshold])
    chosen = []
    for name in names:
        counts = [scores.by_label.get(name) for scores in by_threshold]
        n = max((each.true for each in counts if each is not None), default=0)
        own = np.array([1.0 if each is None else each.f(beta) for each in counts])
        blend = (n * own + _PRIOR_EVENTS * common) / (n + _PRIOR_EVENTS)
        precise = np.array([each is None or each.precision >= least_precision for each in counts])
        if precise.any():
            blend = np.where(precise, blend, -1.0)
        chosen.append(grid[_middle_of_best(blend)])
    return replace(head, thresholds=tuple(chosen))


def with_speech_threshold(
    head: TagHead,
    utterances: Sequence[Listened],
    others: Sequence[Listened],
    grid: Sequence[float] = _GRID,
) -> TagHead:
    """A copy whose threshold for speech tells utterances best from clips without any.

    Of thresholds that do so equally well, the middle one. A head that does not know speech is left as it is.
    """
    names = labels_of(head.labels)
    if SPEECH not in names or not utterances or not others:
        return head
    at = names.index(SPEECH)
    values = []
    for threshold in grid:
        tried = list(head.thresholds)
        tried[at] = threshold
        made = replace(head, thresholds=tuple(tried))
        found, n, _ = share_with(utterances, made)
        false, n_others, _ = share_with(others, made)
        values.append(found / n - false / n_others)
    chosen = list(head.thresholds)
    chosen[at] = grid[_middle_of_best(np.array(values))]
    return replace(head, thresholds=tuple(chosen))


def clip_accuracy(
    scenes: Sequence[Listened], labels: Sequence[str], classes: Sequence[str], *, by: str = "mean"
) -> tuple[int, int, list[tuple[str, str, str]]]:
    """Clips of these classes whose highest label is theirs: (right, all, [(key, true, heard)] of the others).

    A clip's score of a label is the mean, or the highest ("max"), of its frames' scores.
    """
    right, wrong = 0, []
    for scene in scenes:
        true = str(scene.facts.get("label", ""))
        if true not in classes:
            continue
        values = scene.scores.mean(0) if by == "mean" else scene.scores.max(0)
        heard = labels[int(values.argmax())]
        right += heard == true
        if heard != true:
            wrong.append((scene.key, true, heard))
    return right, right + len(wrong), wrong


def share_with(
    scenes: Sequence[Listened], head: TagHead, label: str = SPEECH
) -> tuple[int, int, list[str]]:
    """Scenes in which an event of this label is found: (how many, of how many, their keys)."""
    names = labels_of(head.labels)
    keys = [
        scene.key
        for scene in scenes
        if any(each.label == label for each in events_in(scene, names, head.thresholds))
    ]
    return len(keys), len(scenes), keys


def _middle_of_best(values: np.ndarray) -> int:
    """The middle one of all that are within 0.002 of the best: a threshold should not sit on an edge."""
    best = np.flatnonzero(values >= values.max() - 0.002)
    return int(best[len(best) // 2])
