"""The default engine: ONNX Runtime on a CPU.

Opens the graphs that `convert/` writes; decides nothing about decoding.
"""

from typing import TYPE_CHECKING

import numpy as np

from tercet.checkpoint.arrays import Checkpoint
from tercet.checkpoint.geometry import Geometry
from tercet.convert.builder import Graph
from tercet.convert.decoder import cross_graph, decoder_graph
from tercet.convert.encoder import encoder_graph, pooling_weights
from tercet.convert.layers import Precision
from tercet.engine.checks import (
    check_reorder,
    check_roll_back,
    check_states,
    check_step,
    encoder_frames,
)
from tercet.engine.protocol import Encoded
from tercet.errors import EngineError

if TYPE_CHECKING:
    import onnxruntime

FLOAT32 = Precision()
INT8 = Precision(attention="rows", fc1="rows", fc2="rows", vocabulary="rows")
_HEAD_WIDTH_STEP = 8  # of com.microsoft.GroupQueryAttention; every Whisper has 64
PRECISIONS = {"float32": FLOAT32, "int8": INT8}


def open_graph(graph: Graph, *, threads: int | None) -> "onnxruntime.InferenceSession":
    """Hand a graph and its weights to ONNX Runtime, which makes copies in its kernels' layouts.

    Raises:
        EngineError: ONNX Runtime refused the graph (out of memory, or a release without one of its
            operators).
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised; a library writes nothing to stderr
    options.inter_op_num_threads = 1
    # Encoder and decoder have threads of their own; those that spin while they wait for work take the
    # others' cores. Measured on two shared cores: a decoder step takes a third of the time without.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
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
        raise _failure("could not open the model", fault) from fault


def _failure(what: str, fault: Exception) -> EngineError:
    """ONNX Runtime's own words, the first line of them."""
    import onnxruntime

    first_line = next(iter(str(fault).strip().splitlines()), type(fault).__name__)
    message = f"ONNX Runtime {onnxruntime.__version__} {what}: {first_line}"
    return EngineError(f"{message}; free memory, try another release, or engine 'torch'")


class OnnxEncoder:
    """One window at a time.

    Batching gains nothing on a CPU, and a window alone cannot feel its neighbours.
    """

    def __init__(
        self, checkpoint: Checkpoint, precision: Precision, *, threads: int | None, taps: bool
    ) -> None:
        """Build and open the graph; `threads` None means one per core."""
        self._geometry = checkpoint.geometry
        self._taps = taps
        graph = encoder_graph(checkpoint, precision, taps=taps)
        self._session = open_graph(graph, threads=threads)

    @property
    def geometry(self) -> Geometry:
        """The model's sizes."""
        return self._geometry

    def encode(self, mel: np.ndarray, *, real_frames: int | None = None) -> Encoded:
        """Encode one window (see `engine.protocol.Encoder.encode`).

        Raises:
            EngineError: `mel` has another shape, or `real_frames` does not lie inside.
        """
        frames, real = encoder_frames(mel, real_frames, self._geometry)
        feeds = {"mel": np.ascontiguousarray(mel, dtype=np.float32)[None]}
        if self._taps:
            feeds["pooling"] = pooling_weights(frames, real)
        try:
            states, *taps = self._session.run(None, feeds)
        except Exception as fault:  # ONNX Runtime raises several unrelated types
            raise _failure("could not encode a window", fault) from fault
        return Encoded(states[0], taps[0] if taps else None)


class OnnxDecoder:
    """Opens sessions; holds the step graph and the cross-attention graph."""

    def __init__(
        self, checkpoint: Checkpoint, precision: Precision, *, threads: int | None
    ) -> None:
        """Build and open the graphs; `threads` None means one per core.

        Raises:
            EngineError: the heads have a width that ONNX Runtime's attention does not take.
        """
        head_width = checkpoint.geometry.width // checkpoint.geometry.decoder_heads
        if head_width % _HEAD_WIDTH_STEP:
            raise EngineError(
                f"{checkpoint.path}: its decoder's heads are {head_width} wide; ONNX Runtime takes "
                f"multiples of {_HEAD_WIDTH_STEP}. Use engine 'torch'"
            )
        self._checkpoint = checkpoint
        self._precision = precision
        self._threads = threads
        self._cross = open_graph(cross_graph(checkpoint, precision.attention), threads=threads)
        self._step = open_graph(decoder_graph(checkpoint, precision), threads=threads)
        self._aligned: onnxruntime.InferenceSession | None = None  # opened when first asked for
        self._heads = alignment_heads(checkpoint)

    @property
    def geometry(self) -> Geometry:
        """The model's sizes."""
        return self._checkpoint.geometry

    def open(self, states: np.ndarray, *, align: bool = False) -> "OnnxSession":
        """Start a session (see `engine.protocol.Decoder.open`).

        Raises:
            EngineError: `states` have another shape.
        """
        states = np.ascontiguousarray(states, dtype=np.float32)
        check_states(states.shape, self.geometry)
        cross = self._cross_attention(states)
        if not align:
            return OnnxSession(self._step, self.geometry, cross, aligned_heads=0)
        if self._aligned is None:
            graph = decoder_graph(self._checkpoint, self._precision, alignment_heads=self._heads)
            self._aligned = open_graph(graph, threads=self._threads)
        return OnnxSession(self._aligned, self.geometry, cross, aligned_heads=len(self._heads))

    def _cross_attention(self, states: np.ndarray) -> dict[str, np.ndarray]:
        """Keys and values for each row, computed one row at a time (see `OnnxEncoder`)."""
        names = [output.name for output in self._cross.get_outputs()]
        buffers: dict[str, np.ndarray] = {}
        for row in range(len(states)):
            arrays = self._cross.run(names, {"states": states[row : row + 1]})
            for name, array in zip(names, arrays, strict=True):
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
        aligned_heads: int,
    ) -> None:
        """Start with empty rows.

        Args:
            session: The open step graph; with an `alignment` output if `aligned_heads` is not 0.
            geometry: The model's sizes.
            cross: The cross-attention graph's outputs, [rows, heads, frames, head size] each.
            aligned_heads: How many heads' attention the graph gives.
        """
        self._session = session
        self._limit = geometry.n_text_ctx
        self._vocab_size = geometry.vocab_size
        self._cross = cross
        rows, heads, frames, size = next(iter(cross.values())).shape
        # NumPy's zeros take no memory before they are written.
        self._cache = {
            f"{part}_{index}": np.zeros((rows, heads, self._limit, size), dtype=np.float32)
            for index in range(geometry.decoder_layers)
            for part in ("key", "value")
        }
        self._lengths = np.zeros(rows, dtype=np.int64)
        self._binding: onnxruntime.IOBinding | None = None
        self._voices = np.arange(rows)  # which of the opened states each row hears
        self._attention = (
            np.zeros((rows, aligned_heads, self._limit, frames), dtype=np.float32)
            if aligned_heads
            else None
        )

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
        """Append tokens and return logits (see `engine.protocol.Session.step`).

        Raises:
            EngineError: a row would grow past the model's text context, or the arguments do not
                fit.
        """
        tokens = np.asarray(tokens, np.int64)
        n = tokens.shape[-1]
        counts = np.full(self.rows, n, np.int64) if counts is None else np.asarray(counts, np.int64)
        keep = counts[:, None] - 1 if keep is None else np.asarray(keep, np.int64)
        check_step(tokens, counts, keep, self._lengths, self._limit)
        keep = np.minimum(keep, counts[:, None] - 1)  # behind a row's last token there is nothing
        if not self.rows:
            return np.zeros((0, keep.shape[1], self._vocab_size), dtype=np.float32)
        # GroupQueryAttention takes several tokens for several rows only where no row has a past.
        together = self.rows == 1 or n == 1 or not self._lengths.any()
        groups = [slice(0, self.rows)] if together else [slice(r, r + 1) for r in range(self.rows)]
        logits = [self._run(tokens, counts, keep, group) for group in groups]
        self._lengths = self._lengths + counts
        return logits[0] if len(logits) == 1 else np.concatenate(logits)

    def roll_back(self, lengths: np.ndarray) -> None:
        """Shorten each row's cache; costs nothing, for what lies beyond a length is never read.

        Raises:
            EngineError: a row is shorter than that already.
        """
        wanted = np.asarray(lengths, dtype=np.int64)
        check_roll_back(wanted, self._lengths)
        self._lengths = wanted.copy()

    def reorder(self, rows: np.ndarray) -> None:
        """Make row i a copy of old row `rows[i]`.

        Raises:
            EngineError: there is no such row.
        """
        chosen = np.asarray(rows, dtype=np.int64)
        check_reorder(chosen, self.rows)
        if np.array_equal(chosen, np.arange(self.rows)):
            return
        self._binding = None
        self._lengths = self._lengths[chosen]
        longest = int(self._lengths.max(initial=0))
        for name, buffer in self._cache.items():
            self._cache[name] = _moved(buffer, chosen, longest)
        if self._attention is not None:
            self._attention = _moved(self._attention, chosen, longest)
        voices = self._voices[chosen]
        if not np.array_equal(voices, self._voices):  # beams of one window swap without this copy
            self._voices = voices
            self._cross = {name: buffer[chosen] for name, buffer in self._cross.items()}

    def alignment(self) -> np.ndarray:
        """Attention weights of the chosen heads, float32 [rows, heads, tokens, frames].

        `tokens` is the longest row's length; behind a shorter row's end the weights are zero.

        Raises:
            EngineError: the session was opened without `align=True`.
        """
        if self._attention is None:
            raise EngineError("no alignment was kept; open the session with align=True")
        tokens = int(self._lengths.max(initial=0))
        real = np.arange(tokens) < self._lengths[:, None]
        kept: np.ndarray = self._attention[:, :, :tokens] * real[:, None, :, None]
        return kept

    def _run(
        self, tokens: np.ndarray, counts: np.ndarray, keep: np.ndarray, rows: slice
    ) -> np.ndarray:
        """One call of the graph for some rows, past and present in the same memory."""
        past, counts = self._lengths[rows], counts[rows]
        tokens = tokens[rows, : int(counts.max())]
        positions = np.minimum(past[:, None] + np.arange(tokens.shape[1]), self._limit - 1)
        last = (past + counts - 1).astype(np.int32)
        inputs = {
            "tokens": tokens,
            "positions": positions,
            "last": last,
            "total": np.array(last.max() + 1, dtype=np.int32),
            "keep": keep[rows, :, None],
        }
        binding = self._bound(rows)
        held = _bind_inputs(binding, inputs)
        binding.bind_output("logits")  # anew each time: its shape may have changed
        if self._attention is not None:
            binding.bind_output("alignment")
        try:
            self._session.run_with_iobinding(binding)
        except Exception as fault:  # ONNX Runtime raises several unrelated types
            raise _failure("could not take a step", fault) from fault
        del held  # not before: the graph has been reading their memory
        outputs = binding.get_outputs()[len(self._cache) :]
        if self._attention is not None:
            self._remember(outputs[1].numpy(), rows, counts)
        logits: np.ndarray = outputs[0].numpy()
        return logits

    def _bound(self, rows: slice) -> "onnxruntime.IOBinding":
        """The buffers of some rows, bound; for all rows this is done once per order of rows."""
        whole = rows == slice(0, self.rows)
        if whole and self._binding is not None:
            return self._binding
        binding = self._session.io_binding()
        # Nothing is copied here, so that the session's own buffers keep these views' memory alive.
        _bind_inputs(binding, {name: buffer[rows] for name, buffer in self._cross.items()})
        for name, buffer in self._cache.items():
            own = buffer[rows]
            _bind_inputs(binding, {f"past_{name}": own})
            binding.bind_output(f"present_{name}", "cpu", 0, np.float32, own.shape, own.ctypes.data)
        if whole:
            self._binding = binding
        return binding

    def _remember(self, attention: np.ndarray, rows: slice, counts: np.ndarray) -> None:
        """Write a step's attention [rows, heads, n, frames] behind what these rows already have."""
        assert self._attention is not None
        for row, part in enumerate(attention):
            start, count = int(self._lengths[rows][row]), int(counts[row])
            self._attention[rows.start + row, :, start : start + count] = part[:, :count]


def alignment_heads(checkpoint: Checkpoint) -> tuple[tuple[int, int], ...]:
    """The (layer, head) pairs whose attention follows the sound.

    The checkpoint's own, else every head of the upper half of the decoder (openai-whisper's rule).
    """
    if checkpoint.generation.alignment_heads:
        return checkpoint.generation.alignment_heads
    layers = checkpoint.geometry.decoder_layers
    heads = checkpoint.geometry.decoder_heads
    return tuple((layer, head) for layer in range(layers // 2, layers) for head in range(heads))


def _moved(buffer: np.ndarray, rows: np.ndarray, length: int) -> np.ndarray:
    """Rows of a cache buffer [rows, heads, context, size] in new order, up to `length` tokens."""
    fresh = np.zeros((len(rows), *buffer.shape[1:]), dtype=np.float32)
    for row, old in enumerate(rows):
        fresh[row, :, :length] = buffer[old, :, :length]
    return fresh


def _bind_inputs(
    binding: "onnxruntime.IOBinding", inputs: dict[str, np.ndarray]
) -> list[np.ndarray]:
    """Bind memory as it lies; return the arrays, which must live until the graph has run."""
    import onnxruntime

    held = []
    for name, array in inputs.items():
        contiguous = np.ascontiguousarray(array) if array.ndim else array
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(contiguous))
        held.append(contiguous)
    return held
