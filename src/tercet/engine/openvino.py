"""OpenVINO for what runs once per window: the encoder, and the keys and values of cross-attention.

Opens the same graphs as ONNX Runtime. On processors with AMX it multiplies in bfloat16, elsewhere in 8
bits with a scale per row and block, or in float32.
"""

import os
import tempfile
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from tercet import telemetry
from tercet.checkpoint.arrays import Checkpoint
from tercet.convert.cross import cross_graph
from tercet.convert.encoder import encoder_graph
from tercet.convert.export import Build, inline_model, write_graph
from tercet.convert.layers import Precision
from tercet.engine import availability
from tercet.engine.graph_encoder import GraphEncoder
from tercet.errors import EngineError

if TYPE_CHECKING:
    import openvino

Shapes = Mapping[str, tuple[int, ...]]


class OpenVinoGraph:
    """`engine.protocol.OpenGraph` on OpenVINO's CPU plugin."""

    def __init__(
        self, build: Build, *, threads: int | None, arithmetic: str, usual: Shapes
    ) -> None:
        """Open a graph.

        Args:
            build: Builds it.
            threads: None means one per core.
            arithmetic: "bf16" or "f32", for what is not multiplied in 8 bits.
            usual: The inputs' usual shapes, for which a faster program is compiled at once; other shapes
                share a slower one, compiled when the first of them comes.

        Raises:
            EngineError: OpenVINO is not installed, or refused the graph.
        """
        self._core = _the_core()
        self._settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": arithmetic,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            # Another engine's threads use the same cores meanwhile.
            "ENABLE_CPU_PINNING": False,
        }
        if threads is not None:
            self._settings["INFERENCE_NUM_THREADS"] = threads
        self._usual = {name: tuple(shape) for name, shape in usual.items()}
        try:
            try:
                published = self._read_mapped(build)
            except OSError:  # no room for temporary files, or no folder for them
                published = self._read_inline(build)
            # A value keeps the names that optimising gave it beside its own.
            self._names = [(output.names & published).pop() for output in self._model.outputs]
            self._request = self._compile(self._usual)
        except Exception as fault:  # OpenVINO raises RuntimeError and its own types
            raise _failure("could not open the model", fault) from fault
        self._other: openvino.InferRequest | None = None

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `OpenGraph.run`."""
        try:
            request = self._request
            if any(self._usual.get(name) != array.shape for name, array in inputs.items()):
                self._other = self._other or self._begun(self._compile(None), inputs)
                request = self._other
            request.infer(dict(inputs), share_inputs=True)
            # Copies: the request's own memory is written again by the next window.
            return {
                name: np.array(request.get_output_tensor(i).data)
                for i, name in enumerate(self._names)
            }
        except Exception as fault:  # OpenVINO raises RuntimeError and its own types
            raise _failure("could not hear a window", fault) from fault

    def _read_mapped(self, build: Build) -> set[str]:
        """Read the graph from a file, whose weights are mapped; returns the names of its outputs.

        Raises:
            OSError: it cannot be written.
        """
        folder = tempfile.TemporaryDirectory(prefix="tercet-", ignore_cleanup_errors=True)
        path = Path(folder.name, "graph.onnx")
        write_graph(build, path)
        written = onnx.load(path, load_external_data=False)
        self._model = self._core.read_model(path)
        if os.name == "posix":  # what is mapped stays
            folder.cleanup()
        else:  # Windows keeps the file as long as it is mapped
            self._folder = folder
        return {output.name for output in written.graph.output}

    def _read_inline(self, build: Build) -> set[str]:
        """The same without a file: the weights are in memory several times meanwhile."""
        model = inline_model(build)
        self._model = self._core.read_model(model.SerializeToString())
        return {output.name for output in model.graph.output}

    def _begun(
        self, request: "openvino.InferRequest", inputs: Mapping[str, np.ndarray]
    ) -> "openvino.InferRequest":
        """A request of free shapes that has computed something long.

        One that begins with a time of 1 gives noise for whatever longer comes later (2026.4).
        """
        longer = {
            name: np.zeros(self._usual.get(name, array.shape), array.dtype)
            for name, array in inputs.items()
        }
        request.infer(longer)
        return request

    def _compile(self, shapes: Shapes | None) -> "openvino.InferRequest":
        model = self._model
        if shapes is not None:
            model = model.clone()
            model.reshape({name: list(shape) for name, shape in shapes.items()})
        return self._core.compile_model(model, "CPU", self._settings).create_infer_request()


class OpenVinoEncoder(GraphEncoder):
    """One window at a time."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        precision: Precision,
        *,
        threads: int | None,
        taps: bool,
        arithmetic: str,
    ) -> None:
        """Build and open the graph; arguments as `OpenVinoGraph`'s.

        Raises:
            EngineError: OpenVINO is not installed, or refused the graph.
        """
        geometry = checkpoint.geometry
        frames = geometry.n_audio_ctx
        usual: dict[str, tuple[int, ...]] = {"mel": (1, geometry.n_mels, 2 * frames)}
        if taps:
            usual["pooling"] = (-(-frames // 20), frames)
        build = partial(encoder_graph, checkpoint, precision, taps=taps)
        opened = OpenVinoGraph(build, threads=threads, arithmetic=arithmetic, usual=usual)
        super().__init__(opened, geometry, taps=taps)


def open_cross(
    checkpoint: Checkpoint, precision: Precision, *, threads: int | None, arithmetic: str
) -> OpenVinoGraph:
    """`convert.cross.cross_graph` on OpenVINO, for `engine.onnx.OnnxDecoder`."""
    geometry = checkpoint.geometry
    usual = {"states": (1, geometry.n_audio_ctx, geometry.width)}
    build = partial(cross_graph, checkpoint, precision)
    return OpenVinoGraph(build, threads=threads, arithmetic=arithmetic, usual=usual)


@cache
def _the_core() -> "openvino.Core":
    """The process's one core, kept until the process ends.

    Its CPU plugin gives the thread that opens it another stack for signals, and takes it back when the core
    goes. With several cores that stack can stay in use after its memory is gone (2026.4): the next Ctrl-C is
    then a segmentation fault.
    """
    telemetry.switch_off()
    try:
        import openvino
    except ModuleNotFoundError as fault:
        raise availability.missing("openvino") from fault
    return openvino.Core()


def _failure(what: str, fault: Exception) -> EngineError:
    """OpenVINO's own words, the last line of them (the first ones say where in its source)."""
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
    reason = lines[-1] if lines else type(fault).__name__
    return EngineError(f"OpenVINO {what}: {reason}; free memory, or give engine 'onnx'")
