"""Speech with noise in it, at a chosen ratio. Plain NumPy; all chance comes from the generator passed in.

The mixing is that of Whisper-AT's noisy speech (arXiv:2307.03183): noise is repeated or cut to the length of
the speech and scaled to 10^(-snr/20) times the ratio of both RMS. Nothing keeps peaks under full scale.
"""

from collections.abc import Sequence

import numpy as np

from tercet.errors import DataError

VOICES = 6  # that babble is made of, where there are so many


def rms(samples: np.ndarray) -> float:
    """Root mean square over all samples; 0.0 of none."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if samples.size else 0.0


def fitted(noise: np.ndarray, n_samples: int) -> np.ndarray:
    """As long as asked: repeated from its beginning, or cut. `noise` has a sample at least."""
    return np.resize(noise, n_samples)


def mixed(speech: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Speech and noise together: float32, as long as the speech.

    Args:
        speech: float32 [n], mono.
        noise: float32 [any length but 0].
        snr_db: How many decibels the speech's RMS lies over the noise's.

    Raises:
        DataError: the noise is silent over that length, so that no gain gives the ratio.
    """
    same_length = fitted(noise, speech.size)
    loudness = rms(same_length)
    if loudness == 0.0:
        raise DataError(f"the noise is silent in its first {speech.size} samples; take another")
    gain = 10 ** (-snr_db / 20) * rms(speech) / loudness
    together: np.ndarray = (speech + gain * same_length).astype(np.float32)
    return together


def babble(voices: Sequence[np.ndarray], n_samples: int) -> np.ndarray:
    """Several people at once, equally loud: float32 [n_samples]. Silent voices add nothing."""
    total = np.zeros(n_samples)
    for voice in voices:
        same_length = fitted(voice, n_samples)
        total += same_length / max(rms(same_length), 1e-9)
    return total.astype(np.float32)
