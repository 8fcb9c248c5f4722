"""What `tercet listen` can be told: the one table of its options. Runs nothing.

An option is a field: its name, its default as the user would write it, how its value is read, and
its line of help. The parser, the help, the model's arguments and the resume journal follow from it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from tercet.cli import values
from tercet.cli.flags import FlagTable
from tercet.cli.later import LATER_FLAGS
from tercet.errors import OptionError


class Flag(NamedTuple):
    """One option as the command line shows it."""

    default: str
    parse: Callable[[str], object]
    shown: str  # what stands for the value in the help
    panel: str
    help: str
    names: tuple[str, ...] = ()  # further names, "-o" or "--format"


def _flag(
    panel: str,
    default: str,
    parse: Callable[[str], object],
    shown: str,
    text: str,
    *names: str,
) -> Any:  # dataclasses.field is typed in the same way: the value stands for the field's type
    flag = Flag(default, parse, shown, panel, text, names)
    return field(default=parse(default), metadata={"flag": flag})


def _switch(panel: str, default: str, text: str) -> Any:
    return _flag(panel, default, values.boolean, "True|False", text)


_OUT, _MODEL, _AUDIO = "Output", "Model", "Audio"
_TEXT, _RETRY, _VAD = "Text", "Trying again", "Voice activity"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenOptions:
    """The options of `tercet listen`, checked one by one."""

    files: tuple[str, ...] = ()

    output_format: tuple[str, ...] = _flag(
        _OUT, "txt", values.formats, "LIST",
        "txt, srt, vtt, tsv, json, jsonl, or all; commas between several.",
        "--format", "-f",
    )  # fmt: skip
    output_dir: str | None = _flag(
        _OUT, "None", values.folder, "FOLDER",
        "Write FOLDER/NAME.txt and so on instead of printing.",
        "-o",
    )  # fmt: skip
    resume: bool = _switch(
        _OUT, "False", "Skip files that an earlier run into the same folder finished."
    )
    verbose: bool = _switch(
        _OUT, "False", "Show each segment with its times, and windows heard again, on stderr."
    )
    quiet: bool = _switch(_OUT, "False", "No progress and no notes: errors only.")

    task: str = _flag(
        _TEXT, "transcribe", values.choice("transcribe", "translate"), "TASK",
        "transcribe: in the language spoken; translate: into English.",
    )  # fmt: skip
    language: str | None = _flag(
        _TEXT, "None", values.optional_text, "CODE",
        "The language spoken, as a code or name (de, German); None: find out.",
    )  # fmt: skip
    without_timestamps: bool = _switch(
        _TEXT, "False", "Decode text without times: one segment per window."
    )
    max_initial_timestamp: float | None = _flag(
        _TEXT, "1.0", values.or_none(values.number(0, 30)), "SECONDS",
        "The latest start of a window's first segment; None: anywhere.",
    )  # fmt: skip
    suppress_tokens: str = _flag(
        _TEXT, "-1", values.token_ids, "IDS",
        "Tokens never written, with commas; -1: Whisper's list of symbols; '': none.",
    )  # fmt: skip
    suppress_blank: bool = _switch(_TEXT, "True", "A window's text never starts with a blank.")

    model: str = _flag(
        _MODEL, "base", values.plain, "NAME",
        "A known name (tiny ... large-v3, turbo, distil-*), a hub id, a folder or a file.",
    )  # fmt: skip
    device: str = _flag(
        _MODEL,
        "auto",
        values.choice("auto", "cpu", "cuda"),
        "auto|cpu|cuda",
        "Where it runs; auto: the processor.",
    )
    compute_type: str = _flag(
        _MODEL, "auto", values.choice("auto", "int8", "float32", "float16", "bfloat16"), "TYPE",
        "auto, int8 (fast) or float32 (exact); with torch float32, float16 or bfloat16.",
    )  # fmt: skip
    engine: str = _flag(
        _MODEL, "auto", values.choice("auto", "onnx", "openvino", "torch"), "NAME",
        "What computes: onnx, openvino (its encoder) or torch; auto: the fastest for this processor.",
    )  # fmt: skip
    threads: int | None = _flag(
        _MODEL, "None", values.or_none(values.whole(0)), "N",
        "Processor threads; None or 0: one per core.",
    )  # fmt: skip
    batch_size: int = _flag(
        _MODEL, "8", values.whole(1), "N",
        "Windows decoded together; changes speed and memory, never the text.",
    )  # fmt: skip
    offline: bool = _switch(
        _MODEL, "False", "Never ask the hub: fail unless the model is on this machine."
    )

    channel: str | int = _flag(
        _AUDIO, "mean", values.channel, "mean|each|N",
        "The mean of all channels, one transcript for each, or channel N alone (from 0).",
    )  # fmt: skip
    longform: str = _flag(
        _AUDIO, "parallel", values.choice("parallel", "sequential", "chunked"), "parallel",
        "How long recordings are cut: at pauses, windows independent of each other.",
    )  # fmt: skip
    mel_floor: str = _flag(
        _AUDIO, "window", values.choice("window", "file"), "window|file",
        "Where the spectrogram's floor is taken: each window, or the file as openai-whisper.",
    )  # fmt: skip

    temperature: float = _flag(
        _RETRY, "0", values.number(0), "NUMBER",
        "Of the first try; 0 takes the most likely token, more takes chances.",
    )  # fmt: skip
    temperature_increment_on_fallback: float | None = _flag(
        _RETRY, "0.2", values.or_none(values.number(0)), "NUMBER",
        "Added for each further try, up to 1.0; None or 0: no further try.",
    )  # fmt: skip
    compression_ratio_threshold: float | None = _flag(
        _RETRY, "2.4", values.or_none(values.number()), "NUMBER",
        "Try again where the text repeats itself more than this; None: never.",
    )  # fmt: skip
    logprob_threshold: float | None = _flag(
        _RETRY, "-1.0", values.or_none(values.number()), "NUMBER",
        "Try again where the mean log-probability is below this; None: never.",
    )  # fmt: skip
    no_speech_threshold: float | None = _flag(
        _RETRY, "0.6", values.or_none(values.number()), "NUMBER",
        "Write nothing where silence is likelier than this and the text unsure; None: never.",
    )  # fmt: skip
    seed: int = _flag(
        _RETRY, "0", values.whole(0), "N", "Of the chances taken: same seed, same text."
    )

    vad_filter: bool = _switch(_VAD, "True", "Decode only windows in which somebody speaks.")
    # Defaults are those of audio/vad.py (a test holds them to it); only changes are passed on.
    vad_threshold: float = _flag(
        _VAD, "0.5", values.number(0, 1), "NUMBER", "Speech starts at this probability."
    )
    vad_neg_threshold: float | None = _flag(
        _VAD, "None", values.or_none(values.number(0, 1)), "NUMBER",
        "Speech ends below this probability; None: vad_threshold less 0.15.",
    )  # fmt: skip
    vad_min_speech_duration_ms: float = _flag(
        _VAD, "0", values.number(0), "MS", "Shorter speech is dropped."
    )
    vad_max_speech_duration_s: float | None = _flag(
        _VAD, "None", values.or_none(values.number(0)), "SECONDS",
        "Longer speech is split; None: never.",
    )  # fmt: skip
    vad_min_silence_duration_ms: float = _flag(
        _VAD, "2000", values.number(0), "MS", "Speech goes on across shorter silence."
    )
    vad_speech_pad_ms: float = _flag(
        _VAD, "400", values.number(0), "MS", "Added on both sides of speech."
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

    @property
    def vad_parameters(self) -> dict[str, float]:
        """The voice activity options that differ from the default, by faster-whisper's names."""
        return {
            name.removeprefix("vad_"): getattr(self, name)
            for name, flag in flags().items()
            if name.startswith("vad_") and name != "vad_filter"
            and getattr(self, name) != flag.parse(flag.default)
        }  # fmt: skip

    def load_arguments(self) -> dict[str, Any]:
        """Keyword arguments of `tercet.load_model`, its name aside."""
        names = ("device", "compute_type", "engine", "threads", "batch_size")
        return {name: getattr(self, name) for name in names} | {
            "threads": self.threads or None,
            "offline": self.offline or None,  # without the option, the environment decides
        }

    def decoding_arguments(self) -> dict[str, Any]:
        """Keyword arguments of `Model.transcribe_many` that decide what the text is."""
        names = (
            "language", "task", "compression_ratio_threshold", "logprob_threshold",
            "no_speech_threshold", "suppress_tokens", "suppress_blank", "without_timestamps",
            "max_initial_timestamp", "seed", "longform", "vad_filter", "mel_floor", "channel",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names} | {
            "temperature": self.temperatures,
            "vad_parameters": self.vad_parameters or None,
        }

    def result_settings(self) -> dict[str, Any]:
        """Everything that the text depends on. Threads and batch size are not among it."""
        names = ("model", "device", "compute_type", "engine")
        return {name: getattr(self, name) for name in names} | self.decoding_arguments()


def flags() -> dict[str, Flag]:
    """Every option by its name, in the order of the help."""
    return {f.name: f.metadata["flag"] for f in fields(ListenOptions) if "flag" in f.metadata}


def flag_table() -> FlagTable:
    """What the spelling of a command line depends on."""
    table = flags()
    booleans = frozenset(name for name, flag in table.items() if flag.parse is values.boolean)
    aliases = {alias: name for name, flag in table.items() for alias in flag.names}
    long_aliases = {alias.lstrip("-") for alias in aliases if alias.startswith("--")}
    return FlagTable(
        valued=frozenset(table) - booleans | long_aliases,
        booleans=booleans,
        short={alias: name for alias, name in aliases.items() if not alias.startswith("--")},
        later=LATER_FLAGS,
    )


def from_texts(files: tuple[str, ...], texts: Mapping[str, str]) -> ListenOptions:
    """Read every value and check those that depend on each other.

    Raises:
        OptionError: a value is not allowed, alone or beside another.
    """
    read: dict[str, Any] = {}
    for name, flag in flags().items():
        try:
            read[name] = flag.parse(texts[name])
        except ValueError as error:
            raise OptionError(f"--{name}: {texts[name]!r} is not {error}") from None
    options = ListenOptions(files=files, **read)
    _check_together(options)
    return options


def _check_together(options: ListenOptions) -> None:
    if options.longform != "parallel":
        raise OptionError(
            f"--longform {options.longform} comes in a later release; until then only 'parallel'"
        )
    if 0 < (options.temperature_increment_on_fallback or 0) < 0.01:
        raise OptionError(
            "--temperature_increment_on_fallback: 0 (no further try), or 0.01 or more"
        )
    if options.vad_parameters and not options.vad_filter:
        name = next(iter(options.vad_parameters))
        raise OptionError(f"--vad_{name} has no effect with --vad_filter False; drop one of them")
    if options.output_dir is None:
        if options.resume:
            raise OptionError("--resume needs --output_dir, the folder of the run to go on with")
        if len(options.output_format) > 1:
            raise OptionError(
                f"{len(options.output_format)} formats need --output_dir; "
                "choose one with --output_format to print it"
            )
    if options.quiet and options.verbose:
        raise OptionError("--quiet and --verbose contradict each other; drop one of them")
