"""The default engine: ONNX Runtime on a CPU.

Opens the graphs that `convert/` writes; decides nothing about decoding. What a session holds is in
`onnx_session.py`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tercet import telemetry
from tercet.checkpoint.arrays import Checkpoint
from tercet.checkpoint.geometry import Geometry
from tercet.convert.builder import Graph
from tercet.convert.cross import cross_graph
from tercet.convert.decoder import decoder_graph
from tercet.convert.encoder import encoder_graph
from tercet.convert.layers import Precision
from tercet.engine.checks import check_states
from tercet.engine.graph_encoder import GraphEncoder
from tercet.engine.onnx_bound import failure
from tercet.engine.onnx_session import OnnxSession
from tercet.engine.protocol import OpenGraph
from tercet.errors import EngineError

if TYPE_CHECKING:
    import onnxruntime

FLOAT32 = Precision()
INT8 = Precision(attention="rows", fc1="rows", fc2="rows", vocabulary="rows", cross_cache="int8")
_HEAD_WIDTH_STEP = 8  # of com.microsoft.GroupQueryAttention; every Whisper has 64
PRECISIONS = {"float32": FLOAT32, "int8": INT8}
Window = Mapping[str, np.ndarray]  # keys and values of cross-attention, as `cross_graph` names them


def open_graph(graph: Graph, *, threads: int | None) -> "onnxruntime.InferenceSession":
    """Hand a graph and its weights to ONNX Runtime, which makes copies in its kernels' layouts.

    Raises:
        EngineError: ONNX Runtime refused the graph (out of memory, or a release without one of its
            operators).
    """
    telemetry.switch_off()
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
        raise failure("could not open the model", fault) from fault


class OnnxGraph:
    """`engine.protocol.OpenGraph` on ONNX Runtime."""

    def __init__(self, graph: Graph, *, threads: int | None) -> None:
        self._session = open_graph(graph, threads=threads)
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `OpenGraph.run`."""
        try:
            outputs = self._session.run(self._names, dict(inputs))
        except Exception as fault:  # ONNX Runtime raises several unrelated types
            raise failure("could not hear a window", fault) from fault
        return dict(zip(self._names, outputs, strict=True))


class OnnxEncoder(GraphEncoder):
    """One window at a time.

    Batching gains nothing on a CPU, and a window alone cannot feel its neighbours.
    """

    def __init__(
        self, checkpoint: Checkpoint, precision: Precision, *, threads: int | None, taps: bool
    ) -> None:
        """Build and open the graph; `threads` None means one per core."""
        graph = encoder_graph(checkpoint, precision, taps=taps)
        super().__init__(OnnxGraph(graph, threads=threads), checkpoint.geometry, taps=taps)


class OnnxDecoder:
    """Opens sessions; holds the step graph and the cross-attention graph."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        precision: Precision,
        *,
        threads: int | None,
        cross: OpenGraph | None = None,
        step: "onnxruntime.InferenceSession | None" = None,
        heads: tuple[tuple[int, int], ...] | None = None,
    ) -> None:
        """Build and open the graphs.

        Args:
            checkpoint: The weights.
            precision: How they are multiplied.
            threads: None means one per core.
            cross: `cross_graph` of the same checkpoint and precision, opened by another engine.
            step: What `open_step` gave for the same checkpoint and precision.
            heads: (layer, head) pairs that `alignment()` gives, in this order; None: the checkpoint's.

        Raises:
            EngineError: the heads have a width that ONNX Runtime's attention does not take.
        """
        self._checkpoint = checkpoint
        self._precision = precision
        self._threads = threads
        self._cross = cross or OnnxGraph(cross_graph(checkpoint, precision), threads=threads)
        self._step = step or open_step(checkpoint, precision, threads=threads)
        self._aligned: onnxruntime.InferenceSession | None = None  # opened when first asked for
        self._heads = heads or alignment_heads(checkpoint)

    @property
    def geometry(self) -> Geometry:
        """The model's sizes."""
        return self._checkpoint.geometry

    @property
    def steps_rows_together(self) -> bool:
        """No: ONNX Runtime's attention takes several tokens for one row only."""
        return False

    def project(self, states: np.ndarray) -> Window:
        """Compute a window's cross-attention (see `engine.protocol.Decoder.project`).

        Raises:
            EngineError: `states` have another shape.
        """
        states = np.ascontiguousarray(states, dtype=np.float32)
        check_states(states.shape, self.geometry)
        return self._cross.run({"states": states[None]})

    def open(self, windows: Sequence[Window], *, align: bool = False) -> OnnxSession:
        """Start a session (see `engine.protocol.Decoder.open`)."""
        if not align:
            return OnnxSession(self._step, self.geometry, windows, aligned_heads=0)
        if self._aligned is None:
            graph = decoder_graph(self._checkpoint, self._precision, alignment_heads=self._heads)
            self._aligned = open_graph(graph, threads=self._threads)
        heads = len(self._heads)
        return OnnxSession(self._aligned, self.geometry, windows, aligned_heads=heads)


def open_step(
    checkpoint: Checkpoint, precision: Precision, *, threads: int | None
) -> "onnxruntime.InferenceSession":
    """Build and open the graph of a decoder's step.

    Raises:
        EngineError: the heads have a width that ONNX Runtime's attention does not take.
    """
    head_width = checkpoint.geometry.width // checkpoint.geometry.decoder_heads
    if head_width % _HEAD_WIDTH_STEP:
        raise EngineError(
            f"{checkpoint.path}: its decoder's heads are {head_width} wide; ONNX Runtime takes "
            f"multiples of {_HEAD_WIDTH_STEP}. Use engine 'torch'"
        )
    return open_graph(decoder_graph(checkpoint, precision), threads=threads)


def alignment_heads(checkpoint: Checkpoint) -> tuple[tuple[int, int], ...]:
    """The (layer, head) pairs whose attention follows the sound.

    The checkpoint's own, else every head of the upper half of the decoder (openai-whisper's rule).
    """
    if checkpoint.generation.alignment_heads:
        return checkpoint.generation.alignment_heads
    layers = checkpoint.geometry.decoder_layers
    heads = checkpoint.geometry.decoder_heads
    return tuple((layer, head) for layer in range(layers // 2, layers) for head in range(heads))
