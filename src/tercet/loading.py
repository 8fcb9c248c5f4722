"""From a name to a model that is ready to listen: find the files, open them, choose an engine."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from tercet.checkpoint import Checkpoint, open_checkpoint
from tercet.checkpoint.adapter import open_adapter, with_adapter
from tercet.draft_loading import AUTO, FoundDraft, check_draft_name, find_draft, open_drafted
from tercet.engine.choice import Choice, choose
from tercet.engine.memory import check_fits, give_back_freed
from tercet.engine.protocol import Decoder, Encoder, OpenGraph
from tercet.errors import OptionError
from tercet.head_loading import FoundHeads, check_head_names, find_heads, open_heads
from tercet.hub import find_model, find_tokenizer
from tercet.hub.adapters import find_adapter
from tercet.listener import Model
from tercet.longform.settings import check_count
from tercet.text.tokenizer import Tokenizer

DEFAULT_BATCH_SIZE = 8


def load_model(
    name: str | Path = "base",
    *,
    draft: str | Path = AUTO,
    tags: str | Path | None = None,
    tokens: str | Path | None = None,
    adapter: str | Path | None = None,
    device: str = "auto",
    compute_type: str = "auto",
    engine: str = "auto",
    threads: int | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    offline: bool | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Model:
    """Open a Whisper.

    Args:
        name: A known name ("base", "small", "distil-large-v3", ...), a folder or file (Hugging Face's,
            OpenAI's, CTranslate2's or Tercet's layout), or a hub id ("owner/name").
        draft: What guesses the next tokens, for the same text sooner: "auto" (what came with the model, but
            none in 8 bits), "none", "ngram", a draft's file, or a smaller model of the same vocabulary.
        tags: A tag head, for sound events: a file (Tercet's, Whisper-AT's .pth), a known name
            ("whisper-at:medium"), or "owner/name:file" on the hub. None: the one that came with the model, if
            any; "none": no tags.
        tokens: A quantizer, likewise (Tercet's, Ichigo's .pth, WhisperSpeech's .model).
        adapter: A LoRA adapter of PEFT, merged into the model: a folder, its file of weights, a hub id, or
            the name of one that came with the model ("true-length"). If it changes the encoder, heads that
            lie beside the model are left aside.
        device: "cpu", "cuda", or "auto" (the CPU).
        compute_type: "int8", "float32"; on the torch engine "float32", "bfloat16" or "float16". "auto":
            int8 on a CPU, float32 in torch on a CPU, float16 on a GPU.
        engine: "onnx", "openvino" (encoder; ONNX Runtime decodes), "torch" (extra `torch`), or "auto": the
            fastest for this processor (see `engine.choice`).
        threads: CPU threads; None: one per core. With 1, nothing runs at the same time as anything else.
        batch_size: Windows decoded together.
        offline: True never asks the hub for the model; None follows the environment's `HF_HUB_OFFLINE`.
        on_progress: Called while a model or a head is fetched, with the bytes done and those in all.

    Raises:
        ModelNotFoundError: the name leads nowhere.
        CheckpointError: the files are damaged, or no Whisper; or the adapter is of another kind or model.
        TokenizerError: the tokenizer is missing or another vocabulary's.
        HeadError: a head does not fit the model.
        FingerprintError: a head was trained on another encoder.
        EngineError: the engine is missing, or the device.
        OptionError: a value is not allowed, or two contradict each other.
    """
    choice = choose(engine, device, compute_type)
    check_draft_name(draft)
    _check_given(batch_size, threads, tags, tokens, adapter)
    fetching: dict[str, Any] = {"offline": offline, "on_progress": on_progress}
    checkpoint = open_checkpoint(find_model(name, **fetching))
    checkpoint = adapted(checkpoint, adapter, **fetching)
    found = find_heads(checkpoint, str(name), tags, tokens, **fetching)
    is_int8 = choice.compute_type == "int8"
    guesser = find_draft(checkpoint, str(name), draft, is_int8=is_int8, **fetching)
    give_back_freed()
    check_fits(str(name), checkpoint.geometry, choice.compute_type, batch_size)
    return _model(str(name), checkpoint, found, guesser, choice, batch_size, threads, offline)


def _model(
    name: str,
    checkpoint: Checkpoint,
    found: FoundHeads,
    guesser: FoundDraft | None,
    choice: Choice,
    batch_size: int,
    threads: int | None,
    offline: bool | None,
) -> Model:
    tokenizer = tokenizer_of(checkpoint, offline)
    encoder, decoder = open_parts(checkpoint, choice, threads, taps=found.tags is not None)
    smaller = partial(open_parts, choice=choice, threads=threads)
    decoder = open_drafted(guesser, decoder, checkpoint, choice, threads, smaller)
    return Model(
        name,
        encoder,
        decoder,
        tokenizer,
        batch_size=batch_size,
        overlap=threads != 1,
        heads=open_heads(found, choice, threads),
        true_length=checkpoint.generation.true_length,
    )


def _check_given(
    batch_size: int, threads: int | None, tags: object, tokens: object, adapter: object
) -> None:
    """Values that are none, before a model is looked for."""
    check_count("batch_size", batch_size)
    if threads is not None:
        check_count("threads", threads)
    check_head_names(tags=tags, tokens=tokens)
    if adapter is not None and not isinstance(adapter, str | Path):
        raise OptionError(f"adapter is {adapter!r}; give a PEFT adapter's folder, file or hub id")


def adapted(
    checkpoint: Checkpoint,
    adapter: str | Path | None,
    *,
    offline: bool | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Checkpoint:
    """The checkpoint with an adapter merged into what is read of it; itself where none is given.

    Raises:
        ModelNotFoundError: the name leads nowhere.
        CheckpointError: the adapter is damaged, of another kind or model, or the checkpoint is in 8 bits.
    """
    if adapter is None:
        return checkpoint
    found = find_adapter(adapter, beside=checkpoint.path, offline=offline, on_progress=on_progress)
    return with_adapter(checkpoint, open_adapter(found))


def tokenizer_of(checkpoint: Checkpoint, offline: bool | None = None) -> Tokenizer:
    """The checkpoint's own, else that of another model with the same vocabulary (OpenAI's .pt has none).

    Raises:
        TokenizerError: it is missing, or another vocabulary's.
    """
    file = checkpoint.tokenizer_file
    if file is None:
        file = find_tokenizer(checkpoint.geometry.vocab_size, offline=offline)
    return Tokenizer.from_file(file, checkpoint.geometry)


def open_parts(
    checkpoint: Checkpoint, choice: Choice, threads: int | None, *, taps: bool = False
) -> tuple[Encoder, Decoder]:
    """A model's encoder and decoder on the engine of a choice.

    Raises:
        EngineError: the engine refused one.
    """
    open_engine = _open_torch if choice.encoder == "torch" else _open_graphs
    return open_engine(checkpoint, choice, threads, taps=taps)


def _open_graphs(
    checkpoint: Checkpoint, choice: Choice, threads: int | None, *, taps: bool
) -> tuple[Encoder, Decoder]:
    from tercet.engine.onnx import PRECISIONS, OnnxDecoder, OnnxEncoder, open_step

    precision = PRECISIONS[choice.compute_type]
    if choice.encoder == "onnx":
        return (
            OnnxEncoder(checkpoint, precision, threads=threads, taps=taps),
            OnnxDecoder(checkpoint, precision, threads=threads),
        )
    from tercet.engine.openvino import OpenVinoEncoder, open_cross

    def for_windows() -> tuple[OpenVinoEncoder, OpenGraph]:
        settings: dict[str, Any] = {"threads": threads, "arithmetic": choice.arithmetic}
        encoder = OpenVinoEncoder(checkpoint, precision, taps=taps, **settings)
        return encoder, open_cross(checkpoint, precision, **settings)

    # The two engines open their graphs at the same time.
    with ThreadPoolExecutor(max_workers=1) as pool:
        opened = pool.submit(for_windows)
        step = open_step(checkpoint, precision, threads=threads)
        encoder, cross = opened.result()
    return encoder, OnnxDecoder(checkpoint, precision, threads=threads, cross=cross, step=step)


def _open_torch(
    checkpoint: Checkpoint, choice: Choice, threads: int | None, *, taps: bool
) -> tuple[Encoder, Decoder]:
    from tercet.model import load_torch

    return load_torch(
        checkpoint, device=choice.device, dtype=choice.compute_type, taps=taps, threads=threads
    )
