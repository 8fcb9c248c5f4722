"""What a window scores depends on its own frames and nothing else, whichever engine computes it."""

import dataclasses
import functools
import importlib.util

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tercet.checkpoint.head_naming import tag_head_shapes
from tercet.checkpoint.heads import HeadArrays, TagHead
from tercet.convert.tag_head import tag_head_graph
from tercet.engine.graph_tag_scorer import GraphTagScorer
from tercet.engine.onnx import OnnxGraph
from tercet.engine.protocol import TagScorer

LAYERS, FRAMES, WIDTH, HIDDEN = 3, 40, 32, 24
# Layers, whether projected, heads over time, heads over layers.
KINDS = (
    ("last", False, 0, 0),
    ("mean", False, 8, 0),
    ("weighted", True, 2, 0),
    ("each", False, 1, 8),
    ("each", True, 1, 8),
)
ENGINES = [
    name
    for name, module in (("onnx", "onnxruntime"), ("openvino", "openvino"), ("torch", "torch"))
    if importlib.util.find_spec(module) is not None
]
# Other numbers of windows may be other kernels, whose sums are in another order.
TOLERANCE = 2e-5


@functools.cache
def head_of(kind: tuple[str, bool, int, int]) -> TagHead:
    layers, has_projection, time_heads, layer_heads = kind
    head = TagHead(
        layers=layers,
        n_layers=LAYERS,
        width=WIDTH,
        hidden=HIDDEN if has_projection else WIDTH,
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


@functools.cache
def scorer_of(engine: str, kind: tuple[str, bool, int, int]) -> TagScorer:
    """One per engine and head, so that shapes follow each other as they do in a long recording."""
    head = head_of(kind)
    if engine == "torch":
        from tercet.model.tag_scorer import TorchTagScorer

        return TorchTagScorer(head)
    if engine == "onnx":
        return GraphTagScorer(OnnxGraph(tag_head_graph(head), threads=1), head)
    from tercet.engine.openvino import OpenVinoGraph

    usual = {"taps": (LAYERS, FRAMES, WIDTH), "windows": (FRAMES - 4, 5)}
    build = functools.partial(tag_head_graph, head)
    return GraphTagScorer(OpenVinoGraph(build, threads=1, arithmetic="f32", usual=usual), head)


@pytest.fixture(scope="module")
def taps() -> np.ndarray:
    return np.random.default_rng(2).normal(size=(LAYERS, FRAMES, WIDTH)).astype(np.float32)


engines = pytest.mark.parametrize("engine", ENGINES)
kinds = st.sampled_from(KINDS)
lengths = st.integers(1, 30)


def draw_windows(data: st.DataObject, length: int) -> np.ndarray:
    """One to eight windows of this many frames, anywhere, overlapping or not."""
    starts = data.draw(st.lists(st.integers(0, FRAMES - length), min_size=1, max_size=8))
    return np.array(starts)[:, None] + np.arange(length)


@engines
@given(data=st.data(), kind=kinds, length=lengths)
@settings(max_examples=40, deadline=None)
def test_a_window_scores_the_same_in_any_company(engine, taps, data, kind, length):
    windows = draw_windows(data, length)
    scorer = scorer_of(engine, kind)
    together = scorer.score(taps, windows)
    alone = np.concatenate([scorer.score(taps, window[None]) for window in windows])
    np.testing.assert_allclose(alone, together, atol=TOLERANCE, rtol=0)
    order = data.draw(st.permutations(range(len(windows))))
    np.testing.assert_allclose(
        together[order], scorer.score(taps, windows[order]), atol=TOLERANCE, rtol=0
    )


@engines
@given(data=st.data(), kind=kinds, length=lengths)
@settings(max_examples=40, deadline=None)
def test_frames_outside_a_window_are_not_heard(engine, taps, data, kind, length):
    [window] = draw_windows(data, length)[:1]
    scorer = scorer_of(engine, kind)
    changed = np.full_like(taps, 1e6)
    changed[:, window] = taps[:, window]
    expected = scorer.score(taps[:, window], np.arange(length)[None])
    for given_taps in (taps, changed):
        got = scorer.score(given_taps, window[None])
        np.testing.assert_allclose(expected, got, atol=TOLERANCE, rtol=0)


@given(data=st.data(), kind=kinds, length=lengths)
@settings(max_examples=40, deadline=None)
def test_all_engines_agree(taps, data, kind, length):
    windows = draw_windows(data, length)
    expected, *others = (scorer_of(engine, kind).score(taps, windows) for engine in ENGINES)
    for got in others:
        np.testing.assert_allclose(expected, got, atol=1e-4, rtol=0)


@engines
@given(data=st.data(), kind=kinds, length=lengths)
@settings(max_examples=25, deadline=None)
def test_the_order_of_frames_within_a_window_does_not_matter(engine, taps, data, kind, length):
    """No head knows positions: what comes when is in the taps alone."""
    [window] = draw_windows(data, length)[:1]
    mixed = np.array(data.draw(st.permutations(window.tolist())))
    scorer = scorer_of(engine, kind)
    expected = scorer.score(taps, window[None])
    np.testing.assert_allclose(expected, scorer.score(taps, mixed[None]), atol=TOLERANCE, rtol=0)
