"""Names of sounds: AudioSet's 527 in order, in 85 languages, and how users find a label by name.

The tables are data (`data/README.md` says whose) and are read when first needed. No scores, no events.
"""

import functools
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib.resources import files
from numbers import Integral

from tercet.errors import LabelError, LanguageError
from tercet.results import SoundEvents
from tercet.text.languages import LANGUAGES

_ENGLISH = "en"


@dataclass(frozen=True, slots=True)
class _Table:
    """AudioSet's labels, as the packed file has them."""

    ids: tuple[str, ...]
    names: Mapping[str, tuple[str, ...]]  # by language code
    place: Mapping[str, int]  # from an English display name, case-folded


@functools.cache
def _table() -> _Table:
    packed = files("tercet.text").joinpath("data/audioset_labels.json.gz").read_bytes()
    content = json.loads(gzip.decompress(packed))
    names = {code: tuple(each) for code, each in content["names"].items()}
    place = {name.casefold(): i for i, name in enumerate(names[_ENGLISH])}
    return _Table(tuple(content["ids"]), names, place)


def audioset_ids() -> tuple[str, ...]:
    """AudioSet's identifiers ("/m/09x0r") of its 527 labels, in the order of a head's columns."""
    return _table().ids


def label_languages() -> tuple[str, ...]:
    """Codes of the languages in which AudioSet's labels have names, English first."""
    return tuple(_table().names)


def audioset_labels(language: str = _ENGLISH) -> tuple[str, ...]:
    """Display names of AudioSet's 527 labels, in order.

    Names other than the English ones are machine translations, and several labels may share one (whisper-at's
    table, as it is).

    Args:
        language: A code or an English name of a language, in any case.

    Raises:
        LanguageError: there are no names in this language.
    """
    asked = language.strip().lower() if isinstance(language, str) else ""
    by_name = {name.lower(): code for code, name in LANGUAGES.items()}
    names = _table().names.get(by_name.get(asked, asked))
    if names is None:
        # Differs from whisper-at, which warns and goes on in English: an option has an effect or is refused.
        raise LanguageError(
            f"labels have no names in the language {language!r}; there are {', '.join(label_languages())}"
        )
    return names


def labels_of(labels: tuple[str, ...] | None) -> tuple[str, ...]:
    """A head's display names: its own, or AudioSet's 527 where it has none (`TagHead.labels`)."""
    return audioset_labels() if labels is None else labels


def in_language(events: SoundEvents, language: str) -> SoundEvents:
    """The same events with AudioSet's display names in another language.

    Labels that are not AudioSet's stay as they are. All 527 in order are recognised in any language, a
    selection of them in English.

    Raises:
        LanguageError: there are no names in this language.
    """
    names = audioset_labels(language)
    places = _audioset_places(events.labels)
    labels = tuple(
        label if place is None else names[place]
        for label, place in zip(events.labels, places, strict=True)
    )
    translated = tuple(replace(event, label=labels[event.label_id]) for event in events.events)
    return replace(events, events=translated, labels=labels)


def find_labels(wanted: Sequence[str | int] | str | int, labels: Sequence[str]) -> tuple[int, ...]:
    """The columns of labels that a user names, in the order of the names, each once.

    A name is a display name, in any case (all labels of this name are meant); or AudioSet's identifier of a
    label that `labels` holds under AudioSet's name; or a column number, as a number or, where no label is
    called so, in digits.

    Args:
        wanted: A list of names; or one name; or several in one string, with commas between them. Commas
            inside a name are no matter: "bark, male speech, man speaking" are two.
        labels: The head's display names.

    Raises:
        LabelError: no such label, or none is named.
    """
    columns: dict[str, list[int]] = {}
    for column, label in enumerate(labels):
        columns.setdefault(label.casefold(), []).append(column)
    names: tuple[object, ...]
    if isinstance(wanted, str):
        names = tuple(_names_in(wanted, columns))
    else:
        names = tuple(wanted) if isinstance(wanted, Iterable) else (wanted,)
    if not names:
        raise LabelError("labels is empty; name at least one label, or leave the option out")
    found = [column for name in names for column in _find_one(name, labels, columns)]
    return tuple(dict.fromkeys(found))


def _names_in(text: str, columns: Mapping[str, list[int]]) -> Iterator[str]:
    """The parts of a text between commas; as many together as make a label's name."""
    parts = text.split(",")
    at = 0
    while at < len(parts):
        ends = range(len(parts), at, -1)
        known = (end for end in ends if ",".join(parts[at:end]).strip().casefold() in columns)
        end = next(known, at + 1)
        yield ",".join(parts[at:end]).strip()
        at = end


def _find_one(
    name: object, labels: Sequence[str], columns: Mapping[str, list[int]]
) -> Sequence[int]:
    """The columns of one name."""
    if isinstance(name, Integral) and not isinstance(name, bool):
        return (_checked_column(int(name), labels),)
    if not isinstance(name, str):
        raise LabelError(f"label {name!r} is no name; give a display name or a column number")
    asked = name.strip().casefold()
    if asked in columns:
        return columns[asked]
    if asked.isdecimal():
        return (_checked_column(int(asked), labels),)
    if asked.startswith("/"):
        return (_column_of_id(name.strip(), labels),)
    raise LabelError(f"label {name!r} is unknown; {_hint(asked, labels)}")


def _checked_column(column: int, labels: Sequence[str]) -> int:
    if not 0 <= column < len(labels):
        raise LabelError(f"label {column} is outside 0..{len(labels) - 1}; give one of these")
    return column


def _column_of_id(label_id: str, labels: Sequence[str]) -> int:
    ids = audioset_ids()
    if label_id not in ids:
        raise LabelError(f"label {label_id!r} is no identifier of AudioSet's; give a display name")
    place = ids.index(label_id)
    places = _audioset_places(labels)
    if place not in places:
        name = audioset_labels()[place]
        raise LabelError(f"label {label_id!r} ({name}) is none of this head's {len(labels)} labels")
    return places.index(place)


def _hint(asked: str, labels: Sequence[str]) -> str:
    """What the user may have meant."""
    by_key = {label.casefold(): label for label in labels}
    close = get_close_matches(asked, by_key, n=3)
    inside = [key for key in by_key if asked and asked in key]
    likely = list(dict.fromkeys([*sorted(inside, key=len)[:2], *close]))[:3]
    if likely:
        return f"did you mean {' or '.join(repr(by_key[key]) for key in likely)}?"
    few = ", ".join(repr(label) for label in labels[:3])
    return f"this head knows {len(labels)}, such as {few}"


def _audioset_places(labels: Sequence[str]) -> list[int | None]:
    """For each label its place among AudioSet's 527; None where it is none of them."""
    table = _table()
    if tuple(labels) in table.names.values():
        return list(range(len(labels)))
    return [table.place.get(label.casefold()) for label in labels]
