"""ONNX graphs as files, their weights beside them as external data (a protobuf ends at 2 GB)."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import onnx

from tercet.checkpoint.arrays import Checkpoint
from tercet.convert.builder import Graph, Store
from tercet.convert.cross import cross_graph
from tercet.convert.decoder import decoder_graph
from tercet.convert.encoder import encoder_graph
from tercet.convert.layers import Precision

PRECISIONS = {  # for any CPU, whatever the engine would choose on this one
    "int8": Precision(attention="rows", fc1="rows", fc2="rows", vocabulary="rows"),
    "float32": Precision(),
}
GRAPHS = ("encoder", "cross", "decoder")
_PAGE_BYTES = 4096  # data that starts on a page can be mapped
OnProgress = Callable[[int, int], None]


class Build(Protocol):
    """Builds a graph, its weights going to `store`."""

    def __call__(self, *, store: Store) -> Graph:
        """The graph."""
        ...


def graph_files() -> tuple[str, ...]:
    """The names of all files that `write_graphs` writes."""
    return tuple(name for graph in GRAPHS for name in (f"{graph}.onnx", f"{graph}.onnx.data"))


def write_graphs(
    checkpoint: Checkpoint,
    folder: Path,
    compute_type: str,
    *,
    on_progress: OnProgress = lambda done, total: None,
) -> None:
    """Write encoder, cross-attention and decoder step; one weight is in memory at a time.

    Args:
        checkpoint: What the graphs compute.
        folder: Where the files go; it is there.
        compute_type: "int8" or "float32".
        on_progress: Called with (graphs done, graphs in all).

    Raises:
        OSError: a file cannot be written.
    """
    precision = PRECISIONS[compute_type]
    builds: dict[str, Build] = {
        "encoder": partial(encoder_graph, checkpoint, precision, taps=False),
        "cross": partial(cross_graph, checkpoint, precision),
        "decoder": partial(decoder_graph, checkpoint, precision),
    }
    for number, name in enumerate(GRAPHS, start=1):
        write_graph(builds[name], folder / f"{name}.onnx")
        on_progress(number, len(GRAPHS))


def write_graph(build: Build, path: Path, *, first_offset: int = 0) -> None:
    """Build a graph into `path` and, beside it, its weights into `path` + ".data", one after the other.

    `first_offset` leaves a hole in front of the weights, for tests of large files.

    Raises:
        OSError: a file cannot be written.
    """
    data = path.with_name(f"{path.name}.data")
    with data.open("wb") as file:
        file.seek(first_offset)
        weights = _WeightFile(file, data)
        model = onnx.load_from_string(build(store=weights).model)
    for tensor in model.graph.initializer:
        if tensor.name in weights.places:
            _place(tensor, data.name, *weights.places[tensor.name])
    path.write_bytes(model.SerializeToString())


def inline_model(build: Build) -> onnx.ModelProto:
    """A graph with its weights inside, for engines that read no files beside it.

    Serialising it raises ValueError where it is more than a protobuf holds (2 GB).
    """
    graph = build(store=lambda _, array: array)
    model = onnx.load_from_string(graph.model)
    for tensor in model.graph.initializer:
        if (array := graph.weights.get(tensor.name)) is not None:
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    return model


class _WeightFile:
    """Where weights go as they come; what is handed back is mapped, and read from the disk if at all."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self.places: dict[str, tuple[int, int]] = {}  # name -> offset and length in bytes

    def __call__(self, name: str, array: np.ndarray) -> np.ndarray:
        offset = -(-self._file.tell() // _PAGE_BYTES) * _PAGE_BYTES
        self._file.seek(offset)
        self._file.write(array.reshape(-1).view("u1").data)
        self._file.flush()
        self.places[name] = (offset, array.nbytes)
        return np.memmap(self._path, array.dtype, "r", offset, array.shape)


def _place(tensor: onnx.TensorProto, location: str, offset: int, length: int) -> None:
    """Say where a tensor's bytes lie."""
    del tensor.external_data[:]
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
