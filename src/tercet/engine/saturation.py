"""Do the 8-bit kernels of this machine add up right? Runs a small product of each kind and compares.

Processors without VNNI multiply unsigned by signed bytes with an instruction (`vpmaddubsw`) that adds two
products into 16 bits and clips the sum: 2 x 255 x 127 does not fit. Some kernels avoid it, some do not,
and that changes from release to release; so they are asked.
"""

import functools

import numpy as np

from tercet.checkpoint.arrays import MemoryCheckpoint
from tercet.checkpoint.geometry import Geometry
from tercet.convert.builder import Graph, GraphBuilder
from tercet.convert.linear import Kind, Matrices, add_linear
from tercet.errors import EngineError

_KINDS: tuple[Kind, ...] = ("rows", "tensor")
_LARGEST_ACTIVATION: dict[Kind, int] = {"rows": 127, "tensor": 255}  # so that the scale is 1
_LARGEST_WEIGHT = 127
_OUT, _WIDTH = 48, 256  # two blocks; sums of 255 x 127 over 256 columns are exact in float32
_ROWS = (1, 5)  # one row is another kernel than several
# Of the sum of all sizes of products. Rounding activations to 8 bits costs at most 0.004, clipping over 0.1.
_TOLERANCE = 0.01
_NO_MODEL = Geometry(
    n_mels=1, width=_WIDTH, encoder_layers=0, encoder_heads=1, decoder_layers=0, decoder_heads=1,
    vocab_size=0,
)  # fmt: skip


def check_int8_kernel() -> bool:
    """Whether every 8-bit kernel that Tercet uses is right on this machine.

    Takes a few milliseconds once per process; ONNX Runtime must be installed.
    """
    return not wrong_int8_kernels()


@functools.cache
def wrong_int8_kernels() -> frozenset[Kind]:
    """The kinds of product (see `convert.linear`) that clip sums here, or that cannot be run at all."""
    return frozenset(kind for kind in _KINDS if not _is_right(kind))


def is_exact(got: np.ndarray, activations: np.ndarray, weights: np.ndarray) -> bool:
    """Whether `got` is activations @ weights.T in integers, but for the rounding of activations.

    Shapes: [rows, out], [rows, width], [out, width].
    """
    wide, transposed = activations.astype(np.int64), weights.astype(np.int64).T
    error = np.abs(got.astype(np.float64) - wide @ transposed)  # NaN is no success either
    return bool((error <= _TOLERANCE * (np.abs(wide) @ np.abs(transposed))).all())


def hard_values(kind: Kind, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Activations [rows, width] and weights [out, width] (whole numbers) whose sums of two clip in 16 bits.

    Two of three pairs of weights are positive and one negative, so that clipping does not cancel out; the
    place of the odd one, and the activations' signs and sizes, change from row to row.
    """
    pairs = np.arange(_WIDTH) // 2
    odd = (pairs[None] + np.arange(_OUT)[:, None]) % 3 == 0
    weights = np.where(odd, -_LARGEST_WEIGHT, _LARGEST_WEIGHT)
    largest = _LARGEST_ACTIVATION[kind]
    activations = np.full((rows, _WIDTH), largest)
    activations[1:] -= (pairs * np.arange(1, rows)[:, None]) % 5
    if kind == "rows":
        activations[2::2] *= -1
    return activations, weights


def _is_right(kind: Kind) -> bool:
    from tercet.engine.onnx import open_graph

    try:
        session = open_graph(_product(kind), threads=1)
    except EngineError:
        return False
    for rows in _ROWS:
        activations, weights = hard_values(kind, rows)
        [got] = session.run(None, {"x": activations.astype(np.float32)[None]})
        if not is_exact(got[0], activations, weights):
            return False
    return True


def _product(kind: Kind) -> Graph:
    """The very nodes that a model's graph has, with weights that 8 bits hold as they are."""
    _, weights = hard_values(kind, 1)
    checkpoint = MemoryCheckpoint(_NO_MODEL, {"hard.weight": weights.astype(np.float32)})
    builder = GraphBuilder("hard_product")
    value = builder.input("x", np.float32, [1, "rows", _WIDTH])
    result = add_linear(builder, Matrices(checkpoint), value, ("hard",), None, kind)
    builder.output(result, "y", np.float32, [1, "rows", _OUT])
    return builder.finish()
