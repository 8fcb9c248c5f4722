"""Checkpoint files -> named arrays, lazily, without torch. Start at `open_checkpoint`."""

from tercet.checkpoint.arrays import Checkpoint, Generation, Int8Matrix, MemoryCheckpoint
from tercet.checkpoint.geometry import Geometry
from tercet.checkpoint.opening import open_checkpoint
from tercet.checkpoint.save import save_hugging_face

__all__ = [
    "Checkpoint",
    "Generation",
    "Geometry",
    "Int8Matrix",
    "MemoryCheckpoint",
    "open_checkpoint",
    "save_hugging_face",
]
