"""Cross-attention's keys and values in 8 bits: what rounding costs, and whom it touches."""

import numpy as np
import pytest

from tercet.checkpoint.arrays import MemoryCheckpoint
from tercet.convert.cross import cross_graph
from tercet.convert.layers import Precision
from tercet.engine.onnx import OnnxDecoder
from tercet.engine.protocol import open_over, project_all

FLOAT, INT8 = Precision(), Precision(cross_cache="int8")
ATTENTION = "model.decoder.layers.{}.encoder_attn"
OFFSET = 200.0  # in units of the spread over time


@pytest.fixture(scope="module")
def checkpoint(random_checkpoint, small_geometry) -> MemoryCheckpoint:
    """Some channels of the values, and of the keys, stand far from zero at all times.

    Keys have no bias: what all frames share comes through a state that never changes.
    """
    made = random_checkpoint(small_geometry, seed=5)
    rng = np.random.default_rng(6)
    for layer in range(small_geometry.decoder_layers):
        name = ATTENTION.format(layer)
        far = OFFSET * (rng.random(small_geometry.width) < 0.3).astype(np.float32)
        made.arrays[f"{name}.v_proj.bias"] += far
        # The layers behind see nothing of it, or it would drown what the window says.
        made.arrays[f"{name}.out_proj.bias"] -= made.arrays[f"{name}.out_proj.weight"] @ far
        made.arrays[f"{name}.k_proj.weight"][:, 0] = far
    return made


@pytest.fixture(scope="module")
def states() -> np.ndarray:
    """Encoder states [4, 40, 64]; the first is always one."""
    drawn = np.random.default_rng(7).normal(size=(4, 40, 64)).astype(np.float32)
    drawn[:, :, 0] = 1.0
    return drawn


@pytest.fixture(scope="module")
def decoders(checkpoint) -> tuple[OnnxDecoder, OnnxDecoder]:
    """With the cache in float32, and in 8 bits; everything else is float32 in both."""
    return OnnxDecoder(checkpoint, FLOAT, threads=1), OnnxDecoder(checkpoint, INT8, threads=1)


def steps(decoder: OnnxDecoder, states: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Logits of a prompt of three and of four single tokens, [rows, 5, vocab]."""
    session = open_over(decoder, states)
    tokens = np.random.default_rng(seed).integers(0, 60, (len(states), 7))
    said = [np.array(session.step(tokens[:, :3]))]
    said += [np.array(session.step(tokens[:, i : i + 1])) for i in range(3, 7)]
    return np.concatenate(said, axis=1)


def error(exact: np.ndarray, got: np.ndarray) -> float:
    return float(np.linalg.norm(exact - got) / np.linalg.norm(exact))


def flat(heads: np.ndarray) -> np.ndarray:
    """[1, heads, frames, size] -> [frames, width]."""
    return heads[0].transpose(1, 0, 2).reshape(heads.shape[2], -1).astype(np.float64)


def test_keys_and_values_are_rounded_about_their_means(
    checkpoint, small_geometry, states, run_graph
):
    exact = run_graph(cross_graph(checkpoint, FLOAT), states=states[:1])
    *rounded, ranges = run_graph(cross_graph(checkpoint, INT8), states=states[:1])
    assert (1, 3 * small_geometry.decoder_layers, small_geometry.width) == ranges.shape
    assert {np.dtype(np.int8)} == {array.dtype for array in rounded}
    for layer in range(small_geometry.decoder_layers):
        key_scale, value_scale, value_mean = ranges[0, 3 * layer : 3 * layer + 3].astype(np.float64)
        key, value = (flat(array) for array in exact[2 * layer : 2 * layer + 2])
        assert np.abs(key.mean(0)).max() > 10 * key.std(0).max()  # else this test shows nothing
        assert np.abs(value.mean(0)).max() > 10 * value.std(0).max()
        pairs = [
            (key - key.mean(0), flat(rounded[2 * layer]) * key_scale, key_scale),
            (value, flat(rounded[2 * layer + 1]) * value_scale + value_mean, value_scale),
        ]
        for wanted, got, scale in pairs:
            assert np.all(np.abs(wanted - got) <= 0.5 * scale + 1e-4)
            spread = np.abs(wanted - wanted.mean(0)).max(0)
            np.testing.assert_allclose(spread / 127, scale, rtol=1e-3)


def test_a_far_offset_of_a_channel_costs_no_accuracy(decoders, states):
    exact, rounded = decoders
    assert 0 < error(steps(exact, states), steps(rounded, states)) < 0.01


def test_attention_weights_are_those_of_the_exact_cache(decoders, states):
    kept = []
    for decoder in decoders:
        session = open_over(decoder, states, align=True)
        session.step(np.random.default_rng(1).integers(0, 60, (4, 5)))
        kept.append(np.array(session.alignment()))
    exact, rounded = kept
    np.testing.assert_allclose(1, rounded.sum(-1), atol=1e-5)
    assert 0 < np.abs(exact - rounded).max() < 0.02


def test_a_row_is_rounded_by_itself(decoders, states):
    """A neighbour a thousand times as loud changes no bit of it."""
    _, rounded = decoders
    loud = states.copy()
    loud[1:] *= 1000.0
    np.testing.assert_array_equal(steps(rounded, states)[0], steps(rounded, loud)[0])
    alone = steps(rounded, states[:1])[0]
    np.testing.assert_allclose(alone, steps(rounded, states)[0], atol=1e-5)


def test_rows_keep_their_own_ranges_when_they_move(decoders, states):
    _, rounded = decoders
    spread = states * np.array([1.0, 30.0, 0.1, 5.0], np.float32)[:, None, None]
    windows = project_all(rounded, spread)
    tokens = np.random.default_rng(2).integers(0, 60, (4, 3))
    session = rounded.open(windows)
    session.step(tokens)
    for order in ([0, 3, 2], [2, 1], [1]):
        session.reorder(np.array(order))
    logits = np.array(session.step(np.array([[7]])))
    alone = rounded.open([windows[3]])
    alone.step(tokens[3:])
    np.testing.assert_allclose(np.array(alone.step(np.array([[7]]))), logits, atol=1e-5)


@pytest.mark.parametrize("kind", ["frames that are all alike", "silence"])
def test_a_channel_without_a_range_is_exact(decoders, states, kind):
    window = {
        "frames that are all alike": np.repeat(states[:1, :1], 9, axis=1),
        "silence": np.zeros_like(states[:1]),
    }[kind]
    exact, rounded = (steps(decoder, window) for decoder in decoders)
    assert np.isfinite(rounded).all()
    np.testing.assert_allclose(exact, rounded, atol=2e-4)


def test_a_cache_in_eight_bits_is_a_quarter_of_the_size(decoders, states):
    exact, rounded = (decoder.project(states[0]) for decoder in decoders)
    keys = {name for name in exact if name.startswith("cross_key")}
    assert keys
    for name in keys:
        assert exact[name].nbytes == 4 * rounded[name].nbytes
