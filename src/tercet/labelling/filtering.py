"""Which labels are good enough to learn from. Verdicts are data beside the labels; no label is touched."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from tercet.dataset.label_table import Label, read_labels
from tercet.dataset.verdicts import Verdict, write_verdicts
from tercet.errors import OptionError
from tercet.labelling.references import Distance, distances

# Reasons, in the order in which they are looked for.
NO_SPEECH = "no speech"
NO_TEXT = "no text"
CUT_OFF = "text cut off"
SEAM = "cut through speech"
REPETITIVE = "repetitive"
UNSURE = "low log-probability"
LANGUAGE = "other language"
INVENTED = "text where the reference has none"
FAR = "far from the reference"
REASONS = (NO_SPEECH, SEAM, NO_TEXT, CUT_OFF, REPETITIVE, UNSURE, LANGUAGE, INVENTED, FAR)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterRule:
    """Where the limits are. Rates are shares: 0.2 is 20 %."""

    most_wer: float = (
        0.2  # against the reference, where there is one; letters in languages without spaces
    )
    most_cer: float | None = None  # likewise; None: not looked at
    least_logprob: float = -1.0
    most_compression: float = 2.4  # Whisper's sign of repetition
    least_speech_s: float = 0.3
    languages: tuple[str, ...] = ()  # codes; (): any
    keep_seams: bool = False  # windows that were cut while somebody spoke

    def __post_init__(self) -> None:
        for name in ("most_wer", "most_compression", "least_speech_s"):
            if not getattr(self, name) >= 0:
                raise OptionError(f"{name} is {getattr(self, name)}; give 0 or more")
        if self.most_cer is not None and not self.most_cer >= 0:
            raise OptionError(f"most_cer is {self.most_cer}; give 0 or more")

    def fault_of(
        self, label: Label, distance: Distance | None, *, follows_seam: bool
    ) -> str | None:
        """Why a label is left out; None where it is kept."""
        return (
            self._fault_of_sound(label, follows_seam)
            or self._fault_of_text(label)
            or self._fault_of_words(distance)
        )

    def _fault_of_sound(self, label: Label, follows_seam: bool) -> str | None:
        if label.speech_s < self.least_speech_s:
            return NO_SPEECH
        is_broken = label.cut == "seam" or follows_seam
        return SEAM if is_broken and not self.keep_seams else None

    def _fault_of_text(self, label: Label) -> str | None:
        if not label.text.strip():
            return NO_TEXT
        if label.is_cut_off:
            return CUT_OFF
        if label.compression_ratio > self.most_compression:
            return REPETITIVE
        if label.avg_logprob < self.least_logprob:
            return UNSURE
        if self.languages and label.language not in self.languages:
            return LANGUAGE
        return None

    def _fault_of_words(self, distance: Distance | None) -> str | None:
        if distance is None:
            return None
        if not distance.reference_words:
            return INVENTED
        is_far = distance.wer > self.most_wer
        if self.most_cer is not None:
            is_far |= distance.cer > self.most_cer
        return FAR if is_far else None


@dataclass(frozen=True, slots=True)
class Filtered:
    """What a filter did."""

    rule: FilterRule
    windows: int
    kept: int
    total_s: float
    kept_s: float
    reasons: dict[str, tuple[int, float]]  # windows and seconds that each left out
    wers: tuple[float, ...]  # of windows with a reference
    logprobs: tuple[float, ...]  # of windows with a text

    def to_json(self) -> dict[str, Any]:
        """Rule and counts."""
        return {
            "rule": asdict(self.rule) | {"languages": list(self.rule.languages)},
            "windows": self.windows,
            "kept": self.kept,
            "total_s": round(self.total_s, 3),
            "kept_s": round(self.kept_s, 3),
            "dropped": {
                reason: {"windows": windows, "seconds": round(seconds, 3)}
                for reason, (windows, seconds) in self.reasons.items()
            },
        }


def filter_labels(folder: Path, rule: FilterRule) -> Filtered:
    """Judge all labels of a folder, and write the verdicts beside them.

    Raises:
        DataError: there are no labels, or a shard is damaged.
        EngineError: there are references, and jiwer (extra `eval`) is not installed.
        OutputError: the verdicts cannot be written.
    """
    labels = list(read_labels(folder))
    verdicts = list(judged(labels, rule))
    write_verdicts(folder, verdicts, json.dumps(asdict(rule)))
    lengths = {each.id: each.duration_s for each in labels}
    windows = Counter(each.reason or "" for each in verdicts)
    seconds = {
        reason: sum(lengths[each.id] for each in verdicts if (each.reason or "") == reason)
        for reason in windows
    }
    return Filtered(
        rule=rule,
        windows=len(verdicts),
        kept=windows[""],
        total_s=sum(lengths.values()),
        kept_s=seconds.get("", 0.0),
        reasons={name: (windows[name], seconds[name]) for name in REASONS if windows[name]},
        wers=tuple(each.wer for each in verdicts if each.wer is not None),
        logprobs=tuple(each.avg_logprob for each in labels if each.text),
    )


def judged(labels: Sequence[Label], rule: FilterRule) -> Iterator[Verdict]:
    """A verdict for each label, recording by recording; a recording's windows must come in their order."""
    ordered = sorted(labels, key=lambda each: each.recording)
    for _, group in groupby(ordered, key=lambda each: each.recording):
        windows = list(group)
        follows_seam = False
        for label, distance in zip(windows, _distances(windows), strict=True):
            reason = rule.fault_of(label, distance, follows_seam=follows_seam)
            follows_seam = label.cut == "seam"
            yield Verdict(
                id=label.id,
                kept=reason is None,
                reason=reason,
                wer=None if distance is None else distance.wer,
                cer=None if distance is None else distance.cer,
                reference_words=None if distance is None else distance.reference_words,
            )


def _distances(windows: Sequence[Label]) -> Iterable[Distance | None]:
    """Of all windows of a recording, from its reference; None where it has none."""
    told = [each for each in windows if each.reference is not None]
    if not told:
        return [None] * len(windows)
    language = next((each.language for each in windows if each.text), windows[0].language)
    reference = told[-1].reference or ""
    return distances(reference, [each.text for each in windows], language)
