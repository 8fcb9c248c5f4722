"""Folding: no result changes by a bit. Statistics are invented: random weights hide outliers."""

import numpy as np
import onnx
import pytest

from tercet.checkpoint.smoothing import column_factors, row_divisors
from tercet.convert.encoder import encoder_graph
from tercet.convert.layers import Precision
from tercet.convert.smooth import fold, largest_of, probed_encoder
from tercet.errors import CheckpointError


@pytest.fixture(scope="module")
def checkpoint(random_checkpoint, small_geometry):
    return random_checkpoint(small_geometry)


@pytest.fixture(scope="module")
def statistics():
    rng = np.random.default_rng(1)
    return {
        f"layers.{layer}.{group}": np.exp(rng.normal(0, 2, 64)).astype(np.float32)
        for layer in range(2)
        for group in ("self_attn", "out_proj", "fc1")
    }


@pytest.fixture(scope="module")
def mel():
    return np.random.default_rng(2).normal(size=(1, 8, 80)).astype(np.float32)


def test_a_folded_encoder_gives_the_same_bits(run_graph, checkpoint, statistics, mel):
    folded, _ = fold(checkpoint, statistics)
    (expected,) = run_graph(encoder_graph(checkpoint, Precision(), taps=False), mel=mel)
    (got,) = run_graph(encoder_graph(folded, Precision(), taps=False), mel=mel)
    np.testing.assert_array_equal(expected, got)
    changed = {n for n in checkpoint.names() if (checkpoint.read(n) != folded.read(n)).any()}
    assert {"fc1.weight", "fc1.bias"} & {n.split(".", 4)[-1] for n in changed} == {"fc1.weight"}
    for part in ("self_attn.q_proj.weight", "self_attn.out_proj.weight", "final_layer_norm.bias"):
        assert f"model.encoder.layers.1.{part}" in changed
    assert not [n for n in changed if "decoder" in n or "fc2" in n]


def test_exponents_undo_the_folding(checkpoint, statistics):
    folded, exponents = fold(checkpoint, statistics)
    assert sorted(statistics) == sorted(exponents)
    for name in checkpoint.names():
        if not name.endswith("proj.weight") and not name.endswith("fc1.weight"):
            continue
        if not name.startswith("model.encoder"):
            continue
        values = folded.read(name)
        columns, rows = column_factors(name, exponents), row_divisors(name, exponents)
        values = values / columns
        values = values if rows is None else values * rows[:, None]
        np.testing.assert_array_equal(checkpoint.read(name), values)


def test_loud_channels_are_made_quieter(checkpoint, statistics):
    loud = dict(statistics)
    loud["layers.0.fc1"] = np.ones(64, np.float32)
    loud["layers.0.fc1"][5] = 64.0
    _, exponents = fold(checkpoint, loud)
    found = exponents["layers.0.fc1"]
    assert np.int8 == found.dtype
    assert 5 == found.argmax()
    assert {-1, 0, 1} >= set(np.delete(found, 5).tolist())
    assert 4 <= found[5] <= 6  # 64 ** 0.8 is 2 ** 4.8


def test_silent_channels_and_empty_columns_have_modest_factors(checkpoint, statistics):
    silent = dict(statistics)
    silent["layers.0.fc1"] = np.zeros(64, np.float32)
    silent["layers.0.fc1"][0] = 1e30
    folded, exponents = fold(checkpoint, silent)
    assert np.abs(exponents["layers.0.fc1"]).max() <= 12
    assert all(np.isfinite(folded.read(name)).all() for name in folded.names())


def test_probes_tell_the_largest_input_of_every_matrix(run_graph, checkpoint, mel):
    graph, probes = probed_encoder(checkpoint)
    names = [o.name for o in onnx.load_from_string(graph.model).graph.output]
    values = dict(zip(names, run_graph(graph, mel=mel), strict=True))
    groups = ("self_attn", "out_proj", "fc1", "fc2")
    wanted = sorted(f"layers.{layer}.{group}" for layer in range(2) for group in groups)
    assert wanted == sorted(probes.values())
    found = {statistic: values[output] for output, statistic in probes.items()}
    assert {(256,)} == {v.shape for n, v in found.items() if n.endswith("fc2")}
    # What fc1 reads is the output of a layer norm: within sqrt(width) of its bias.
    gain = np.abs(checkpoint.read("model.encoder.layers.1.final_layer_norm.weight"))
    shift = np.abs(checkpoint.read("model.encoder.layers.1.final_layer_norm.bias"))
    assert (found["layers.1.fc1"] > 0).all()
    assert (found["layers.1.fc1"] <= gain * 8 + shift).all()
    (plain,) = run_graph(encoder_graph(checkpoint, Precision(), taps=False), mel=mel)
    np.testing.assert_array_equal(plain, values["states"])


def test_runs_are_merged_by_their_largest():
    runs = [{"a": np.array([1.0, 5.0])}, {"a": np.array([2.0, 3.0])}]
    assert [2.0, 5.0] == largest_of(runs)["a"].tolist()


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.pop("layers.1.fc1"),
        lambda s: s.update({"layers.1.fc1": np.ones(63, np.float32)}),
        lambda s: s.update({"layers.1.fc1": np.full(64, np.nan, np.float32)}),
    ],
)
def test_statistics_of_another_model_are_an_error(checkpoint, statistics, change):
    other = dict(statistics)
    change(other)
    with pytest.raises(CheckpointError, match=r"64 numbers for layers\.1\.fc1; measure"):
        fold(checkpoint, other)
