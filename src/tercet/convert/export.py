"""ONNX graphs as files, their weights beside them as external data (a protobuf ends at 2 GB)."""

from collections.abc import Callable, Iterator
from pathlib import Path

import onnx

from tercet.checkpoint.arrays import Checkpoint
from tercet.convert.builder import Graph
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
    """Write encoder, cross-attention and decoder step; one graph is in memory at a time.

    Args:
        checkpoint: What the graphs compute.
        folder: Where the files go; it is there.
        compute_type: "int8" or "float32".
        on_progress: Called with (graphs done, graphs in all).

    Raises:
        OSError: a file cannot be written.
    """
    for number, (name, graph) in enumerate(_graphs(checkpoint, compute_type), start=1):
        write_graph(graph, folder / f"{name}.onnx")
        on_progress(number, len(GRAPHS))


def write_graph(graph: Graph, path: Path, *, first_offset: int = 0) -> None:
    """Write `path` and, beside it, `path` + ".data". The graph's weights are let go as they are written.

    `first_offset` leaves a hole in front of the weights, for tests of large files.

    Raises:
        OSError: a file cannot be written.
    """
    data = path.with_name(f"{path.name}.data")
    model = onnx.load_from_string(graph.model)
    declared = {tensor.name: tensor for tensor in model.graph.initializer}
    with data.open("wb") as file:
        file.seek(first_offset)
        for name in list(graph.weights):
            array = graph.weights.pop(name)
            offset = -(-file.tell() // _PAGE_BYTES) * _PAGE_BYTES
            file.seek(offset)
            file.write(array.reshape(-1).view("u1").data)
            _place(declared[name], data.name, offset, array.nbytes)
    path.write_bytes(model.SerializeToString())


def _graphs(checkpoint: Checkpoint, compute_type: str) -> Iterator[tuple[str, Graph]]:
    precision = PRECISIONS[compute_type]
    yield "encoder", encoder_graph(checkpoint, precision, taps=False)
    yield "cross", cross_graph(checkpoint, precision)
    yield "decoder", decoder_graph(checkpoint, precision)


def _place(tensor: onnx.TensorProto, location: str, offset: int, length: int) -> None:
    """Say where a tensor's bytes lie."""
    del tensor.external_data[:]
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
