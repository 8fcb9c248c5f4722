"""A draft head on ONNX Runtime, beside the decoder whose windows it hears."""

from typing import TYPE_CHECKING

import numpy as np

from tercet.checkpoint.arrays import Checkpoint
from tercet.checkpoint.heads import DraftHead
from tercet.convert.decoder import EMBEDDING
from tercet.convert.draft import draft_graph
from tercet.convert.layers import Precision
from tercet.engine.onnx import open_graph
from tercet.engine.onnx_bound import Binding
from tercet.engine.onnx_session import OnnxSession
from tercet.engine.protocol import Session

if TYPE_CHECKING:
    import onnxruntime


class OnnxDrafter:
    """`engine.protocol.Drafter` on ONNX Runtime."""

    def __init__(
        self,
        head: DraftHead,
        checkpoint: Checkpoint,
        precision: Precision,
        *,
        threads: int | None,
    ) -> None:
        """Build and open the graph; checkpoint and precision are those of the decoder's steps."""
        self._session = open_graph(draft_graph(head, checkpoint, precision), threads=threads)
        self._words = _Words(checkpoint)
        self._layer = head.layer

    def open(self, session: Session) -> "OnnxDraftSteps":
        """Start over the rows of a session; good until it is reordered."""
        assert isinstance(session, OnnxSession)  # of the decoder that this was made for
        return OnnxDraftSteps(self._session, self._words, session, self._layer)


class OnnxDraftSteps:
    """`engine.protocol.DraftSteps` on ONNX Runtime."""

    def __init__(
        self,
        graph: "onnxruntime.InferenceSession",
        words: "_Words",
        session: OnnxSession,
        layer: int,
    ) -> None:
        self._words, self._decoding, self._layer = words, session, layer
        cross, frames = session.heard(layer)
        rows, width = len(frames), words.width
        self._word = np.zeros((rows, 1, width), np.float32)
        self._hidden = np.zeros((rows, 1, width), np.float32)
        self._last = np.zeros(rows, np.int32)
        self._total = np.zeros((), np.int32)
        self._next = np.zeros((rows, 1), np.int64)
        self._share = np.zeros((rows, 1), np.float32)
        self._next_hidden = np.zeros((rows, 1, width), np.float32)
        self._binding = Binding(graph, "could not draft")
        self._binding.read("word", self._word)
        self._binding.read("hidden", self._hidden)
        self._binding.read("last", self._last)
        self._binding.read("total", self._total)
        self._binding.read_cross(cross, frames)
        self._binding.write("next", self._next)
        self._binding.write("share", self._share)
        self._binding.write("next_hidden", self._next_hidden)
        self._past: dict[str, np.ndarray] = {}

    def step(
        self, tokens: np.ndarray, hidden: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `engine.protocol.DraftSteps.step`.

        Raises:
            EngineError: ONNX Runtime failed.
        """
        self._read_past()
        self._word[:, 0] = self._words.of(tokens)
        self._hidden[:, 0] = hidden
        self._binding.run()
        return self._next[:, 0].copy(), self._share[:, 0].copy(), self._next_hidden[:, 0]

    def _read_past(self) -> None:
        """The text that is verified so far; its memory moves when it has grown out of it."""
        lengths = self._decoding.lengths
        self._last[...] = lengths - 1
        self._total[...] = lengths.max()
        past = self._decoding.written(self._layer)
        if past["key"] is not self._past.get("key"):
            self._past = past
            for name, array in past.items():
                self._binding.read(f"past_{name}", array)
                self._binding.write(f"present_{name}", array)


class _Words:
    """The decoder's embeddings, row by row: a graph of its own would hold all of them once more."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        name = f"{EMBEDDING}.weight"
        self._stored = checkpoint.read_int8(name)
        self._table = None if self._stored is not None else checkpoint.read(name)
        self.width = checkpoint.geometry.width

    def of(self, tokens: np.ndarray) -> np.ndarray:
        """Embeddings float32 [rows, width] of tokens int64 [rows]."""
        if self._table is not None:
            return np.asarray(self._table[tokens], np.float32)
        assert self._stored is not None  # one of both is there
        values, scales = self._stored.values[tokens], self._stored.scales[tokens]
        repeated = np.repeat(scales, values.shape[1] // max(1, scales.shape[1]), axis=1)
        words: np.ndarray = np.multiply(values, repeated, dtype=np.float32)
        return words
