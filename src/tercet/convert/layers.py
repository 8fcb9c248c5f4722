"""The pieces that encoder and decoder share: layer norm, projections, the two-layer MLP."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tercet.checkpoint.arrays import Arrays
from tercet.convert.builder import GraphBuilder
from tercet.convert.linear import Kind, Matrices, add_linear

EPSILON = 1e-5  # torch.nn.LayerNorm's default, which Whisper was trained with


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """Which number format each group of matrices is multiplied in (see `linear.Kind`)."""

    attention: Kind = "float"  # query, key, value and output projections
    fc1: Kind = "float"
    fc2: Kind = "float"  # its inputs (after GELU) hold the largest outliers
    vocabulary: Kind = "float"  # token embedding and the projection to logits; never "tensor"
    cross_cache: Literal["float", "int8"] = "float"  # keys and values of cross-attention


def add_norm(builder: GraphBuilder, matrices: Matrices[Arrays], value: str, name: str) -> str:
    """Layer normalisation over the last axis."""
    return builder.op(
        "LayerNormalization",
        value,
        builder.weight(f"{name}.weight", matrices.floats(f"{name}.weight")),
        builder.weight(f"{name}.bias", matrices.floats(f"{name}.bias")),
        axis=-1,
        epsilon=EPSILON,
    )


def add_projection(
    builder: GraphBuilder, matrices: Matrices[Arrays], value: str, name: str, kind: Kind
) -> str:
    """One matrix with its bias; key projections have none."""
    bias = None if name.endswith("k_proj") else matrices.floats(f"{name}.bias")
    return add_linear(builder, matrices, value, (name,), bias, kind)


def add_qkv(
    builder: GraphBuilder, matrices: Matrices[Arrays], value: str, attention: str, kind: Kind
) -> tuple[str, str, str]:
    """Queries, keys and values as one product (activations are quantised once), then split."""
    names = tuple(f"{attention}.{part}_proj" for part in "qkv")
    q_bias = matrices.floats(f"{names[0]}.bias")
    bias = np.concatenate([q_bias, np.zeros_like(q_bias), matrices.floats(f"{names[2]}.bias")])
    fused = add_linear(builder, matrices, value, names, bias, kind)
    q, k, v = builder.ops("Split", fused, outputs=3, axis=-1, num_outputs=3)
    return q, k, v


def add_mlp(
    builder: GraphBuilder, matrices: Matrices[Arrays], value: str, layer: str, precision: Precision
) -> str:
    """`fc2(gelu(fc1(norm(value))))`, without the residual."""
    normed = add_norm(builder, matrices, value, f"{layer}.final_layer_norm")
    hidden = add_projection(builder, matrices, normed, f"{layer}.fc1", precision.fc1)
    active = builder.op("Gelu", hidden)
    return add_projection(builder, matrices, active, f"{layer}.fc2", precision.fc2)


def split_heads(builder: GraphBuilder, value: str, heads: int) -> str:
    """[batch, time, heads x size] -> [batch, heads, time, size]."""
    shaped = builder.op("Reshape", value, builder.constant([0, 0, heads, -1]))
    return builder.op("Transpose", shaped, perm=[0, 2, 1, 3])
