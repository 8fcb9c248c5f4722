"""TOML -> frozen dataclasses: unknown keys and wrong types are errors that say where and what instead.

Which keys there are is said by the dataclasses; their `__post_init__` checks ranges and raises OptionError.
"""

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from tercet.errors import OptionError

T = TypeVar("T")


def read_toml(path: Path) -> tuple[str, dict[str, Any]]:
    """A recipe's text and its tables.

    Raises:
        OptionError: no such file, or not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except FileNotFoundError:
        raise OptionError(f"{path}: no such recipe; check the path") from None
    except OSError as error:
        raise OptionError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OptionError(f"{path}: is not TOML: {error}") from None


def override(table: dict[str, Any], assignment: str) -> None:
    """Set one key: `loop.lr=1e-4`. The value is read as TOML, or taken as text where it is none.

    Raises:
        OptionError: there is no `=`, or a section of the key is no section.
    """
    key, equals, value = assignment.partition("=")
    if not equals or not key.strip():
        raise OptionError(f"{assignment!r}: give key=value, as in loop.lr=1e-4")
    *sections, name = key.strip().split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise OptionError(f"{assignment!r}: {section} is no section of the recipe")
    try:
        table[name] = tomllib.loads(f"x = {value.strip()}")["x"]
    except tomllib.TOMLDecodeError:
        table[name] = value.strip()


def build(kind: type[T], table: Mapping[str, Any], where: str) -> T:
    """Make a dataclass from a table, section by section.

    Args:
        kind: A dataclass of bool, int, float, str, Path, Literal, `X | None`, `tuple[X, ...]`,
            `dict[str, X]` and further dataclasses.
        table: What TOML gave.
        where: The file, for errors.

    Raises:
        OptionError: an unknown key, a missing one, a wrong type, or a value that the dataclass refuses.
    """
    return _section(kind, table, where, "")


def _section(kind: type[T], table: Any, where: str, name: str) -> T:
    place = f"{where}: [{name}]" if name else where
    if not isinstance(table, Mapping):
        raise OptionError(f"{place}: is a section, not {table!r}")
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind) if f.init}  # type: ignore[arg-type]
    for key in table:
        if key not in fields:
            raise OptionError(f"{place}: unknown key {key!r}; {_suggestion(key, fields)}")
    values = {
        key: _value(hints[key], value, where, f"{name}.{key}" if name else key)
        for key, value in table.items()
    }
    for key, field in fields.items():
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if required and key not in values:
            raise OptionError(f"{place}: the key {key!r} is missing; add it")
    try:
        return kind(**values)
    except OptionError as error:
        raise OptionError(f"{place}: {error}") from None


def _value(hint: Any, value: Any, where: str, name: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _section(typing.cast(type, hint), value, where, name)
    if origin in (Union, types.UnionType):
        return _one_of(arguments, value, where, name)
    if origin is Literal:
        if value not in arguments:
            raise _wrong(where, name, value, " or ".join(repr(each) for each in arguments))
        return value
    if origin is tuple:
        return _tuple(arguments, value, where, name)
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(where, name, value, "a table")
        kind = arguments[1]
        return {key: _value(kind, each, where, f"{name}.{key}") for key, each in value.items()}
    return _scalar(hint, value, where, name)


def _one_of(hints: Sequence[Any], value: Any, where: str, name: str) -> Any:
    rest = [each for each in hints if each is not types.NoneType]
    if len(rest) == 1:
        return _value(rest[0], value, where, name)
    for each in rest:
        with suppress(OptionError):
            return _value(each, value, where, name)
    raise _wrong(where, name, value, " or ".join(_named(each) for each in rest))


def _tuple(arguments: Sequence[Any], value: Any, where: str, name: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(where, name, value, "a list")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_value(arguments[0], each, where, name) for each in value)
    if len(value) != len(arguments):
        raise _wrong(where, name, value, f"a list of {len(arguments)}")
    return tuple(
        _value(hint, each, where, name) for hint, each in zip(arguments, value, strict=True)
    )


def _scalar(hint: Any, value: Any, where: str, name: str) -> Any:
    if hint is Any:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise _wrong(where, name, value, _named(hint))
    return value


def _named(hint: Any) -> str:
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "a text",
        Path: "a path",
    }
    return names.get(hint, str(hint))


def _wrong(where: str, name: str, value: Any, expected: str) -> OptionError:
    return OptionError(f"{where}: {name} is {value!r}; give {expected}")


def _suggestion(key: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"the keys are {', '.join(known)}"
