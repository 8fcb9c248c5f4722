"""Averages of weights."""

import pytest

torch = pytest.importorskip("torch")

from tercet.train.averaging import mean_of  # noqa: E402


def test_floats_are_averaged_and_counters_are_the_last_ones() -> None:
    states = [
        {"a": torch.tensor([1.0, 2.0]), "n": torch.tensor(5), "h": torch.tensor([1.0]).half()},
        {"a": torch.tensor([3.0, 6.0]), "n": torch.tensor(9), "h": torch.tensor([2.0]).half()},
    ]
    mean = mean_of(states)
    assert [2.0, 4.0] == mean["a"].tolist()
    assert 9 == mean["n"].item()
    assert (torch.float16, 1.5) == (mean["h"].dtype, mean["h"].item())


def test_many_weights_do_not_drift() -> None:
    value = torch.tensor([0.1])
    assert torch.equal(value, mean_of({"a": value} for _ in range(1000))["a"])


def test_nothing_cannot_be_averaged() -> None:
    with pytest.raises(ValueError, match="no weights"):
        mean_of([])
