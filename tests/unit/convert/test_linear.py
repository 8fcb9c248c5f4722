"""One matrix product in three number formats. Random weights: they have no outliers."""

import numpy as np
import onnx
import pytest

from tercet.checkpoint.arrays import Int8Matrix, MemoryCheckpoint
from tercet.convert.builder import GraphBuilder
from tercet.convert.linear import Matrices, add_linear, block_size, pack_for_matmul_nbits
from tercet.convert.quantize import quantize
from tercet.engine.saturation import wrong_int8_kernels

TOLERANCE = {"float": 1e-6, "rows": 0.015, "tensor": 0.03}  # relative L2
WIDTHS = [24, 64, 80, 384, 1280]


def product_graph(kind, weights, bias=None):
    checkpoint = MemoryCheckpoint(None, {f"{name}.weight": w for name, w in weights.items()})
    builder = GraphBuilder("product")
    width = next(iter(weights.values())).shape[1]
    value = builder.input("x", np.float32, ["rows", "n", width])
    result = add_linear(builder, Matrices(checkpoint), value, tuple(weights), bias, kind)
    builder.output(result, "y", np.float32, ["rows", "n", sum(map(len, weights.values()))])
    return builder.finish()


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.mark.parametrize("kind", TOLERANCE)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("has_bias", [True, False])
def test_every_format_gives_the_product(run_graph, rng, kind, width, has_bias):
    if kind in wrong_int8_kernels():  # `engine.choice` uses no such kind
        pytest.skip("this processor's kernel clips the sums of this kind")
    weights = {"a": rng.normal(size=(30, width)).astype(np.float32)}
    bias = rng.normal(size=30).astype(np.float32) * 9 if has_bias else None
    x = rng.normal(size=(2, 5, width)).astype(np.float32)
    (got,) = run_graph(product_graph(kind, weights, bias), x=x)
    product = x.astype(np.float64) @ weights["a"].T
    expected = product if bias is None else product + bias
    assert np.linalg.norm(expected - got) <= TOLERANCE[kind] * np.linalg.norm(product)


@pytest.mark.parametrize("kind", TOLERANCE)
def test_stacked_matrices_give_their_products_side_by_side(run_graph, rng, kind):
    weights = {name: rng.normal(size=(16, 128)).astype(np.float32) for name in "qkv"}
    weights["k"] *= 50  # each row keeps a scale of its own
    x = rng.normal(size=(1, 3, 128)).astype(np.float32)
    (got,) = run_graph(product_graph(kind, weights), x=x)
    for part, weight in zip(np.split(got, 3, axis=-1), weights.values(), strict=True):
        expected = x @ weight.T
        assert np.linalg.norm(expected - part) <= TOLERANCE[kind] * np.linalg.norm(expected)


@pytest.mark.parametrize("width", WIDTHS)
def test_in_rows_a_result_does_not_depend_on_the_other_rows(run_graph, rng, width):
    graph = product_graph("rows", {"a": rng.normal(size=(48, width)).astype(np.float32)})
    x = rng.normal(size=(4, 6, width)).astype(np.float32)
    company = x.copy()
    company[0], company[2:], company[1, 3:] = 1e4, 0, -77
    (expected,), (got,) = run_graph(graph, x=x), run_graph(graph, x=company)
    np.testing.assert_array_equal(expected[1, :3], got[1, :3])
    # Another number of rows is another kernel: the order of float32 sums differs, no more.
    (alone,) = run_graph(graph, x=x[1:2, :1])
    np.testing.assert_allclose(expected[1, 0], alone[0, 0], rtol=0, atol=2e-6 * width**0.5)


def test_in_tensor_a_loud_neighbour_does_change_a_row(run_graph, rng):
    graph = product_graph("tensor", {"a": rng.normal(size=(48, 64)).astype(np.float32)})
    x = rng.normal(size=(2, 1, 64)).astype(np.float32)
    loud = np.stack([x[0], np.full((1, 64), 1e4, np.float32)])
    (expected,), (got,) = run_graph(graph, x=x), run_graph(graph, x=loud)
    assert np.abs(expected[0] - got[0]).max() > 1


@pytest.mark.parametrize(
    ("width", "block"),
    [(384, 128), (512, 128), (768, 128), (1280, 128), (64, 64), (96, 32), (80, 16), (24, 16)],
)
def test_blocks_divide_the_width_where_they_can(width, block):
    assert block == block_size(width)


@pytest.mark.parametrize("width", WIDTHS)
def test_packing_keeps_every_value_and_pads_with_zero(rng, width):
    matrix = Int8Matrix(
        rng.integers(-127, 128, (5, width)).astype(np.int8), rng.random((5, 1)).astype(np.float32)
    )
    packed, scales = pack_for_matmul_nbits(matrix)
    blocks = -(-width // block_size(width))
    assert ((5, blocks, block_size(width)), np.uint8) == (packed.shape, packed.dtype)
    assert ((5, blocks), np.float32) == (scales.shape, scales.dtype)
    flat = packed.reshape(5, -1).astype(int) - 128
    np.testing.assert_array_equal(matrix.values, flat[:, :width])
    assert not flat[:, width:].any()
    np.testing.assert_array_equal(np.tile(matrix.scales, blocks), scales)


def test_matrices_that_are_stored_in_8_bits_are_taken_as_they_are(rng):
    stored = Int8Matrix(np.full((3, 4), 5, np.int8), np.full((3, 1), 0.5, np.float32))

    class Stored(MemoryCheckpoint):
        def read_int8(self, name):
            return stored if name == "stored.weight" else None

    floats = rng.normal(size=(2, 4)).astype(np.float32)
    matrices = Matrices(Stored(None, {"loose.weight": floats}))
    assert stored is matrices.int8("stored.weight")
    both = matrices.int8("stored.weight", "loose.weight")
    np.testing.assert_array_equal(
        np.concatenate([stored.values, quantize(floats).values]), both.values
    )
    np.testing.assert_array_equal(
        np.concatenate([stored.scales, quantize(floats).scales]), both.scales
    )


@pytest.mark.parametrize("kind", TOLERANCE)
def test_the_product_is_computed_by_the_kernel_that_the_format_names(rng, kind):
    graph = product_graph(kind, {"a": rng.normal(size=(8, 64)).astype(np.float32)})
    nodes = {node.op_type for node in onnx.load_from_string(graph.model).graph.node}
    names = {"float": "MatMul", "rows": "MatMulNBits", "tensor": "DynamicQuantizeMatMul"}
    assert {names[kind]} == nodes - {"Identity"}
