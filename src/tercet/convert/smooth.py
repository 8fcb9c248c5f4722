"""Folding activation outliers of the encoder into its weights, so that 8 bits lose less.

SmoothQuant, arXiv:2211.10438. Real Whisper weights make a few channels 10 to 50 times larger than the
rest. A factor per channel is divided out of the preceding layer norm (or value projection) and
multiplied into the next matrix. Factors here are powers of two, so that folding changes no float32
result by a single bit, and a re-run of the recipe on another machine gives the same file. What feeds
`fc2` passes through GELU first and cannot be folded. Nothing is rounded here.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper

from tercet.checkpoint.arrays import Checkpoint, MemoryCheckpoint
from tercet.checkpoint.smoothing import GROUPS, statistic_of
from tercet.convert.builder import Graph
from tercet.convert.encoder import encoder_graph
from tercet.convert.layers import Precision
from tercet.errors import CheckpointError

ALPHA = 0.8  # how much of the difficulty moves into the weights; see docs/EXPERIMENTS.md


def probed_encoder(checkpoint: Checkpoint) -> tuple[Graph, dict[str, str]]:
    """The float32 encoder that also tells the largest absolute input of every matrix, per channel.

    Returns the graph, and for each extra output [width] the statistic's name (`layers.0.fc1`).
    """
    graph = encoder_graph(checkpoint, Precision(), taps=False)
    model = onnx.load_from_string(graph.model)
    probes: dict[str, str] = {}
    axes = helper.make_tensor("probe_axes", TensorProto.INT64, [2], [0, 1])
    model.graph.initializer.append(axes)
    for node in list(model.graph.node):
        statistic = statistic_of(node.input[1]) if node.op_type == "MatMul" else None
        if statistic is None:
            continue
        output = f"probe_{statistic}"
        model.graph.node.append(helper.make_node("Abs", [node.input[0]], [f"{output}_abs"]))
        model.graph.node.append(
            helper.make_node("ReduceMax", [f"{output}_abs", "probe_axes"], [output], keepdims=0)
        )
        model.graph.output.append(
            helper.make_tensor_value_info(output, TensorProto.FLOAT, ["width"])
        )
        probes[output] = statistic
    return Graph(model.SerializeToString(), graph.weights), probes


def largest_of(runs: Iterable[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Merge the statistics of several windows: the largest absolute value per channel."""
    merged: dict[str, np.ndarray] = {}
    for run in runs:
        for name, values in run.items():
            merged[name] = np.maximum(merged.get(name, 0.0), values)
    return merged


def fold(
    checkpoint: Checkpoint, statistics: Mapping[str, np.ndarray], *, alpha: float = ALPHA
) -> tuple[MemoryCheckpoint, dict[str, np.ndarray]]:
    """Fold the encoder's outliers away.

    Args:
        checkpoint: The original.
        statistics: Per group (`layers.0.self_attn`, `layers.0.out_proj`, `layers.0.fc1`, ...), the
            largest absolute input of each channel, float [width]; other names are passed over.
        alpha: How much of the difficulty moves into the weights, 0 to 1.

    Returns:
        The folded checkpoint (every array in memory; those that changed in float32), and the exponents
        of the factors, int8 [width] per group: folded weight column = weight column * 2**exponent.

    Raises:
        CheckpointError: the statistics are not of this model.
    """
    _check_statistics(checkpoint, statistics)
    arrays = {name: checkpoint.read(name) for name in checkpoint.names()}
    exponents: dict[str, np.ndarray] = {}
    for index in range(checkpoint.geometry.encoder_layers):
        layer = f"model.encoder.layers.{index}"
        for group, readers in GROUPS.items():
            name = f"layers.{index}.{group}"
            matrices = [f"{layer}.{reader}.weight" for reader in readers]
            exponents[name] = _exponents(
                statistics[name], [arrays[matrix] for matrix in matrices], alpha
            )
            factors = np.exp2(exponents[name].astype(np.float32))
            for matrix in matrices:
                arrays[matrix] = _scaled(arrays[matrix], factors)
            _divide_source(arrays, layer, group, factors)
    folded = MemoryCheckpoint(
        checkpoint.geometry,
        arrays,
        path=checkpoint.path,
        generation=checkpoint.generation,
        tokenizer_file=checkpoint.tokenizer_file,
    )
    return folded, exponents


def _check_statistics(checkpoint: Checkpoint, statistics: Mapping[str, np.ndarray]) -> None:
    """Every group has its channels, and nothing there is NaN or infinite."""
    width = checkpoint.geometry.width
    for index in range(checkpoint.geometry.encoder_layers):
        for group in GROUPS:
            found = statistics.get(f"layers.{index}.{group}")
            if found is None or found.shape != (width,) or not np.isfinite(found).all():
                raise CheckpointError(
                    f"{checkpoint.path}: calibration has no {width} numbers for "
                    f"layers.{index}.{group}; measure it on this model"
                )


def _exponents(largest: np.ndarray, matrices: list[np.ndarray], alpha: float) -> np.ndarray:
    # A silent channel must not get a huge factor.
    inputs = np.maximum(largest.astype(np.float64), 1e-3)
    columns = np.max([np.abs(m.astype(np.float64)).max(axis=0) for m in matrices], axis=0)
    logs = alpha * np.log2(inputs) - (1 - alpha) * np.log2(np.maximum(columns, 1e-4))
    centred: np.ndarray = np.rint(logs - logs.mean()).clip(-12, 12)
    return centred.astype(np.int8)


def _scaled(array: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Multiply by powers of two, in float32: float16 could underflow."""
    scaled: np.ndarray = array.astype(np.float32) * factors
    return scaled


def _divide_source(
    arrays: dict[str, np.ndarray], layer: str, group: str, factors: np.ndarray
) -> None:
    """Take the factors out of whatever produces the group's input."""
    inverse = 1.0 / factors
    if group == "out_proj":
        value = f"{layer}.self_attn.v_proj"
        arrays[f"{value}.weight"] = _scaled(arrays[f"{value}.weight"], inverse[:, None])
        arrays[f"{value}.bias"] = _scaled(arrays[f"{value}.bias"], inverse)
        return
    norm = "self_attn_layer_norm" if group == "self_attn" else "final_layer_norm"
    for leaf in ("weight", "bias"):
        name = f"{layer}.{norm}.{leaf}"
        arrays[name] = _scaled(arrays[name], inverse)
