import math

import numpy as np
import pytest

from tercet.evaluate.text.bootstrap import paired_test, rate_interval


def test_the_interval_of_many_equal_utterances_is_that_of_the_normal_distribution() -> None:
    # One word each, a fifth of them wrong: the rate's standard error is known.
    errors = [1] * 200 + [0] * 800
    half_width = 1.96 * math.sqrt(0.2 * 0.8 / 1000)
    found = rate_interval(errors, [1] * 1000, draws=4000)
    assert 0.2 - half_width == pytest.approx(found.low, abs=0.003)
    assert 0.2 + half_width == pytest.approx(found.high, abs=0.003)


def test_a_narrower_level_gives_a_narrower_interval() -> None:
    errors = [1] * 200 + [0] * 800
    half_width = 0.6745 * math.sqrt(0.2 * 0.8 / 1000)
    found = rate_interval(errors, [1] * 1000, draws=4000, level=0.5)
    assert 2 * half_width == pytest.approx(found.high - found.low, abs=0.003)


def test_nineteen_of_twenty_intervals_hold_the_true_rate() -> None:
    # Utterances of 1 to 20 words; each word is wrong by a chance of 0.15.
    rng = np.random.default_rng(5)
    held = 0
    for seed in range(200):
        sizes = rng.integers(1, 21, 100)
        found = rate_interval(
            rng.binomial(sizes, 0.15).tolist(), sizes.tolist(), draws=500, seed=seed
        )
        held += found.low <= 0.15 <= found.high
    assert 0.95 == pytest.approx(held / 200, abs=0.04)


def test_long_utterances_weigh_more() -> None:
    found = rate_interval([0, 100], [100, 100], draws=500)
    assert (0.0, 1.0) == (found.low, found.high)
    assert 0.0 == rate_interval([0, 0], [1, 100]).high


def test_draws_follow_from_the_seed_and_not_from_how_many_are_held_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors, sizes = [3, 0, 1, 2, 5, 4, 7], [10, 4, 6, 9, 12, 31, 17]
    whole = rate_interval(errors, sizes, draws=50, seed=3)
    assert whole != rate_interval(errors, sizes, draws=50, seed=4)
    monkeypatch.setattr("tercet.evaluate.text.bootstrap._AT_ONCE", 14)
    assert whole == rate_interval(errors, sizes, draws=50, seed=3)


@pytest.mark.parametrize(("errors", "sizes"), [([], []), ([2], [10])])
def test_fewer_than_two_utterances_have_no_interval(errors: list[int], sizes: list[int]) -> None:
    found = rate_interval(errors, sizes)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_a_system_does_not_differ_from_itself() -> None:
    found = paired_test([1, 0, 3], [1, 0, 3], [5, 5, 5])
    assert (0.0, 1.0) == (found.difference, found.p_value)
    assert (0, 0, 3) == (found.wins, found.losses, found.ties)
    assert (0.0, 0.0) == (found.interval.low, found.interval.high)


def test_one_error_less_everywhere_is_no_chance() -> None:
    sizes = [8, 10, 12] * 10
    found = paired_test([1] * 30, [2] * 30, sizes, draws=999)
    assert -0.1 == pytest.approx(found.difference)
    assert 1 / 1000 == found.p_value
    assert found.interval.high < 0
    assert (30, 0, 0) == (found.wins, found.losses, found.ties)


def test_the_order_of_systems_turns_the_sign_alone() -> None:
    a, b, sizes = [1, 0, 3, 2, 2], [0, 0, 4, 1, 1], [5, 7, 9, 4, 6]
    one, other = paired_test(a, b, sizes), paired_test(b, a, sizes)
    assert one.difference == -other.difference
    assert one.p_value == other.p_value
    assert (one.wins, one.losses) == (other.losses, other.wins)
    assert (1, 3, 1) == (one.wins, one.losses, one.ties)


def test_where_systems_do_not_differ_one_test_in_twenty_says_they_do() -> None:
    rng = np.random.default_rng(8)
    false_alarms = 0
    for seed in range(200):
        a, b = rng.poisson(1.0, (2, 80)).tolist()
        false_alarms += paired_test(a, b, [10] * 80, draws=400, seed=seed).p_value < 0.05
    assert 0.05 == pytest.approx(false_alarms / 200, abs=0.04)


def test_one_utterance_proves_nothing() -> None:
    found = paired_test([0], [5], [10])
    assert 1.0 == found.p_value
    assert -0.5 == found.difference
    assert math.isnan(found.interval.low)


def test_few_utterances_that_differ_alike_prove_little() -> None:
    # Drawing from equal differences gives that difference always; heads three times is still a quarter.
    assert 1 / 4 == paired_test([0] * 3, [1] * 3, [5] * 3).p_value
