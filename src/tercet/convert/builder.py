"""A small hand for writing ONNX graphs: names nodes, collects weights. Knows nothing of Whisper.

Weights of more than a kilobyte never enter the protobuf (which ends at 2 GB): the graph declares them
as external, and the engine hands the arrays over when it opens the graph.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

OPSET = 20  # first with Gelu; every operator here has an ONNX Runtime CPU kernel
MICROSOFT_OPSET = 1
IR_VERSION = 10

_TENSOR_TYPES = {
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.float16): TensorProto.FLOAT16,
    np.dtype(np.int64): TensorProto.INT64,
    np.dtype(np.int32): TensorProto.INT32,
    np.dtype(np.int8): TensorProto.INT8,
    np.dtype(np.uint8): TensorProto.UINT8,
}
_INLINE_BYTES = 1024  # shapes and scalars stay in the graph, where the optimiser can fold them

Shape = Sequence[int | str]  # a name stands for a size that is known when the graph runs
Store = Callable[[str, np.ndarray], np.ndarray]  # a weight's name and array -> the same, elsewhere


@dataclass(frozen=True, slots=True)
class Graph:
    """A finished graph: the model without weights, and the weights by name."""

    model: bytes
    weights: dict[str, np.ndarray]


class GraphBuilder:
    """Collects nodes and weights; `finish` returns them as one `Graph`."""

    def __init__(self, name: str, *, store: Store | None = None) -> None:
        """`store` moves weights out of memory as they come, into a mapped file, say."""
        self._name = name
        self._store = store or (lambda _, array: array)
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._inline: list[onnx.TensorProto] = []
        self._weights: dict[str, np.ndarray] = {}
        self._constants: dict[tuple[str, bytes, tuple[int, ...]], str] = {}
        self._count = 0

    def input(self, name: str, dtype: type[np.generic], shape: Shape) -> str:
        """Declare a graph input."""
        kind = _TENSOR_TYPES[np.dtype(dtype)]
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, value: str, name: str, dtype: type[np.generic], shape: Shape) -> None:
        """Give a value a public name."""
        kind = _TENSOR_TYPES[np.dtype(dtype)]
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def publish(self, name: str, dtype: type[np.generic], shape: Shape) -> None:
        """Publish a value that a node writes under its public name already (no Identity, no copy)."""
        kind = _TENSOR_TYPES[np.dtype(dtype)]
        self._outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def weight(self, name: str, array: np.ndarray) -> str:
        """Register a weight under a name of its own; the same name twice is the same weight.

        (Whoever comes second may pass the array again: the first one is kept.)
        """
        if name not in self._weights:
            contiguous = np.ascontiguousarray(array)
            is_large = contiguous.nbytes > _INLINE_BYTES
            self._weights[name] = self._store(name, contiguous) if is_large else contiguous
        return name

    def constant(self, values: object, dtype: type[np.generic] = np.int64) -> str:
        """A small constant, shared between its users."""
        array = np.asarray(values, dtype=dtype)
        key = (array.dtype.str, array.tobytes(), array.shape)
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._inline.append(
                helper.make_tensor(
                    name, _TENSOR_TYPES[array.dtype], array.shape, array.tobytes(), raw=True
                )
            )
            self._constants[key] = name
        return self._constants[key]

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output and return that output's name."""
        return self.ops(kind, *inputs, outputs=1, domain=domain, **attributes)[0]

    def ops(
        self,
        kind: str,
        *inputs: str,
        outputs: int | list[str],
        domain: str = "",
        **attributes: Any,
    ) -> list[str]:
        """Add a node with several outputs, numbered or named."""
        self._count += 1
        names = (
            [f"{kind}_{self._count}_{i}" for i in range(outputs)]
            if isinstance(outputs, int)
            else outputs
        )
        node = helper.make_node(
            kind, list(inputs), names, name=f"{kind}_{self._count}", domain=domain, **attributes
        )
        self._nodes.append(node)
        return names

    def finish(self) -> Graph:
        """The graph without its weights, and the weights."""
        small = {k: v for k, v in self._weights.items() if v.nbytes <= _INLINE_BYTES}
        tensors = [*self._inline]
        for name, array in self._weights.items():
            if name in small:
                tensors.append(
                    helper.make_tensor(
                        name, _TENSOR_TYPES[array.dtype], array.shape, array.tobytes(), raw=True
                    )
                )
            else:
                tensors.append(_external(name, array))
        graph = helper.make_graph(
            self._nodes, self._name, self._inputs, self._outputs, initializer=tensors
        )
        model = helper.make_model(
            graph,
            opset_imports=[
                helper.make_opsetid("", OPSET),
                helper.make_opsetid("com.microsoft", MICROSOFT_OPSET),
            ],
            ir_version=IR_VERSION,
            producer_name="tercet",
        )
        large = {k: v for k, v in self._weights.items() if k not in small}
        return Graph(model.SerializeToString(), large)


def _external(name: str, array: np.ndarray) -> onnx.TensorProto:
    """A tensor that says only its type and shape; the engine supplies the bytes."""
    tensor = TensorProto(
        name=name,
        data_type=_TENSOR_TYPES[array.dtype],
        dims=array.shape,
        data_location=TensorProto.EXTERNAL,
    )
    for key, value in (("location", "weights"), ("offset", "0"), ("length", str(array.nbytes))):
        tensor.external_data.add(key=key, value=value)
    return tensor
