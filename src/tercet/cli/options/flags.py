"""One spelling for a command line: `--name=value` for every long option, files as they are.

openai-whisper's users write `--vad_filter True`, others `--vad-filter`, `--no-vad-filter` or
`--vad_filter=false`. This file brings them to one form before the parser sees them. It does not
look at values, except to tell a boolean's value from the next file.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from tercet.cli.options.later import LaterFlag
from tercet.cli.options.values import boolean, is_boolean_word
from tercet.errors import OptionError


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagTable:
    """The long options of a command, without their dashes and with underscores."""

    valued: frozenset[str]
    booleans: frozenset[str]
    short: Mapping[str, str]  # "-o" -> "output_dir"
    later: Mapping[str, LaterFlag]

    def knows(self, name: str) -> bool:
        """Whether this is an option, of now or of later."""
        return name in self.valued or name in self.booleans or name in self.later

    def takes_a_value(self, name: str) -> bool:
        """Whether the next word belongs to this option in any case."""
        if name in self.later:
            return not self.later[name].boolean
        return name in self.valued


def normalise(argv: Sequence[str], table: FlagTable) -> list[str]:
    """The same command line with every long option written `--name=value`.

    Words after `--` are files, whatever they look like.

    Raises:
        OptionError: an unknown option, one without its value, or one that comes later.
    """
    words, out = deque(argv), list[str]()
    while words:
        word = words.popleft()
        if word == "--":
            return [*out, word, *words]
        if word in ("--help", "-h") or not word.startswith("-") or word == "-":
            out.append(word)
            continue
        name, value = _split(word, table)
        if value is None:
            name, value = _find_value(word, name, words, table)
        if name in table.later:
            table.later[name].check(name, _as_whisper_writes(value, table.later[name]))
        else:
            out.append(f"--{name}={value}")
    return out


def _split(word: str, table: FlagTable) -> tuple[str, str | None]:
    """The option's name and the value within the same word, where there is one."""
    if not word.startswith("--"):
        name = table.short.get(word[:2])
        if name is None:
            raise OptionError(
                f"no such option: {word[:2]} (a file whose name starts with '-' goes after --)"
            )
        return name, word[2:].removeprefix("=") or None
    spelled, equals, value = word[2:].partition("=")
    name = spelled.replace("-", "_")
    if not (table.knows(name) or _is_negation(name, table)):
        raise OptionError(f"no such option: --{spelled}{_suggestion(name, table)}")
    if equals and _is_negation(name, table):
        raise OptionError(f"--{spelled} takes no value; write --{name[3:]}={value}")
    return name, value if equals else None


def _find_value(word: str, name: str, words: deque[str], table: FlagTable) -> tuple[str, str]:
    """The value for an option that was written without `=`; takes it from `words`."""
    if table.takes_a_value(name):
        if not words or _is_option(words[0], table):
            raise OptionError(f"{word} needs a value")
        return name, words.popleft()
    if _is_negation(name, table):
        return name.removeprefix("no_"), "False"
    if words and is_boolean_word(words[0]):
        return name, words.popleft()
    return name, "True"


def _is_negation(name: str, table: FlagTable) -> bool:
    positive = name.removeprefix("no_")
    return positive != name and table.knows(positive) and not table.takes_a_value(positive)


def _is_option(word: str, table: FlagTable) -> bool:
    """Whether a word in a value's place is surely the next option."""
    name = word[2:].partition("=")[0].replace("-", "_")
    if not word.startswith("--"):
        return word in table.short
    return table.knows(name) or _is_negation(name, table)


def _suggestion(name: str, table: FlagTable) -> str:
    known = [*table.valued, *table.booleans, *table.later]
    close = get_close_matches(name, known, n=1)
    return f"; did you mean --{close[0]}?" if close else ""


def _as_whisper_writes(value: str, flag: LaterFlag) -> str:
    if not flag.boolean:
        return value
    try:
        return str(boolean(value))
    except ValueError:
        return value
