"""Cross-attention's keys and values: the graph that computes them once per window, and how a step reads them.

In 8 bits a window's keys and values take a quarter of the memory, which is what a step of several rows
spends its time reading. They are rounded per window and channel, so that no row feels its neighbours.
"""

import numpy as np
from onnx import TensorProto

from tercet.checkpoint.arrays import Checkpoint
from tercet.convert.builder import Graph, GraphBuilder, Shape, Store
from tercet.convert.layers import Precision, add_projection, split_heads
from tercet.convert.linear import Matrices
from tercet.convert.quantize import LARGEST

MICROSOFT = "com.microsoft"
_SMALLEST_SCALE = 1e-12  # a channel that is the same in all frames has no range to divide by
_RANGES = 3  # per layer: the keys' scale, the values' scale, the values' mean


def cross_graph(
    checkpoint: Checkpoint, precision: Precision, *, store: Store | None = None
) -> Graph:
    """Keys and values of cross-attention for one window.

    Input `states` float32 [1, frames, width]; outputs `cross_key_i`, `cross_value_i` [1, heads, frames, head
    size] for each decoder layer i: float32, or int8 with a further output `cross_ranges` float32 [1, 3 x
    layers, width] (see `_rounded`). `store`: see `GraphBuilder`.
    """
    geometry = checkpoint.geometry
    matrices = Matrices(checkpoint)
    builder = GraphBuilder("whisper_cross", store=store)
    states = builder.input("states", np.float32, [1, "frames", geometry.width])
    heads, size = geometry.decoder_heads, geometry.width // geometry.decoder_heads
    is_int8 = precision.cross_cache == "int8"
    ranges: list[str] = []
    for index in range(geometry.decoder_layers):
        attention = f"model.decoder.layers.{index}.encoder_attn"
        for part, name in (("k_proj", "key"), ("v_proj", "value")):
            value = add_projection(
                builder, matrices, states, f"{attention}.{part}", precision.attention
            )
            if is_int8:
                value, scale, mean = _rounded(builder, value)
                ranges += [scale] if name == "key" else [scale, mean]
            builder.output(
                split_heads(builder, value, heads),
                f"cross_{name}_{index}",
                np.int8 if is_int8 else np.float32,
                [1, heads, "frames", size],
            )
    if is_int8:
        joined = builder.op("Concat", *ranges, axis=1)
        builder.output(joined, "cross_ranges", np.float32, [1, len(ranges), geometry.width])
    return builder.finish()


def _rounded(builder: GraphBuilder, value: str) -> tuple[str, str, str]:
    """Keys or values [1, frames, width] in 8 bits: int8, and each channel's scale and mean [1, 1, width].

    What a channel adds to all keys alike moves all scores of a query alike, and softmax does not feel it:
    the mean of the keys is dropped. That of the values is added after attention, whose weights sum to one.
    """
    frames = builder.constant([1])
    mean = builder.op("ReduceMean", value, frames, keepdims=1)
    centred = builder.op("Sub", value, mean)
    largest = builder.op("ReduceMax", builder.op("Abs", centred), frames, keepdims=1)
    scale = builder.op("Div", largest, builder.constant(float(LARGEST), np.float32))
    scale = builder.op("Max", scale, builder.constant(_SMALLEST_SCALE, np.float32))
    steps = builder.op("Round", builder.op("Div", centred, scale))
    return builder.op("Cast", steps, to=TensorProto.INT8), scale, mean


class CrossAttention:
    """Writes the cross-attention of each layer into the graph of a step.

    Adds the inputs `cross_key_i`, `cross_value_i`, `cross_ranges` (what `cross_graph` gives, for all rows),
    `cross_last` int32 [rows] and `cross_total` int32 scalar (frames - 1, and frames), and the outputs
    `same_key_i`, `same_value_i`, which must be bound to the memory of the former; nothing changes there.
    """

    def __init__(
        self,
        builder: GraphBuilder,
        matrices: Matrices[Checkpoint],
        precision: Precision,
        tokens: str,
    ) -> None:
        """`tokens` is any value [rows, n, width]; none of it is read."""
        self._builder = builder
        self._geometry = matrices.checkpoint.geometry
        self._is_int8 = precision.cross_cache == "int8"
        builder.input("cross_last", np.int32, ["rows"])
        builder.input("cross_total", np.int32, [])
        zero, one = builder.constant([0]), builder.constant([1])
        # No new keys or values: the operator takes an empty stretch of time for that.
        self._nothing = builder.op("Slice", tokens, zero, zero, one)
        self._ranges: list[str] = []
        if self._is_int8:
            layers, width = self._geometry.decoder_layers, self._geometry.width
            count = _RANGES * layers
            ranges = builder.input("cross_ranges", np.float32, ["rows", count, width])
            self._ranges = builder.ops("Split", ranges, outputs=count, axis=1, num_outputs=count)

    def attend(self, queries: str, index: int, heads: list[int]) -> tuple[str, list[str]]:
        """Attend over the window with layer `index`.

        Returns what was heard [rows, n, width], and of the chosen `heads` the attention weights [rows, 1, n,
        frames] each.
        """
        builder, geometry = self._builder, self._geometry
        size = geometry.width // geometry.decoder_heads
        shape: Shape = ["rows", geometry.decoder_heads, "frames", size]
        dtype = np.int8 if self._is_int8 else np.float32
        key = builder.input(f"cross_key_{index}", dtype, shape)
        value = builder.input(f"cross_value_{index}", dtype, shape)
        same = [f"same_{part}_{index}" for part in ("key", "value")]
        inputs = [self._nothing, self._nothing, key, value, "cross_last", "cross_total"]
        settings: dict[str, object] = {"causal": 0}
        scales = self._ranges[_RANGES * index : _RANGES * (index + 1)]
        if self._is_int8:
            # The operator knows one scale for all rows: queries and results carry each row's own.
            queries = builder.op("Mul", queries, scales[0])
            unit = builder.constant([1.0], np.float32)
            inputs += ["", "", "", "", "", unit, unit]
            settings |= {
                "kv_cache_bit_width": 8,
                "k_quant_type": "PER_TENSOR",
                "v_quant_type": "PER_TENSOR",
            }
        heard, *_ = builder.ops(
            "GroupQueryAttention",
            queries,
            *inputs,
            outputs=[f"cross_attention_{index}", *same],
            domain=MICROSOFT,
            num_heads=geometry.decoder_heads,
            kv_num_heads=geometry.decoder_heads,
            **settings,
        )
        for name in same:
            builder.publish(name, dtype, shape)
        if self._is_int8:
            heard = builder.op("Add", builder.op("Mul", heard, scales[1]), scales[2])
        return heard, self._weights(queries, key, heads) if heads else []

    def _weights(self, queries: str, key: str, heads: list[int]) -> list[str]:
        """The attention of some heads, which the fused operator does not give."""
        builder, geometry = self._builder, self._geometry
        size = geometry.width // geometry.decoder_heads
        picks = builder.constant(heads)
        split = split_heads(builder, queries, geometry.decoder_heads)
        keys = builder.op("Gather", key, picks, axis=1)
        if self._is_int8:
            keys = builder.op("Cast", keys, to=TensorProto.FLOAT)
        scores = builder.op(
            "MatMul",
            builder.op("Gather", split, picks, axis=1),
            builder.op("Transpose", keys, perm=[0, 1, 3, 2]),
        )
        scaled = builder.op("Mul", scores, builder.constant(size**-0.5, np.float32))
        weights = builder.op("Softmax", scaled, axis=-1)
        if len(heads) == 1:
            return [weights]
        return builder.ops("Split", weights, outputs=len(heads), axis=1, num_outputs=len(heads))
