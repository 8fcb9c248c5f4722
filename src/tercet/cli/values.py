"""The kinds of values that options take: text in, a checked value out. Knows no option by name.

Every parser raises `ValueError` with what is allowed; `options.py` adds the option's name.
"""

import math
from collections.abc import Callable
from typing import TypeVar

from tercet.text.captions import FORMATS

T = TypeVar("T")
_TRUE, _FALSE = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})


def boolean(text: str) -> bool:
    """`True` or `False`, in any case; also 1/0, yes/no, on/off."""
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("True or False")
    return word in _TRUE


def is_boolean_word(text: str) -> bool:
    """A separate word that is surely a boolean's value, and not the name of the next file."""
    return text.lower() in ("true", "false")


def plain(text: str) -> str:
    """Any text but none at all."""
    if not text:
        raise ValueError("a text that is not empty")
    return text


def optional_text(text: str) -> str | None:
    """Any text; nothing, `None` and `auto` mean that it is not given."""
    return None if text.lower() in ("", "none", "auto") else text


def folder(text: str) -> str | None:
    """The path of a folder; `None` means that none is given."""
    return None if plain(text) == "None" else text


def choice(*allowed: str) -> Callable[[str], str]:
    """One of a few words."""

    def parse(text: str) -> str:
        if text.lower() not in allowed:
            raise ValueError(" or ".join(", ".join(allowed).rsplit(", ", 1)))
        return text.lower()

    return parse


def number(low: float = -math.inf, high: float = math.inf) -> Callable[[str], float]:
    """A finite number in `low..high`, both included."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and low <= value <= high):
            raise ValueError(f"a number{_range(low, high)}")
        return value

    return parse


def whole(low: int) -> Callable[[str], int]:
    """A whole number, at least `low`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise ValueError(f"a whole number{_range(low, math.inf)}")
        return value

    return parse


def or_none(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    """The same kind of value, or `None`."""

    def parse_or_none(text: str) -> T | None:
        if text.lower() in ("none", ""):
            return None
        try:
            return parse(text)
        except ValueError as error:
            raise ValueError(f"{error}, or None") from None

    return parse_or_none


def token_ids(text: str) -> str:
    """Whole numbers with commas, -1 (the model's own list) among them, or nothing."""
    if text in ("", "None"):
        return ""
    try:
        values = [int(word) for word in text.split(",")]
    except ValueError:
        values = [-2]
    if min(values) < -1:
        raise ValueError("token ids with commas between them, -1 for the model's own list")
    return ",".join(map(str, values))


def formats(text: str) -> tuple[str, ...]:
    """Output formats with commas between them, each once, in the order given; `all` is each one."""
    words = [word.strip().lower().lstrip(".") for word in text.split(",")]
    if not set(words) <= {*FORMATS, "all"}:
        raise ValueError(f"{', '.join(FORMATS)} or all, with commas between several")
    return FORMATS if "all" in words else tuple(dict.fromkeys(words))


def channel(text: str) -> str | int:
    """`mean`, `each`, or a channel's number from 0."""
    word = text.lower()
    if word in ("mean", "each"):
        return word
    if not (word.isascii() and word.isdigit()):
        raise ValueError("mean, each, or a channel's number from 0")
    return int(word)


def _range(low: float, high: float) -> str:
    if math.isfinite(low) and math.isfinite(high):
        return f" from {low:g} to {high:g}"
    return f", {low:g} or more" if math.isfinite(low) else ""
