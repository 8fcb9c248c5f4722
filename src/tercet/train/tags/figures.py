"""The figures that a tag head is judged by, on its development sets. Nothing is written here."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tercet.checkpoint.heads import TagHead
from tercet.text.labels import labels_of
from tercet.train.tags.listening import Listened, clip_accuracy, event_scores, share_with
from tercet.train.tags.scene import SPEECH


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    n: int
    of: int

    @property
    def value(self) -> float:
        """The share; NaN of none."""
        return self.n / self.of if self.of else float("nan")

    def __str__(self) -> str:
        return f"{self.n} of {self.of} ({100 * self.value:.1f} %)" if self.of else "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFigures:
    """Events of one set of scenes, speech left out."""

    scenes: int
    events: int
    heard: Share  # true events whose label was found while they lasted (1 s around them allowed)
    precision: float  # all labels together, onsets within 1 s
    recall: float
    f1: float
    macro_f1: float
    median_onset_error_s: float
    mean_onset_error_s: float
    early: float  # share of onsets found before the true one by more than 0.4 s
    f1_by_label: Mapping[str, float]
    heard_by_label: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All of them."""

    accuracy: Share  # held-out clips whose label is the highest (mean over frames)
    accuracy_by_max: Share  # (highest frame)
    accuracy_by_label: Mapping[str, str]
    wrong: Sequence[tuple[str, str, str]]  # clip, its label, what was heard
    speech_found: Share  # of single utterances
    speech_falsely: Share  # of clips, silence, noise and tones
    falsely: Sequence[str]  # which ones
    quiet: EventFigures
    spoken: EventFigures
    speech_in_spoken: EventFigures  # speech itself, with sounds around it
    thresholds: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """A form for files; shares as [n, of]."""
        return asdict(self)


def figures_of(head: TagHead, heard: Mapping[str, Sequence[Listened]]) -> Figures:
    """Judge a head by what it heard in the sets "clips", "speech", "quiet", "spoken" and "nothing"."""
    names = labels_of(head.labels)
    sounds = tuple(name for name in names if name != SPEECH)
    right, n, wrong = clip_accuracy(heard["clips"], names, sounds)
    right_by_max, _, _ = clip_accuracy(heard["clips"], names, sounds, by="max")
    found, utterances, _ = share_with(heard["speech"], head)
    false, others, which = share_with([*heard["clips"], *heard["nothing"]], head)
    return Figures(
        accuracy=Share(right, n),
        accuracy_by_max=Share(right_by_max, n),
        accuracy_by_label={
            name: "{} of {}".format(*clip_accuracy(heard["clips"], names, [name])[:2])
            for name in sounds
        },
        wrong=wrong,
        speech_found=Share(found, utterances),
        speech_falsely=Share(false, others),
        falsely=which,
        quiet=_events(heard["quiet"], head, sounds),
        spoken=_events(heard["spoken"], head, sounds),
        speech_in_spoken=_events(heard["spoken"], head, [SPEECH]),
        thresholds=dict(zip(names, head.thresholds, strict=False)),
    )


def _events(scenes: Sequence[Listened], head: TagHead, labels: Sequence[str]) -> EventFigures:
    scores = event_scores(scenes, head, labels=labels)
    errors = np.array(scores.onset_errors_s)
    counts = scores.counts
    return EventFigures(
        scenes=len(scenes),
        events=counts.true,
        heard=Share(
            sum(hits for hits, _ in scores.heard.values()), sum(n for _, n in scores.heard.values())
        ),
        precision=counts.precision,
        recall=counts.recall,
        f1=counts.f1,
        macro_f1=scores.macro_f1,
        median_onset_error_s=scores.median_onset_error_s,
        mean_onset_error_s=float(np.abs(errors).mean()) if errors.size else float("nan"),
        early=float((errors < -0.4).mean()) if errors.size else float("nan"),
        f1_by_label={label: each.f1 for label, each in sorted(scores.by_label.items())},
        heard_by_label={
            label: f"{hits} of {n}" for label, (hits, n) in sorted(scores.heard.items())
        },
    )
