"""Options of the originals that Tercet does not have (yet): their defaults pass, other values are refused.

The command line's own list is `cli/options/later.py`. Nothing is decoded here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tercet.errors import OptionError

PREPEND_PUNCTUATIONS = "\"'“¿([{-"
APPEND_PUNCTUATIONS = "\"'.。,，!！?？:：”)]}、"  # noqa: RUF001 - Whisper's default
_LATER = "comes in a later release"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterOption:
    """An option that is recognised, and the values that hold without it: the original's default first."""

    accepted: tuple[object, ...]
    reply: str = _LATER

    def check(self, name: str, value: object) -> None:
        """Pass where `value` asks for what happens anyway.

        Raises:
            OptionError: it asks for something else.
        """
        if any(_is_same(value, each) for each in self.accepted):
            return
        known = " or ".join(map(repr, self.accepted))
        way_out = (
            f"until then only {known} is accepted" if self.reply == _LATER else f"give {known}"
        )
        raise OptionError(f"{name} {self.reply}; {way_out}")


_NONE = LaterOption(accepted=(None,))
_ONE = LaterOption(accepted=(None, 1))

# openai-whisper's, as whisper-at and ichigo_asr have them.
LATER_OPTIONS: dict[str, LaterOption] = {
    "append_punctuations": LaterOption(accepted=(APPEND_PUNCTUATIONS,)),
    "beam_size": _ONE,
    "best_of": _ONE,
    # Windows are decoded independently: what True does there is not done here (docs/compat.md).
    "condition_on_previous_text": LaterOption(
        accepted=(True, False), reply="has no effect on independent windows"
    ),
    "fp16": LaterOption(
        accepted=(True, False), reply="has no effect here (compute_type= of load_model has)"
    ),
    "initial_prompt": _NONE,
    "length_penalty": _NONE,
    "patience": _ONE,
    "prefix": _NONE,
    "prepend_punctuations": LaterOption(accepted=(PREPEND_PUNCTUATIONS,)),
    "prompt": _NONE,
    "sample_len": _NONE,
    "word_timestamps": LaterOption(accepted=(False,)),
}


def without_later(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that Tercet has, once those that it does not have ask for nothing.

    Raises:
        OptionError: one of them asks for something.
    """
    for name in options.keys() & LATER_OPTIONS.keys():
        LATER_OPTIONS[name].check(name, options[name])
    return {name: value for name, value in options.items() if name not in LATER_OPTIONS}


def _is_same(value: object, accepted: object) -> bool:
    """Equality that never asks an array."""
    if value is accepted:
        return True
    is_plain = isinstance(value, str | int | float) and isinstance(accepted, str | int | float)
    both_switches = isinstance(value, bool) == isinstance(accepted, bool)
    return is_plain and both_switches and value == accepted
