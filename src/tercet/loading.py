"""From a name to a model that is ready to listen: find the files, open them, choose an engine."""

from pathlib import Path

from tercet.checkpoint import Checkpoint, open_checkpoint
from tercet.engine.protocol import Decoder, Encoder
from tercet.errors import OptionError
from tercet.hub import find_model, find_tokenizer
from tercet.listener import Model
from tercet.longform.settings import check_count
from tercet.text.tokenizer import Tokenizer

DEVICES = ("auto", "cpu", "cuda")
ENGINES = ("auto", "onnx", "torch")
ONNX_TYPES = ("int8", "float32")
TORCH_TYPES = ("float32", "bfloat16", "float16")
DEFAULT_BATCH_SIZE = 8


def load_model(
    name: str | Path = "base",
    *,
    device: str = "auto",
    compute_type: str = "auto",
    engine: str = "auto",
    threads: int | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
) -> Model:
    """Open a Whisper.

    Args:
        name: A known name ("base", "small", "distil-large-v3", ...), a folder or file (Hugging Face's,
            OpenAI's, CTranslate2's or Tercet's layout), or a hub id ("owner/name").
        device: "cpu", "cuda", or "auto" (the CPU; a GPU is used when asked for).
        compute_type: "int8", "float32"; on the torch engine "float32", "bfloat16" or "float16". "auto":
            int8 on ONNX Runtime, float32 in torch on a CPU, float16 on a GPU.
        engine: "onnx" (ONNX Runtime), "torch" (extra `torch`), or "auto" (torch on a GPU, else ONNX Runtime).
        threads: CPU threads; None leaves the choice to the engine (one per core).
        batch_size: Windows decoded together.

    Raises:
        ModelNotFoundError: the name leads nowhere.
        CheckpointError: the files are damaged, or no Whisper.
        TokenizerError: the tokenizer is missing or another vocabulary's.
        EngineError: the engine is missing, or the device.
        OptionError: a value is not allowed, or two contradict each other.
    """
    engine, device, compute_type = _choose(engine, device, compute_type)
    check_count("batch_size", batch_size)
    if threads is not None:
        check_count("threads", threads)
    checkpoint = open_checkpoint(find_model(name))
    tokenizer = Tokenizer.from_file(_tokenizer_file(checkpoint), checkpoint.geometry)
    if engine == "torch":
        encoder, decoder = _open_torch(checkpoint, device, compute_type, threads)
    else:
        encoder, decoder = _open_onnx(checkpoint, compute_type, threads)
    return Model(str(name), encoder, decoder, tokenizer, batch_size=batch_size)


def _choose(engine: str, device: str, compute_type: str) -> tuple[str, str, str]:
    """Settle "auto", refuse what does not go together."""
    for option, value, allowed in (("device", device, DEVICES), ("engine", engine, ENGINES)):
        if value not in allowed:
            raise OptionError(f"{option} is {value!r}; give one of {', '.join(allowed)}")
    if engine == "auto":
        engine = "torch" if device == "cuda" else "onnx"
    if engine == "onnx" and device == "cuda":
        raise OptionError(
            "engine 'onnx' runs on the CPU here; for device 'cuda' give engine 'torch'"
        )
    device = "cpu" if device == "auto" else device
    allowed_types = ONNX_TYPES if engine == "onnx" else TORCH_TYPES
    if compute_type == "auto":
        default = "int8" if engine == "onnx" else "float16" if device == "cuda" else "float32"
        return engine, device, default
    if compute_type not in allowed_types:
        allowed_text = ", ".join(allowed_types)
        message = f"compute_type is {compute_type!r}; engine {engine!r} has auto, {allowed_text}"
        raise OptionError(message)
    return engine, device, compute_type


def _tokenizer_file(checkpoint: Checkpoint) -> Path:
    """The checkpoint's own, else that of another model with the same vocabulary (OpenAI's .pt has none)."""
    return checkpoint.tokenizer_file or find_tokenizer(checkpoint.geometry.vocab_size)


def _open_onnx(
    checkpoint: Checkpoint, compute_type: str, threads: int | None
) -> tuple[Encoder, Decoder]:
    from tercet.engine.onnx import PRECISIONS, OnnxDecoder, OnnxEncoder

    precision = PRECISIONS[compute_type]
    return (
        OnnxEncoder(checkpoint, precision, threads=threads, taps=False),
        OnnxDecoder(checkpoint, precision, threads=threads),
    )


def _open_torch(
    checkpoint: Checkpoint, device: str, compute_type: str, threads: int | None
) -> tuple[Encoder, Decoder]:
    from tercet.model import load_torch

    return load_torch(checkpoint, device=device, dtype=compute_type, taps=False, threads=threads)
