"""Which item is drawn when."""

import numpy as np
import pytest

from tercet.errors import OptionError, TrainingError
from tercet.train.sampling import Draw, Mixed, Order, Sampler, Sequential, Shuffled, Weighted


def drawn(order: Order, count: int, start: int = 0) -> list[int]:
    return [order.at(position) for position in range(start, start + count)]


def test_in_order_items_come_again_and_again() -> None:
    assert [0, 1, 2, 0, 1] == drawn(Sequential(3), 5)


def test_shuffled_items_come_once_in_each_pass_and_in_another_order() -> None:
    order = Shuffled(20, seed=1)
    first, second = drawn(order, 20), drawn(order, 20, start=20)
    assert list(range(20)) == sorted(first) == sorted(second)
    assert first != second


@pytest.mark.parametrize(
    "make",
    [
        lambda: Sequential(7),
        lambda: Shuffled(7, seed=3),
        lambda: Weighted(np.arange(7), seed=3),
        lambda: Mixed([Shuffled(4, seed=0), Shuffled(3, seed=1)], [2, 1], seed=5),
    ],
)
def test_a_position_says_the_item_whatever_was_asked_before(make) -> None:
    order = make()
    far = 3 * 2**16 - 2
    expected = drawn(order, 10, start=far)
    assert expected == drawn(make(), 10, start=far)
    assert drawn(make(), 10) == drawn(order, 10)
    assert expected == drawn(order, 10, start=far)


def test_another_seed_gives_another_order() -> None:
    assert drawn(Shuffled(50, seed=0), 50) != drawn(Shuffled(50, seed=1), 50)
    weights = np.ones(50)
    assert drawn(Weighted(weights, seed=0), 50) != drawn(Weighted(weights, seed=1), 50)


def test_weighted_items_come_as_often_as_their_weights_say() -> None:
    counts = np.bincount(drawn(Weighted(np.array([0, 1, 3, 0]), seed=0), 8000), minlength=4)
    assert 0 == counts[0] == counts[3]
    assert 6000 == pytest.approx(counts[2], abs=200)


def test_sets_are_mixed_by_weight_and_each_is_gone_through_in_turn() -> None:
    order = Mixed([Shuffled(10, seed=0), Sequential(5)], [3, 1], seed=0)
    items = drawn(order, 4000)
    second = [item for item in items if item >= 10]
    assert 1000 == pytest.approx(len(second), abs=120)
    assert [10 + i % 5 for i in range(len(second))] == second
    first = [item for item in items if item < 10]
    assert all(sorted(first[i : i + 10]) == list(range(10)) for i in range(0, 2900, 10))


def test_sets_go_on_over_the_edge_of_a_block() -> None:
    order = Mixed([Sequential(1), Sequential(10**6)], [1, 1], seed=2)
    second = [item - 1 for item in drawn(order, 2**16 + 50) if item]
    assert list(range(len(second))) == second


@pytest.mark.parametrize(
    ("weights", "told"),
    [([], "no item"), ([0.0, 0.0], "not all 0"), ([1, -1], "not negative"), ([np.nan], "finite")],
)
def test_weights_that_cannot_be_meant_are_refused(weights: list[float], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        Weighted(np.array(weights), seed=0)


def test_an_empty_set_is_refused() -> None:
    for make in (lambda: Shuffled(0, seed=0), lambda: Sequential(0)):
        with pytest.raises(OptionError, match="no item to train on"):
            make()


def test_there_is_a_weight_for_each_set() -> None:
    with pytest.raises(OptionError, match="2 data sets but 1 weights"):
        Mixed([Sequential(1), Sequential(1)], [1.0], seed=0)


def test_every_draw_has_a_seed_of_its_own_that_the_position_decides() -> None:
    sampler = Sampler(Sequential(2), seed=9)
    draws = sampler.draws(0, 100)
    assert 100 == len({draw.seed for draw in draws})
    assert draws[40:60] == sampler.draws(40, 20)
    assert all(0 <= draw.seed < 2**64 for draw in draws)
    assert draws != Sampler(Sequential(2), seed=10).draws(0, 100)


def test_devices_share_each_batch_and_nothing_comes_twice() -> None:
    whole = next(iter(Sampler(Shuffled(12, seed=0), seed=0).batches(6)))
    parts = [
        next(iter(Sampler(Shuffled(12, seed=0), seed=0).batches(2, rank=rank, world=3)))
        for rank in range(3)
    ]
    assert whole == [draw for part in parts for draw in part]


def test_a_saved_sampler_goes_on_where_it_was_however_far_others_read_ahead() -> None:
    sampler = Sampler(Shuffled(10, seed=4), seed=4)
    ahead = sampler.batches(3)
    batches = [next(ahead) for _ in range(6)]  # as worker processes do
    sampler.advance(3)
    sampler.advance(3)
    fresh = Sampler(Shuffled(10, seed=4), seed=4)
    fresh.load_state_dict(sampler.state_dict())
    assert batches[2] == next(fresh.batches(3))


def test_other_data_cannot_be_resumed() -> None:
    state = Sampler(Sequential(10), seed=0).state_dict()
    with pytest.raises(TrainingError, match="started with 10 items, and now there are 9"):
        Sampler(Sequential(9), seed=0).load_state_dict(state)


def test_a_draw_is_a_plain_value() -> None:
    assert Draw(3, 4) == Draw(3, 4)
    assert 1 == len({Draw(3, 4), Draw(3, 4)})
