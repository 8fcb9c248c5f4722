"""Options that several commands have: where results go, which model computes, what of the sound is heard.

A command's class inherits its groups from the last panel of the help to the first, since dataclasses
list the fields of the last base first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tercet.cli.options import values
from tercet.cli.options.table import Options, switch, valued
from tercet.errors import OptionError

OUTPUT, MODEL, AUDIO = "Output", "Model", "Audio"
NO_HEAD = "none"  # for `tercet.load_model`: none at all
_NGRAM = "ngram"  # a draft that is no file


def output_format(
    default: str, allowed: Sequence[str], *, in_all: Sequence[str] | None = None
) -> Any:
    """The option for a command's formats; `all` stands for those of `in_all`."""
    left_out = [name for name in allowed if in_all is not None and name not in in_all]
    but = f" (but {', '.join(left_out)})" if left_out else ""
    return valued(
        OUTPUT, default, values.formats(allowed, in_all or allowed), "LIST",
        f"{', '.join(allowed)}, or all{but}; commas between several.",
        "--format", "-f",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class OutputOptions(Options):
    """Where results go, in which formats, and what is said meanwhile."""

    output_format: tuple[str, ...]  # each command has its own
    output_dir: str | None = valued(
        OUTPUT, "None", values.folder, "FOLDER",
        "Write FOLDER/NAME.txt and so on instead of printing.",
        "-o",
    )  # fmt: skip
    resume: bool = switch(
        OUTPUT, "False", "Skip files that an earlier run into the same folder finished."
    )
    verbose: bool = switch(
        OUTPUT, "False", "Show what is found with its times, and how it was heard, on stderr."
    )
    quiet: bool = switch(OUTPUT, "False", "No progress and no notes: errors only.")

    def check(self) -> None:
        """Nothing can be resumed, and no two formats told apart, without a folder."""
        super().check()
        if self.output_dir is None:
            if self.resume:
                raise OptionError(
                    "--resume needs --output_dir, the folder of the run to go on with"
                )
            if len(self.output_format) > 1:
                raise OptionError(
                    f"{len(self.output_format)} formats need --output_dir; "
                    "choose one with --output_format to print it"
                )
        if self.quiet and self.verbose:
            raise OptionError("--quiet and --verbose contradict each other; drop one of them")


@dataclass(frozen=True, kw_only=True)
class ModelOptions(Options):
    """Which model, and what computes it."""

    model: str = valued(
        MODEL, "base", values.plain, "NAME",
        "A known name (tiny ... large-v3, turbo, distil-*), a hub id, a folder or a file.",
    )  # fmt: skip
    adapter: str | None = valued(
        MODEL, "None", values.or_none(values.plain), "NAME",
        "A PEFT adapter (LoRA) merged into it: a folder, its weights' file, or a hub id.",
    )  # fmt: skip
    device: str = valued(
        MODEL,
        "auto",
        values.choice("auto", "cpu", "cuda"),
        "auto|cpu|cuda",
        "Where it runs; auto: the processor.",
    )
    compute_type: str = valued(
        MODEL, "auto", values.choice("auto", "int8", "float32", "float16", "bfloat16"), "TYPE",
        "auto, int8 (fast) or float32 (exact); with torch float32, float16 or bfloat16.",
    )  # fmt: skip
    engine: str = valued(
        MODEL, "auto", values.choice("auto", "onnx", "openvino", "torch"), "NAME",
        "What computes: onnx, openvino (its encoder) or torch; auto: the fastest for this processor.",
    )  # fmt: skip
    threads: int | None = valued(
        MODEL, "None", values.or_none(values.whole(0)), "N",
        "Processor threads; None or 0: one per core.",
    )  # fmt: skip
    batch_size: int = valued(
        MODEL, "8", values.whole(1), "N",
        "Windows decoded together; changes speed and memory, never the text.",
    )  # fmt: skip
    offline: bool = switch(
        MODEL, "False", "Never ask the hub: fail unless the model is on this machine."
    )

    def load_arguments(self) -> dict[str, Any]:
        """Keyword arguments of `tercet.load_model`, its name aside."""
        names = ("adapter", "device", "compute_type", "engine", "batch_size")
        return {
            **{name: getattr(self, name) for name in names},
            "threads": self.threads or None,
            "offline": self.offline or None,  # without the option, the environment decides
            **self.heads,
            **dict.fromkeys(self.idle_heads, NO_HEAD),
        }

    @property
    def idle_heads(self) -> tuple[str, ...]:
        """Heads that need not be opened, though they may lie beside the model."""
        return ()

    @property
    def heads(self) -> dict[str, str]:
        """The heads that are named, a draft among them; a command has options for those that it reads with.

        "none" among them means none, though one may lie beside the model (`tercet.load_model`).
        """
        named = {name: getattr(self, name, None) for name in ("tags", "tokens", "draft")}
        return {name: head for name, head in named.items() if head is not None}

    @property
    def shown_names(self) -> str:
        """The model, the adapter and the heads that are named, for the bar while one of them is fetched."""
        others = (self.adapter, *self.heads.values())
        return ", ".join(
            [self.model, *(each for each in others if each not in (None, NO_HEAD, _NGRAM))]
        )

    def model_settings(self) -> dict[str, Any]:
        """What of the model a result depends on, heads and adapter aside.

        Threads and batch size are not among it.
        """
        names = ("model", "device", "compute_type", "engine")
        return {name: getattr(self, name) for name in names}


def _head(what: str) -> Any:
    return valued(
        MODEL, "auto", values.head, "HEAD",
        f"{what}: a file, a known name, OWNER/NAME:FILE; auto: the model's own, if any; none: no head.",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TagHeadOptions(Options):
    """Which head scores sounds."""

    tags: str | None = _head("The head that hears sounds")


@dataclass(frozen=True, kw_only=True)
class TokenHeadOptions(Options):
    """Which quantizer makes speech tokens."""

    tokens: str | None = _head("The quantizer behind speech tokens")


@dataclass(frozen=True, kw_only=True)
class DraftOptions(Options):
    """What guesses the decoder's text."""

    draft: str | None = valued(
        MODEL, "auto", values.head, "DRAFT",
        "Text sooner, the same: auto (the model's own draft), none, ngram, a draft's file, a smaller model.",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ChannelOptions(Options):
    """Which channels are heard."""

    channel: str | int = valued(
        AUDIO, "mean", values.channel, "mean|each|N",
        "The mean of all channels, one result for each, or channel N alone (from 0).",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AudioOptions(ChannelOptions):
    """Which channels are heard, and in which pieces."""

    longform: str = valued(
        AUDIO, "parallel", values.choice("parallel", "sequential", "chunked"), "parallel|chunked",
        "How long recordings are cut: at pauses; or in chunks that overlap, for text alone.",
    )  # fmt: skip
    chunk_length: float | None = valued(
        AUDIO, "None", values.or_none(values.number(1, 30)), "SECONDS",
        "The length of chunks, 1 to 30; None: 30, for Distil-Whisper's models 15 or 25.",
    )  # fmt: skip
    stride: float | tuple[float, float] | None = valued(
        AUDIO, "None", values.or_none(values.one_or_two(values.number(0, 30))), "SECONDS",
        "On each side of a chunk, or LEFT,RIGHT: heard by the neighbour, too; None: a sixth of it.",
    )  # fmt: skip
    match: str | None = valued(
        AUDIO, "None", values.or_none(values.choice("hf")), "hf",
        "hf: chunks as transformers' pipeline hears and merges them; None: ours.",
    )  # fmt: skip
    mel_floor: str = valued(
        AUDIO, "window", values.choice("window", "file"), "window|file",
        "Where the spectrogram's floor is taken: each window, or the file as openai-whisper.",
    )  # fmt: skip

    def audio_arguments(self) -> dict[str, Any]:
        """Keyword arguments of `Model.transcribe`."""
        return {
            "channel": self.channel,
            "longform": self.longform,
            "chunk_length_s": self.chunk_length,
            "stride_length_s": self.stride,
            "match": self.match,
            "mel_floor": self.mel_floor,
        }

    def check(self) -> None:
        """Chunks have options of their own."""
        super().check()
        if self.longform == "sequential":
            raise OptionError(
                "--longform sequential comes in a later release; until then 'parallel' or 'chunked'"
            )
        if self.longform != "chunked":
            for name in ("chunk_length", "stride", "match"):
                if getattr(self, name) is not None:
                    raise OptionError(f"--{name} has no effect without --longform chunked; add it")


@dataclass(frozen=True, kw_only=True)
class CommandOptions(ModelOptions, OutputOptions):
    """What every command has that reads something with a model and writes what it read."""
