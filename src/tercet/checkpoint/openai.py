"""OpenAI's single-file layout: a `.pt` with "dims" and "model_state_dict"."""

from collections.abc import Mapping
from pathlib import Path

from tercet.checkpoint.arrays import Generation
from tercet.checkpoint.naming import Slot, openai_slots
from tercet.checkpoint.settings import checked_geometry, whole_number
from tercet.checkpoint.sources import SlottedCheckpoint, check_leftovers, check_shapes
from tercet.checkpoint.torch_file import open_torch_file
from tercet.errors import CheckpointError

_SIZES = {
    "n_mels": "n_mels",
    "width": "n_audio_state",
    "encoder_layers": "n_audio_layer",
    "encoder_heads": "n_audio_head",
    "decoder_layers": "n_text_layer",
    "decoder_heads": "n_text_head",
    "vocab_size": "n_vocab",
    "n_audio_ctx": "n_audio_ctx",
    "n_text_ctx": "n_text_ctx",
}
_STEM = "encoder.conv1.weight"
# Buffers that older versions of openai-whisper stored; both follow from the geometry.
_HARMLESS = ("decoder.mask", "alignment_heads")


def open_openai(path: Path) -> SlottedCheckpoint:
    """Open a file that openai-whisper (or a fine-tune in its format) wrote.

    The file says nothing about suppressed tokens or alignment heads: they are derived later.

    Raises:
        UnsafePickleError: it wants to call the operating system.
        CheckpointError: it is damaged, or holds something else.
    """
    file = open_torch_file(path)
    value = file.value
    if not isinstance(value, dict):
        raise CheckpointError(
            f"{path}: holds a pickled object, not named tensors; save its state_dict and dims"
        )
    dims, state = value.get("dims"), value.get("model_state_dict")
    if not isinstance(dims, Mapping) or not isinstance(state, Mapping):
        raise CheckpointError(
            f"{path}: no 'dims' and 'model_state_dict'; not OpenAI's layout. "
            "A pytorch_model.bin is opened by its folder, with its config.json"
        )
    sizes = {ours: whole_number(dims, theirs, path) for ours, theirs in _SIZES.items()}
    if whole_number(dims, "n_text_state", path) != sizes["width"]:
        raise CheckpointError(f"{path}: n_audio_state and n_text_state differ; not a Whisper model")
    geometry = checked_geometry(path, sizes)
    source = file.tensors(state)
    stem = min((key for key in source.refs if key.endswith(_STEM)), key=len, default=_STEM)
    prefix = stem.removesuffix(_STEM)
    slots = {name: Slot(prefix + slot.key) for name, slot in openai_slots(geometry).items()}
    known = {slot.key for slot in slots.values()}
    leftovers = [key.removeprefix(prefix) for key in source.refs if key not in known]
    check_leftovers(path, leftovers, _HARMLESS)
    check_shapes(path, source, slots, geometry)
    return SlottedCheckpoint(
        path=path,
        layout="openai",
        geometry=geometry,
        generation=Generation(),
        tokenizer_file=None,
        source=source,
        slots=slots,
    )
