"""The default engine: ONNX Runtime on a CPU. Opens the graphs that `convert/` writes; decides nothing about decoding."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tercet.checkpoint.arrays import Checkpoint
from tercet.checkpoint.geometry import Geometry
from tercet.convert.builder import Graph
from tercet.convert.decoder import cross_graph, decoder_graph
from tercet.convert.encoder import encoder_graph, pooling_weights
from tercet.convert.layers import Precision
from tercet.engine.protocol import Encoded
from tercet.errors import EngineError

if TYPE_CHECKING:
    import onnxruntime

FLOAT32 = Precision()
INT8 = Precision(attention="rows", fc1="rows", fc2="rows", vocabulary="rows")
PRECISIONS = {"float32": FLOAT32, "int8": INT8}


def open_graph(graph: Graph, *, threads: int | None) -> "onnxruntime.InferenceSession":
    """Hand a graph and its weights to ONNX Runtime.

    Raises:
        EngineError: ONNX Runtime refused the graph (out of memory, or a version without one of its operators).
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.inter_op_num_threads = 1
    if threads is not None:
        options.intra_op_num_threads = threads
    names = list(graph.weights)
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(graph.weights[name]) for name in names]
    options.add_external_initializers(names, values)
    try:
        return onnxruntime.InferenceSession(
            graph.model, options, providers=["CPUExecutionProvider"]
        )
    except Exception as fault:  # ONNX Runtime raises several unrelated types
        first_line = str(fault).strip().splitlines()[0]
        message = f"ONNX Runtime {onnxruntime.__version__} could not open the model: {first_line}"
        raise EngineError(message) from fault


class OnnxEncoder:
    """One window at a time: batching gains nothing on a CPU, and a window alone cannot feel its neighbours."""

    def __init__(
        self, checkpoint: Checkpoint, precision: Precision, *, threads: int | None, taps: bool
    ) -> None:
        self._geometry = checkpoint.geometry
        self._taps = taps
        self._session = open_graph(
            encoder_graph(checkpoint, precision, taps=taps), threads=threads
        )

    @property
    def geometry(self) -> Geometry:
        """The model's sizes."""
        return self._geometry

    def encode(self, mel: np.ndarray, *, real_frames: int | None = None) -> Encoded:
        """See `engine.protocol.Encoder.encode`."""
        frames = (mel.shape[-1] + 1) // 2
        if mel.ndim != 2 or mel.shape[0] != self._geometry.n_mels or not frames:
            wanted = f"[{self._geometry.n_mels}, mel frames]"
            raise EngineError(f"log-mel has shape {list(mel.shape)}; this model takes {wanted}")
        if frames > self._geometry.n_audio_ctx:
            limit = 2 * self._geometry.n_audio_ctx
            raise EngineError(f"log-mel has {mel.shape[-1]} frames; this model takes at most {limit}")
        feeds = {"mel": np.ascontiguousarray(mel, dtype=np.float32)[None]}
        if not self._taps:
            return Encoded(self._session.run(["states"], feeds)[0][0], None)
        real = frames if real_frames is None else real_frames
        feeds["pooling"] = pooling_weights(frames, real)
        states, taps = self._session.run(["states", "taps"], feeds)
        return Encoded(states[0], taps)


class OnnxDecoder:
    """Opens sessions; holds the step graph and the cross-attention graph."""

    def __init__(
        self, checkpoint: Checkpoint, precision: Precision, *, threads: int | None
    ) -> None:
        self._checkpoint = checkpoint
        self._precision = precision
        self._threads = threads
        self._cross = open_graph(
            cross_graph(checkpoint, precision.attention), threads=threads
        )
        self._step = open_graph(decoder_graph(checkpoint, precision), threads=threads)
        self._aligned: onnxruntime.InferenceSession | None = None

    @property
    def geometry(self) -> Geometry:
        """The model's sizes."""
        return self._checkpoint.geometry

    def open(self, states: np.ndarray, *, align: bool = False) -> "OnnxSession":
        """See `engine.protocol.Decoder.open`."""
        cross = self._cross_attention(np.asarray(states, dtype=np.float32))
        if not align:
            return OnnxSession(self._step, self.geometry, cross, align=False)
        if self._aligned is None:
            heads = alignment_heads(self._checkpoint)
            graph = decoder_graph(self._checkpoint, self._precision, alignment_heads=heads)
            self._aligned = open_graph(graph, threads=self._threads)
        return OnnxSession(self._aligned, self.geometry, cross, align=True)

    def _cross_attention(self, states: np.ndarray) -> dict[str, np.ndarray]:
        """Keys and values for each row, computed one row at a time (see `OnnxEncoder`)."""
        names = [output.name for output in self._cross.get_outputs()]
        buffers: dict[str, np.ndarray] = {}
        for row in range(len(states)):
            for name, array in zip(
                names, self._cross.run(names, {"states": states[row : row + 1]}), strict=True
            ):
                if row == 0:
                    buffers[name] = np.empty((len(states), *array.shape[1:]), dtype=np.float32)
                buffers[name][row] = array[0]
        return buffers


class OnnxSession:
    """Rows of one decoding run; the cache is a buffer per layer that the graph extends in place."""

    def __init__(
        self,
        session: "onnxruntime.InferenceSession",
        geometry: Geometry,
        cross: dict[str, np.ndarray],
        *,
        align: bool,
    ) -> None:
        self._session = session
        self._geometry = geometry
        self._cross = cross
        rows = len(next(iter(cross.values())))
        size = geometry.width // geometry.decoder_heads
        shape = (rows, geometry.decoder_heads, geometry.n_text_ctx, size)
        self._cache = {
            f"{part}_{index}": np.zeros(shape, dtype=np.float32)
            for index in range(geometry.decoder_layers)
            for part in ("key", "value")
        }
        self._lengths = np.zeros(rows, dtype=np.int64)
        self._attention: np.ndarray | None = None
        self._align = align

    @property
    def rows(self) -> int:
        """How many rows there are now."""
        return len(self._lengths)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens in each row's cache, int64 [rows]."""
        return self._lengths.copy()

    def step(
        self,
        tokens: np.ndarray,
        *,
        counts: np.ndarray | None = None,
        keep: np.ndarray | None = None,
    ) -> np.ndarray:
        """See `engine.protocol.Session.step`."""
        rows, width = tokens.shape
        counts = np.full(rows, width, np.int64) if counts is None else np.asarray(counts, np.int64)
        keep = (counts - 1)[:, None] if keep is None else np.asarray(keep, np.int64)
        if int((self._lengths + counts).max(initial=0)) > self._geometry.n_text_ctx:
            limit = self._geometry.n_text_ctx
            raise EngineError(f"a row would grow past {limit} tokens, this model's text context")
        tokens = np.asarray(tokens, np.int64)[:, : int(counts.max(initial=1))]
        # GroupQueryAttention takes several tokens for several rows only where no row has a past.
        together = rows == 1 or tokens.shape[1] == 1 or not self._lengths.any()
        groups = [slice(0, rows)] if together else [slice(row, row + 1) for row in range(rows)]
        outputs = [self._run(tokens, counts, keep, group) for group in groups]
        if self._align:
            self._remember([attention for _, attention in outputs], groups, counts)
        self._lengths = self._lengths + counts
        logits = [part for part, _ in outputs]
        return logits[0] if len(logits) == 1 else np.concatenate(logits)

    def roll_back(self, lengths: np.ndarray) -> None:
        """See `engine.protocol.Session.roll_back`. Costs nothing: what lies beyond a length is never read."""
        wanted = np.asarray(lengths, dtype=np.int64)
        if wanted.shape != self._lengths.shape or (wanted > self._lengths).any() or (wanted < 0).any():
            raise EngineError(f"cannot roll back from {self._lengths} to {wanted} tokens")
        self._lengths = wanted.copy()

    def reorder(self, rows: np.ndarray) -> None:
        """See `engine.protocol.Session.reorder`."""
        chosen = np.asarray(rows, dtype=np.int64)
        if np.array_equal(chosen, np.arange(self.rows)):
            return
        longest = int(self._lengths[chosen].max(initial=0))
        for name, buffer in self._cache.items():
            fresh = np.zeros((len(chosen), *buffer.shape[1:]), dtype=np.float32)
            fresh[:, :, :longest] = buffer[chosen, :, :longest]
            self._cache[name] = fresh
        self._cross = {name: buffer[chosen] for name, buffer in self._cross.items()}
        if self._attention is not None:
            self._attention = self._attention[chosen]
        self._lengths = self._lengths[chosen]

    def alignment(self) -> np.ndarray:
        """See `engine.protocol.Session.alignment`."""
        if not self._align:
            raise EngineError("this session keeps no attention; open it with align=True")
        longest = int(self._lengths.max(initial=0))
        if self._attention is None:
            return np.zeros((self.rows, 0, longest, 0), dtype=np.float32)
        return self._attention[:, :, :longest]

    def _run(
        self, tokens: np.ndarray, counts: np.ndarray, keep: np.ndarray, rows: slice
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """One call of the graph for some rows, past and present in the same memory."""
        tokens = np.ascontiguousarray(tokens[rows, : int(counts[rows].max())])
        past = self._lengths[rows]
        positions = np.minimum(
            past[:, None] + np.arange(tokens.shape[1]), self._geometry.n_text_ctx - 1
        )
        last = (past + counts[rows] - 1).astype(np.int32)
        feeds = {
            "tokens": tokens,
            "positions": positions,
            "last": last,
            "total": np.array(last.max() + 1, dtype=np.int32),
            "keep": keep[rows, :, None],
        }
        binding = self._session.io_binding()
        for name, array in (*feeds.items(), *_rows_of(self._cross.items(), rows)):
            _bind_input(binding, name, array)
        for name, buffer in _rows_of(self._cache.items(), rows):
            _bind_input(binding, f"past_{name}", buffer)
            binding.bind_output(
                f"present_{name}", "cpu", 0, np.float32, buffer.shape, buffer.ctypes.data
            )
        wanted = ["logits", "alignment"] if self._align else ["logits"]
        for name in wanted:
            binding.bind_output(name)
        self._session.run_with_iobinding(binding)
        logits, *rest = [value.numpy() for value in binding.get_outputs()[-len(wanted) :]]
        return logits, rest[0] if rest else None

    def _remember(
        self, parts: list[np.ndarray | None], groups: list[slice], counts: np.ndarray
    ) -> None:
        """Write this step's attention behind what each row already has."""
        for part, group in zip(parts, groups, strict=True):
            assert part is not None
            if self._attention is None:
                heads, frames = part.shape[1], part.shape[3]
                shape = (self.rows, heads, self._geometry.n_text_ctx, frames)
                self._attention = np.zeros(shape, dtype=np.float32)
            for row, attention in zip(range(group.start, group.stop), part, strict=True):
                start, count = self._lengths[row], counts[row]
                self._attention[row, :, start : start + count] = attention[:, :count]


def alignment_heads(checkpoint: Checkpoint) -> tuple[tuple[int, int], ...]:
    """The checkpoint's own, else every head of the last half of the decoder (openai-whisper's default)."""
    if checkpoint.generation.alignment_heads:
        return checkpoint.generation.alignment_heads
    layers = checkpoint.geometry.decoder_layers
    heads = checkpoint.geometry.decoder_heads
    return tuple((layer, head) for layer in range(layers // 2, layers) for head in range(heads))


def _rows_of(
    buffers: Iterable[tuple[str, np.ndarray]], rows: slice
) -> list[tuple[str, np.ndarray]]:
    return [(name, buffer[rows]) for name, buffer in buffers]


def _bind_input(binding: "onnxruntime.IOBinding", name: str, array: np.ndarray) -> None:
    """Bind memory as it lies: rows are the first axis, so any run of rows is contiguous."""
    contiguous = np.ascontiguousarray(array)
    binding.bind_ortvalue_input(name, _ort_value(contiguous))


def _ort_value(array: np.ndarray) -> "onnxruntime.OrtValue":
    import onnxruntime

    return onnxruntime.OrtValue.ortvalue_from_numpy(array)  # shares the memory on a CPU

