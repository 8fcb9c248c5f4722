"""How a token is picked."""

from types import SimpleNamespace

import numpy as np

from tercet.decoding.strategies import Greedy, Sample


def sample(temperature, keys, seed=3, attempt=1):
    return Sample(temperature, seed=seed, row_keys=keys, attempt=attempt)


def test_greedy_takes_the_likeliest_and_of_equals_the_first(to_library):
    logits = to_library(np.array([[0, 5, 1], [2, 2, 2], [0, -1, 9]], dtype=np.float32))
    assert [1, 0, 2] == Greedy().pick(logits, [0, 1, 2]).tolist()


def test_samples_follow_the_softmax_of_the_tempered_logits(to_library):
    temperature = 0.5
    logits = np.log(np.array([[0.1, 0.3, 0.6]], dtype=np.float32)) * temperature
    strategy = sample(temperature, [0])
    picked = [int(strategy.pick(to_library(logits), [0])[0]) for _ in range(4000)]
    shares = np.bincount(picked, minlength=3) / len(picked)
    np.testing.assert_allclose([0.1, 0.3, 0.6], shares, atol=0.03)


def test_forbidden_tokens_are_never_drawn(to_library):
    logits = np.full((1, 6), -np.inf, dtype=np.float32)
    logits[0, [2, 3]] = 0.0
    strategy = sample(1.0, [0])
    picked = {int(strategy.pick(to_library(logits), [0])[0]) for _ in range(200)}
    assert {2, 3} == picked


def test_the_smallest_and_the_largest_draw_are_allowed_tokens_too(to_library):
    logits = np.array([[-np.inf, 0.1, 0.7, -np.inf]], dtype=np.float32)
    strategy = sample(1.0, [0])
    for drawn, token in ((0, 1), (2**52 - 1, 2)):
        strategy._generators = [SimpleNamespace(integers=lambda _below, drawn=drawn: drawn)]
        assert [token] == strategy.pick(to_library(logits), [0]).tolist()


def test_both_libraries_draw_the_same(to_library):
    logits = np.random.default_rng(0).normal(size=(3, 500)).astype(np.float32)
    wanted = sample(1.0, [5, 6, 7])
    strategy = sample(1.0, [5, 6, 7])
    for _ in range(20):
        expected = wanted.pick(logits, [0, 1, 2]).tolist()
        assert expected == strategy.pick(to_library(logits), [0, 1, 2]).tolist()


def test_what_is_drawn_depends_on_seed_key_and_attempt_alone():
    logits = np.zeros((1, 10_000), dtype=np.float32)

    def draws(keys, row, **chances):
        strategy = sample(1.0, keys, **chances)
        return [int(strategy.pick(logits, [row])[0]) for _ in range(5)]

    wanted = draws([8], 0)
    assert wanted == draws([1, 8, 2], 1)
    assert wanted != draws([9], 0)
    assert wanted != draws([8], 0, seed=4)
    assert wanted != draws([8], 0, attempt=2)
