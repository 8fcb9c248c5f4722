"""The text form of speech tokens, read: `<|sound_start|><|sound_0123|>...<|sound_end|>`.

Writing it is `SpeechTokens.to_text`. The form is Ichigo's (janhq/ichigo, `api/asr.py`). In Ichigo's corpora
`<|duration_04|>` says that the next code comes four times; that is read too.
"""

import re
from dataclasses import dataclass

import numpy as np

from tercet.errors import TokensError

_WORD = re.compile(
    r"\s*<\|(?:sound_(?P<code>[0-9]{1,9})|duration_(?P<times>[0-9]{1,2})|sound_(?P<mark>start|end))\|>"
)
_BEGUN = re.compile(r"\s*<(?:\|(?:[a-z]{1,8}(?:_[0-9a-z]{0,9}\|?)?)?)?")  # at a text's end
_MOST_IDS = 1 << 24  # 186 h; durations could make a small text fill the memory
_START = "<|sound_start|>"
_END = "<|sound_end|>"


@dataclass(frozen=True, slots=True)
class TokenText:
    """What a text says: ids, window by window if it has marks."""

    groups: tuple[np.ndarray, ...]  # int32 [ids] each; without marks, one group
    has_marks: bool  # False: nobody said where windows begin


def parse_token_text(text: str, *, name: str) -> TokenText:
    """Read the text form. White space between tokens is let through, other text is not.

    Differs from ichigo: its server takes what lies between `|><|sound_` for numbers, skips the first and
    the last piece whatever they are, and clips ids that are too large. Here every word counts, and ids are
    left for `check_range`.

    Args:
        text: With marks around every group, or without any.
        name: For messages.

    Raises:
        TokensError: no tokens, other words among them, or marks that do not pair.
    """
    reader = _Reader(name)
    place = 0
    text = text.removeprefix("\ufeff").rstrip()
    while place < len(text):
        found = _WORD.match(text, place)
        if found is None and _BEGUN.fullmatch(text, place):
            raise TokensError(
                f"{name}: behind {reader.n_ids} ids comes {_excerpt(text, place)}, "
                "a token without its end; the text is cut short"
            )
        if found is None:
            raise TokensError(
                f"{name}: behind {reader.n_ids} ids comes {_excerpt(text, place)}, "
                "which is no speech token; remove it"
            )
        reader.take(found["code"], found["times"], found["mark"])
        place = found.end()
    return reader.finish()


class _Reader:
    """Words in, groups out. Codes outside of marks are in order only where there are no marks at all."""

    def __init__(self, name: str) -> None:
        self.n_ids = 0
        self._name = name
        self._groups: list[np.ndarray] = []
        self._group: list[int] = []
        self._is_open = False
        self._times: int | None = None  # what a duration word said of the next code

    def take(self, code: str | None, times: str | None, mark: str | None) -> None:
        """One word; exactly one of the three is given."""
        if self._times is not None and code is None:
            raise self._fault("a duration is followed by no code")
        if mark is not None:
            self._mark(mark)
        elif times is not None:
            self._times = int(times)
            if not self._times:
                raise self._fault("a code is to come zero times")
        elif code is not None:
            if self._groups and not self._is_open:
                raise self._fault(f"the next one lies outside {_START} and {_END}")
            times_here = self._times or 1
            if self.n_ids + times_here > _MOST_IDS:
                raise self._fault(f"come more; a text may have {_MOST_IDS}")
            self._group.extend([int(code)] * times_here)
            self.n_ids += times_here
            self._times = None

    def finish(self) -> TokenText:
        """All groups.

        Raises:
            TokensError: the text ended too early.
        """
        if self._times is not None:
            raise self._fault("a duration is followed by no code")
        if self._is_open:
            raise self._fault(f"the last {_START} has no {_END}; the text is cut short")
        if self._groups:
            return TokenText(tuple(self._groups), has_marks=True)
        if not self._group:
            raise TokensError(f"{self._name}: holds no speech tokens")
        return TokenText((np.array(self._group, np.int32),), has_marks=False)

    def _mark(self, mark: str) -> None:
        if mark == "start":
            if self._is_open:
                raise self._fault(f"comes {_START} within a group; the one before lacks its {_END}")
            if self._group:  # bare codes before the first mark
                raise self._fault(f"comes the first {_START}; they lie outside of marks")
            self._is_open = True
            return
        if not self._is_open:
            raise self._fault(f"comes {_END} without a {_START}")
        self._groups.append(np.array(self._group, np.int32))
        self._group = []
        self._is_open = False

    def _fault(self, what: str) -> TokensError:
        return TokensError(f"{self._name}: behind {self.n_ids} ids {what}")


def _excerpt(text: str, place: int) -> str:
    rest = text[place : place + 200].lstrip()
    return repr(rest if len(rest) <= 24 else rest[:24] + "...")
