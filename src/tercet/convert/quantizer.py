"""A quantizer as two ONNX graphs: the encoder's states -> codes, and codes -> states for the decoder.

The arithmetic of WhisperSpeech's WhisperVQ and of Ichigo-Whisper: vector_quantize_pytorch 1.6.22's cosine
codebook behind an MLP, and on the way back transformer blocks with rotary positions. ONNX Runtime and
OpenVINO open both graphs. Compute `encode_graph` in float32: in bfloat16 codes that are nearly as near as
the nearest win. Codes are neither cut nor filled up here.
"""

import math

import numpy as np

from tercet.checkpoint.heads import HeadArrays, Quantizer
from tercet.convert.builder import Graph, GraphBuilder, Store
from tercet.convert.layers import Precision, add_mlp, add_norm, add_projection, add_qkv
from tercet.convert.linear import Matrices

_MICROSOFT = "com.microsoft"
_ROPE_BASE = 10000.0
_LEAST_NORM = 1e-12  # torch.nn.functional.normalize's
_FLOATS = Precision()


def encode_graph(head: Quantizer, *, features: bool = False, store: Store | None = None) -> Graph:
    """Build the way from states to codes.

    Inputs `states` float32 [1, frames, width], frames a multiple of `head.downsample`, and `code_bias`
    float32 [codebook_size], which is added to the cosines of every level (a row with -1e9 is never
    chosen). Output `codes` int64 [frames / downsample, depth]. With `features`: a further output
    `features` float32 [1, frames / downsample, width], what is quantized. `store`: see `GraphBuilder`.
    """
    matrices = Matrices(head.arrays)
    builder = GraphBuilder("quantizer_encode", store=store)
    states = builder.input("states", np.float32, [1, "frames", head.width])
    bias = builder.input("code_bias", np.float32, [head.codebook_size])
    value = _downsampled(builder, matrices, _without_mean(builder, matrices, states, head), head)
    hidden = add_norm(builder, matrices, value, "mlp.norm")
    hidden = builder.op("Gelu", add_projection(builder, matrices, hidden, "mlp.fc1", "float"))
    value = builder.op("Add", value, add_projection(builder, matrices, hidden, "mlp.fc2", "float"))
    if features:
        builder.output(value, "features", np.float32, [1, "codes", head.width])
    chosen = []
    for level in range(head.depth):
        chosen.append(_nearest(builder, matrices, value, bias, level))
        if level + 1 < head.depth:
            # What is left over is taken in full width, as vector_quantize_pytorch 1.6.22 does it.
            heard = _rows(builder, matrices, chosen[-1], level)
            value = builder.op("Sub", value, heard)
    columns = [builder.op("Transpose", codes, perm=[1, 0]) for codes in chosen]
    codes = builder.op("Concat", *columns, axis=1)
    builder.output(codes, "codes", np.int64, ["codes", head.depth])
    return builder.finish()


def decode_graph(head: Quantizer, *, store: Store | None = None) -> Graph:
    """Build the way from one whole window's codes back to states.

    Input `codes` int64 [positions / downsample, depth]. Output `states` float32 [1, positions, width],
    which a Whisper decoder takes in place of its encoder's. `store`: see `GraphBuilder`.
    """
    matrices = Matrices(head.arrays)
    builder = GraphBuilder("quantizer_decode", store=store)
    count = head.positions // head.downsample
    codes = builder.input("codes", np.int64, [count, head.depth])
    rows = []
    for level in range(head.depth):
        column = builder.op("Gather", codes, builder.constant(level), axis=1)
        rows.append(_rows(builder, matrices, column, level))
    value = rows[0]
    for further in rows[1:]:
        value = builder.op("Add", value, further)
    value = _repeated(builder, value, head)
    table = "embed_positions.weight"
    value = builder.op("Add", value, builder.weight(table, matrices.floats(table)))
    for index in range(head.blocks):
        value = _block(builder, matrices, value, f"blocks.{index}", head)
    states = add_norm(builder, matrices, value, "layer_norm")
    if head.has_state_mean:
        mean = builder.weight("state_mean", matrices.floats("state_mean"))
        states = builder.op("Add", states, mean)
    builder.output(states, "states", np.float32, [1, head.positions, head.width])
    return builder.finish()


def rotary_tables(head_width: int, positions: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of rotary positions, float32 [positions, head_width / 2].

    Angles are rounded to float32 where WhisperSpeech rounds them.
    """
    steps = np.arange(0, head_width, 2, dtype=np.float32) / np.float32(head_width)
    frequencies = np.float32(1.0) / np.float32(_ROPE_BASE) ** steps
    angles = np.arange(positions, dtype=np.float32)[:, None] * frequencies
    return np.cos(angles), np.sin(angles)


def _without_mean(
    builder: GraphBuilder, matrices: Matrices[HeadArrays], states: str, head: Quantizer
) -> str:
    if not head.has_state_mean:
        return states
    mean = builder.op(
        "Slice",
        builder.weight("state_mean", matrices.floats("state_mean")),
        builder.constant([0]),
        builder.op("Shape", states, start=1, end=2),
        builder.constant([0]),
    )
    return builder.op("Sub", states, mean)


def _downsampled(
    builder: GraphBuilder, matrices: Matrices[HeadArrays], value: str, head: Quantizer
) -> str:
    """One state per code."""
    shape = builder.constant([1, -1, head.downsample, head.width])
    groups = builder.op("Reshape", value, shape)
    if head.downsampling == "mean":
        return builder.op("ReduceMean", groups, builder.constant([2]), keepdims=0)
    first = builder.op("Gather", groups, builder.constant(0), axis=2)
    if head.downsampling == "stride":
        return first
    name = "downsample_conv"
    heard = builder.op(
        "Conv",
        builder.op("Transpose", value, perm=[0, 2, 1]),
        builder.weight(f"{name}.weight", matrices.floats(f"{name}.weight")),
        builder.weight(f"{name}.bias", matrices.floats(f"{name}.bias")),
        kernel_shape=[3],
        pads=[1, 1],
        strides=[head.downsample],
    )
    return builder.op("Add", first, builder.op("Transpose", heard, perm=[0, 2, 1]))


def _nearest(
    builder: GraphBuilder, matrices: Matrices[HeadArrays], value: str, bias: str, level: int
) -> str:
    """The codes int64 [1, n] of `value` [1, n, width]: the rows of the largest cosine."""
    projected = add_projection(builder, matrices, value, f"levels.{level}.project_in", "float")
    length = builder.op("ReduceL2", projected, builder.constant([-1]), keepdims=1)
    length = builder.op("Max", length, builder.constant(_LEAST_NORM, np.float32))
    name = f"levels.{level}.codebook"
    turned = builder.weight(f"{name}.T", matrices.floats(name).T)
    cosines = builder.op("MatMul", builder.op("Div", projected, length), turned)
    return builder.op("ArgMax", builder.op("Add", cosines, bias), axis=-1, keepdims=0)


def _rows(builder: GraphBuilder, matrices: Matrices[HeadArrays], codes: str, level: int) -> str:
    """The codebook's rows in the encoder's width: `codes` [..] -> [.., width]."""
    name = f"levels.{level}.codebook"
    rows = builder.op("Gather", builder.weight(name, matrices.floats(name)), codes, axis=0)
    return add_projection(builder, matrices, rows, f"levels.{level}.project_out", "float")


def _repeated(builder: GraphBuilder, value: str, head: Quantizer) -> str:
    """[codes, width] -> [1, codes x downsample, width], each row `downsample` times in a row."""
    wide = builder.op("Tile", value, builder.constant([1, head.downsample]))
    return builder.op("Reshape", wide, builder.constant([1, head.positions, head.width]))


def _block(
    builder: GraphBuilder, matrices: Matrices[HeadArrays], value: str, layer: str, head: Quantizer
) -> str:
    attention = f"{layer}.self_attn"
    normed = add_norm(builder, matrices, value, f"{attention}_layer_norm")
    q, k, v = add_qkv(builder, matrices, normed, attention, "float")
    # The root of query_mult x 8 / sqrt(head width) goes into q and into k; here all of it into q.
    scale = head.query_mult * 8 / math.sqrt(head.width // head.heads)
    q = builder.op("Mul", q, builder.constant(scale, np.float32))
    if head.has_rope:
        q, k = _turned(builder, q, head), _turned(builder, k, head)
    mixed = builder.op("MultiHeadAttention", q, k, v, domain=_MICROSOFT, num_heads=head.heads)
    projected = add_projection(builder, matrices, mixed, f"{attention}.out_proj", "float")
    value = builder.op("Add", value, projected)
    return builder.op("Add", value, add_mlp(builder, matrices, value, layer, _FLOATS))


def _turned(builder: GraphBuilder, value: str, head: Quantizer) -> str:
    """Rotary positions over whole heads, half-split: [1, positions, width] -> the same."""
    cos, sin = rotary_tables(head.width // head.heads, head.positions)
    cosines = builder.weight("rotary.cos", cos[:, None])
    sines = builder.weight("rotary.sin", sin[:, None])
    shaped = builder.op("Reshape", value, builder.constant([0, 0, head.heads, -1]))
    left, right = builder.ops("Split", shaped, outputs=2, axis=-1, num_outputs=2)
    turned_left = builder.op(
        "Sub", builder.op("Mul", left, cosines), builder.op("Mul", right, sines)
    )
    turned_right = builder.op(
        "Add", builder.op("Mul", right, cosines), builder.op("Mul", left, sines)
    )
    joined = builder.op("Concat", turned_left, turned_right, axis=-1)
    return builder.op("Reshape", joined, builder.constant([0, 0, -1]))
