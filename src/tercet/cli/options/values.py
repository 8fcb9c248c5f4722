"""The kinds of values that options take: text in, a checked value out. Knows no option by name.

Every parser raises `ValueError` with what is allowed; `table.py` adds the option's name.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

READINGS = ("text", "tags", "tokens")
T = TypeVar("T")
_TRUE, _FALSE = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})


def boolean(text: str) -> bool:
    """`True` or `False`, in any case; also 1/0, yes/no, on/off."""
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("True or False")
    return word in _TRUE


def switch_or_auto(text: str) -> bool | str:
    """As `boolean`, or `auto`."""
    try:
        return "auto" if text.lower() == "auto" else boolean(text)
    except ValueError:
        raise ValueError("True, False or auto") from None


SWITCHES = (boolean, switch_or_auto)  # what may be written without a value, or as --no-NAME


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


def head(text: str) -> str | None:
    """A head's file or name; `none` stands for no head at all, `auto` and nothing for none given."""
    if text.lower() in ("", "auto"):
        return None
    return "none" if text.lower() == "none" else text


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


def one_or_two(parse: Callable[[str], float]) -> Callable[[str], float | tuple[float, float]]:
    """A number for both sides, or `LEFT,RIGHT`."""

    def parse_sides(text: str) -> float | tuple[float, float]:
        words = text.split(",")
        try:
            if len(words) == 1:
                return parse(text)
            left, right = map(parse, words)
            return left, right
        except ValueError:
            raise ValueError("seconds from 0 on, or LEFT,RIGHT") from None

    return parse_sides


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


def formats(allowed: Sequence[str], in_all: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Output formats with commas between them, each once, in the order given; `all` is `in_all`."""

    def parse(text: str) -> tuple[str, ...]:
        words = [word.strip().lower().lstrip(".") for word in text.split(",")]
        if not set(words) <= {*allowed, "all"}:
            raise ValueError(f"{', '.join(allowed)} or all, with commas between several")
        each = [name for word in words for name in (in_all if word == "all" else (word,))]
        return tuple(dict.fromkeys(each))

    return parse


def readings(text: str) -> tuple[str, ...]:
    """What is read from a recording, each once, in the order in which it is always named."""
    words = {word.strip().lower() for word in text.split(",")}
    if not words <= set(READINGS):
        raise ValueError(f"{', '.join(READINGS)}, with commas between several")
    return tuple(reading for reading in READINGS if reading in words)


def labels(text: str) -> tuple[str, ...]:
    """Names of sounds with commas between them, or semicolons where a name holds a comma.

    AudioSet's own names may hold them in any case: what is one of its names is taken for one.
    """
    if ";" in text:
        words = [word.strip() for word in text.split(";")]
    else:
        words = _audioset_names([word.strip() for word in text.split(",")])
    names = tuple(dict.fromkeys(filter(None, words)))
    if not names:
        raise ValueError("names of sounds, with commas between several")
    return names


def _audioset_names(pieces: Sequence[str]) -> list[str]:
    """Put names that hold commas ("Child speech, kid speaking") together again."""
    if len(pieces) == 1:
        return list(pieces)
    from tercet.text.labels import audioset_labels

    known = {label.casefold() for label in audioset_labels() if "," in label}
    longest = max(label.count(",") for label in known) + 1
    names, rest = list[str](), list(pieces)
    while rest:
        sizes = range(min(longest, len(rest)), 1, -1)
        size = next((n for n in sizes if ", ".join(rest[:n]).casefold() in known), 1)
        names.append(", ".join(rest[:size]))
        rest = rest[size:]
    return names


def per_label(
    low: float = -math.inf, high: float = math.inf
) -> Callable[[str], float | dict[str, float]]:
    """A number for all sounds, or `NAME=NUMBER` for each of several, with commas between them."""
    parse_number = number(low, high)

    def parse(text: str) -> float | dict[str, float]:
        try:
            if "=" not in text:
                return parse_number(text)
            # A name may hold commas; a number never does.
            if not re.fullmatch(r"(?:[^=]+=[^=,;]+(?:[,;]|$))+", text):
                raise ValueError
            pairs = re.findall(r"([^=]+)=([^=,;]+)(?:[,;]|$)", text)
            return {name.strip(" ,;"): parse_number(value.strip()) for name, value in pairs}
        except ValueError:
            raise ValueError(f"a number{_range(low, high)}, or NAME=NUMBER,NAME=NUMBER") from None

    return parse


def words_by_name(text: str) -> dict[str, str]:
    """`NAME=WORDS` for each of several sounds, with commas between them (or ; where words hold commas).

    Words may be none; a name may hold commas.
    """
    if ";" in text:
        pairs = [piece.partition("=") for piece in text.split(";") if piece.strip()]
    else:
        # A name may hold commas; words do not.
        found = re.fullmatch(r"(?:[^=]+=[^=,]*(?:,|$))+", text)
        pieces = re.findall(r"([^=]+)(=)([^=,]*)(?:,|$)", text) if found else []
        pairs = [(name, sign, words) for name, sign, words in pieces]
    names = {name.strip(" ,"): " ".join(words.split()) for name, sign, words in pairs if sign}
    if len(names) < len(pairs) or not names or "" in names:
        raise ValueError("NAME=WORDS,NAME=WORDS, each name once")
    return names


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
