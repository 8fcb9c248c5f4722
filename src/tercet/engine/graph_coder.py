"""A quantizer behind the seam, whichever engine has opened its two graphs, and what every coder refuses.

Codes of one window: states to codes, codes to states. Windows, times and files are others' concern.
"""

import threading
from collections.abc import Callable, Sequence

import numpy as np

from tercet.checkpoint.heads import Quantizer
from tercet.engine.protocol import OpenGraph
from tercet.errors import EngineError

_BARRED = -1e9  # cosines lie in -1..1; an infinity would make NaN of a cosine that is none


class GraphCoder:
    """`engine.protocol.Coder` over open graphs of `convert.quantizer`."""

    def __init__(
        self, encode: OpenGraph, open_decode: Callable[[], OpenGraph], head: Quantizer
    ) -> None:
        """Wrap graphs.

        Args:
            encode: `encode_graph`, open, in float32.
            open_decode: Opens `decode_graph`; called when the first codes are decoded, once. Whoever
                only makes codes never pays for it.
            head: What both were built from.
        """
        self._encode = encode
        self._open_decode = open_decode
        self._decode: OpenGraph | None = None
        self._lock = threading.Lock()  # one thread encodes while another decodes
        self.head = head

    def encode(self, states: np.ndarray, *, allow_mask: bool = False) -> np.ndarray:
        """Codes of one window: int32 [frames // downsample], or [.., depth] of a residual quantizer.

        Differs from Ichigo: the mask's code, which stands for no sound, is never chosen for sound.

        Args:
            states: float32 [frames, width], 50 frames per second. A last, incomplete group of
                `downsample` frames is left out.
            allow_mask: Let the mask's row be chosen like any other, as Ichigo and WhisperSpeech do.

        Raises:
            EngineError: the states have another width, are too many, or make no whole code.
        """
        states = np.ascontiguousarray(states, dtype=np.float32)
        frames = whole_frames(states.shape, self.head)
        bias = code_bias(self.head, allow_mask=allow_mask)
        inputs = {"states": states[None, :frames], "code_bias": bias}
        return as_codes(self._encode.run(inputs)["codes"], self.head)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """States for the decoder, float32 [positions, width], from one window's codes.

        Args:
            codes: int [n], or [n, depth] of a residual quantizer; at most 750 at 25 Hz. The rest of the
                window is filled with the mask (with code 0 where there is none).

        Raises:
            EngineError: too many codes, or one that the codebook lacks.
        """
        padded = whole_window(codes, self.head)
        with self._lock:
            if self._decode is None:
                self._decode = self._open_decode()
        states: np.ndarray = self._decode.run({"codes": padded})["states"][0]
        return states


def whole_frames(shape: Sequence[int], head: Quantizer) -> int:
    """How many of a window's frames make whole codes.

    Raises:
        EngineError: the states are not [frames, width], too many, or make no code.
    """
    if (
        len(shape) != 2
        or shape[1] != head.width
        or not head.downsample <= shape[0] <= head.positions
    ):
        raise EngineError(
            f"states have shape {list(shape)}; this quantizer needs [frames, {head.width}], "
            f"{head.downsample}..{head.positions} frames"
        )
    return shape[0] - shape[0] % head.downsample


def code_bias(head: Quantizer, *, allow_mask: bool) -> np.ndarray:
    """What is added to the cosines, float32 [codebook_size]: 0, and the mask is out of reach if need be."""
    bias = np.zeros(head.codebook_size, np.float32)
    if head.mask_code is not None and not allow_mask:
        bias[head.mask_code] = _BARRED
    return bias


def as_codes(codes: np.ndarray, head: Quantizer) -> np.ndarray:
    """Codes [n, depth] in the form that results have: int32, without levels where there is one."""
    narrow: np.ndarray = codes.astype(np.int32)
    return narrow[:, 0] if head.depth == 1 else narrow


def whole_window(codes: np.ndarray, head: Quantizer) -> np.ndarray:
    """One window's codes with the mask behind them: int64 [positions / downsample, depth].

    Raises:
        EngineError: they are no whole numbers, have other levels, are too many, or the codebook lacks one.
    """
    codes = np.asarray(codes)
    needed = "[codes]" if head.depth == 1 else f"[codes, {head.depth}]"
    flat = codes[:, None] if head.depth == 1 and codes.ndim == 1 else codes
    if flat.ndim != 2 or flat.shape[1] != head.depth:
        raise EngineError(f"codes have shape {list(codes.shape)}; this quantizer needs {needed}")
    if flat.size and not np.issubdtype(flat.dtype, np.integer):
        raise EngineError(f"codes are {flat.dtype}; give whole numbers")
    limit = head.positions // head.downsample
    if len(flat) > limit:
        raise EngineError(
            f"{len(flat)} codes in one window; it holds {limit} ({limit / head.rate_hz:g} s)"
        )
    outside = flat[(flat < 0) | (flat >= head.codebook_size)]
    if outside.size:
        raise EngineError(
            f"code {outside.flat[0]} is outside this codebook's 0..{head.codebook_size - 1}"
        )
    padded = np.full((limit, head.depth), head.mask_code or 0, np.int64)
    padded[: len(flat)] = flat
    return padded
