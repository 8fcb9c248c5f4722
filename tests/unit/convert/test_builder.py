"""Graphs and their weights."""

import dataclasses

import numpy as np
import onnx
import pytest

from tercet.convert.builder import Graph, GraphBuilder
from tercet.convert.cross import cross_graph
from tercet.convert.decoder import decoder_graph
from tercet.convert.encoder import encoder_graph
from tercet.convert.layers import Precision
from tercet.engine.onnx import INT8, open_graph
from tercet.errors import EngineError

TENSOR = Precision(attention="tensor", fc1="tensor", fc2="rows", vocabulary="rows")


def test_large_weights_stay_outside_the_protobuf_and_small_ones_inside(run_graph):
    builder = GraphBuilder("sum")
    x = builder.input("x", np.float32, ["n", 257])
    large = builder.weight("large", np.arange(257, dtype=np.float32))  # 1028 bytes
    small = builder.weight("small", np.array([1000], np.float32))
    builder.output(builder.op("Sum", x, large, small), "y", np.float32, ["n", 257])
    graph = builder.finish()
    assert ["large"] == list(graph.weights)
    assert len(graph.model) < 700
    (got,) = run_graph(graph, x=np.ones((2, 257), np.float32))
    np.testing.assert_array_equal(np.tile(np.arange(257) + 1001, (2, 1)), got)


def test_a_weight_under_the_same_name_is_kept_once():
    builder = GraphBuilder("twice")
    first = np.ones((40, 40), np.float32)
    assert builder.weight("a", first) == builder.weight("a", np.zeros((40, 40), np.float32))
    assert [1.0] == np.unique(builder.finish().weights["a"]).tolist()


def test_constants_are_shared_by_value_type_and_shape():
    builder = GraphBuilder("constants")
    names = [builder.constant([0]), builder.constant([0]), builder.constant(0)]
    names += [builder.constant([0], np.float32), builder.constant([1])]
    assert [True, False, False, False] == [name == names[0] for name in names[1:]]


def test_weights_that_do_not_lie_in_order_are_put_in_order(run_graph):
    matrix = np.arange(600, dtype=np.float32).reshape(20, 30)
    builder = GraphBuilder("transposed")
    x = builder.input("x", np.float32, ["n", 30])
    product = builder.op("MatMul", x, builder.weight("w", matrix.T))
    builder.output(product, "y", np.float32, ["n", 20])
    (got,) = run_graph(builder.finish(), x=np.eye(30, dtype=np.float32))
    np.testing.assert_array_equal(matrix.T, got)


@pytest.mark.parametrize("precision", [Precision(), INT8, TENSOR])
def test_graphs_of_whisper_hold_no_weights(random_checkpoint, small_geometry, precision):
    checkpoint = random_checkpoint(small_geometry)
    for graph in (
        encoder_graph(checkpoint, precision, taps=True),
        cross_graph(checkpoint, precision),
        decoder_graph(checkpoint, precision, alignment_heads=((0, 1),)),
    ):
        model = onnx.load_from_string(graph.model)
        external = {t.name: t for t in model.graph.initializer if t.external_data}
        assert sorted(external) == sorted(graph.weights)
        assert all(list(t.dims) == list(graph.weights[n].shape) for n, t in external.items())
        assert not any(t.raw_data for t in external.values())
        assert all(len(t.raw_data) <= 1024 for t in model.graph.initializer)


def test_the_size_of_a_graph_does_not_grow_with_the_weights(random_checkpoint, small_geometry):
    wide = dataclasses.replace(small_geometry, width=512, mlp_width=2048, vocab_size=600)
    sizes = [
        len(decoder_graph(random_checkpoint(geometry), INT8).model)
        for geometry in (small_geometry, wide)
    ]
    # Biases and norms of the small one fit inside the graph.
    assert sizes[1] <= sizes[0] < 20_000


def test_a_graph_that_the_runtime_refuses_is_one_error():
    builder = GraphBuilder("nonsense")
    x = builder.input("x", np.float32, ["n"])
    builder.output(builder.op("NoSuchOperator", x), "y", np.float32, ["n"])
    for graph in (builder.finish(), Graph(b"no protobuf", {})):
        with pytest.raises(
            EngineError, match=r"^ONNX Runtime .* could not open the model"
        ) as caught:
            open_graph(graph, threads=1)
        assert "\n" not in str(caught.value)
