"""Where training begins: means, directions, rows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet.dataset.encoded import About, EncodedReader
from tercet.dataset.encoded_writing import EncodedWriter

torch = pytest.importorskip("torch")
pytest.importorskip("vector_quantize_pytorch")

from tercet.train.tokens.bottleneck import Bottleneck, BottleneckSettings, codebook_rows  # noqa: E402
from tercet.train.tokens.places import places_of  # noqa: E402
from tercet.train.tokens.start import kmeans, start, state_means  # noqa: E402

SIZES: dict[str, Any] = {"width": 32, "heads": 2, "mlp_width": 48, "positions": 100}
WIDTH, POSITIONS = 32, 100


def written(folder: Path, *, scale: float = 1.0) -> EncodedReader:
    """40 windows of states: one of 12 patterns for every two positions, a trend over positions, noise."""
    rng = np.random.default_rng(0)
    patterns = rng.normal(size=(12, WIDTH))
    trend = np.outer(np.linspace(-3, 3, POSITIONS), rng.normal(size=WIDTH))
    with EncodedWriter(folder, about=About(encoder="0" * 64), kinds=("states",)) as writer:
        for number in range(40):
            n = int(rng.integers(50, POSITIONS + 1))
            chosen = np.repeat(rng.integers(12, size=POSITIONS // 2), 2)
            states = patterns[chosen] + trend + 0.05 * rng.normal(size=(POSITIONS, WIDTH)) + 1.0
            writer.add(str(number), {"n_states": n}, states=scale * states[:n])
    return EncodedReader(folder)


@pytest.fixture
def reader(tmp_path: Path) -> EncodedReader:
    return written(tmp_path / "e")


def test_the_mean_of_a_position_is_that_of_its_states() -> None:
    windows = [torch.full((3, 2), 1.0), torch.full((2, 2), 5.0)]
    many = [each for _ in range(1000) for each in windows]
    mean = state_means(iter(many), positions=4, width=2)
    np.testing.assert_allclose([3.0, 3.0, 1.0], mean[:3, 0].numpy(), atol=0.02)
    assert pytest.approx(2.6, abs=0.01) == float(mean[3, 0])  # never heard: the mean of all


def test_centres_are_directions_and_each_has_a_point() -> None:
    rng = torch.Generator().manual_seed(0)
    true = torch.nn.functional.normalize(torch.randn(6, 8, generator=rng), dim=-1)
    noisy = true.repeat(50, 1) + 0.05 * torch.randn(300, 8, generator=rng)
    found = kmeans(torch.nn.functional.normalize(noisy, dim=-1), 12, seed=1)
    np.testing.assert_allclose(1.0, found.norm(dim=-1).numpy(), atol=1e-5)
    assert (true @ found.T).max(1).values.min() > 0.99  # no cluster is forgotten
    np.testing.assert_array_equal(
        found, kmeans(torch.nn.functional.normalize(noisy, dim=-1), 12, seed=1)
    )


def test_more_centres_than_points_are_all_different() -> None:
    points = torch.nn.functional.normalize(
        torch.randn(5, 8, generator=torch.Generator().manual_seed(2)), dim=-1
    )
    assert 20 == len(kmeans(points, 20, seed=1).unique(dim=0))


KINDS: dict[str, dict[str, Any]] = {
    "one codebook": {"codes": 24, "code_width": 8},
    "two levels": {"codes": 12, "code_width": 8, "depth": 2},
    "convolution": {"codes": 24, "code_width": 8, "downsampling": "conv"},
    "original's mask": {"codes": 24, "code_width": 8, "mask_is_code": True},
    "finite scalars": {"codes": 60, "code_width": 4, "kind": "fsq", "levels": (5, 4, 3)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_started_quantizer_gives_back_most_of_the_states(
    reader: EncodedReader, kind: str
) -> None:
    torch.manual_seed(0)
    made = Bottleneck(BottleneckSettings(**SIZES, **KINDS[kind]))
    start(made, [reader], windows=30, seed=0)
    made.eval()
    missed, total, used = 0.0, 0.0, set[int]()
    for item in reader:
        assert item.states is not None
        n = len(item.states) // 2 * 2
        states = torch.from_numpy(np.array(item.states[:n], np.float32))
        with torch.no_grad():
            quantized = made.quantize(made.features(states))
            restored = made.restore(quantized.rows, places_of(n, positions=100, thin=1))[:n]
        missed += float((restored - states).square().sum())
        total += float((states - states.mean(0)).square().sum())
        used |= set(quantized.codes[:, 0].tolist())
    assert missed / total < (0.5 if kind == "finite scalars" else 0.25)
    assert len(used) >= 10


def test_rows_of_a_started_codebook_have_length_one(reader: EncodedReader) -> None:
    made = Bottleneck(BottleneckSettings(**SIZES, codes=24, code_width=8))
    start(made, [reader], windows=30, seed=0)
    np.testing.assert_allclose(1.0, codebook_rows(made.books[0]).norm(dim=-1).numpy(), atol=1e-5)


@pytest.mark.parametrize("scale", [0.2, 1.0, 8.0])
def test_rows_have_the_size_that_blocks_expect_whatever_the_states_have(
    tmp_path: Path, scale: float
) -> None:
    scaled, plain = written(tmp_path / "e", scale=scale), written(tmp_path / "plain")
    sizes, norms = [], []
    for reader in (scaled, plain):
        torch.manual_seed(0)
        made = Bottleneck(BottleneckSettings(**SIZES, codes=24, code_width=8))
        start(made, [reader], windows=30, seed=0)
        states = torch.from_numpy(np.array(reader[0].states, np.float32))[:50]
        with torch.no_grad():
            rows = made.eval().quantize(made.features(states)).rows
        sizes.append(float(rows.square().mean().sqrt()))
        norms.append(float(made.model.layer_norm.weight[0].detach()))
    np.testing.assert_allclose(1.0, sizes, atol=0.15)
    assert pytest.approx(scale, rel=0.05) == norms[0] / norms[1]  # and the norm gives it back


def test_the_same_seed_starts_alike(reader: EncodedReader) -> None:
    def started(seed: int) -> Any:
        torch.manual_seed(0)
        made = Bottleneck(BottleneckSettings(**SIZES, codes=24, code_width=8))
        start(made, [reader], windows=10, seed=seed)
        return codebook_rows(made.books[0])

    one: Callable[..., Any] = started
    assert torch.equal(one(1), one(1))
    assert not torch.equal(one(1), one(2))
