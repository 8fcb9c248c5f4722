"""The sound of labelled windows, and what is done to it before it is learnt from."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tercet.audio.load import load
from tercet.dataset.label_table import Label, Span
from tercet.train.text.recipe import SoundRecipe
from tercet.train.waveforms import coloured_noise

RATE_HZ = 16000
_FRAMES_PER_S = 100
_SILENT = 1e-6
WINDOW_S = 30.0


class SpanReader:
    """Reads stretches of recordings; the next one of the same recording goes on where it was.

    So the windows of a long recording, in their order, cost one pass over it and not one each.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._blocks: Iterator[np.ndarray] = iter(())
        self._held = np.empty(0, np.float32)
        self._start = 0  # of what is held, in samples

    def window(self, label: Label) -> np.ndarray:
        """A window's sound, float32 [samples], mono, 16 kHz; silence between its spans.

        Raises:
            AudioError: a recording cannot be heard.
        """
        samples = np.zeros(round(label.duration_s * RATE_HZ), np.float32)
        for span in label.spans:
            part = self._read(span)
            at = round(span.at_s * RATE_HZ)
            part = part[: max(0, samples.size - at)]
            samples[at : at + part.size] = part
        return samples

    def _read(self, span: Span) -> np.ndarray:
        first = round(span.start_s * RATE_HZ)
        last = first + round(span.duration_s * RATE_HZ)
        if self._path != Path(span.path) or first < self._start:
            self._path = Path(span.path)
            self._blocks = load(self._path).blocks()
            self._held, self._start = np.empty(0, np.float32), 0
        while self._start + self._held.size < last:
            block = next(self._blocks, None)
            if block is None:
                break
            kept = self._held[max(0, first - self._start) :]
            self._start += self._held.size - kept.size
            self._held = np.concatenate([kept, block])
        part: np.ndarray = self._held[max(0, first - self._start) : max(0, last - self._start)]
        return part


def speed_of(duration_s: float, recipe: SoundRecipe, seed: int) -> float:
    """How many times as fast a window is played; never so slowly that it would be longer than 30 s.

    The sound and the text of a draw ask for it separately, and get the same.
    """
    drawn = float(np.random.default_rng([seed, 2]).uniform(*recipe.speed))
    return max(drawn, min(1.0, duration_s / WINDOW_S))


def changed(samples: np.ndarray, recipe: SoundRecipe, rng: np.random.Generator) -> np.ndarray:
    """Another level, and now and then noise: white to brown, as loud as the recipe says."""
    gain = 10 ** (rng.uniform(*recipe.gain_db) / 20)
    level = float(np.sqrt(np.mean(samples**2)))
    is_noisy = rng.random() < recipe.noise_share
    snr_db, colour = rng.uniform(*recipe.snr_db), rng.uniform(0, 2)
    if is_noisy and level > _SILENT:
        noise = coloured_noise(samples.size, colour, rng)
        scale = level * 10 ** (-snr_db / 20) / max(_SILENT, float(np.sqrt(np.mean(noise**2))))
        samples = samples + noise * scale
    return np.clip(samples * gain, -1, 1).astype(np.float32)


def masked(
    mel: np.ndarray, real_frames: int, recipe: SoundRecipe, rng: np.random.Generator
) -> np.ndarray:
    """SpecAugment: stretches of time and bands of the spectrogram take its mean value.

    Args:
        mel: float32 [bins, frames], 100 frames per second.
        real_frames: How many of them are sound; what is behind stays as it is.
        recipe: How many and how large.
        rng: Of the choices.
    """
    if not recipe.time_masks and not recipe.mel_masks:
        return mel
    mel = mel.copy()
    sound = mel[:, :real_frames]
    mean = float(sound.mean()) if sound.size else 0.0
    longest = round(recipe.time_mask_s * _FRAMES_PER_S)
    for first, last in _stretches(recipe.time_masks, longest, sound.shape[1], rng):
        sound[:, first:last] = mean
    for first, last in _stretches(recipe.mel_masks, recipe.mel_mask_bins, sound.shape[0], rng):
        sound[first:last] = mean
    return mel


def _stretches(
    count: int, longest: int, total: int, rng: np.random.Generator
) -> Sequence[tuple[int, int]]:
    found = []
    for _ in range(count):
        length = int(rng.integers(0, min(longest, total) + 1))
        first = int(rng.integers(0, total - length + 1))
        found.append((first, first + length))
    return found
