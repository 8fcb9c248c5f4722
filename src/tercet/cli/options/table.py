"""Options as fields: how one is declared, how a command's are listed, read and checked. Knows none by name.

An option is a field of a frozen dataclass: its name, its default as the user would write it, how its
value is read, and its line of help. The parser, the help, the model's arguments and the resume journal
follow from it. Fields that several commands have stand in groups, which each command's class inherits.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, TypeVar

from tercet.cli.options import values
from tercet.cli.options.flags import FlagTable
from tercet.cli.options.later import LaterFlag
from tercet.errors import OptionError

O = TypeVar("O", bound="Options")  # noqa: E741


class Flag(NamedTuple):
    """One option as the command line shows it."""

    default: str
    parse: Callable[[str], object]
    shown: str  # what stands for the value in the help
    panel: str
    help: str
    names: tuple[str, ...] = ()  # further names, "-o" or "--format"


def valued(
    panel: str,
    default: str,
    parse: Callable[[str], object],
    shown: str,
    text: str,
    *names: str,
) -> Any:  # dataclasses.field is typed in the same way: the value stands for the field's type
    """A field that is an option with a value."""
    flag = Flag(default, parse, shown, panel, text, names)
    return field(default=parse(default), metadata={"flag": flag})


def switch(panel: str, default: str, text: str) -> Any:
    """A field that is an option which is on or off."""
    return valued(panel, default, values.boolean, "True|False", text)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every command that hears something can be told; its options are fields of subclasses."""

    files: tuple[str, ...] = ()

    def check(self) -> None:
        """Check the values that depend on each other.

        Raises:
            OptionError: two contradict each other, or one has no effect beside another.
        """

    def changed(self, *panels: str) -> list[str]:
        """The options of some panels whose values are not their defaults."""
        return [
            name
            for name, flag in flags(type(self)).items()
            if flag.panel in panels and getattr(self, name) != flag.parse(flag.default)
        ]


def flags(options: type[Options]) -> dict[str, Flag]:
    """Every option of a command by its name, in the order of the help."""
    return {f.name: f.metadata["flag"] for f in fields(options) if "flag" in f.metadata}


def flag_table(options: type[Options], later: Mapping[str, LaterFlag]) -> FlagTable:
    """What the spelling of a command line depends on."""
    table = flags(options)
    booleans = frozenset(name for name, flag in table.items() if flag.parse in values.SWITCHES)
    aliases = {alias: name for name, flag in table.items() for alias in flag.names}
    long_aliases = {alias.lstrip("-") for alias in aliases if alias.startswith("--")}
    return FlagTable(
        valued=frozenset(table) - booleans | long_aliases,
        booleans=booleans,
        short={alias: name for alias, name in aliases.items() if not alias.startswith("--")},
        later=later,
    )


def from_texts(options: type[O], files: tuple[str, ...], texts: Mapping[str, str]) -> O:
    """Read every value and check those that depend on each other.

    Raises:
        OptionError: a value is not allowed, alone or beside another.
    """
    read: dict[str, Any] = {}
    for name, flag in flags(options).items():
        try:
            read[name] = flag.parse(texts[name])
        except ValueError as error:
            raise OptionError(f"--{name}: {texts[name]!r} is not {error}") from None
    result = options(files=files, **read)
    result.check()
    return result
