"""Word error rates: over a corpus, and as the mean of its utterances. Counted by jiwer, no model.

Both texts go through Whisper's normaliser first (`text.normalizer`); for the mean "as Ichigo counts" they do
not (`as_ichigo_compares`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tercet.errors import EngineError
from tercet.text.normalizer import normalize

_SPECIAL = re.compile(r"<\|[^|>]*\|>")


class Utterance(NamedTuple):
    """What was said, and what was written down."""

    reference: str
    heard: str
    language: str  # code: "en" has a normaliser of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class WordErrors:
    """Errors of a corpus. Rates are shares, 0.05 for 5 %; insertions may take them over 1."""

    utterances: int  # whose reference holds a word
    words: int
    substitutions: int
    deletions: int
    insertions: int
    mean_rate: float  # over utterances, each counted alike
    ichigo_rate: float  # the same as Ichigo's authors measured it

    @property
    def rate(self) -> float:
        """All errors by all words; NaN without words."""
        errors = self.substitutions + self.deletions + self.insertions
        return errors / self.words if self.words else float("nan")

    def to_json(self) -> dict[str, Any]:
        """Every figure by name; None where there is nothing to count."""
        return {
            "utterances": self.utterances,
            "words": self.words,
            "substitutions": self.substitutions,
            "deletions": self.deletions,
            "insertions": self.insertions,
            "wer": _number(self.rate),
            "mean_utterance_wer": _number(self.mean_rate),
            "ichigo_wer": _number(self.ichigo_rate),
        }


def word_errors(utterances: Sequence[Utterance]) -> WordErrors:
    """Count the errors of some utterances. Those whose reference is empty once normalised are left out.

    Raises:
        EngineError: jiwer (extra `eval`) is not installed.
        TercetError: whisper-normalizer is not.
    """
    try:
        import jiwer
    except ModuleNotFoundError:
        raise EngineError("counting word errors needs jiwer: pip install 'tercet[eval]'") from None
    rates, as_ichigo = [], []
    words = substitutions = deletions = insertions = 0
    for each in utterances:
        reference = normalize(each.reference, each.language)
        if not reference:
            continue
        found = jiwer.process_words(reference, normalize(each.heard, each.language))
        n = found.hits + found.substitutions + found.deletions
        words += n
        substitutions += found.substitutions
        deletions += found.deletions
        insertions += found.insertions
        rates.append(found.wer)
        plain = as_ichigo_compares(each.reference)
        if plain:
            as_ichigo.append(jiwer.wer(plain, as_ichigo_compares(each.heard)))
    return WordErrors(
        utterances=len(rates),
        words=words,
        substitutions=substitutions,
        deletions=deletions,
        insertions=insertions,
        mean_rate=float(np.mean(rates)) if rates else float("nan"),
        ichigo_rate=float(np.mean(as_ichigo)) if as_ichigo else float("nan"),
    )


def as_ichigo_compares(text: str) -> str:
    """A text without special tokens and the punctuation at its end; case and the rest are kept."""
    return " ".join(_SPECIAL.sub(" ", text).split()).rstrip(".,!?;: ")


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
