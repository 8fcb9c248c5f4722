"""What ichigo's two packages share: codes to text in one greedy attempt, and the shape of codes."""

from typing import Any

import numpy as np

from tercet.listener import Model
from tercet.results import Transcript

WINDOW_S = 30  # heard and decoded at once


def text_of(model: Model, codes: Any, language: str | None) -> Transcript:
    """The text of codes as `whisper.decode` writes it: greedily, once, with no threshold.

    Raises:
        TokensError: the codes cannot be used.
    """
    return model.detokenize(
        codes,
        language=language,
        temperature=0.0,
        compression_ratio_threshold=None,
        logprob_threshold=None,
        no_speech_threshold=None,
    )


def one_row(codes: np.ndarray) -> Any:
    """int64 [1, n]: a torch tensor where torch is installed, else an array."""
    from tercet.model.tensors import as_tensor_if_possible  # late: only results need torch

    return as_tensor_if_possible(codes[None].astype(np.int64))
