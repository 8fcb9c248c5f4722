"""What every engine refuses, and in which words. Nothing here computes."""

from collections.abc import Sequence

import numpy as np

from tercet.checkpoint.geometry import Geometry
from tercet.errors import EngineError


def encoder_frames(mel: np.ndarray, real_frames: int | None, geometry: Geometry) -> tuple[int, int]:
    """How many frames (50 per second) a log-mel has, and how many of them are sound.

    Args:
        mel: [n_mels, 2 x frames], 100 columns per second.
        real_frames: None means all.
        geometry: The model's sizes.

    Raises:
        EngineError: `mel` has another shape, or `real_frames` does not lie inside.
    """
    longest = 2 * geometry.n_audio_ctx
    columns = mel.shape[-1] if mel.ndim == 2 and len(mel) == geometry.n_mels else 0
    if columns % 2 or not 2 <= columns <= longest:
        raise EngineError(
            f"log-mel has shape {list(mel.shape)}; this model needs [{geometry.n_mels}, columns], "
            f"columns even and at most {longest}"
        )
    frames = columns // 2
    real = frames if real_frames is None else int(real_frames)
    if not 1 <= real <= frames:
        raise EngineError(f"real_frames is {real}; this window has 1..{frames}")
    return frames, real


def check_states(shape: Sequence[int], geometry: Geometry) -> None:
    """One window's encoder states are [frames, width].

    Raises:
        EngineError: they have another shape, or no frame.
    """
    if len(shape) != 2 or shape[1] != geometry.width or not shape[0]:
        raise EngineError(
            f"states have shape {list(shape)}; the decoder needs [frames, {geometry.width}]"
        )


def check_step(
    tokens: np.ndarray, counts: np.ndarray, keep: np.ndarray, lengths: np.ndarray, limit: int
) -> None:
    """The arguments of a step fit each other, the session's rows, and the text context.

    Raises:
        EngineError: they do not.
    """
    rows, n = len(lengths), tokens.shape[-1]
    if tokens.ndim != 2 or len(tokens) != rows or not n:
        raise EngineError(f"tokens have shape {list(tokens.shape)}; needed: [{rows}, 1..]")
    if counts.shape != (rows,) or np.any(counts < 1) or np.any(counts > n):
        raise EngineError(f"counts are {counts.tolist()}; needed: {rows} of 1..{n}")
    if keep.ndim != 2 or len(keep) != rows or np.any(keep < 0) or np.any(keep >= n):
        raise EngineError(f"keep has positions outside this step's 0..{n - 1}, or other rows")
    longest = int((lengths + counts).max(initial=0))
    if longest > limit:
        raise EngineError(
            f"{longest} tokens in a row; the model's text context is {limit}. "
            "Shorten the prompt, or stop earlier"
        )


def check_roll_back(wanted: np.ndarray, lengths: np.ndarray) -> None:
    """Rows can only become shorter.

    Raises:
        EngineError: one is shorter already, or these are other rows.
    """
    if wanted.shape != lengths.shape or np.any(wanted < 0) or np.any(wanted > lengths):
        raise EngineError(f"roll back: rows of {lengths.tolist()} tokens to {wanted.tolist()}")


def check_reorder(wanted: np.ndarray, rows: int) -> None:
    """Rows can only come from rows.

    Raises:
        EngineError: there is no such row.
    """
    if wanted.ndim != 1 or np.any(wanted < 0) or np.any(wanted >= rows):
        raise EngineError(f"cannot reorder {rows} rows to {wanted.tolist()}")
