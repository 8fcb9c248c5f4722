"""How a matrix product is written into a graph, at each precision. The one place that knows number formats.

- `float`: MatMul in float32.
- `rows`: com.microsoft.MatMulNBits, 8 bits, accuracy level 4: activations are quantised per row and
  block, so that a row's result cannot depend on its neighbours.
- `tensor`: com.microsoft.DynamicQuantizeMatMul: one activation scale for the whole input. Only sound
  where the input is a single window whose outliers were folded away (see `smooth.py`).

All three take the same stored form: int8 values with a scale per row and block. `rows` takes it as it
is; `tensor` has one scale per row, so blocks are rounded again.
"""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import numpy as np
from onnx import TensorProto

from tercet.checkpoint.arrays import Arrays, Int8Matrix
from tercet.convert.builder import GraphBuilder
from tercet.convert.quantize import quantize

Kind = Literal["float", "rows", "tensor"]
Source_co = TypeVar("Source_co", bound=Arrays, covariant=True)
ROW_BLOCK = 128  # columns that share an activation scale where the weights have one scale per row
_INT8_ACTIVATIONS = 4  # accuracy_level of MatMulNBits: int8 dot products, float32 sums of blocks


@dataclass(frozen=True, slots=True)
class Matrices(Generic[Source_co]):
    """The matrices of a checkpoint, or of a head, in whatever precision a graph asks for."""

    checkpoint: Source_co

    def floats(self, name: str) -> np.ndarray:
        """Any array as float32."""
        return np.asarray(self.checkpoint.read(name), dtype=np.float32)

    def int8(self, *names: str) -> Int8Matrix:
        """Matrices stacked along their outputs, in 8 bits: as stored where stored so, else rounded now."""
        parts = [
            self.checkpoint.read_int8(name) or quantize(self.floats(name), name) for name in names
        ]
        if len(parts) == 1:
            return parts[0]
        return Int8Matrix(
            np.concatenate([p.values for p in parts]), np.concatenate([p.scales for p in parts])
        )

    def stacked(self, *names: str) -> np.ndarray:
        """Matrices stacked along their outputs, float32 [sum of outs, in]."""
        return np.concatenate([self.floats(name) for name in names])


def add_linear(
    builder: GraphBuilder,
    matrices: Matrices[Arrays],
    value: str,
    names: tuple[str, ...],
    bias: np.ndarray | None,
    kind: Kind,
) -> str:
    """Write `value @ W.T + bias` for the stacked matrices `names` (without `.weight`)."""
    weights = tuple(f"{name}.weight" for name in names)
    label = "+".join(names)
    if kind == "float":
        product = builder.op(
            "MatMul", value, builder.weight(f"{label}.T", matrices.stacked(*weights).T)
        )
        if bias is None:
            return product
        return builder.op("Add", product, builder.weight(f"{label}.bias", bias))
    matrix = matrices.int8(*weights)
    if kind == "tensor":
        if matrix.scales.shape[1] > 1:
            matrix = quantize(matrix.to_float(), label, block=None)
        inputs = [
            value,
            builder.weight(f"{label}.int8.T", matrix.values.T),
            builder.weight(f"{label}.scales", matrix.scales[:, 0]),
            "",
        ]
        if bias is not None:
            inputs.append(builder.weight(f"{label}.bias", bias))
        return builder.op("DynamicQuantizeMatMul", *inputs, domain="com.microsoft")
    return _rows(builder, value, matrix, bias, label)


def _rows(
    builder: GraphBuilder, value: str, matrix: Int8Matrix, bias: np.ndarray | None, label: str
) -> str:
    packed, scales = pack_for_matmul_nbits(matrix)
    inputs = [
        value,
        builder.weight(f"{label}.uint8", packed),
        builder.weight(f"{label}.block_scales", scales),
    ]
    if bias is not None:
        inputs += ["", "", builder.weight(f"{label}.bias", bias)]
    out, width = matrix.values.shape
    return builder.op(
        "MatMulNBits",
        *inputs,
        domain="com.microsoft",
        K=width,
        N=out,
        bits=8,
        block_size=packed.shape[2],
        accuracy_level=_INT8_ACTIVATIONS,
    )


def add_gathered(
    builder: GraphBuilder, matrix: Int8Matrix, label: str, places: str, width: int
) -> str:
    """Write `W[places]` in float32, [.., width], for a matrix as `rows` has it.

    `label` names its arrays: those of `rows` where the same matrix is multiplied by, too.
    """
    packed, scales = pack_for_matmul_nbits(matrix)
    codes = builder.op("Gather", builder.weight(f"{label}.uint8", packed), places)
    scale = builder.op("Gather", builder.weight(f"{label}.block_scales", scales), places)
    centred = builder.op(
        "Sub",
        builder.op("Cast", codes, to=TensorProto.FLOAT),
        builder.constant(128.0, np.float32),
    )
    scaled = builder.op("Mul", centred, builder.op("Unsqueeze", scale, builder.constant([-1])))
    last = builder.constant([-1])
    blocks, block = packed.shape[1:]
    shape = builder.op(
        "Concat", builder.op("Shape", places), builder.constant([blocks * block]), axis=0
    )
    rows = builder.op("Reshape", scaled, shape)
    if width == blocks * block:
        return rows
    return builder.op("Slice", rows, builder.constant([0]), builder.constant([width]), last)


def block_size(width: int) -> int:
    """The largest of the blocks 128, 64, 32 that divides the width, else 16 (the last one padded)."""
    return next((b for b in (ROW_BLOCK, 64, 32) if width % b == 0), 16)


def pack_for_matmul_nbits(matrix: Int8Matrix) -> tuple[np.ndarray, np.ndarray]:
    """MatMulNBits' layout.

    Returns uint8 [out, blocks, block] around 128 (zero; padding, too), and float32 [out, blocks]. Blocks are
    the matrix's own; a scale per row is repeated for blocks of `block_size`.
    """
    out, width = matrix.values.shape
    scales = matrix.scales.astype(np.float32, copy=False)
    if scales.shape[1] == 1:
        block = block_size(width)
        scales = np.repeat(scales, -(-width // block), axis=1)
    else:
        block = width // scales.shape[1]
    packed = np.full((out, scales.shape[1] * block), 128, dtype=np.uint8)
    packed[:, :width] = (matrix.values.view(np.uint8)) ^ 0x80  # int8 + 128, without a wider copy
    return packed.reshape(out, -1, block), np.ascontiguousarray(scales)
