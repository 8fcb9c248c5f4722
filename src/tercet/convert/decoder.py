"""A step of the decoder as an ONNX graph (once per token; what a window needs only once is in `cross.py`).

Each row has its own cache length. The cache is one buffer per layer and row of the full text context,
which com.microsoft.GroupQueryAttention reads and extends in place: rolling back is only a smaller
length. Who owns the buffers is the engine's concern.
"""

import numpy as np

from tercet.checkpoint.arrays import Checkpoint
from tercet.convert.builder import Graph, GraphBuilder, Shape, Store
from tercet.convert.cross import MICROSOFT, CrossAttention
from tercet.convert.layers import Precision, add_mlp, add_norm, add_projection, add_qkv
from tercet.convert.linear import Kind, Matrices, add_gathered, add_linear

EMBEDDING = "model.decoder.embed_tokens"


def decoder_graph(
    checkpoint: Checkpoint,
    precision: Precision,
    *,
    alignment_heads: tuple[tuple[int, int], ...] = (),
    store: Store | None = None,
) -> Graph:
    """One step of the decoder, for 1..n tokens per row.

    Inputs:
        `tokens`, `positions`: int64 [rows, n].
        `last`: int32 [rows], index of each row's last cached token once this step is done.
        `total`: int32 scalar, largest `last` + 1.
        `keep`: int64 [rows, k, 1], positions within the step whose logits are wanted.
        `past_key_i`, `past_value_i`: float32 [rows, heads, context, head size] for each layer i.
        `cross_...`: see `cross.CrossAttention`.

    Outputs:
        `present_key_i`, `present_value_i`: bind them to the past's buffers.
        `same_...`: see `cross.CrossAttention`.
        `logits`: float32 [rows, k, vocab].
        `hidden`: float32 [rows, k, width], what they were made of, after the final norm.
        `alignment`: float32 [rows, chosen heads, n, frames], the cross-attention of
            `alignment_heads` ((layer, head) pairs), where there are any.

    `store`: see `GraphBuilder`.
    """
    geometry = checkpoint.geometry
    matrices = Matrices(checkpoint)
    builder = GraphBuilder("whisper_decoder", store=store)
    tokens = builder.input("tokens", np.int64, ["rows", "n"])
    positions = builder.input("positions", np.int64, ["rows", "n"])
    builder.input("last", np.int32, ["rows"])
    builder.input("total", np.int32, [])
    keep = builder.input("keep", np.int64, ["rows", "k", 1])
    value = _embed(builder, matrices, tokens, positions, precision.vocabulary)
    cross = CrossAttention(builder, matrices, precision, value)
    chosen: dict[tuple[int, int], str] = {}
    for index in range(geometry.decoder_layers):
        heads = [head for layer, head in alignment_heads if layer == index]
        value, weights = _block(builder, matrices, value, index, precision, cross, heads)
        chosen |= {(index, head): part for head, part in zip(heads, weights, strict=True)}
    kept = builder.op("GatherND", value, keep, batch_dims=1)
    normed = add_norm(builder, matrices, kept, "model.decoder.layer_norm")
    logits = add_linear(builder, matrices, normed, (EMBEDDING,), None, precision.vocabulary)
    builder.output(logits, "logits", np.float32, ["rows", "k", geometry.vocab_size])
    builder.output(normed, "hidden", np.float32, ["rows", "k", geometry.width])
    if alignment_heads:
        stacked = builder.op("Concat", *[chosen[pair] for pair in alignment_heads], axis=1)
        builder.output(
            stacked, "alignment", np.float32, ["rows", len(alignment_heads), "n", "frames"]
        )
    return builder.finish()


def _embed(
    builder: GraphBuilder, matrices: Matrices[Checkpoint], tokens: str, positions: str, kind: Kind
) -> str:
    table = "model.decoder.embed_positions.weight"
    place = builder.op("Gather", builder.weight(table, matrices.floats(table)), positions)
    if kind == "float":
        # The projection to logits multiplies by this table's transpose: one array serves both.
        columns = builder.weight(f"{EMBEDDING}.T", matrices.stacked(f"{EMBEDDING}.weight").T)
        picked = builder.op("Gather", columns, tokens, axis=1)  # [width, rows, n]
        word = builder.op("Transpose", picked, perm=[1, 2, 0])
    else:
        matrix, width = matrices.int8(f"{EMBEDDING}.weight"), matrices.checkpoint.geometry.width
        word = add_gathered(builder, matrix, EMBEDDING, tokens, width)
    return builder.op("Add", word, place)


def _block(
    builder: GraphBuilder,
    matrices: Matrices[Checkpoint],
    value: str,
    index: int,
    precision: Precision,
    cross: CrossAttention,
    alignment: list[int],
) -> tuple[str, list[str]]:
    """One layer; returns its output and the cross-attention of the heads in `alignment`."""
    layer = f"model.decoder.layers.{index}"
    kind = precision.attention
    value = builder.op("Add", value, _self_attention(builder, matrices, value, index, kind))
    normed = add_norm(builder, matrices, value, f"{layer}.encoder_attn_layer_norm")
    queries = add_projection(builder, matrices, normed, f"{layer}.encoder_attn.q_proj", kind)
    heard, weights = cross.attend(queries, index, alignment)
    projected = add_projection(builder, matrices, heard, f"{layer}.encoder_attn.out_proj", kind)
    value = builder.op("Add", value, projected)
    mlp = add_mlp(builder, matrices, value, layer, precision)
    return builder.op("Add", value, mlp), weights


def _self_attention(
    builder: GraphBuilder, matrices: Matrices[Checkpoint], value: str, index: int, kind: Kind
) -> str:
    geometry = matrices.checkpoint.geometry
    heads, size = geometry.decoder_heads, geometry.width // geometry.decoder_heads
    attention = f"model.decoder.layers.{index}.self_attn"
    normed = add_norm(builder, matrices, value, f"{attention}_layer_norm")
    q, k, v = add_qkv(builder, matrices, normed, attention, kind)
    cache: Shape = ["rows", heads, "context", size]
    past = [builder.input(f"past_{part}_{index}", np.float32, cache) for part in ("key", "value")]
    present = [f"present_{part}_{index}" for part in ("key", "value")]
    mixed, *_ = builder.ops(
        "GroupQueryAttention",
        q,
        k,
        v,
        *past,
        "last",
        "total",
        outputs=[f"self_attention_{index}", *present],
        domain=MICROSOFT,
        num_heads=heads,
        kv_num_heads=heads,
    )
    for name in present:
        builder.publish(name, np.float32, cache)
    return add_projection(builder, matrices, mixed, f"{attention}.out_proj", kind)
