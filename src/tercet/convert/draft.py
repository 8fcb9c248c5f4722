"""A draft head as an ONNX graph: a word and a hidden state per row in, the next token and state out.

See `checkpoint.heads.DraftHead`. Accepts and rejects nothing.
"""

import numpy as np

from tercet.checkpoint.arrays import Arrays, Checkpoint
from tercet.checkpoint.heads import DraftHead, HeadArrays
from tercet.convert.builder import Graph, GraphBuilder, Shape, Store
from tercet.convert.cross import MICROSOFT, CrossAttention
from tercet.convert.decoder import EMBEDDING
from tercet.convert.layers import Precision, add_mlp, add_norm, add_projection
from tercet.convert.linear import Kind, Matrices, add_gathered, add_linear
from tercet.convert.quantize import quantize

_SHORTLIST = "shortlist"


def draft_graph(
    head: DraftHead, checkpoint: Checkpoint, precision: Precision, *, store: Store | None = None
) -> Graph:
    """One step of a draft.

    Inputs:
        `word`: float32 [rows, 1, width], the decoder's embedding of what was written last.
        `hidden`: float32 [rows, 1, width], what that was chosen from: the decoder's hidden state after its
            final norm, or the draft's own.
        `past_key`, `past_value`: float32 [rows, heads, context, head size], of the decoder's self-attention.
        `last`, `total`: as the decoder's own step has them.
        `cross_...`: see `cross.CrossAttention`; like the past, of the head's layer alone.

    Outputs:
        `present_key`, `present_value`: bind them to the past's buffers; nothing changes there.
        `same_...`: see `cross.CrossAttention`.
        `next`: int64 [rows, 1], the likeliest token of the shortlist.
        `share`: float32 [rows, 1], its probability among them, or among the candidates alone.
        `next_hidden`: float32 [rows, 1, width].

    Args:
        head: Any draft of the checkpoint's decoder.
        checkpoint: The decoder; of it the shortlist's embeddings are read.
        precision: How matrices are multiplied, and how cross-attention's keys and values come.
        store: See `GraphBuilder`.
    """
    arrays = Matrices(head.arrays)
    attention = precision.attention
    builder = GraphBuilder("whisper_draft", store=store)
    word = builder.input("word", np.float32, ["rows", 1, head.width])
    hidden = builder.input("hidden", np.float32, ["rows", 1, head.width])
    known = add_norm(builder, arrays, hidden, "hidden_norm")
    both = builder.op("Concat", add_norm(builder, arrays, word, "token_norm"), known, axis=-1)
    value = add_projection(builder, arrays, both, "fuse", attention)
    value = builder.op("Add", value, _recalled(builder, arrays, value, head, checkpoint, attention))
    cross = CrossAttention(builder, Matrices(checkpoint), precision, value)
    normed = add_norm(builder, arrays, value, "block.encoder_attn_layer_norm")
    queries = add_projection(builder, arrays, normed, "block.encoder_attn.q_proj", attention)
    heard, _ = cross.attend(queries, head.layer, [])
    heard = add_projection(builder, arrays, heard, "block.encoder_attn.out_proj", attention)
    value = builder.op("Add", value, heard)
    value = builder.op("Add", value, add_mlp(builder, arrays, value, "block", precision))
    normed = add_norm(builder, arrays, value, "layer_norm")
    _add_choice(builder, normed, head, checkpoint, precision.vocabulary)
    builder.output(normed, "next_hidden", np.float32, ["rows", 1, head.width])
    return builder.finish()


def _recalled(
    builder: GraphBuilder,
    arrays: Matrices[HeadArrays],
    value: str,
    head: DraftHead,
    checkpoint: Checkpoint,
    kind: Kind,
) -> str:
    """Self-attention over what the decoder has in its cache; nothing is added to that."""
    heads = checkpoint.geometry.decoder_heads
    normed = add_norm(builder, arrays, value, "block.self_attn_layer_norm")
    queries = add_projection(builder, arrays, normed, "block.self_attn.q_proj", kind)
    cache: Shape = ["rows", heads, "context", head.width // heads]
    past = [builder.input(f"past_{part}", np.float32, cache) for part in ("key", "value")]
    last, total = builder.input("last", np.int32, ["rows"]), builder.input("total", np.int32, [])
    nothing = builder.op("Slice", value, *(builder.constant([each]) for each in (0, 0, 1)))
    present = ["present_key", "present_value"]
    found, *_ = builder.ops(
        "GroupQueryAttention",
        queries,
        nothing,
        nothing,
        *past,
        last,
        total,
        outputs=["self_attention", *present],
        domain=MICROSOFT,
        num_heads=heads,
        kv_num_heads=heads,
        causal=0,
    )
    for name in present:
        builder.publish(name, np.float32, cache)
    return add_projection(builder, arrays, found, "block.self_attn.out_proj", kind)


def shortlisted(head: DraftHead, checkpoint: Checkpoint, kind: Kind) -> HeadArrays:
    """The embeddings of the tokens that a draft can propose, as `shortlist.weight`; a few MB."""
    name, ids = f"{EMBEDDING}.weight", head.token_ids
    place = f"{_SHORTLIST}.weight"
    if kind == "float":
        table = np.asarray(checkpoint.read(name)[ids], np.float32)
        return HeadArrays({place: table}, path=head.arrays.path)
    stored = checkpoint.read_int8(name) or quantize(checkpoint.read(name).astype(np.float32), name)
    return HeadArrays({place: stored.values[ids]}, {place: stored.scales[ids]}, head.arrays.path)


def _add_choice(
    builder: GraphBuilder, hidden: str, head: DraftHead, checkpoint: Checkpoint, kind: Kind
) -> None:
    """The likeliest token, and its share."""
    rows: Matrices[Arrays] = Matrices(shortlisted(head, checkpoint, kind))
    last = builder.constant([-1])
    if head.rank:
        logits, places = _among_candidates(builder, hidden, head, rows, kind)
    else:
        logits = add_linear(builder, rows, hidden, (_SHORTLIST,), None, kind)
    best = builder.op("ArgMax", logits, axis=-1, keepdims=1)
    if head.rank:
        best = builder.op("GatherElements", places, best, axis=-1)
    ids = builder.weight("token_ids", head.token_ids)
    found = builder.op("Squeeze", builder.op("Gather", ids, best), last)
    builder.output(found, "next", np.int64, ["rows", 1])
    top = builder.op("ReduceMax", logits, last, keepdims=0)
    total = builder.op("ReduceLogSumExp", logits, last, keepdims=0)
    share = builder.op("Exp", builder.op("Sub", top, total))
    builder.output(share, "share", np.float32, ["rows", 1])


def _among_candidates(
    builder: GraphBuilder, hidden: str, head: DraftHead, rows: Matrices[Arrays], kind: Kind
) -> tuple[str, str]:
    """Logits of the tokens that score best in the space of lower rank, and their places in the shortlist.

    Both [rows, 1, candidates], exact logits in any order.
    """
    name = f"{_SHORTLIST}.weight"
    narrow = add_linear(builder, Matrices(head.arrays), hidden, ("narrow",), None, "float")
    table = rows.floats(name) @ head.arrays.read("widen.weight").astype(np.float32)
    rough_rows: Matrices[Arrays] = Matrices(HeadArrays({"rough.weight": table}))
    rough = add_linear(builder, rough_rows, narrow, ("rough",), None, kind)
    count = builder.constant([head.candidates])
    _, places = builder.ops("TopK", rough, count, outputs=2, sorted=0)
    if kind == "float":
        picked = builder.op("Gather", builder.weight(name, rows.floats(name)), places)
    else:
        picked = add_gathered(builder, rows.int8(name), _SHORTLIST, places, head.width)
    each = builder.op("Mul", picked, builder.op("Unsqueeze", hidden, builder.constant([2])))
    return builder.op("ReduceSum", each, builder.constant([-1]), keepdims=0), places
