"""Options of the text: how it is decoded, when it is tried again, where somebody is thought to speak."""

from dataclasses import dataclass
from typing import Any

from tercet.cli.options import values
from tercet.cli.options.table import Options, flags, switch, valued
from tercet.errors import OptionError

TEXT, RETRY, VAD = "Text", "Trying again", "Voice activity"


@dataclass(frozen=True, kw_only=True)
class LanguageOptions(Options):
    """Which language is written, from which."""

    task: str = valued(
        TEXT, "transcribe", values.choice("transcribe", "translate"), "TASK",
        "transcribe: in the language spoken; translate: into English.",
    )  # fmt: skip
    language: str | None = valued(
        TEXT, "None", values.optional_text, "CODE",
        "The language spoken, as a code or name (de, German); None: find out.",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TextOptions(LanguageOptions):
    """How text is decoded."""

    without_timestamps: bool = switch(
        TEXT, "False", "Decode text without times: one segment per window."
    )
    max_initial_timestamp: float | None = valued(
        TEXT, "1.0", values.or_none(values.number(0, 30)), "SECONDS",
        "The latest start of a window's first segment; None: anywhere.",
    )  # fmt: skip
    suppress_tokens: str = valued(
        TEXT, "-1", values.token_ids, "IDS",
        "Tokens never written, with commas; -1: Whisper's list of symbols; '': none.",
    )  # fmt: skip
    suppress_blank: bool = switch(TEXT, "True", "A window's text never starts with a blank.")

    def decoding_arguments(self) -> dict[str, Any]:
        """Keyword arguments of `Model.transcribe` by the names that they have here."""
        names = (
            "language", "task", "suppress_tokens", "suppress_blank", "without_timestamps",
            "max_initial_timestamp",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class RetryOptions(Options):
    """When a text is tried again."""

    temperature: float = valued(
        RETRY, "0", values.number(0), "NUMBER",
        "Of the first try; 0 takes the most likely token, more takes chances.",
    )  # fmt: skip
    temperature_increment_on_fallback: float | None = valued(
        RETRY, "0.2", values.or_none(values.number(0)), "NUMBER",
        "Added for each further try, up to 1.0; None or 0: no further try.",
    )  # fmt: skip
    compression_ratio_threshold: float | None = valued(
        RETRY, "2.4", values.or_none(values.number()), "NUMBER",
        "Try again where the text repeats itself more than this; None: never.",
    )  # fmt: skip
    logprob_threshold: float | None = valued(
        RETRY, "-1.0", values.or_none(values.number()), "NUMBER",
        "Try again where the mean log-probability is below this; None: never.",
    )  # fmt: skip
    no_speech_threshold: float | None = valued(
        RETRY, "0.6", values.or_none(values.number()), "NUMBER",
        "Write nothing where silence is likelier than this and the text unsure; None: never.",
    )  # fmt: skip
    seed: int = valued(
        RETRY, "0", values.whole(0), "N", "Of the chances taken: same seed, same text."
    )

    @property
    def temperatures(self) -> tuple[float, ...]:
        """The temperature of each try."""
        step = self.temperature_increment_on_fallback
        if not step:
            return (self.temperature,)
        # openai-whisper's arange(start, 1.0 + 1e-6, step), without the drift of summed floats.
        tries = max(1, int((1.0 + 1e-6 - self.temperature) / step) + 1)
        return tuple(round(self.temperature + n * step, 6) for n in range(tries))

    def retry_arguments(self) -> dict[str, Any]:
        """Keyword arguments of `Model.transcribe`."""
        names = (
            "compression_ratio_threshold", "logprob_threshold", "no_speech_threshold", "seed",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names} | {"temperature": self.temperatures}

    def check(self) -> None:
        """Steps so small that there is no end to them."""
        super().check()
        if 0 < (self.temperature_increment_on_fallback or 0) < 0.01:
            raise OptionError(
                "--temperature_increment_on_fallback: 0 (no further try), or 0.01 or more"
            )


@dataclass(frozen=True, kw_only=True)
class VadOptions(Options):
    """Where somebody is thought to speak."""

    vad_filter: bool = switch(VAD, "True", "Decode only windows in which somebody speaks.")
    gate: bool | str = valued(
        VAD, "auto", values.switch_or_auto, "True|False|auto",
        "Keep text only where tags, voices and the decoder agree on speech; auto: with a tag head.",
    )  # fmt: skip
    # Defaults are those of audio/vad.py (a test holds them to it); only changes are passed on.
    vad_threshold: float = valued(
        VAD, "0.5", values.number(0, 1), "NUMBER", "Speech starts at this probability."
    )
    vad_neg_threshold: float | None = valued(
        VAD, "None", values.or_none(values.number(0, 1)), "NUMBER",
        "Speech ends below this probability; None: vad_threshold less 0.15.",
    )  # fmt: skip
    vad_min_speech_duration_ms: float = valued(
        VAD, "0", values.number(0), "MS", "Shorter speech is dropped."
    )
    vad_max_speech_duration_s: float | None = valued(
        VAD, "None", values.or_none(values.number(0)), "SECONDS",
        "Longer speech is split; None: never.",
    )  # fmt: skip
    vad_min_silence_duration_ms: float = valued(
        VAD, "2000", values.number(0), "MS", "Speech goes on across shorter silence."
    )
    vad_speech_pad_ms: float = valued(
        VAD, "400", values.number(0), "MS", "Added on both sides of speech."
    )

    @property
    def vad_parameters(self) -> dict[str, float]:
        """The voice activity options that differ from the default, by faster-whisper's names."""
        return {
            name.removeprefix("vad_"): getattr(self, name)
            for name, flag in flags(type(self)).items()
            if name.startswith("vad_") and name != "vad_filter"
            and getattr(self, name) != flag.parse(flag.default)
        }  # fmt: skip

    def vad_arguments(self) -> dict[str, Any]:
        """Keyword arguments of `Model.transcribe`."""
        return {
            "vad_filter": self.vad_filter,
            "vad_parameters": self.vad_parameters or None,
            "gate": self.gate,
        }

    def check(self) -> None:
        """A filter that is off has no settings."""
        super().check()
        if self.vad_parameters and not self.vad_filter:
            name = next(iter(self.vad_parameters))
            raise OptionError(
                f"--vad_{name} has no effect with --vad_filter False; drop one of them"
            )
