"""The same weights in the originals' layouts: OpenAI's .pt, Whisper-AT's .pth, Ichigo's Lightning .pth.

Reads no original's code; who opens the files is `systems.py`'s concern.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from tercet.checkpoint.arrays import Checkpoint
from tercet.checkpoint.heads import Quantizer, TagHead
from tercet.checkpoint.ichigo import ICHIGO_KEYS
from tercet.checkpoint.naming import openai_slots
from tercet.checkpoint.whisper_at import WHISPER_AT_KEYS

DIMS = {  # OpenAI's name of a size -> ours
    "n_mels": "n_mels",
    "n_audio_ctx": "n_audio_ctx",
    "n_audio_state": "width",
    "n_audio_head": "encoder_heads",
    "n_audio_layer": "encoder_layers",
    "n_vocab": "vocab_size",
    "n_text_ctx": "n_text_ctx",
    "n_text_state": "width",
    "n_text_head": "decoder_heads",
    "n_text_layer": "decoder_layers",
}
CODEBOOK = "codebook"


def write_whisper(path: Path, checkpoint: Checkpoint) -> None:
    """As openai-whisper and whisper-at read it."""
    slots = openai_slots(checkpoint.geometry)
    sizes = asdict(checkpoint.geometry)
    tensors = {slot.key: tensor(checkpoint.read(name)) for name, slot in slots.items()}
    dims = {name: sizes[ours] for name, ours in DIMS.items()}
    torch.save({"dims": dims, "model_state_dict": tensors}, path)


def write_whisper_at(path: Path, head: TagHead) -> None:
    """As published: a flat dict, `at_model.` before every name."""
    named = {f"at_model.{theirs}": array for theirs, array in renamed(head, WHISPER_AT_KEYS)}
    torch.save({name: tensor(array) for name, array in named.items()}, path)


def write_ichigo(path: Path, head: Quantizer, blank: Mapping[str, torch.Tensor]) -> None:
    """A Lightning checkpoint; `blank` is a new module's state, whose counters and tables are kept."""
    state = {name: value.clone() for name, value in blank.items()}
    for theirs, array in renamed(head, ICHIGO_KEYS):
        value = tensor(array)
        if theirs.endswith("._codebook.embed"):
            value = value[None]
            state[theirs.removesuffix("embed") + "embed_avg"] = value.clone()
        if state[theirs].shape != value.shape:
            raise ValueError(f"{theirs}: {tuple(value.shape)}, {tuple(state[theirs].shape)} wanted")
        state[theirs] = value
    torch.save({"state_dict": {f"model.{name}": value for name, value in state.items()}}, path)


def renamed(head: TagHead | Quantizer, table: Mapping[str, str]) -> list[tuple[str, np.ndarray]]:
    """A head's arrays under an original's names; `{}` in the table is the number of a level or a block."""
    found = []
    for name in head.arrays.names():
        module, leaf = (name, "") if name.endswith(CODEBOOK) else name.rsplit(".", 1)
        parts = module.split(".")
        number = next((part for part in parts if part.isdigit()), "")
        theirs = table[".".join("{}" if part == number else part for part in parts)]
        found.append((theirs.format(number) + (f".{leaf}" if leaf else ""), head.arrays.read(name)))
    return found


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))
