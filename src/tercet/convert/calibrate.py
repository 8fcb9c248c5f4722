"""Measure on real sound what goes into the encoder's matrices, for `smooth.fold`. Needs ONNX Runtime.

The whole encoder is in memory as float32 meanwhile.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice

import numpy as np

from tercet.audio.load import load
from tercet.audio.mel import log_mel
from tercet.checkpoint.arrays import Checkpoint
from tercet.convert.smooth import largest_of, probed_encoder
from tercet.errors import OptionError

WINDOWS = 16  # the largest value of a channel hardly grows after a dozen
_BLOCK_S = 10  # of `Recording.blocks`
_WINDOW_S = 30
_WINDOW_SAMPLES = _WINDOW_S * 16000


def windows_of(files: Sequence[str], count: int = WINDOWS) -> list[np.ndarray]:
    """Up to `count` windows of 30 s, joined from the starts of the files; float32 samples at 16 kHz.

    Short recordings share a window: filled up with nothing, each would measure mostly that. Only sound
    of less than a window in all is filled up.

    Raises:
        OptionError: there are no files.
        AudioError: a file cannot be heard.
    """
    if not files:
        raise OptionError("no recordings to calibrate with; give speech as the model will hear it")
    blocks_each = -(-count * _WINDOW_S // (_BLOCK_S * len(files)))
    held, windows = np.zeros(0, np.float32), list[np.ndarray]()
    for file in files:
        with load(file) as recording:
            held = np.concatenate([held, *islice(recording.blocks(), blocks_each)])
        while len(held) >= _WINDOW_SAMPLES:
            windows.append(held[:_WINDOW_SAMPLES])
            held = held[_WINDOW_SAMPLES:]
        if len(windows) >= count:
            return windows[:count]
    return windows or [held]


def measure(
    checkpoint: Checkpoint,
    windows: Sequence[np.ndarray],
    *,
    threads: int | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, np.ndarray]:
    """The largest absolute input of every encoder matrix, float16 [its columns], by group.

    Raises:
        EngineError: ONNX Runtime is out of memory.
    """
    from tercet.engine.onnx import open_graph  # late: the engine is built on this room

    graph, probes = probed_encoder(checkpoint)
    session = open_graph(graph, threads=threads)
    runs: list[Mapping[str, np.ndarray]] = []
    for number, samples in enumerate(windows, start=1):
        mel = log_mel(samples, n_mels=checkpoint.geometry.n_mels)
        values = session.run(list(probes), {"mel": _full(mel, 2 * checkpoint.geometry.n_audio_ctx)})
        runs.append(dict(zip(probes.values(), values, strict=True)))
        on_progress(number, len(windows))
    return {name: values.astype(np.float16) for name, values in largest_of(runs).items()}


def _full(mel: np.ndarray, frames: int) -> np.ndarray:
    """[1, n_mels, frames], filled up with 0.0 as the encoder hears short windows."""
    out = np.zeros((1, len(mel), frames), np.float32)
    out[0, :, : mel.shape[1]] = mel[:, :frames]
    return out
