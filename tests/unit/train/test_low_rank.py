"""An adapter beside frozen matrices."""

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from tercet.train.low_rank import AdaptedLinear, adapt, matrices  # noqa: E402


def network() -> nn.Module:
    return nn.ModuleDict(
        {
            "block": nn.ModuleDict({"fc1": nn.Linear(4, 6), "fc2": nn.Linear(6, 3, bias=False)}),
            "fc1": nn.Embedding(2, 4),  # the name of a linear layer, and none
        }
    )


def test_it_begins_as_what_it_stands_beside() -> None:
    whole = network()
    x = torch.randn(5, 4)
    before = whole["block"]["fc1"](x)
    assert 2 == adapt(whole, ("fc1", "fc2"), rank=2, alpha=4.0, dropout=0.0, seed=0)
    assert torch.equal(before, whole["block"]["fc1"](x))


def test_it_adds_the_scaled_product_of_both_matrices() -> None:
    linear = nn.Linear(4, 3)
    adapted = AdaptedLinear(linear, rank=2, alpha=6.0, dropout=0.0)
    with torch.no_grad():
        adapted.lora_B.normal_()
    merged = linear.weight + 3.0 * adapted.lora_B @ adapted.lora_A
    x = torch.randn(7, 4)
    torch.testing.assert_close(x @ merged.T + linear.bias, adapted(x))


def test_nothing_else_learns_and_only_named_layers_are_adapted() -> None:
    whole = network()
    assert 1 == adapt(whole, ("fc1",), rank=2, alpha=4.0, dropout=0.0, seed=0)
    learns = {name for name, each in whole.named_parameters() if each.requires_grad}
    assert {"block.fc1.lora_A", "block.fc1.lora_B"} == learns
    found = matrices(whole)
    assert {"block.fc1": ((2, 4), (6, 2))} == {
        name: (tuple(a.shape), tuple(b.shape)) for name, (a, b) in found.items()
    }


def test_dropout_is_of_training_alone() -> None:
    adapted = AdaptedLinear(nn.Linear(4, 3), rank=2, alpha=2.0, dropout=0.9)
    with torch.no_grad():
        adapted.lora_B.normal_()
    x = torch.randn(7, 4)
    assert not torch.equal(adapted(x), adapted(x))
    adapted.eval()
    assert torch.equal(adapted(x), adapted(x))


def test_first_values_follow_from_the_seed_alone() -> None:
    made = []
    for seed in (1, 1, 2):
        whole = network()
        adapt(whole, ("fc1", "fc2"), rank=2, alpha=4.0, dropout=0.0, seed=seed)
        made.append([a for a, _ in matrices(whole).values()])
    assert all(torch.equal(one, other) for one, other in zip(made[0], made[1], strict=True))
    assert not torch.equal(made[0][0], made[2][0])
