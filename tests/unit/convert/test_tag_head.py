"""The graph of a tag head: every combination, in both number formats; memory; damaged weights."""

import dataclasses
import itertools

import numpy as np
import pytest

from tercet.checkpoint.arrays import Int8Matrix
from tercet.checkpoint.head_naming import tag_head_shapes
from tercet.checkpoint.heads import HeadArrays, TagHead
from tercet.convert.quantize import quantize
from tercet.convert.tag_head import layer_shares, tag_head_graph
from tercet.engine import graph_tag_scorer
from tercet.engine.graph_tag_scorer import GraphTagScorer
from tercet.engine.onnx import OnnxGraph
from tercet.errors import CheckpointError, EngineError, HeadError

LAYERS, FRAMES, WIDTH = 3, 12, 16
WINDOWS = np.array([[0, 1, 2, 3], [8, 9, 10, 11], [2, 3, 4, 5]])


def random_head(
    layers: str = "each",
    *,
    hidden: int = WIDTH,
    has_projection: bool = False,
    time_heads: int = 1,
    layer_heads: int = 0,
    n_layers: int | None = LAYERS,
) -> TagHead:
    head = TagHead(
        layers=layers,
        n_layers=n_layers,
        width=WIDTH,
        hidden=hidden,
        has_projection=has_projection,
        time_heads=time_heads,
        layer_heads=layer_heads,
        arrays=HeadArrays({}),
        labels=("hum", "click", "bang"),
    )
    rng = np.random.default_rng(0)
    values = {}
    for name, shape in tag_head_shapes(head).items():
        middle = 1.0 if name.endswith("norm.weight") or name == "layer_weight" else 0.0
        spread = 0.3 if len(shape) == 1 else shape[-1] ** -0.5
        values[name] = rng.normal(middle, spread, shape).astype(np.float32)
    return dataclasses.replace(head, arrays=HeadArrays(values))


def scorer_of(head: TagHead, **options) -> GraphTagScorer:
    return GraphTagScorer(OnnxGraph(tag_head_graph(head, **options), threads=1), head)


@pytest.fixture(scope="module")
def taps() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(LAYERS, FRAMES, WIDTH)).astype(np.float32)


def norm(x: np.ndarray, head: TagHead, name: str) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * head.arrays.read(f"{name}.weight") + head.arrays.read(f"{name}.bias")


def linear(x: np.ndarray, head: TagHead, name: str) -> np.ndarray:
    bias = 0 if name.endswith("k_proj") else head.arrays.read(f"{name}.bias")
    return x @ head.arrays.read(f"{name}.weight").T.astype(np.float64) + bias


def gelu(x: np.ndarray) -> np.ndarray:
    from math import erf

    return x * 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2)))


def block(x: np.ndarray, head: TagHead, name: str, heads: int) -> np.ndarray:
    """[time, hidden] -> the same."""
    normed = norm(x, head, f"{name}.self_attn_layer_norm")
    q, k, v = (linear(normed, head, f"{name}.self_attn.{part}_proj") for part in "qkv")
    size = x.shape[1] // heads
    mixed = []
    for at in range(0, x.shape[1], size):
        scores = q[:, at : at + size] @ k[:, at : at + size].T / np.sqrt(size)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        mixed.append(weights / weights.sum(-1, keepdims=True) @ v[:, at : at + size])
    x = x + linear(np.concatenate(mixed, axis=1), head, f"{name}.self_attn.out_proj")
    active = gelu(linear(norm(x, head, f"{name}.final_layer_norm"), head, f"{name}.fc1"))
    return x + linear(active, head, f"{name}.fc2")


def logits_of(head: TagHead, taps: np.ndarray, window: np.ndarray) -> np.ndarray:
    """One window by the definition, step by step, in float64."""
    x = taps[:, window].astype(np.float64)
    if head.layers == "last":
        x = x[-1:]
    elif head.layers == "mean":
        x = x.mean(0, keepdims=True)
    elif head.layers == "weighted":
        weights = head.arrays.read("layer_weight").astype(np.float64)
        x = (x * weights[:, None, None]).sum(0, keepdims=True) / weights.sum()
    if head.has_projection:
        x = linear(norm(x, head, "down.norm"), head, "down.proj")
    if head.time_heads:
        x = np.stack([block(one, head, "time_block", head.time_heads) for one in x])
    x = x.mean(1)
    if head.layer_heads:
        x = block(x, head, "layer_block", head.layer_heads)
    return linear(norm(x.mean(0), head, "classifier.norm"), head, "classifier.proj")


CHOICES = [
    (layers, hidden, time_heads, layer_heads)
    for layers, hidden, time_heads, layer_heads in itertools.product(
        ("last", "mean", "weighted", "each"), (None, 8, 24), (0, 1, 4), (0, 2)
    )
    if layers == "each" or not layer_heads
]


@pytest.mark.parametrize(("layers", "hidden", "time_heads", "layer_heads"), CHOICES)
def test_every_combination_gives_the_logits_of_the_definition(
    taps, layers, hidden, time_heads, layer_heads
):
    head = random_head(
        layers,
        hidden=hidden or WIDTH,
        has_projection=hidden is not None,
        time_heads=time_heads,
        layer_heads=layer_heads,
    )
    expected = [logits_of(head, taps, window) for window in WINDOWS]
    assert np.abs(expected).max() > 0.3
    np.testing.assert_allclose(expected, scorer_of(head).score(taps, WINDOWS), atol=2e-5, rtol=0)


def test_a_head_of_any_number_of_layers_takes_any(taps):
    head = random_head(layer_heads=2, n_layers=None)
    scorer = scorer_of(head)
    for layers in (2, 3):
        expected = [logits_of(head, taps[:layers], window) for window in WINDOWS]
        got = scorer.score(taps[:layers], WINDOWS)
        np.testing.assert_allclose(expected, got, atol=2e-5, rtol=0)


def test_layer_weights_are_divided_by_their_sum_and_may_be_negative():
    head = random_head("weighted")
    weights = np.array([1.0, -0.5, 1.5], np.float32)
    changed = HeadArrays({**head.arrays.values, "layer_weight": weights})
    shares = layer_shares(dataclasses.replace(head, arrays=changed))
    np.testing.assert_allclose([0.5, -0.25, 0.75], shares, rtol=1e-6)


@pytest.mark.parametrize("weights", [[1, -1, 0], [0, 0, 0], [np.nan, 1, 1], [np.inf, 1, 1]])
def test_layer_weights_that_add_up_to_nothing_are_an_error(weights):
    head = random_head("weighted")
    changed = HeadArrays({**head.arrays.values, "layer_weight": np.array(weights, np.float32)})
    with pytest.raises(HeadError, match="the layers' weights add up to"):
        tag_head_graph(dataclasses.replace(head, arrays=changed))


def test_a_missing_array_is_an_error():
    head = random_head()
    rest = {k: v for k, v in head.arrays.values.items() if k != "time_block.fc1.weight"}
    with pytest.raises(CheckpointError, match=r"no array 'time_block.fc1.weight'"):
        tag_head_graph(dataclasses.replace(head, arrays=HeadArrays(rest)))


def in_8_bits(head: TagHead) -> TagHead:
    """Its matrices rounded, as a small head file keeps them."""
    values, scales = {}, {}
    for name, array in head.arrays.values.items():
        if array.ndim == 2:
            stored: Int8Matrix = quantize(array, name)
            values[name], scales[name] = stored.values, stored.scales
        else:
            values[name] = array.astype(np.float16)
    return dataclasses.replace(head, arrays=HeadArrays(values, scales))


def test_arrays_stored_in_8_and_16_bits_are_taken_as_they_are(taps):
    head = in_8_bits(random_head(hidden=8, has_projection=True, layer_heads=2))
    expected = [logits_of(head, taps, window) for window in WINDOWS]
    np.testing.assert_allclose(expected, scorer_of(head).score(taps, WINDOWS), atol=2e-5, rtol=0)


def test_8_bit_products_are_near_and_keep_windows_apart(taps):
    head = in_8_bits(random_head(hidden=32, has_projection=True, layer_heads=2))
    exact = scorer_of(head).score(taps, WINDOWS)
    scorer = scorer_of(head, kind="rows")
    rounded = scorer.score(taps, WINDOWS)
    assert 0 < np.abs(exact - rounded).max() < 0.15
    loud = taps.copy()
    loud[:, 8:] *= 1000
    np.testing.assert_array_equal(rounded[[0, 2]], scorer.score(loud, WINDOWS)[[0, 2]])


def test_weights_can_be_moved_elsewhere_as_they_come():
    moved = []
    head = random_head(hidden=32, has_projection=True)
    graph = tag_head_graph(head, store=lambda name, array: moved.append(name) or array)
    assert sorted(graph.weights) == sorted(moved)
    assert len(moved) > 4


# The scorer


def test_many_windows_are_computed_in_parts(taps, monkeypatch):
    head = random_head(layer_heads=2)
    windows = np.arange(FRAMES - 3)[:, None] + np.arange(4)
    expected = scorer_of(head).score(taps, windows)
    asked = []

    class Counted(OnnxGraph):
        def run(self, inputs):
            asked.append(inputs["windows"].shape)
            return super().run(inputs)

    scorer = GraphTagScorer(Counted(tag_head_graph(head), threads=1), head)
    monkeypatch.setattr(graph_tag_scorer, "_VALUES_AT_ONCE", 2 * LAYERS * 4 * WIDTH)
    got = scorer.score(taps, windows)
    assert [(2, 4)] * 4 + [(1, 4)] == asked
    np.testing.assert_allclose(expected, got, atol=1e-5, rtol=0)


def test_no_window_gives_no_row(taps):
    got = scorer_of(random_head()).score(taps, np.zeros((0, 5), np.int64))
    assert ((0, 3), np.float32) == (got.shape, got.dtype)


@pytest.mark.parametrize("shape", [(2, 12, 16), (3, 12, 17), (3, 12), (1, 3, 12, 16), (0, 12, 16)])
def test_taps_of_another_encoder_are_an_error(shape):
    scorer = scorer_of(random_head())
    with pytest.raises(EngineError, match=r"needs \[3, frames, 16\]: it was made for another"):
        scorer.score(np.zeros(shape, np.float32), WINDOWS)


@pytest.mark.parametrize(
    ("windows", "words"),
    [
        (np.array([[0, 12]]), r"hear frames 0\.\.12; there are 0\.\.11"),
        (np.array([[-1, 3]]), r"hear frames -1\.\.3"),
        (np.array([0, 1]), r"shape \[2\]"),
        (np.zeros((2, 0), np.int64), r"shape \[2, 0\]"),
        (np.zeros((2, 2), np.float32), "of float32"),
    ],
)
def test_windows_outside_the_taps_are_an_error(taps, windows, words):
    with pytest.raises(EngineError, match=words):
        scorer_of(random_head()).score(taps, windows)
