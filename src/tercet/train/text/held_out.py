"""Held-out windows: of which set and language each is, and which of them are written down."""

from collections.abc import Sequence
from typing import NamedTuple

from tercet.train.text.material import Lesson, Split, evenly


class Part(NamedTuple):
    """Some of the held-out windows whose figures are told apart."""

    kind: str  # "all", "set", "language"
    name: str  # the set's; a code; "" of all
    suffix: str  # of its figures' names; "" where they are those of all
    windows: int
    written: int  # of them, that are written down


class HeldOut:
    """Validation's windows in their order.

    Sets are told apart where there are several, and so are languages: "wer/set/librispeech" and
    "wer/language/vi" are figures beside "wer".
    """

    def __init__(self, splits: Sequence[Split], written: int) -> None:
        """Of some sets.

        Args:
            splits: The sets, one behind the other.
            written: How many windows are to be written down: evenly over sets and languages.
        """
        self.lessons: tuple[Lesson, ...] = tuple(each for of in splits for each in of.held_out)
        self._sets = [of.name for of in splits for _ in of.held_out]
        self._languages = [each.label.language for each in self.lessons]
        cells = list(zip(self._sets, self._languages, strict=True))
        self._written = frozenset(evenly(cells, written))

    def is_written(self, number: int) -> bool:
        """Whether a window is written down."""
        return number in self._written

    def suffixes(self, number: int) -> tuple[str, ...]:
        """What the names of a figure end in to which a window adds."""
        kinds = (("set", self._sets), ("language", self._languages))
        return ("", *(_suffix(kind, of[number]) for kind, of in kinds if len(set(of)) > 1))

    def alike(self, numbers: Sequence[int]) -> dict[tuple[str, ...], list[int]]:
        """Rows of a batch by their windows' suffixes."""
        found: dict[tuple[str, ...], list[int]] = {}
        for row, number in enumerate(numbers):
            found.setdefault(self.suffixes(number), []).append(row)
        return found

    def parts(self) -> list[Part]:
        """All windows, each set, each language; in the order in which they come."""
        found = [Part("all", "", "", len(self.lessons), len(self._written))]
        for kind, of in (("set", self._sets), ("language", self._languages)):
            names = dict.fromkeys(of)
            for name in names:
                mine = [number for number, each in enumerate(of) if each == name]
                suffix = _suffix(kind, name) if len(names) > 1 else ""
                found.append(Part(kind, name, suffix, len(mine), len(self._written & set(mine))))
        return found


def _suffix(kind: str, name: str) -> str:
    return f"/{kind}/{name}"
