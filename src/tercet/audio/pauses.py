"""Where to cut: the longest pause that holds a grid point, else the quietest point. No state, no files."""

from typing import Literal

import numpy as np

RATE_HZ = 16000
GRID_SAMPLES = 6400  # 0.4 s: ten 40 ms tokens, twenty 20 ms states, forty 10 ms frames
FRAME_SAMPLES = 160  # levels are measured every 10 ms
_GRID_FRAMES = GRID_SAMPLES // FRAME_SAMPLES

_SILENCE_POWER = 1e-10  # -100 dB: digital silence
_SMOOTH_FRAMES = 3  # the zero crossings of a low voice are no pauses
_NEAR_FRAMES = 5  # "quiet at a grid point" means 50 ms on both sides
_SHORTEST_PAUSE_FRAMES = 16  # longer than the closures of plosives inside words
_MARGIN_FRAMES = 5  # from a pause's edge, where words fade in and out
_QUIET_SHARE = 0.25  # of the way from the noise floor up to the voice, in dB
_FLOOR_PERCENTILE, _VOICE_PERCENTILE = 2, 90
_DEEPEST_FLOOR_DB = (
    45.0  # under the voice: digital silence must not make a room's noise count as sound
)
_LEAST_CONTRAST_DB = 12.0  # with less between floor and voice, energy does not tell them apart
_NO_VOICE = 0.35  # Silero's default for the end of speech


def levels_db(samples: np.ndarray) -> np.ndarray:
    """Power of each whole 10 ms in dB, float32 [n // 160]."""
    n_frames = samples.size // FRAME_SAMPLES
    frames = samples[: n_frames * FRAME_SAMPLES].reshape(n_frames, FRAME_SAMPLES)
    power = np.einsum("ij,ij->i", frames, frames) / FRAME_SAMPLES
    levels: np.ndarray = 10 * np.log10(np.maximum(power, np.float32(_SILENCE_POWER)))
    return levels


def quiet_frames(levels: np.ndarray, voice: np.ndarray | None) -> np.ndarray:
    """Which 10 ms belong to a pause, bool [n].

    `levels` in dB; `voice`: the probability of speech in each frame, None where nobody listened for it.
    A frame is quiet where its level is near the noise floor of these frames, or where no voice is heard.
    """
    kernel = np.full(_SMOOTH_FRAMES, 1 / _SMOOTH_FRAMES)
    reach = _SMOOTH_FRAMES // 2
    smooth = np.convolve(np.pad(levels, reach, mode="edge"), kernel, mode="valid")
    level = np.percentile(smooth, _VOICE_PERCENTILE)
    floor = max(np.percentile(smooth, _FLOOR_PERCENTILE), level - _DEEPEST_FLOOR_DB)
    contrast = level - floor
    quiet: np.ndarray = np.zeros(levels.size, bool)
    if contrast >= _LEAST_CONTRAST_DB:
        quiet |= smooth <= floor + _QUIET_SHARE * contrast
    if voice is not None:
        quiet |= voice < _NO_VOICE
    return quiet


def best_cut(
    samples: np.ndarray, voice: np.ndarray | None, earliest: int, latest: int
) -> tuple[int, Literal["pause", "seam"]]:
    """The grid point to cut at, as an offset into `samples`, and whether it lies in a pause.

    `samples` float32 [n] start on the grid; `earliest` and `latest` are grid points among them. `voice` as in
    `quiet_frames`. The longest pause that holds a grid point wins, in it the quietest point; without one,
    the quietest point of all. Of equals, the later one wins: fewer windows.
    """
    levels = levels_db(samples)
    points = np.arange(earliest, latest + 1, GRID_SAMPLES) // FRAME_SAMPLES
    near = _near_db(levels, points)
    quiet = quiet_frames(levels, voice)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(np.int8)))
    begins, ends = edges[::2], edges[1::2]
    run = np.searchsorted(begins, points, side="right") - 1
    inside = np.zeros(points.size, bool)
    lengths = np.zeros(points.size, np.int64)
    if begins.size:
        begin, end = begins[np.maximum(run, 0)], ends[np.maximum(run, 0)]
        lengths = end - begin
        inside = (run >= 0) & (begin + _MARGIN_FRAMES <= points) & (points <= end - _MARGIN_FRAMES)
        inside &= lengths >= _SHORTEST_PAUSE_FRAMES
    if inside.any():
        longest = inside & (lengths == lengths[inside].max())
        last_run = run[longest][-1]
        chosen = np.flatnonzero(longest & (run == last_run))
        return _quietest(near, chosen, points), "pause"
    return _quietest(near, np.arange(points.size), points), "seam"


def _near_db(levels: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The loudest 10 ms near each point."""
    reach = range(-_NEAR_FRAMES, _NEAR_FRAMES)
    around = np.stack([np.clip(points + step, 0, levels.size - 1) for step in reach])
    loudest: np.ndarray = levels[around].max(axis=0)
    return loudest


def _quietest(near: np.ndarray, chosen: np.ndarray, points: np.ndarray) -> int:
    lowest = chosen[near[chosen] <= near[chosen].min()][-1]
    return int(points[lowest]) * FRAME_SAMPLES
