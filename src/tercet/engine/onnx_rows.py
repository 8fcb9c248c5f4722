"""Buffers whose first axis is a session's rows: put together from windows, moved, cut to what is real."""

from collections.abc import Mapping, Sequence

import numpy as np


def joined(
    windows: Sequence[Mapping[str, np.ndarray]],
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """[1, ...] of each window -> [rows, ...], and how many frames each has, int64 [rows].

    A single window is taken as it is. What lies behind a shorter one's end is zero, and never read. Windows
    that are made when they are asked for are held one at a time.
    """
    rows = len(windows)
    first = windows[0]
    key = next(name for name in first if name.startswith("cross_key_"))
    frames = np.full(rows, first[key].shape[2], np.int64)
    if rows == 1:
        return dict(first), frames
    joined = {name: np.zeros((rows, *each.shape[1:]), each.dtype) for name, each in first.items()}
    for row in range(rows):
        window = windows[row] if row else first
        frames[row] = window[key].shape[2]
        for name, array in window.items():
            if name != "cross_ranges" and frames[row] > joined[name].shape[2]:
                joined[name] = _longer(joined[name], int(frames[row]))
            joined[name][row, ..., : array.shape[-2], :] = array[0]
    return joined, frames


def _longer(buffer: np.ndarray, frames: int) -> np.ndarray:
    """Keys or values [rows, heads, time, size] with room for more time."""
    rows, heads, time, size = buffer.shape
    longer = np.zeros((rows, heads, frames, size), buffer.dtype)
    longer[:, :, :time] = buffer
    return longer


def within(attention: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Attention weights [rows, .., frames] of each row's own frames, summing to 1; zero behind them."""
    longest = attention.shape[-1]
    if (frames == longest).all():
        return attention
    real = np.arange(longest) < frames[:, None, None, None]
    weights = attention * real
    within: np.ndarray = weights / weights.sum(-1, keepdims=True)
    return within


def moved(buffer: np.ndarray, rows: np.ndarray, length: int | None = None) -> np.ndarray:
    """Rows of a buffer [rows, ...] in new order; of a cache [rows, heads, context, ..] up to `length` tokens.

    In place where that destroys nothing that is still to be moved.
    """
    count = len(rows)
    stays = rows == np.arange(count)
    span = (slice(None), slice(length)) if length is not None else (slice(None),)
    if bool(np.all(stays | (rows >= count))) and buffer.flags.writeable:
        for row in np.flatnonzero(~stays).tolist():
            buffer[(row, *span)] = buffer[(rows[row], *span)]
        return buffer[:count]
    fresh = np.zeros((count, *buffer.shape[1:]), dtype=buffer.dtype)
    for row, old in enumerate(rows.tolist()):
        fresh[(row, *span)] = buffer[(old, *span)]
    return fresh
