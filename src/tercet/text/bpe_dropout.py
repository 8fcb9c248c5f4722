"""BPE dropout (Provilkov et al. 2020, arXiv:1910.13267): a word in other subwords of the same vocabulary.

The tokenizers library has it too, but draws from a generator of its own, which no seed reaches: a run that is
resumed would see other texts.
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np


def cut(
    word: str, ranks: Mapping[tuple[str, str], int], share: float, rng: np.random.Generator
) -> list[str]:
    """Merge a word's characters as BPE does; at every step each possible merge is skipped with a chance.

    Args:
        word: In the vocabulary's own characters (byte-level BPE: one per byte).
        ranks: Pairs that may be merged, the first ones earliest.
        share: The chance, 0..1: 0 is plain BPE, 1 leaves single characters.
        rng: Of the draws.
    """
    parts = list(word)
    while len(parts) > 1:
        pairs = enumerate(pairwise(parts))
        possible = [(ranks[pair], place) for place, pair in pairs if pair in ranks]
        kept = [each for each in possible if rng.random() >= share]
        if not kept:
            break
        _, place = min(kept)
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return parts
