"""The torch side: modules, and the torch engine. Importing this package does not import torch."""

from typing import TYPE_CHECKING

from tercet.checkpoint.arrays import Checkpoint
from tercet.errors import EngineError

if TYPE_CHECKING:
    from tercet.model.engine import TorchDecoder, TorchEncoder

__all__ = ["load_torch"]


def load_torch(
    checkpoint: Checkpoint,
    device: str = "cpu",
    dtype: str = "float32",
    *,
    taps: bool = True,
    threads: int | None = None,
) -> "tuple[TorchEncoder, TorchDecoder]":
    """The torch engine with a checkpoint's weights.

    Args:
        checkpoint: Any open checkpoint.
        device: "cpu", "cuda", "cuda:1", ..
        dtype: "float32", "float16" or "bfloat16"; results are float32 all the same.
        taps: Whether `encode` gives every block's output.
        threads: CPU threads; torch has one pool per process, so this holds for all of its users.

    Raises:
        EngineError: torch is not installed, or cannot use the device or dtype.
        CheckpointError: an array cannot be read.
    """
    try:
        from tercet.model.engine import build_torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise EngineError(
            "the torch engine needs torch, which is not installed: pip install 'tercet[torch]'"
        ) from error
    return build_torch(checkpoint, device, dtype, taps=taps, threads=threads)
