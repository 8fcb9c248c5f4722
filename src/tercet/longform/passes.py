"""Which readings share an encoder pass. Nothing is encoded here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tercet.audio.convention import InputConvention
from tercet.errors import OptionError

TEXT, TAGS, TOKENS = "text", "tags", "tokens"
READINGS = (TEXT, TAGS, TOKENS)


@dataclass(frozen=True, slots=True)
class EncoderPass:
    """One run of the encoder per window, and what is read from it."""

    convention: InputConvention
    readings: tuple[str, ...]

    def is_needed(self, *, has_speech: bool) -> bool:
        """Whether a window needs it: text is not read where nobody speaks, the others always are."""
        return has_speech or self.readings != (TEXT,)


def plan(conventions: Mapping[str, InputConvention]) -> tuple[EncoderPass, ...]:
    """As few passes as the readings' conventions allow, in the order of `READINGS`.

    `conventions` has an entry for each reading that is wanted.
    """
    groups: dict[InputConvention, list[str]] = {}
    for reading in READINGS:
        if reading in conventions:
            groups.setdefault(conventions[reading], []).append(reading)
    return tuple(EncoderPass(convention, tuple(names)) for convention, names in groups.items())


def readings_of(only: str | Sequence[str] | None, available: Sequence[str]) -> tuple[str, ...]:
    """The readings that `only` asks for, in the order of `READINGS`; all that there are, by default.

    Raises:
        OptionError: none, or one that nobody knows. (Whether the model has it is not asked here.)
    """
    if only is None:
        return tuple(reading for reading in READINGS if reading in available)
    names: Sequence[object] = ()
    if isinstance(only, str):
        names = [name.strip() for name in only.split(",")]
    elif isinstance(only, Iterable):
        names = [name.strip() if isinstance(name, str) else name for name in only]
    unknown = [name for name in names if name not in READINGS]
    if unknown or not names:
        raise OptionError(f"only is {only!r}; give one or several of {', '.join(READINGS)}")
    return tuple(reading for reading in READINGS if reading in names)
