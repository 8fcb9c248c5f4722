"""The tagging heads in torch: names, gradients, a fresh start, and the scorer over them."""

import dataclasses

import numpy as np
import pytest

from tercet.checkpoint.head_naming import tag_head_shapes
from tercet.checkpoint.heads import HeadArrays, TagHead
from tercet.errors import CheckpointError, EngineError

torch = pytest.importorskip("torch")

from tercet.model.tag_head import AudioTagger, build_tag_head  # noqa: E402 - they import torch
from tercet.model.tag_scorer import TorchTagScorer  # noqa: E402

LAYERS, FRAMES, WIDTH = 3, 12, 16
WINDOWS = np.array([[0, 1, 2, 3], [8, 9, 10, 11], [2, 3, 4, 5]])
KINDS = {
    "last_mlp": ("last", WIDTH, 0, 0),
    "mean_tr_8": ("mean", WIDTH, 8, 0),
    "wa_mlp": ("weighted", WIDTH, 0, 0),
    "wa_down_tr_8_2": ("weighted", 8, 2, 0),
    "lw_tr_1_8": ("each", WIDTH, 1, 8),
    "lw_down_tr_24_1_8": ("each", 24, 1, 8),
}


def random_head(mode: str) -> TagHead:
    layers, hidden, time_heads, layer_heads = KINDS[mode]
    head = TagHead(
        layers=layers,
        n_layers=LAYERS,
        width=WIDTH,
        hidden=hidden,
        has_projection="_down_" in mode,
        time_heads=time_heads,
        layer_heads=layer_heads,
        arrays=HeadArrays({}),
        labels=("hum", "click", "bang"),
    )
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.normal(size=shape).astype(np.float32)
        for name, shape in tag_head_shapes(head).items()
    }
    return dataclasses.replace(head, arrays=HeadArrays(arrays))


@pytest.fixture(scope="module")
def taps() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(LAYERS, FRAMES, WIDTH)).astype(np.float32)


@pytest.mark.parametrize("mode", KINDS)
def test_the_state_dict_has_the_names_and_shapes_of_a_head_file(mode):
    head = random_head(mode)
    state = build_tag_head(head).state_dict()
    assert tag_head_shapes(head) == {name: tuple(one.shape) for name, one in state.items()}
    for name, one in state.items():
        np.testing.assert_array_equal(head.arrays.read(name), one.numpy())


@pytest.mark.parametrize("mode", KINDS)
def test_every_weight_and_the_taps_have_a_gradient(mode, taps):
    module = build_tag_head(random_head(mode))
    batch = torch.from_numpy(np.stack([taps[:, :5], taps[:, 5:10]])).requires_grad_()
    logits = module(batch)
    assert (2, 3) == tuple(logits.shape)
    (logits**2).sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    assert batch.grad is not None


def test_a_batch_gives_what_each_of_it_gives(taps):
    module = build_tag_head(random_head("lw_down_tr_24_1_8"))
    batch = torch.from_numpy(np.stack([taps[:, :5], taps[:, 5:10]]))
    alone = torch.cat([module(one[None]) for one in batch])
    torch.testing.assert_close(alone, module(batch), atol=1e-5, rtol=0)


def test_the_module_does_not_write_into_the_head():
    head = random_head("wa_mlp")
    before = head.arrays.read("layer_weight").copy()
    with torch.no_grad():
        build_tag_head(head).layer_weight.fill_(7)
    np.testing.assert_array_equal(before, head.arrays.read("layer_weight"))


def test_a_fresh_weighted_mean_starts_with_equal_layers(taps):
    sizes = {"width": WIDTH, "hidden": WIDTH, "time_heads": 0, "layer_heads": 0, "n_labels": 3}
    fresh = AudioTagger(layers="weighted", n_layers=LAYERS, has_projection=False, **sizes)
    got = fresh.project(torch.from_numpy(taps)[None])
    np.testing.assert_allclose(taps.mean(0), got[0, 0].detach().numpy(), atol=1e-6)
    with pytest.raises(ValueError, match="n_layers"):
        AudioTagger(layers="weighted", n_layers=None, has_projection=False, **sizes)


def test_a_head_without_an_array_is_an_error():
    head = random_head("wa_mlp")
    rest = {k: v for k, v in head.arrays.values.items() if k != "layer_weight"}
    with pytest.raises(CheckpointError, match="layer_weight is missing"):
        build_tag_head(dataclasses.replace(head, arrays=HeadArrays(rest)))


@pytest.mark.parametrize("mode", KINDS)
def test_the_scorer_gives_what_the_module_gives(mode, taps):
    head = random_head(mode)
    scorer = TorchTagScorer(head)
    with torch.no_grad():
        batch = np.stack([taps[:, window] for window in WINDOWS])
        expected = build_tag_head(head)(torch.from_numpy(batch)).numpy()
    for given in (taps, torch.from_numpy(taps)):
        got = scorer.score(given, WINDOWS)
        assert np.float32 == got.dtype
        np.testing.assert_allclose(expected, got, atol=1e-4, rtol=0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_types_give_float32_logits_nearby(dtype, taps):
    head = random_head("lw_tr_1_8")
    exact = TorchTagScorer(head).score(taps, WINDOWS)
    got = TorchTagScorer(head, dtype=dtype).score(taps, WINDOWS)
    assert np.float32 == got.dtype
    assert 0 < np.abs(exact - got).max() < 0.1 * np.abs(exact).max()


def test_taps_that_cannot_be_written_to_raise_no_warning(taps, recwarn):
    frozen = taps.copy()
    frozen.setflags(write=False)
    TorchTagScorer(random_head("last_mlp")).score(frozen, WINDOWS)
    assert [] == list(recwarn)


def test_what_does_not_fit_is_an_error(taps):
    scorer = TorchTagScorer(random_head("lw_tr_1_8"))
    with pytest.raises(EngineError, match=r"needs \[3, frames, 16\]"):
        scorer.score(taps[:2], WINDOWS)
    with pytest.raises(EngineError, match=r"there are 0\.\.11"):
        scorer.score(torch.from_numpy(taps), WINDOWS + 1)
    with pytest.raises(EngineError, match="device 'gpu9'"):
        TorchTagScorer(random_head("lw_tr_1_8"), device="gpu9")
    with pytest.raises(EngineError, match="dtype 'int8'"):
        TorchTagScorer(random_head("lw_tr_1_8"), dtype="int8")
    assert (0, 3) == scorer.score(taps, np.zeros((0, 5), np.int64)).shape
