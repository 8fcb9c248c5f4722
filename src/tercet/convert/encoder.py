"""The encoder as an ONNX graph: log-mel in, states and 0.4 s taps out, any even number of mel frames.

Whisper, arXiv:2212.04356, section 2.2: two convolutions (the second halves the rate), sinusoidal
positions, pre-norm blocks, a final norm. Computes log-mels nowhere.
"""

import numpy as np

from tercet.checkpoint.arrays import Checkpoint
from tercet.convert.builder import Graph, GraphBuilder, Store
from tercet.convert.layers import Precision, add_mlp, add_norm, add_projection, add_qkv
from tercet.convert.linear import Matrices

MICROSOFT = "com.microsoft"


def encoder_graph(
    checkpoint: Checkpoint, precision: Precision, *, taps: bool, store: Store | None = None
) -> Graph:
    """Build the encoder.

    Input `mel` float32 [1, n_mels, 2 x frames]. Output `states` float32 [1, frames, width].
    With `taps`: a further input `pooling` float32 [taps, frames] (which frames each tap averages, as
    weights) and output `taps` float32 [layers, taps, width]. `store`: see `GraphBuilder`.
    """
    geometry = checkpoint.geometry
    matrices = Matrices(checkpoint)
    builder = GraphBuilder("whisper_encoder", store=store)
    mel = builder.input("mel", np.float32, [1, geometry.n_mels, "mel_frames"])
    pooling = builder.input("pooling", np.float32, ["taps", "frames"]) if taps else ""
    value = _stem(builder, matrices, mel)
    pooled = []
    for index in range(geometry.encoder_layers):
        value = _block(builder, matrices, value, index, precision)
        if taps:
            pooled.append(builder.op("MatMul", pooling, value))
    states = add_norm(builder, matrices, value, "model.encoder.layer_norm")
    builder.output(states, "states", np.float32, [1, "frames", geometry.width])
    if taps:
        stacked = builder.op("Concat", *pooled, axis=0)
        builder.output(
            stacked, "taps", np.float32, [geometry.encoder_layers, "taps", geometry.width]
        )
    return builder.finish()


def pooling_weights(frames: int, real_frames: int, *, per_tap: int = 20) -> np.ndarray:
    """Averaging weights [ceil(frames / per_tap), frames] for taps of `per_tap` frames (20 frames are 0.4 s).

    The tap in which the sound ends averages its real frames only (so a file's last tap hears no
    padding); taps that are padding throughout average the padding.
    """
    taps = -(-frames // per_tap)
    weights = np.zeros((taps, frames), dtype=np.float32)
    for tap in range(taps):
        first, last = tap * per_tap, min((tap + 1) * per_tap, frames)
        if first < real_frames < last:
            last = real_frames
        weights[tap, first:last] = 1.0 / (last - first)
    return weights


def _stem(builder: GraphBuilder, matrices: Matrices[Checkpoint], mel: str) -> str:
    value = mel
    for name, stride in (("conv1", 1), ("conv2", 2)):
        prefix = f"model.encoder.{name}"
        value = builder.op(
            "Conv",
            value,
            builder.weight(f"{prefix}.weight", matrices.floats(f"{prefix}.weight")),
            builder.weight(f"{prefix}.bias", matrices.floats(f"{prefix}.bias")),
            kernel_shape=[3],
            pads=[1, 1],
            strides=[stride],
        )
        value = builder.op("Gelu", value)
    value = builder.op("Transpose", value, perm=[0, 2, 1])
    table = "model.encoder.embed_positions.weight"
    frames = builder.op("Shape", value, start=1, end=2)
    positions = builder.op(
        "Slice",
        builder.weight(table, matrices.floats(table)),
        builder.constant([0]),
        frames,
        builder.constant([0]),
    )
    return builder.op("Add", value, positions)


def _block(
    builder: GraphBuilder,
    matrices: Matrices[Checkpoint],
    value: str,
    index: int,
    precision: Precision,
) -> str:
    layer = f"model.encoder.layers.{index}"
    attention = f"{layer}.self_attn"
    normed = add_norm(builder, matrices, value, f"{attention}_layer_norm")
    q, k, v = add_qkv(builder, matrices, normed, attention, precision.attention)
    heads = matrices.checkpoint.geometry.encoder_heads
    mixed = builder.op("MultiHeadAttention", q, k, v, domain=MICROSOFT, num_heads=heads)
    projected = add_projection(
        builder, matrices, mixed, f"{attention}.out_proj", precision.attention
    )
    value = builder.op("Add", value, projected)
    return builder.op("Add", value, add_mlp(builder, matrices, value, layer, precision))
