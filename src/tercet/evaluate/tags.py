"""`tercet eval tags`: how well a model hears the sounds of a manifest's recordings.

Clips with labels give accuracy, average precision, AUC and d-prime; recordings with events give event F1 and
onset errors; both say how often Speech is found where it is, and where it is not.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tercet.dataset.manifests import Manifest, Row
from tercet.errors import DataError
from tercet.evaluate.event_scores import DEFAULT_COLLAR_S, EventScores, score_events
from tercet.evaluate.label_scores import area_under_roc, average_precision, d_prime
from tercet.evaluate.recordings import samples_of
from tercet.listener import Model
from tercet.results import SoundEvent, SoundEvents
from tercet.train.tags.material import labels_of_row
from tercet.train.tags.scene import SPEECH, Event

ClipScore = Literal["mean", "max"]


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """One label over all recordings whose labels are told."""

    recordings: int  # that have it
    average_precision: float
    auc: float
    d_prime: float
    right: int  # of the recordings with this label alone: those in which it is the highest (`accuracy`)


@dataclass(frozen=True, slots=True)
class Heard:
    """What a model heard in one recording, and what is known about it."""

    audio: Path
    labels: tuple[str, ...]  # the true ones
    clip_scores: np.ndarray  # float32 [labels of the head]
    found: tuple[SoundEvent, ...]
    events: tuple[Event, ...] | None  # the true ones; None: not told


@dataclass(frozen=True, slots=True, kw_only=True)
class TagReport:
    """All figures. NaN, or None, where a manifest gives no ground for one."""

    recordings: int
    names: tuple[str, ...]  # the head's labels
    by_label: Mapping[str, LabelFigures]  # those that some recordings have and others have not
    # (right, of how many recordings with one label): the highest of the labels that the manifest has,
    accuracy: tuple[int, int]
    accuracy_of_all: tuple[int, int]  # and the highest of all that the head has
    wrong: tuple[tuple[str, str, str], ...]  # (recording, its label, the manifest's highest one)
    events: EventScores | None
    speech_found: tuple[int, int]  # recordings with speech in which it was found, of how many
    speech_falsely: tuple[int, int]  # recordings without
    unknown: tuple[str, ...] = field(
        default=()
    )  # true labels that the head does not know: left out

    @property
    def mean_average_precision(self) -> float:
        """Over the labels of `by_label`."""
        return _mean([each.average_precision for each in self.by_label.values()])

    @property
    def mean_auc(self) -> float:
        """Over the labels of `by_label`."""
        return _mean([each.auc for each in self.by_label.values()])

    def to_json(self) -> dict[str, Any]:
        """Every figure by name; shares as [n, of]."""
        auc = self.mean_auc
        return {
            "recordings": self.recordings,
            "accuracy": list(self.accuracy),
            "accuracy_of_all": list(self.accuracy_of_all),
            "map": _number(self.mean_average_precision),
            "auc": _number(auc),
            "d_prime": None if np.isnan(auc) else d_prime(auc),
            "speech_found": list(self.speech_found),
            "speech_falsely": list(self.speech_falsely),
            "events": None if self.events is None else _events_json(self.events),
            "by_label": {
                label: {
                    "recordings": each.recordings,
                    "right": each.right,
                    "average_precision": each.average_precision,
                    "auc": each.auc,
                    "d_prime": each.d_prime,
                }
                for label, each in self.by_label.items()
            },
            "wrong": [list(each) for each in self.wrong],
            "unknown_labels": list(self.unknown),
        }

    def lines(self) -> list[str]:
        """For people: a figure a line, then a table of labels."""
        lines = [f"recordings           {self.recordings}"]
        if self.accuracy[1]:
            lines.append(f"accuracy             {_share(self.accuracy)}")
            lines.append(
                f"  of all {f'{len(self.names)} labels':<13}{_share(self.accuracy_of_all)}"
            )
        if self.by_label:
            auc = self.mean_auc
            lines.append(
                f"mAP, AUC, d'         {self.mean_average_precision:.4f}, {auc:.4f}, {d_prime(auc):.3f}"
            )
        if self.speech_found[1]:
            lines.append(f"Speech found         {_share(self.speech_found)}")
        if self.speech_falsely[1]:
            lines.append(f"Speech falsely found {_share(self.speech_falsely)}")
        if self.events is not None:
            lines += _event_lines(self.events)
        if self.unknown:
            lines.append(f"not this head's      {', '.join(self.unknown)}")
        if self.by_label:
            lines += [
                "",
                f"{'label':<34} {'n':>5} {'right':>5} {'AP':>6} {'AUC':>6} {'d-prime':>7}",
            ]
            lines += [
                f"{label:<34.34} {each.recordings:>5} {each.right:>5} {each.average_precision:>6.3f} "
                f"{each.auc:>6.3f} {each.d_prime:>7.2f}"
                for label, each in self.by_label.items()
            ]
        return lines + ([] if self.events is None else _event_table(self.events))


def evaluate_tags(
    model: Model,
    manifest: Manifest,
    *,
    collar_s: float = DEFAULT_COLLAR_S,
    clip_score: ClipScore = "mean",
    on_progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> TagReport:
    """Hear all of a manifest and compare.

    Args:
        model: With a tag head.
        manifest: Its rows have labels (`labels`, or AudioSet's names as `audioset_labels`), events, or both.
            A row with a text and no label counts as speech.
        collar_s: How far a found onset may lie from the true one.
        clip_score: A recording's score of a label: the mean of its frames', or the highest.
        on_progress: Called with the recordings done and all of them.
        options: Of `Model.tag`, such as `threshold`.

    Raises:
        HeadError: the model has no tag head.
        DataError: no row has a label that the head knows, or events.
        AudioError: a recording cannot be heard.
        OptionError: an option's value is not allowed.
    """
    heard = []
    names: tuple[str, ...] = ()
    for number, row in enumerate(manifest.rows, start=1):
        result = hear(model, row, **options)
        names = result.labels
        heard.append(_compared(row, result, clip_score))
        if on_progress is not None:
            on_progress(number, len(manifest.rows))
    if not any(each.labels or each.events is not None for each in heard):
        raise DataError(
            f"{manifest.path}: no row has labels or events; there is nothing to compare"
        )
    return report_of(heard, names, collar_s=collar_s)


def hear(model: Model, row: Row, **options: Any) -> SoundEvents:
    """A row's sounds, on the clock of its own part of the recording."""
    is_whole = row.start_s == 0 and row.duration_s is None
    found: SoundEvents = model.tag(row.audio if is_whole else samples_of(row), **options)
    return found


def report_of(
    heard: Sequence[Heard], names: Sequence[str], *, collar_s: float = DEFAULT_COLLAR_S
) -> TagReport:
    """The figures of recordings that were heard."""
    known = set(names)
    told = sorted({label for each in heard for label in each.labels})
    labelled = [each for each in heard if each.labels]
    timed = [each for each in heard if each.events is not None]
    right, wrong = _highest(labelled, names, [name for name in names if name in told])
    of_all, _ = _highest(labelled, names, names)
    with_speech = [each for each in labelled if SPEECH in each.labels]
    without = [each for each in labelled if SPEECH not in each.labels]
    if SPEECH not in known:
        with_speech, without = [], []
    return TagReport(
        recordings=len(heard),
        names=tuple(names),
        by_label=_by_label(labelled, names, right),
        accuracy=(len(right), len(right) + len(wrong)),
        accuracy_of_all=(len(of_all), len(right) + len(wrong)),
        wrong=tuple(wrong),
        events=score_events(
            ((each.found, each.events or ()) for each in timed), labels=names, collar_s=collar_s
        )
        if timed
        else None,
        speech_found=(sum(map(_has_speech, with_speech)), len(with_speech)),
        speech_falsely=(sum(map(_has_speech, without)), len(without)),
        unknown=tuple(label for label in told if label not in known),
    )


def _compared(row: Row, result: SoundEvents, clip_score: ClipScore) -> Heard:
    scores = result.frames.mean(0) if clip_score == "mean" else result.frames.max(0)
    events = tuple(Event(*event) for event in row.events) if row.events else None
    labels = labels_of_row(row)
    if not labels and events is not None:
        labels = tuple(dict.fromkeys(event.label for event in events))
    if not labels and row.text is not None:
        labels = (SPEECH,)
    return Heard(row.audio, labels, scores, result.events, events)


def _highest(
    heard: Sequence[Heard], names: Sequence[str], among: Sequence[str]
) -> tuple[list[str], list[tuple[str, str, str]]]:
    """Of the recordings with one label, which the head knows: labels of the right ones, and the others."""
    right, wrong = [], []
    columns = [names.index(name) for name in among]
    for each in heard:
        if len(each.labels) != 1 or each.labels[0] not in names:
            continue
        highest = among[int(each.clip_scores[columns].argmax())]
        if highest == each.labels[0]:
            right.append(highest)
        else:
            wrong.append((str(each.audio), each.labels[0], highest))
    return right, wrong


def _by_label(
    heard: Sequence[Heard], names: Sequence[str], right: Sequence[str]
) -> dict[str, LabelFigures]:
    found = {}
    for column, name in enumerate(names):
        has_it = np.array([name in each.labels for each in heard], bool)
        if not has_it.any() or has_it.all():
            continue
        scores = np.array([each.clip_scores[column] for each in heard], np.float64)
        auc = area_under_roc(scores, has_it)
        precision = average_precision(scores, has_it)
        n_right = sum(label == name for label in right)
        found[name] = LabelFigures(int(has_it.sum()), precision, auc, d_prime(auc), n_right)
    return found


def _has_speech(heard: Heard) -> bool:
    return any(event.label == SPEECH for event in heard.found)


def _events_json(events: EventScores) -> dict[str, Any]:
    counts = events.counts
    return {
        "collar_s": events.collar_s,
        "matched": counts.matched,
        "found": counts.found,
        "true": counts.true,
        "f1": counts.f1,
        "macro_f1": _number(events.macro_f1),
        "heard_share": _number(events.heard_share),
        "median_onset_error_s": _number(events.median_onset_error_s),
        "by_label": {
            label: {
                "matched": each.matched,
                "found": each.found,
                "true": each.true,
                "f1": each.f1,
                "median_onset_error_s": _number(events.median_error_of(label)),
            }
            for label, each in sorted(events.by_label.items())
        },
    }


def _event_lines(events: EventScores) -> list[str]:
    counts = events.counts
    return [
        f"events               {counts.true} true, {counts.found} found, {counts.matched} match within "
        f"{events.collar_s:g} s",
        f"event F1             {counts.f1:.3f} (precision {counts.precision:.3f}, recall "
        f"{counts.recall:.3f}; mean of labels {events.macro_f1:.3f})",
        f"heard at all         {100 * events.heard_share:.1f} %",
        f"median onset error   {events.median_onset_error_s:.2f} s",
    ]


def _event_table(events: EventScores) -> list[str]:
    lines = ["", f"{'events':<34} {'true':>5} {'found':>5} {'F1':>6} {'onset error':>12}"]
    for label, each in sorted(events.by_label.items()):
        error = events.median_error_of(label)
        told = "" if np.isnan(error) else f"{error:>10.2f} s"
        lines.append(
            f"{label:<34.34} {each.true:>5} {each.found:>5} {each.f1:>6.3f} {told}".rstrip()
        )
    return lines


def _share(pair: tuple[int, int]) -> str:
    n, of = pair
    return f"{n} of {of} ({100 * n / of:.1f} %)"


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
