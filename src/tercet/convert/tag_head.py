"""A tag head as an ONNX graph: taps in, logits of any number of windows out.

Whisper-AT (arXiv:2307.03183), section 3: all combinations that `checkpoint.heads.TagHead` names.
Chooses no windows and makes no probabilities.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from tercet.checkpoint.heads import HeadArrays, TagHead
from tercet.convert.builder import Graph, GraphBuilder, Store
from tercet.convert.layers import add_norm, add_projection, add_qkv, split_heads
from tercet.convert.linear import Matrices
from tercet.errors import HeadError

# Not "tensor": windows would share a scale.
HeadKind = Literal["float", "rows"]


def tag_head_graph(head: TagHead, *, store: Store | None = None, kind: HeadKind = "float") -> Graph:
    """Build a tag head.

    Inputs `taps` float32 [layers, frames, width] and `windows` int64 [n, W], n and W at least 1: which
    frames each window hears. Output `logits` float32 [n, labels]. What depends on a frame alone (choice of
    layers, projection, queries, keys, values) is computed once per frame, however many windows share it.

    Args:
        head: Any tag head.
        store: See `GraphBuilder`.
        kind: How matrices are multiplied (see `convert.linear`).

    Raises:
        HeadError: its layers' weights add up to nothing.
        CheckpointError: it lacks an array.
    """
    matrices = Matrices(head.arrays)
    body = _Body(GraphBuilder("tag_head", store=store), matrices, head, kind)
    builder = body.builder
    taps = builder.input("taps", np.float32, [head.n_layers or "layers", "tap_frames", head.width])
    windows = builder.input("windows", np.int64, ["windows", "window_frames"])
    frames = body.projected(body.combined(taps))
    layered = body.over_time(frames, windows)
    scored = body.classified(body.over_layers(layered))
    builder.output(scored, "logits", np.float32, ["windows", head.n_labels])
    return builder.finish()


def layer_shares(head: TagHead) -> np.ndarray:
    """What each layer counts in a weighted mean: float32 [layers], adding up to 1.

    Whisper-AT divides free real weights by their sum (no softmax), so shares may be negative.

    Raises:
        HeadError: the weights add up to nothing.
    """
    weights = np.asarray(head.arrays.read("layer_weight"), dtype=np.float64)
    total = weights.sum()
    if not np.isfinite(total) or total == 0:
        raise HeadError(
            f"{head.arrays.path}: the layers' weights add up to {total}; the head is damaged"
        )
    shares: np.ndarray = (weights / total).astype(np.float32)
    return shares


class _Body:
    """The parts of the graph. `layers` stands for 1 where they were combined; `hidden` is the head's."""

    def __init__(
        self, builder: GraphBuilder, matrices: Matrices[HeadArrays], head: TagHead, kind: HeadKind
    ) -> None:
        self.builder = builder
        self._matrices = matrices
        self._head = head
        self._kind: HeadKind = kind

    def combined(self, taps: str) -> str:
        """[all layers, frames, width] -> [layers, frames, width]."""
        builder, layers = self.builder, self._head.layers
        if layers == "each":
            return taps
        if layers == "last":
            end = builder.constant([np.iinfo(np.int64).max])
            return builder.op("Slice", taps, builder.constant([-1]), end, builder.constant([0]))
        if layers == "mean":
            return self._mean(taps, 0, keep=True)
        shares = builder.weight("layer_shares", layer_shares(self._head)[:, None, None])
        weighted = builder.op("Mul", taps, shares)
        return builder.op("ReduceSum", weighted, builder.constant([0]), keepdims=1)

    def projected(self, value: str) -> str:
        """[layers, frames, width] -> [layers, frames, hidden]."""
        if not self._head.has_projection:
            return value
        normed = add_norm(self.builder, self._matrices, value, "down.norm")
        return self._project(normed, "down.proj")

    def over_time(self, frames: str, windows: str) -> str:
        """[layers, frames, hidden] -> [layers, windows, hidden], each window's frames averaged."""
        builder = self.builder
        if not self._head.time_heads:
            return self._mean(builder.op("Gather", frames, windows, axis=1), 2)
        hidden = builder.constant([self._head.hidden])
        rest = builder.constant([-1])
        length = builder.op("Shape", windows, start=1)
        together = builder.op("Concat", rest, length, hidden, axis=0)

        def cut(value: str) -> str:
            """[layers, frames, hidden] -> [layers x windows, window's frames, hidden]."""
            return builder.op("Reshape", builder.op("Gather", value, windows, axis=1), together)

        mean = self._block_mean(frames, "time_block", self._head.time_heads, cut)
        count = builder.op("Shape", windows, end=1)
        return builder.op("Reshape", mean, builder.op("Concat", rest, count, hidden, axis=0))

    def over_layers(self, value: str) -> str:
        """[layers, windows, hidden] -> [windows, hidden]."""
        if not self._head.layer_heads:
            return self._mean(value, 0)
        layered = self.builder.op("Transpose", value, perm=[1, 0, 2])
        return self._block_mean(layered, "layer_block", self._head.layer_heads, lambda same: same)

    def classified(self, value: str) -> str:
        """[windows, hidden] -> [windows, labels]."""
        return self._project(
            add_norm(self.builder, self._matrices, value, "classifier.norm"), "classifier.proj"
        )

    def _block_mean(self, value: str, block: str, heads: int, cut: Callable[[str], str]) -> str:
        """A block over `cut(value)` [rows, time, hidden], averaged over time: [rows, hidden].

        What changes nothing but the cost: projections into attention come before cutting, so that windows
        share them; with one head the one out of it too (its weights add up to 1); the MLP's last one
        comes after averaging.
        """
        builder, name = self.builder, f"{block}.self_attn"
        normed = add_norm(builder, self._matrices, value, f"{name}_layer_norm")
        q, k, v = add_qkv(builder, self._matrices, normed, name, self._kind)
        if heads == 1:
            v = self._project(v, f"{name}.out_proj")
        mixed = self._attend(cut(q), cut(k), cut(v), heads)
        if heads > 1:
            mixed = self._project(mixed, f"{name}.out_proj")
        value = builder.op("Add", cut(value), mixed)
        normed = add_norm(builder, self._matrices, value, f"{block}.final_layer_norm")
        active = builder.op("Gelu", self._project(normed, f"{block}.fc1"))
        update = self._project(self._mean(active, 1), f"{block}.fc2")
        return builder.op("Add", self._mean(value, 1), update)

    def _attend(self, q: str, k: str, v: str, heads: int) -> str:
        """Attention over a few frames or layers: [rows, time, hidden] in and out.

        Written out: for so short a time OpenVINO takes twice as long over MultiHeadAttention.
        """
        builder = self.builder
        if heads > 1:
            q, k, v = (split_heads(builder, part, heads) for part in (q, k, v))
        scale = builder.constant((self._head.hidden // heads) ** -0.5, np.float32)
        turned = builder.op("Transpose", k, perm=[0, 1, 3, 2] if heads > 1 else [0, 2, 1])
        scores = builder.op("MatMul", builder.op("Mul", q, scale), turned)
        mixed = builder.op("MatMul", builder.op("Softmax", scores, axis=-1), v)
        if heads == 1:
            return mixed
        joined = builder.op("Transpose", mixed, perm=[0, 2, 1, 3])
        return builder.op("Reshape", joined, builder.constant([0, 0, -1]))

    def _project(self, value: str, name: str) -> str:
        return add_projection(self.builder, self._matrices, value, name, self._kind)

    def _mean(self, value: str, axis: int, *, keep: bool = False) -> str:
        axes = self.builder.constant([axis])
        return self.builder.op("ReduceMean", value, axes, keepdims=int(keep))
