"""Writes Hugging Face's folder layout, without torch.

transformers opens it, and CTranslate2's converter converts it. One array is in memory at a time;
files appear under their names only when all of them are complete.
"""

import json
import math
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from tercet.checkpoint.arrays import Checkpoint, Generation
from tercet.checkpoint.geometry import Geometry
from tercet.checkpoint.naming import expected_shapes
from tercet.checkpoint.safetensors_writer import ArrayPlan, SafetensorsWriter, file_bytes
from tercet.checkpoint.settings import read_json_object
from tercet.errors import CheckpointError, OptionError, OutputError, TokenizerError

_DTYPES = ("float32", "float16", "bfloat16")
_LARGEST_FLOAT16 = 65504.0
_FRAMES_PER_S = 50  # encoder positions
_RATE_HZ = 16000
_HOP_SAMPLES = 160
_FIRST_WHISPER_VOCABULARY = 51864


def save_hugging_face(
    checkpoint: Checkpoint,
    folder: Path,
    *,
    dtype: str = "float32",
    generation: Generation | None = None,
    tokenizer_file: Path | None = None,
) -> None:
    """Write a checkpoint as a Hugging Face folder: weights, settings, and the tokenizer if any.

    Args:
        checkpoint: Any open checkpoint, or arrays in a `MemoryCheckpoint`.
        folder: Made if it is not there; files of the same names in it are replaced.
        dtype: "float32", "float16" or "bfloat16"; every array is stored so.
        generation: Instead of the checkpoint's own.
        tokenizer_file: A tokenizer.json to copy; instead of the checkpoint's own.

    Raises:
        OptionError: another dtype.
        CheckpointError: an array is missing, or has another shape than the geometry says.
        TokenizerError: the tokenizer is not readable.
        OutputError: the folder cannot be written; nothing is left half-written.
    """
    if dtype not in _DTYPES:
        raise OptionError(f"dtype {dtype!r}: allowed are {', '.join(_DTYPES)}")
    chosen = generation if generation is not None else checkpoint.generation
    tokenizer = tokenizer_file if tokenizer_file is not None else checkpoint.tokenizer_file
    with _written_together(Path(folder)) as place:
        write_settings(place, checkpoint.geometry, chosen, tokenizer, dtype)
        write_vocabulary(place, tokenizer)
        write_safetensors(place("model.safetensors"), checkpoint, dtype)


def write_settings(
    place: Callable[[str], Path],
    geometry: Geometry,
    generation: Generation,
    tokenizer: Path | None,
    dtype: str,
    more: Mapping[str, object] | None = None,
) -> None:
    """Write the JSON files beside the weights, and the tokenizer if there is one.

    Args:
        place: From a file's name to where it is written.
        geometry: The model's sizes.
        generation: What is said about decoding.
        tokenizer: A tokenizer.json to copy.
        dtype: What `config.json` says about the weights.
        more: Further entries of `config.json`.

    Raises:
        TokenizerError: the tokenizer is not readable.
        OSError: a file cannot be written.
    """
    tokenizer_text = _read_tokenizer(tokenizer)
    settings = settings_files(geometry, generation, tokenizer, dtype)
    settings["config.json"] |= more or {}
    if tokenizer_text is not None:
        place("tokenizer.json").write_text(tokenizer_text, encoding="utf-8")
        settings["tokenizer_config.json"] = _tokenizer_config(geometry)
    for name, values in settings.items():
        text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
        place(name).write_text(text, encoding="utf-8")


def write_vocabulary(place: Callable[[str], Path], tokenizer: Path | None) -> None:
    """Write what older readers and whisper.cpp's converter want beside tokenizer.json, if there is one.

    Args:
        place: From a file's name to where it is written.
        tokenizer: A tokenizer.json.

    Raises:
        CheckpointError: it is not JSON.
        OSError: a file cannot be written.
    """
    if tokenizer is None:
        return
    from tercet.text.vocabulary_files import vocabulary_files  # late: that room builds on this one

    for name, text in vocabulary_files(read_json_object(tokenizer)).items():
        place(name).write_text(text, encoding="utf-8")


def settings_files(
    geometry: Geometry, generation: Generation, tokenizer: Path | None, dtype: str
) -> dict[str, dict[str, object]]:
    """What the JSON files beside the weights say, by file name."""
    ids = _special_ids(geometry, tokenizer)
    return {
        "config.json": _config(geometry, ids, dtype),
        "generation_config.json": _generation_config(geometry, ids, generation),
        "preprocessor_config.json": _preprocessor_config(geometry),
    }


def write_safetensors(
    path: Path,
    checkpoint: Checkpoint,
    dtype: str,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Stream all arrays of a checkpoint into one safetensors file, in `dtype`.

    Args:
        path: The file.
        checkpoint: Where the arrays come from.
        dtype: "float32", "float16" or "bfloat16".
        on_progress: Called with (bytes done, bytes in all).

    Raises:
        CheckpointError: an array is missing, or has another shape than the geometry says, or a
            number does not fit the type.
        OSError: the file cannot be written.
    """
    shapes = expected_shapes(checkpoint.geometry)
    known = set(checkpoint.names())
    for name in sorted(shapes):
        if name not in known or tuple(checkpoint.shape(name)) != shapes[name]:
            raise CheckpointError(
                f"{checkpoint.path}: {name} is missing or not {list(shapes[name])}"
            )
    plans = {name: ArrayPlan(dtype, shape) for name, shape in shapes.items()}
    done = 0
    with path.open("wb") as file:
        writer = SafetensorsWriter(file, plans, {"format": "pt"})
        for name in sorted(shapes):
            array = checkpoint.read(name)
            _check_range(checkpoint.path, name, array, dtype)
            writer.put(name, array)
            done += plans[name].nbytes
            on_progress(done, file_bytes(plans))
        writer.finish()


def _check_range(path: Path, name: str, array: np.ndarray, dtype: str) -> None:
    """No damaged numbers, and none that would become infinite on their way to float16."""
    if not array.size:
        return
    largest = max(float(array.max()), -float(array.min()))  # without a copy; NaN stays NaN
    if not math.isfinite(largest):
        raise CheckpointError(f"{path}: {name} holds NaN or infinity; these weights are damaged")
    if dtype == "float16" and largest > _LARGEST_FLOAT16:
        raise CheckpointError(
            f"{path}: {name} reaches {largest:.3g}, which float16 cannot hold; choose float32"
        )


class _Placing:
    """Hands out temporary paths in a folder, and remembers what they are to be called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = f".{uuid.uuid4().hex[:8]}.partial"
        self.names: list[str] = []

    def __call__(self, name: str) -> Path:
        self.names.append(name)
        return self.temporary(name)

    def temporary(self, name: str) -> Path:
        """Where a file lies until all are complete."""
        return self.folder / f".{name}{self.mark}"


@contextmanager
def _written_together(folder: Path) -> Iterator[_Placing]:
    placing = _Placing(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield placing
        for name in placing.names:
            placing.temporary(name).replace(folder / name)
    except OSError as error:  # its own text may name a temporary file, which nobody knows
        reason = error.strerror or str(error)
        raise OutputError(f"{folder}: cannot be written ({reason}); nothing was changed") from error
    finally:
        for name in placing.names:
            with suppress(OSError):
                placing.temporary(name).unlink(missing_ok=True)


def _read_tokenizer(path: Path | None) -> str | None:
    try:
        return None if path is None else Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise TokenizerError(f"{path}: cannot be read ({error}); give a tokenizer.json") from error


def _special_ids(geometry: Geometry, tokenizer: Path | None) -> dict[str, int]:
    """Special tokens' ids: from the tokenizer where there is one, else by Whisper's numbering."""
    if tokenizer is not None:
        added = read_json_object(tokenizer).get("added_tokens")
        entries = [one for one in added if isinstance(one, dict)] if isinstance(added, list) else []
        ids = {str(one.get("content")): one.get("id") for one in entries}
        found = {name: one for name, one in ids.items() if isinstance(one, int)}
        if "<|startoftranscript|>" in found and "<|endoftext|>" in found:
            return found
    if geometry.vocab_size < _FIRST_WHISPER_VOCABULARY:  # no Whisper's: any valid ids will do
        last = geometry.vocab_size - 1
        return {"<|endoftext|>": max(0, last - 1), "<|startoftranscript|>": last}
    start = 50258 if geometry.is_multilingual else 50257
    after = start + 1 + (geometry.n_languages if geometry.is_multilingual else 99)
    names = ("translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps")
    return {
        "<|endoftext|>": start - 1,
        "<|startoftranscript|>": start,
        **{f"<|{name}|>": after + i for i, name in enumerate(names)},
    }


def _config(geometry: Geometry, ids: Mapping[str, int], dtype: str) -> dict[str, object]:
    end = ids["<|endoftext|>"]
    return {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "d_model": geometry.width,
        "encoder_layers": geometry.encoder_layers,
        "encoder_attention_heads": geometry.encoder_heads,
        "encoder_ffn_dim": geometry.mlp_width,
        "decoder_layers": geometry.decoder_layers,
        "decoder_attention_heads": geometry.decoder_heads,
        "decoder_ffn_dim": geometry.mlp_width,
        "num_hidden_layers": geometry.encoder_layers,
        "num_mel_bins": geometry.n_mels,
        "vocab_size": geometry.vocab_size,
        "max_source_positions": geometry.n_audio_ctx,
        "max_target_positions": geometry.n_text_ctx,
        "max_length": geometry.n_text_ctx,
        "activation_function": "gelu",
        "scale_embedding": False,
        "is_encoder_decoder": True,
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "decoder_start_token_id": ids["<|startoftranscript|>"],
        "torch_dtype": dtype,
    }


def _generation_config(
    geometry: Geometry, ids: Mapping[str, int], generation: Generation
) -> dict[str, object]:
    start, end = ids["<|startoftranscript|>"], ids["<|endoftext|>"]
    values: dict[str, object] = {
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "decoder_start_token_id": start,
        "max_length": geometry.n_text_ctx,
        "max_initial_timestamp_index": generation.max_initial_timestamp_index,
        "return_timestamps": False,
        "forced_decoder_ids": None,  # language and task are asked for, never forced
        "is_multilingual": geometry.is_multilingual,
    }
    for key, name in (
        ("no_timestamps_token_id", "notimestamps"),
        ("prev_sot_token_id", "startofprev"),
    ):
        if f"<|{name}|>" in ids:
            values[key] = ids[f"<|{name}|>"]
    if geometry.is_multilingual and "<|translate|>" in ids:
        translate = ids["<|translate|>"]
        values["task_to_id"] = {name: ids[f"<|{name}|>"] for name in ("transcribe", "translate")}
        values["lang_to_id"] = {name: one for name, one in ids.items() if start < one < translate}
    optional: dict[str, object] = {
        "suppress_tokens": generation.suppress_tokens,
        "begin_suppress_tokens": generation.begin_suppress_tokens,
        "alignment_heads": generation.alignment_heads,
        "true_length": generation.true_length or None,
    }
    return values | {key: value for key, value in optional.items() if value is not None}


def _preprocessor_config(geometry: Geometry) -> dict[str, object]:
    chunk_s = geometry.n_audio_ctx // _FRAMES_PER_S
    return {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "processor_class": "WhisperProcessor",
        "feature_size": geometry.n_mels,
        "sampling_rate": _RATE_HZ,
        "hop_length": _HOP_SAMPLES,
        "n_fft": 400,
        "chunk_length": chunk_s,
        "n_samples": chunk_s * _RATE_HZ,
        "nb_max_frames": chunk_s * _RATE_HZ // _HOP_SAMPLES,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": False,
    }


def _tokenizer_config(geometry: Geometry) -> dict[str, object]:
    return {
        "tokenizer_class": "WhisperTokenizer",
        "bos_token": "<|endoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": geometry.n_text_ctx,
    }


def write_alignment_heads(folder: Path, heads: Sequence[tuple[int, int]]) -> None:
    """Say in a Hugging Face folder which heads time words; the rest of its settings stays.

    Raises:
        CheckpointError: it has no `generation_config.json`, or a damaged one.
        OutputError: that file cannot be written; the old one is still there.
    """
    path = folder / "generation_config.json"
    if not path.is_file():
        raise CheckpointError(f"{path}: missing; give a model's folder in Hugging Face's layout")
    settings = read_json_object(path) | {"alignment_heads": [list(pair) for pair in heads]}
    text = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
    with _written_together(folder) as place:
        place(path.name).write_text(text, encoding="utf-8")
