"""Options of what is read besides text: which readings, when a sound counts, how captions tell of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tercet.cli.options import values
from tercet.cli.options.table import Options, valued
from tercet.errors import OptionError
from tercet.text.captions import SOUNDS_ALONE, WITH_SOUNDS

READING, TAGS, CAPTIONS = "Readings", "Sound events", "Captions"


@dataclass(frozen=True, kw_only=True)
class ReadingOptions(Options):
    """What is read from the one pass over a recording."""

    only: tuple[str, ...] | None = valued(
        READING, "None", values.or_none(values.readings), "LIST",
        "text, tags, tokens, with commas between several; None: all that the model has.",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TagOptions(Options):
    """When a sound counts, and how it is written."""

    labels: tuple[str, ...] | None = valued(
        TAGS, "None", values.or_none(values.labels), "LIST",
        "The only sounds reported, with commas (or ; where names hold commas); None: any.",
    )  # fmt: skip
    top_k: int | None = valued(
        TAGS, "None", values.or_none(values.whole(1)), "N",
        "At each time, only so many sounds: the likeliest; None: any number.",
    )  # fmt: skip
    threshold: float | Mapping[str, float] | None = valued(
        TAGS, "None", values.or_none(values.per_label(0, 1)), "NUMBER",
        "An event begins at this score (or Bark=0.3,Speech=0.6); None: the head's.",
    )  # fmt: skip
    off_threshold: float | Mapping[str, float] | None = valued(
        TAGS, "None", values.or_none(values.per_label(0, 1)), "NUMBER",
        "It goes on down to this score (or for each, as above); None: half of threshold.",
    )  # fmt: skip
    # Defaults are those of readings/events.py (a test holds them to it); only changes are passed on.
    min_duration: float | Mapping[str, float] = valued(
        TAGS, "0", values.per_label(0), "SECONDS", "Shorter events are dropped."
    )
    min_gap: float | Mapping[str, float] = valued(
        TAGS, "0.8", values.per_label(0), "SECONDS", "Shorter gaps within an event are bridged."
    )
    at_time_res: float | None = valued(
        TAGS, "None", values.or_none(values.number(0)), "SECONDS",
        "One score per this time, a multiple of 0.4, from it alone (as Whisper-AT); None: --window.",
    )  # fmt: skip
    window: float | None = valued(
        TAGS, "None", values.or_none(values.number(0)), "SECONDS",
        "How much one score hears, a multiple of 0.4; None: the head's own.",
    )  # fmt: skip
    hop: float | None = valued(
        TAGS, "None", values.or_none(values.number(0)), "SECONDS",
        "From one window to the next; overlapping ones are averaged; None: the head's own.",
    )  # fmt: skip
    label_language: str = valued(
        TAGS, "en", values.plain, "CODE", "The language of the sounds' names."
    )

    def tag_arguments(self) -> dict[str, Any]:
        """Keyword arguments of `Model.tag`: those that were changed."""
        in_seconds = {"min_duration", "min_gap", "window", "hop"}
        return {
            f"{name}_s" if name in in_seconds else name: getattr(self, name)
            for name in self.changed(TAGS)
        }


@dataclass(frozen=True, kw_only=True)
class CaptionOptions(Options):
    """Whether captions hold sounds, and what they are called there."""

    sounds: str = valued(
        CAPTIONS, "on", values.choice("on", "off", "only"), "on|off|only",
        "Sounds in srt and vtt: beside the text, not at all, or alone (then in txt and tsv, too).",
    )  # fmt: skip
    sound_names: Mapping[str, str] | None = valued(
        CAPTIONS, "None", values.or_none(values.words_by_name), "LIST",
        "Words for sounds: Bark=woof,Music=song; Wind= leaves one out; None: the usual ones.",
    )  # fmt: skip

    @property
    def asks_for_sounds(self) -> list[str]:
        """The options here that need sounds to be heard."""
        return [name for name in self.changed(CAPTIONS) if (name, self.sounds) != ("sounds", "off")]

    def check(self) -> None:
        """Captions without sounds have no names for them."""
        super().check()
        formats = getattr(self, "output_format", ())
        told = set(SOUNDS_ALONE if self.sounds == "only" else (*WITH_SOUNDS, "timeline"))
        name = "sounds only" if self.sounds == "only" else "sound_names"
        if self.sounds == "off" and self.sound_names:
            raise OptionError("--sound_names has no effect with --sounds off; drop one of them")
        if (self.sounds == "only" or self.sound_names) and told.isdisjoint(formats):
            raise OptionError(
                f"--{name} has no effect on {', '.join(formats)}; "
                f"choose --output_format {' or '.join(sorted(told))}"
            )
