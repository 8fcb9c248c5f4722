"""The quantizer that is trained, beside the one that will serve: same codes, same states."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("vector_quantize_pytorch")

from tercet.checkpoint.heads import Origin  # noqa: E402
from tercet.model.coder import TorchCoder  # noqa: E402
from tercet.train.tokens.bottleneck import (  # noqa: E402
    Bottleneck,
    BottleneckSettings,
    set_codebook,
    settings_of,
)
from tercet.train.tokens.places import places_of  # noqa: E402

SIZES: dict[str, Any] = {"width": 32, "heads": 2, "mlp_width": 48, "positions": 100}
KINDS: dict[str, dict[str, Any]] = {
    "one codebook": {"codes": 40, "code_width": 8},
    "three levels": {"codes": 12, "code_width": 8, "depth": 3},
    "convolution": {"codes": 40, "code_width": 8, "downsampling": "conv"},
    "no mean": {"codes": 40, "code_width": 8, "has_state_mean": False},
    "finite scalars": {"codes": 60, "code_width": 4, "kind": "fsq", "levels": (5, 4, 3)},
    "two blocks": {"codes": 40, "code_width": 8, "blocks": 2},
}


@pytest.fixture(params=KINDS)
def bottleneck(request: pytest.FixtureRequest) -> Bottleneck:
    """One of each kind, with everything in it at random."""
    torch.manual_seed(3)
    made = Bottleneck(BottleneckSettings(**SIZES, **KINDS[request.param]))
    with torch.no_grad():
        made.own_mask_row.copy_(
            torch.nn.functional.normalize(torch.randn(made.own_mask_row.shape), dim=-1)
        )
        if made.settings.has_state_mean:
            made.model.state_mean.normal_()
        if made.settings.kind == "fsq":
            for level in made.levels:
                level.project_in.weight.mul_(4)
    return made.eval()


def states(n: int = 60) -> torch.Tensor:
    return torch.randn(n, 32, generator=torch.Generator().manual_seed(1))


def test_its_file_gives_the_codes_that_it_gives(bottleneck: Bottleneck) -> None:
    with torch.no_grad():
        own = bottleneck.quantize(bottleneck.features(states())).codes
    served = TorchCoder(bottleneck.export(Origin())).encode(states())
    np.testing.assert_array_equal(own.numpy().reshape(served.shape), served)
    assert len(np.unique(served)) > 5


def test_its_file_gives_the_states_that_it_gives(bottleneck: Bottleneck) -> None:
    with torch.no_grad():
        quantized = bottleneck.quantize(bottleneck.features(states()))
        everywhere = places_of(60, positions=100, thin=1)
        own = bottleneck.restore(quantized.rows, everywhere)
    coder = TorchCoder(bottleneck.export(Origin()))
    served = coder.decode(coder.encode(states()))
    np.testing.assert_allclose(own.numpy(), served.numpy(), atol=1e-4)


def test_padding_is_the_mask_and_no_sound_is_given_its_code(bottleneck: Bottleneck) -> None:
    coder = TorchCoder(bottleneck.export(Origin()))
    assert coder.encode(states(100)).max() < bottleneck.settings.codes
    assert bottleneck.settings.codes == coder.head.mask_code


def test_gradients_reach_everything_that_is_trained(bottleneck: Bottleneck) -> None:
    bottleneck.train()
    quantized = bottleneck.quantize(bottleneck.features(states()))
    restored = bottleneck.restore(quantized.rows, places_of(60, positions=100, thin=1))
    (restored.square().sum() + quantized.commitment).backward()
    missing = [
        name
        for name, value in bottleneck.named_parameters()
        if value.requires_grad and value.grad is None
    ]
    assert [] == missing


def test_training_moves_the_codebook_towards_its_features() -> None:
    torch.manual_seed(0)
    made = Bottleneck(BottleneckSettings(**SIZES, **KINDS["one codebook"], decay=0.5)).train()
    features = made.features(states(100)).detach()
    before = made.quantize(features).commitment
    for _ in range(20):
        made.quantize(features)
    assert made.quantize(features).commitment < 0.7 * before


def test_rows_that_nothing_uses_are_revived_where_it_is_asked_for() -> None:
    def used(revive_below: float) -> int:
        torch.manual_seed(0)
        settings = BottleneckSettings(
            **SIZES, codes=100, code_width=8, decay=0.5, revive_below=revive_below
        )
        made = Bottleneck(settings).train()
        features = made.features(torch.randn(100, 32)).detach()
        far = -made.levels[0].project_in(features).detach().mean(0, keepdim=True)
        near = made.levels[0].project_in(features[:1]).detach()
        set_codebook(made.books[0], torch.cat([near, far.expand(99, -1)]), uses=1.0)
        for _ in range(10):
            found = made.quantize(features).codes
        return len(found.unique())

    assert (True, True) == (used(0.0) < 10, used(0.05) > 40)


def test_a_sample_of_the_padding_gives_nearly_what_all_of_it_gives() -> None:
    torch.manual_seed(2)
    made = Bottleneck(BottleneckSettings(**{**SIZES, "positions": 1500}, codes=40, code_width=8))
    made.model.embed_positions.weight.data.mul_(0.02)
    with torch.no_grad():
        rows = made.quantize(made.features(states(300))).rows
        every, some = (
            made.restore(rows, places_of(300, positions=1500, thin=thin))[:300] for thin in (1, 16)
        )
    assert float((every - some).norm() / every.norm()) < 0.02


def test_settings_of_a_head_are_those_it_was_made_of() -> None:
    settings = BottleneckSettings(**SIZES, codes=40, code_width=8, depth=2, decay=0.9)
    head = Bottleneck(settings).export(Origin())
    assert settings == settings_of(head, decay=0.9)


def test_training_goes_on_from_a_head(bottleneck: Bottleneck) -> None:
    if bottleneck.settings.kind == "fsq":
        pytest.skip("a head does not say that its codebook is a grid")
    head = bottleneck.export(Origin())
    again = Bottleneck(settings_of(head)).eval()
    again.load(head)
    for own, other in zip(
        bottleneck.export(Origin()).arrays.values.items(),
        again.export(Origin()).arrays.values.items(),
        strict=True,
    ):
        np.testing.assert_allclose(own[1], other[1], atol=1e-6, err_msg=own[0])
