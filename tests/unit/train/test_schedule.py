"""Learning rates, against torch's own schedulers where it has them."""

import pytest

torch = pytest.importorskip("torch")

from tercet.train.recipe import LoopRecipe  # noqa: E402
from tercet.train.schedule import learning_rate  # noqa: E402


def rates(recipe: LoopRecipe, epoch_steps: int, *, lr_scale: float = 1.0) -> list[float]:
    steps = range(recipe.epochs * epoch_steps)
    return [
        learning_rate(recipe, step, epoch_steps=epoch_steps, lr_scale=lr_scale) for step in steps
    ]


def of_torch(make, steps: int, lr: float, every: int = 1) -> list[float]:
    """The rates that a scheduler sets, stepped after every `every` optimizer steps."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = make(optimizer)
    found = []
    for step in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if (step + 1) % every == 0:
            scheduler.step()
    return found


def test_constant_is_constant() -> None:
    assert [0.5] * 6 == rates(LoopRecipe(lr=0.5, epochs=2), 3)


def test_cosine_is_torchs_and_ends_at_the_final_rate() -> None:
    recipe = LoopRecipe(lr=0.1, final_lr=0.01, schedule="cosine", epochs=4)
    expected = of_torch(
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 20, eta_min=0.01), 20, 0.1
    )
    assert expected == pytest.approx(rates(recipe, 5))
    assert 0.01 == pytest.approx(learning_rate(recipe, 20, epoch_steps=5))


def test_linear_is_torchs() -> None:
    recipe = LoopRecipe(lr=0.1, schedule="linear", epochs=2)
    expected = of_torch(
        lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.0, total_iters=20), 20, 0.1
    )
    assert expected == pytest.approx(rates(recipe, 10))


def test_warm_up_is_torchs_and_the_rest_of_the_steps_is_left_to_the_schedule() -> None:
    recipe = LoopRecipe(lr=0.1, schedule="cosine", epochs=1, warmup_steps=8, warmup_from=1e-3)

    def chained(optimizer):
        first = torch.optim.lr_scheduler.LinearLR(optimizer, 1e-3, 1.0, total_iters=8)
        then = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 22)
        return torch.optim.lr_scheduler.SequentialLR(optimizer, [first, then], [8])

    assert of_torch(chained, 30, 0.1) == pytest.approx(rates(recipe, 30))


def test_steps_are_whisper_ats() -> None:
    # MultiStepLR with milestones 15, 20, 25, .. stepped at the end of each epoch
    recipe = LoopRecipe(
        lr=1e-4, schedule="step", epochs=30, step_first=15, step_every=5, step_factor=0.75
    )
    expected = of_torch(
        lambda o: torch.optim.lr_scheduler.MultiStepLR(o, list(range(15, 1000, 5)), 0.75),
        120,
        1e-4,
        every=4,
    )
    assert expected == pytest.approx(rates(recipe, 4))
    assert 1e-4 * 0.75**3 == pytest.approx(rates(recipe, 4)[-1])


def test_groups_start_at_their_own_rate_and_end_at_the_common_one() -> None:
    recipe = LoopRecipe(lr=1e-3, final_lr=4e-5, schedule="cosine", epochs=1)
    slow = rates(recipe, 100, lr_scale=0.0469)
    assert 4.69e-5 == pytest.approx(slow[0])
    assert 4e-5 == pytest.approx(slow[-1], rel=0.01)


def test_a_group_below_the_final_rate_does_not_rise() -> None:
    recipe = LoopRecipe(lr=1e-3, final_lr=4e-5, schedule="linear", epochs=1)
    assert {1e-5} == set(rates(recipe, 10, lr_scale=0.01))
