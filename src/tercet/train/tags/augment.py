"""What happens to taps and targets on the way into training: mixup, time masks, label smoothing.

As in Whisper-AT's training (arXiv:2307.03183, and its code): on cached features, never on sound.
"""

import numpy as np


def mixed(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """`share` of the first and the rest of the second: taps of one shape, or targets of one shape."""
    blend: np.ndarray = share * first + (1 - share) * second
    return blend.astype(np.float32)


def masked(taps: np.ndarray, most_frames: int, rng: np.random.Generator) -> np.ndarray:
    """Up to `most_frames` neighbouring frames set to 0 in all layers (SpecAugment's time mask).

    `taps` is [layers, frames, width]; what comes back is a copy. Length and place are drawn as torchaudio's
    TimeMasking does: the length from 0 to below `most_frames`, the place so that it may hang over no edge.
    """
    taps = taps.copy()
    frames = taps.shape[1]
    length = min(rng.random() * most_frames, frames)
    start = rng.random() * (frames - length)
    taps[:, int(start) : int(start) + int(length)] = 0
    return taps


def smoothed(targets: np.ndarray, amount: float, *, is_mixed: bool) -> np.ndarray:
    """Targets 0..1 [labels] with the certainty taken out, as Whisper-AT has it.

    What is not heard becomes amount / labels, what is heard 1 - amount; of mixed windows that much of the
    target is added to the floor.
    """
    floor = amount / targets.size
    heard = (1 - amount) * targets
    result: np.ndarray = heard + (floor if is_mixed else floor * (1 - targets))
    return result.astype(np.float32)
