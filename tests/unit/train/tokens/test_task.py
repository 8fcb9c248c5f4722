"""Losses of a quantizer's training: phases, padding, rates; and the original's to the letter."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("vector_quantize_pytorch")

from tercet.checkpoint.geometry import Geometry  # noqa: E402
from tercet.model import load_torch  # noqa: E402
from tercet.train.task import Summed  # noqa: E402
from tercet.train.tokens.bottleneck import Bottleneck, BottleneckSettings  # noqa: E402
from tercet.train.tokens.data import Window, collate, window_of  # noqa: E402
from tercet.train.tokens.losses import IGNORED, original_losses  # noqa: E402
from tercet.train.tokens.recipe import (  # noqa: E402
    CodebookRecipe,
    DataRecipe,
    PhaseRecipe,
    SetRecipe,
    TokensRecipe,
)
from tercet.train.tokens.task import TokenTask  # noqa: E402

WIDTH, POSITIONS, VOCABULARY = 32, 60, 51865
GEOMETRY = Geometry(
    n_mels=80,
    width=WIDTH,
    encoder_layers=1,
    encoder_heads=2,
    decoder_layers=1,
    decoder_heads=2,
    vocab_size=VOCABULARY,
    n_audio_ctx=POSITIONS,
)
DATA = DataRecipe(sets=(SetRecipe(manifest="x"),))
SIZES: dict[str, Any] = {
    "width": WIDTH,
    "heads": 2,
    "mlp_width": 48,
    "positions": POSITIONS,
    "codes": 30,
    "code_width": 8,
}


def windows(n: int = 2, *, whole: bool = False) -> list[Window]:
    rng = np.random.default_rng(4)
    made = []
    for number in range(n):
        n_states = 30 + 7 * number
        text = [300 + number, 310, 320, 50257]
        expected = [[token, 7, 8] for token in text]
        facts = {
            "n_states": n_states,
            "prompt": [50258, 50259, 50359],
            "text": text,
            "expected_ids": expected,
            "expected_log_p": [[-0.1, -3.0, -4.0]] * len(text),
        }
        states = rng.normal(size=(POSITIONS if whole else n_states, WIDTH))
        made.append(window_of(states, facts))
    return made


@pytest.fixture
def make(random_checkpoint: Callable[..., Any]) -> Callable[..., TokenTask]:
    """`make(phases=.., thin=.., ..)`: a task with random weights, always the same."""

    def build(*, settings: Any = None, **changes: Any) -> TokenTask:
        _, decoder = load_torch(random_checkpoint(GEOMETRY))
        torch.manual_seed(1)
        bottleneck = Bottleneck(BottleneckSettings(**SIZES, **(settings or {})))
        recipe = TokensRecipe(data=DATA, **{"thin": 1, **changes})
        return TokenTask(bottleneck, decoder.module, recipe)

    return build


def loss_of(task: TokenTask, given: list[Window]) -> float:
    """Of a fresh task: a step of training moves its codebook."""
    found = task.train().training_step(collate(given), 0)
    if isinstance(found, Summed):
        return float(found.total.detach()) / float(found.divisor)
    return float(found.detach())


def test_phases_follow_each_other_by_their_shares(make: Callable[..., TokenTask]) -> None:
    task = make(phases=(PhaseRecipe(share=3.0), PhaseRecipe(share=1.0, divergence=0.0)))
    task.total_steps = 8
    found = []
    for task.step in range(8):
        found.append(task.phase_number)
    assert [0] * 6 + [1] * 2 == found


def test_each_weight_adds_its_loss(make: Callable[..., TokenTask]) -> None:
    def loss(**weights: float) -> float:
        nothing = {"divergence": 0.0, "cross_entropy": 0.0, "commitment": 0.0, "states": 0.0}
        return loss_of(make(phases=(PhaseRecipe(**(nothing | weights)),)), windows())

    parts = {
        name: loss(**{name: 1.0})
        for name in ("divergence", "cross_entropy", "commitment", "states")
    }
    assert min(parts.values()) > 0
    together = loss(**dict.fromkeys(parts, 2.0))
    assert pytest.approx(2 * sum(parts.values()), rel=1e-4) == together


def test_the_loss_is_a_mean_over_tokens(make: Callable[..., TokenTask]) -> None:
    one, two = windows(2)
    phases = (PhaseRecipe(commitment=0.0),)
    apart = [loss_of(make(phases=phases), [each]) for each in (one, two)]
    assert pytest.approx(np.mean(apart), rel=1e-4) == loss_of(make(phases=phases), [one, two])


def test_padding_is_not_quantized_and_does_not_count(make: Callable[..., TokenTask]) -> None:
    (short,) = windows(1)
    longer = short._replace(states=torch.cat([short.states, torch.full((20, WIDTH), 9.0)]))
    assert pytest.approx(loss_of(make(), [short]), rel=1e-5) == loss_of(make(), [longer])


def test_the_teacher_is_never_trained_nor_saved(make: Callable[..., TokenTask]) -> None:
    task = make()
    found = task.training_step(collate(windows()), 0)
    assert isinstance(found, Summed)
    found.total.backward()
    assert all(value.grad is None for value in task.decoder.parameters())
    assert [] == [name for name in task.saved_state() if name.startswith("decoder")]


def test_linears_learn_by_their_inputs_where_the_recipe_says_so(
    make: Callable[..., TokenTask],
) -> None:
    task = make(codebook=CodebookRecipe(lr_by_fan_in=192.0))
    scales = {
        id(value): group["lr_scale"]
        for group in task.parameter_groups()
        for value in group["params"]
    }
    level, model = task.bottleneck.levels[0], task.bottleneck.model
    assert (6.0, 4.0, 24.0, 1.0) == (
        scales[id(level.project_in.weight)],  # 192 / 32
        scales[id(model.mlp.fc2.weight)],  # 192 / 48
        scales[id(level.project_out.bias)],  # 192 / 8
        scales[id(model.embed_positions.weight)],
    )
    assert {1.0} == {group["lr_scale"] for group in make().parameter_groups()}


def test_only_matrices_decay(make: Callable[..., TokenTask]) -> None:
    groups = make().parameter_groups()
    decaying = [
        value for group in groups if "weight_decay" not in group for value in group["params"]
    ]
    still = [value for group in groups if "weight_decay" in group for value in group["params"]]
    assert {2} == {value.ndim for value in decaying}
    assert any(value.ndim == 2 for value in still)  # positions
    trained = [value for value in make().bottleneck.parameters() if value.requires_grad]
    assert len(trained) == len(decaying) + len(still)


def test_validation_tells_divergence_agreement_and_how_codes_are_used(
    make: Callable[..., TokenTask],
) -> None:
    task = make().eval()
    task.begin_validation()
    for each in windows(2):
        task.validation_step(collate([each]), 0)
    told = task.end_validation()
    assert 0.0 == told["agreement"]  # random weights do not guess one of 51865
    assert 2 <= told["codes_used"] <= 30
    assert 1 < told["perplexity"] <= told["codes_used"]
    codes = torch.cat(
        [
            task.bottleneck.quantize(
                task.bottleneck.features(each.states[: len(each.states) // 2 * 2])
            ).codes
            for each in windows(2)
        ]
    )
    share = np.bincount(codes[:, 0]) / len(codes)
    expected = float(np.exp(-sum(p * np.log(p) for p in share if p)))
    assert pytest.approx(expected, rel=1e-4) == told["perplexity"]


@pytest.mark.parametrize("phase", [1, 2])
def test_the_originals_losses_are_those_of_its_200_slots(
    make: Callable[..., TokenTask], phase: int
) -> None:
    phases = (PhaseRecipe(divergence=2.0 - phase),)
    given = windows(2, whole=True)
    task, again = (
        make(match="ichigo", phases=phases, settings={"mask_is_code": True}) for _ in range(2)
    )
    inputs = torch.full((2, 200), 50257)
    targets = torch.full((2, 200), IGNORED)
    for row, each in enumerate(given):
        inputs[row, :6] = each.ids[:-1]
        targets[row, 2:6] = each.ids[3:]
    is_sound = torch.arange(POSITIONS)[None] < torch.tensor([[30], [37]])
    expected = original_losses(
        task.bottleneck,
        task.decoder,
        torch.stack([each.states for each in given]),
        is_sound,
        inputs,
        targets,
        phase=phase,
    )
    assert pytest.approx(float(expected.total.detach()), rel=1e-5) == loss_of(again, given)
    assert (phase == 1) == (float(expected.divergence.detach()) > 0)
