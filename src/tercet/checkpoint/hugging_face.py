"""Hugging Face's folder layout.

Config.json and model.safetensors or pytorch_model.bin, whole or in shards.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tercet.checkpoint.arrays import Generation
from tercet.checkpoint.geometry import Geometry
from tercet.checkpoint.naming import Slot, expected_shapes
from tercet.checkpoint.safetensors_file import Shards, open_safetensors
from tercet.checkpoint.settings import (
    checked_geometry,
    head_pairs,
    read_json_object,
    token_ids,
    whole_number,
)
from tercet.checkpoint.sources import (
    ArraySource,
    SlottedCheckpoint,
    check_leftovers,
    check_shapes,
)
from tercet.checkpoint.torch_file import TorchTensors, open_torch_file
from tercet.errors import CheckpointError

_SIZES = {
    "n_mels": "num_mel_bins",
    "width": "d_model",
    "encoder_layers": "encoder_layers",
    "encoder_heads": "encoder_attention_heads",
    "decoder_layers": "decoder_layers",
    "decoder_heads": "decoder_attention_heads",
    "vocab_size": "vocab_size",
    "n_audio_ctx": "max_source_positions",
    "n_text_ctx": "max_target_positions",
    "mlp_width": "encoder_ffn_dim",
}
_OUTPUT = "proj_out.weight"
_EMBEDDING = "model.decoder.embed_tokens.weight"
_STEM = "encoder.conv1.weight"
_COMPARED_ROWS = 64
_OTHER_FORMATS = ("flax_model.msgpack", "tf_model.h5", "model.onnx", "adapter_model.safetensors")


def open_hugging_face(folder: Path) -> SlottedCheckpoint:
    """Open a folder that `save_pretrained` wrote, with any torch or transformers so far.

    Raises:
        CheckpointError: files are missing or damaged, or it is no Whisper.
    """
    config = read_json_object(folder / "config.json")
    geometry = read_geometry(config, folder / "config.json")
    weights, source = _open_weights(folder)
    prefix = _find_prefix(weights, source)
    slots = {name: Slot(prefix + name.removeprefix("model.")) for name in expected_shapes(geometry)}
    known = {slot.key for slot in slots.values()}
    leftovers = [key for key in source.stored_names() if key not in known]
    check_leftovers(weights, [key.removeprefix(prefix) for key in leftovers], (_OUTPUT,))
    check_shapes(weights, source, slots, geometry)
    _check_tied(weights, source, slots[_EMBEDDING].key)
    tokenizer = folder / "tokenizer.json"
    return SlottedCheckpoint(
        path=folder,
        layout="hf",
        geometry=geometry,
        generation=read_generation(folder, config, geometry),
        tokenizer_file=tokenizer if tokenizer.is_file() else None,
        source=source,
        slots=slots,
    )


def read_geometry(config: Mapping[str, object], path: Path) -> Geometry:
    """The geometry that `config.json` describes.

    Raises:
        CheckpointError: it describes no Whisper, or one that this package cannot compute.
    """
    kind = config.get("model_type")
    if kind != "whisper":
        raise CheckpointError(f"{path}: model_type is {kind!r:.60}; only 'whisper' can be opened")
    if config.get("quantization_config") is not None and "tercet_format" not in config:
        raise CheckpointError(
            f"{path}: packed weights (quantization_config); give the float checkpoint"
        )
    if config.get("activation_function", "gelu") != "gelu" or config.get("scale_embedding", False):
        raise CheckpointError(
            f"{path}: another activation or scaled embeddings; not OpenAI's Whisper"
        )
    if config.get("tie_word_embeddings", True) is False:
        raise CheckpointError(
            f"{path}: tie_word_embeddings is false; Whisper's output layer is tied"
        )
    sizes = {ours: whole_number(config, theirs, path) for ours, theirs in _SIZES.items()}
    if whole_number(config, "decoder_ffn_dim", path) != sizes["mlp_width"]:
        raise CheckpointError(f"{path}: encoder_ffn_dim and decoder_ffn_dim differ; not supported")
    return checked_geometry(path, sizes)


def read_generation(folder: Path, config: Mapping[str, object], geometry: Geometry) -> Generation:
    """What `generation_config.json` says, or, in folders older than that file, `config.json`.

    Raises:
        CheckpointError: a field has another type.
    """
    path = folder / "generation_config.json"
    settings: Mapping[str, object] = read_json_object(path) if path.is_file() else config
    latest = settings.get("max_initial_timestamp_index")
    return Generation(
        suppress_tokens=token_ids(settings, "suppress_tokens", path),
        begin_suppress_tokens=token_ids(settings, "begin_suppress_tokens", path),
        alignment_heads=head_pairs(settings, "alignment_heads", path, geometry),
        max_initial_timestamp_index=50 if type(latest) is not int or latest < 0 else latest,
        true_length=settings.get("true_length") is True,
    )


def _open_weights(folder: Path) -> tuple[Path, ArraySource]:
    """(the file to name in messages, the arrays)."""
    openers: tuple[tuple[str, Callable[[Path], ArraySource]], ...] = (
        ("model.safetensors", open_safetensors),
        ("pytorch_model.bin", _open_bin),
    )
    for name, opener in openers:
        if (path := folder / name).is_file():
            return path, opener(path)
        if (path := folder / f"{name}.index.json").is_file():
            return path, _open_shards(path, opener)
    others = [name for name in _OTHER_FORMATS if (folder / name).exists()]
    found = f"only {', '.join(others)}" if others else "no model.safetensors or pytorch_model.bin"
    raise CheckpointError(f"{folder}: {found}; fetch or export the safetensors weights")


def _open_bin(path: Path) -> TorchTensors:
    file = open_torch_file(path)
    tensors = file.tensors(file.value)
    if not tensors.refs and isinstance(file.value, dict):
        tensors = file.tensors(file.value.get("state_dict"))
    return tensors


def _open_shards(index: Path, opener: Callable[[Path], ArraySource]) -> Shards:
    table = read_json_object(index).get("weight_map")
    if not isinstance(table, dict) or not table:
        raise CheckpointError(f"{index}: no weight_map; fetch it again")
    opened: dict[str, ArraySource] = {}
    for key, name in table.items():
        if not isinstance(name, str) or Path(name).name != name:
            raise CheckpointError(
                f"{index}: {key[:120]!r} lies in {name!r:.80}, which is no plain file name"
            )
        if name not in opened:
            if not (index.parent / name).is_file():
                raise CheckpointError(f"{index.parent}: the shard {name} is missing; fetch it")
            opened[name] = opener(index.parent / name)
        if key not in opened[name].stored_names():
            raise CheckpointError(
                f"{index}: {key[:120]!r} is not in {name}; fetch the shards again"
            )
    return Shards({key: opened[str(name)] for key, name in table.items()})


def _find_prefix(path: Path, source: ArraySource) -> str:
    """What stands before `encoder.` in the keys: "model." as a rule, "" or wrappers' names, too."""
    stems = sorted((key for key in source.stored_names() if key.endswith(_STEM)), key=len)
    if not stems:
        check_leftovers(path, source.stored_names())
        raise CheckpointError(f"{path}: {_STEM} is missing; not a Whisper checkpoint")
    return stems[0].removesuffix(_STEM)


def _check_tied(path: Path, source: ArraySource, embedding_key: str) -> None:
    """Where the output layer is stored, it must be the token embedding (sampled rows tell)."""
    stored = next((key for key in source.stored_names() if key.endswith(_OUTPUT)), None)
    if stored is None:
        return
    embedding = source.read(embedding_key)
    output = source.read(stored)
    step = max(1, len(embedding) // _COMPARED_ROWS)
    if output.shape != embedding.shape or not np.array_equal(output[::step], embedding[::step]):
        raise CheckpointError(
            f"{path}: {_OUTPUT} differs from the token embedding; Whisper ties them"
        )
