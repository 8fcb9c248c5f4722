"""Scores of written-down speech: words and letters, normalised and as they stand. Counted by jiwer, no model.

Rates are those of a corpus, all errors by all of its reference, with an interval (`bootstrap`). Each
utterance's own counts are kept: they are what two systems are compared by.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tercet.errors import EngineError
from tercet.evaluate.text.bootstrap import Interval, rate_interval
from tercet.evaluate.text.repeats import five_dup, repeats_beyond
from tercet.evaluate.word_errors import Utterance
from tercet.text.normalizer import is_unspaced, normalize

Unit = Literal["wer", "cer", "orthographic_wer", "orthographic_cer"]
UNITS: tuple[Unit, ...] = ("wer", "cer", "orthographic_wer", "orthographic_cer")


@dataclass(frozen=True, slots=True)
class Edits:
    """What turns a reference into what was heard."""

    substitutions: int
    deletions: int
    insertions: int
    size: int  # words or letters of the reference

    @property
    def errors(self) -> int:
        """All three kinds together."""
        return self.substitutions + self.deletions + self.insertions


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """One utterance."""

    edits: dict[Unit, Edits]
    said: tuple[str, ...]  # normalised words (letters, in languages without spaces)
    heard: tuple[str, ...]
    is_unspaced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Errors of a corpus by one unit. Shares of the reference: insertions may take them over 1."""

    edits: Edits
    interval: Interval

    @property
    def rate(self) -> float:
        """All errors by all of the reference; NaN of nothing."""
        return self.edits.errors / self.edits.size if self.edits.size else float("nan")

    def to_json(self) -> dict[str, Any]:
        """Every figure by name; None where there is nothing to count."""
        size = self.edits.size
        kinds = ("substitutions", "deletions", "insertions")
        counts = {kind: getattr(self.edits, kind) for kind in kinds}
        shares = {
            f"{kind.removesuffix('s')}_rate": count / size if size else None
            for kind, count in counts.items()
        }
        ends = [self.interval.low, self.interval.high]
        return {
            "rate": self.rate if size else None,
            "interval": None if np.isnan(ends).any() else ends,
            "size": size,
            **counts,
            **shares,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TextScores:
    """All figures of a corpus."""

    utterances: int  # that were counted
    left_out: int  # whose reference is empty once normalised
    rates: dict[Unit, Rate]
    headline: Unit  # "cer" where most of the utterances are in languages without spaces, else "wer"
    repeats: int  # `repeats.repeats_beyond`, summed
    heard_words: int
    five_dup: int  # as Distil-Whisper counts

    @property
    def repeats_per_1000_words(self) -> float:
        """Of words that were written down; 0.0 without any."""
        return 1000 * self.repeats / self.heard_words if self.heard_words else 0.0

    def to_json(self) -> dict[str, Any]:
        """Every figure by name."""
        return {
            "utterances": self.utterances,
            "left_out": self.left_out,
            "headline": self.headline,
            **{unit: rate.to_json() for unit, rate in self.rates.items()},
            "repeats": self.repeats,
            "repeats_per_1000_words": self.repeats_per_1000_words,
            "five_dup": self.five_dup,
        }


def counted(utterance: Utterance) -> Counted | None:
    """Count one utterance; None if its reference is empty once normalised.

    As they stand, texts keep case and punctuation; only runs of white space become one space. Letters are
    counted with the spaces between words, as jiwer counts them, but in languages without spaces.

    Raises:
        EngineError: jiwer (extra `eval`) is not installed.
        TercetError: whisper-normalizer is not.
    """
    language = utterance.language
    unspaced = is_unspaced(language)
    said, heard = (normalize(text, language) for text in (utterance.reference, utterance.heard))
    if not said:
        return None
    plain_said, plain_heard = (
        " ".join(text.split()) for text in (utterance.reference, utterance.heard)
    )
    gap = "" if unspaced else " "
    edits: dict[Unit, Edits] = {
        "wer": _edits(said, heard, "words"),
        "cer": _edits(said.replace(" ", gap), heard.replace(" ", gap), "characters"),
        "orthographic_wer": _edits(plain_said, plain_heard, "words"),
        "orthographic_cer": _edits(
            plain_said.replace(" ", gap), plain_heard.replace(" ", gap), "characters"
        ),
    }
    words = (tuple(said.split()), tuple(heard.split()))
    return Counted(edits=edits, said=words[0], heard=words[1], is_unspaced=unspaced)


def score_texts(
    utterances: Sequence[Utterance], *, draws: int | None = None, seed: int = 0
) -> TextScores:
    """The figures of some utterances.

    Args:
        utterances: With their references.
        draws: Corpora drawn for each interval; None: as many as `bootstrap` draws.
        seed: Of the draws.

    Raises:
        EngineError: jiwer (extra `eval`) is not installed.
        TercetError: whisper-normalizer is not.
    """
    all_of_them = [counted(each) for each in utterances]
    found = [each for each in all_of_them if each is not None]
    more = {} if draws is None else {"draws": draws}
    rates: dict[Unit, Rate] = {}
    for unit in UNITS:
        edits = [each.edits[unit] for each in found]
        errors, sizes = [one.errors for one in edits], [one.size for one in edits]
        rates[unit] = Rate(
            edits=_total(edits), interval=rate_interval(errors, sizes, seed=seed, **more)
        )
    n_unspaced = sum(each.is_unspaced for each in found)
    return TextScores(
        utterances=len(found),
        left_out=len(all_of_them) - len(found),
        rates=rates,
        headline="cer" if 2 * n_unspaced > len(found) else "wer",
        repeats=sum(repeats_beyond(each.said, each.heard) for each in found),
        heard_words=sum(len(each.heard) for each in found),
        five_dup=five_dup(each.heard for each in found),
    )


def _edits(said: str, heard: str, unit: Literal["words", "characters"]) -> Edits:
    try:
        import jiwer
    except ModuleNotFoundError:
        raise EngineError("counting errors needs jiwer: pip install 'tercet[eval]'") from None
    count = jiwer.process_words if unit == "words" else jiwer.process_characters
    found = count(said, heard)
    size = found.hits + found.substitutions + found.deletions
    return Edits(found.substitutions, found.deletions, found.insertions, size)


def _total(edits: Sequence[Edits]) -> Edits:
    columns = ((e.substitutions, e.deletions, e.insertions, e.size) for e in edits)
    return (
        Edits(*(sum(column) for column in zip(*columns, strict=True)))
        if edits
        else Edits(0, 0, 0, 0)
    )
