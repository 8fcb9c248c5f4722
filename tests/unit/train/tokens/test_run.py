"""A quantizer from a recipe to a file, with a Whisper of random weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet.audio.convention import ICHIGO
from tercet.checkpoint.head_file import open_head
from tercet.checkpoint.heads import Quantizer
from tercet.convert.head_fit import check_fits
from tercet.dataset.encoded import EncodedReader
from tercet.errors import DataError, FingerprintError, OptionError, TrainingError

pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("vector_quantize_pytorch")

from tercet.train.loop import RunResult
from tercet.train.recipe import load_recipe
from tercet.train.sampling import order_of_sets
from tercet.train.tokens.recipe import TokensRecipe
from tercet.train.tokens.running import run
from tercet.train.watch import Unwatched

ROOT = Path(__file__).resolve().parents[4]
RECIPE = """
name = "toy"
licence = "CC0-1.0"
model = "toy"
[data]
root = {root!r}
encoded = {encoded!r}
only_encoded = {only_encoded}
text = "manifest"
[data.windows]
longest_s = 6.0
shortest_s = 3.0
[[data.sets]]
manifest = "voices"
field = "speaker"
held_out = ["3"]
[head]
codes = 24
code_width = 8
heads = 2
mlp_width = 40
stored = "float32"
[codebook]
revive_below = 0.01
[[phases]]
share = 0.7
[[phases]]
share = 0.3
divergence = 0.0
cross_entropy = 1.0
[loop]
batch_size = 2
epochs = 2
epoch_steps = 10
lr = 1e-2
tensorboard = false
log_steps = 2
"""


def written(path: Path, voices: Path, encoded: Path | str, *, only_encoded: bool) -> Path:
    told = {"root": str(voices), "encoded": str(encoded), "only_encoded": str(only_encoded).lower()}
    path.write_text(RECIPE.format(**told))
    return path


@pytest.fixture(scope="module")
def heard() -> list[Path]:
    """The folder of windows that the module's first test encoded."""
    return []


@pytest.fixture
def toy(
    heard: list[Path], voices: Path, whisper: Any, tmp_path: Path, tmp_path_factory: Any
) -> Path:
    """A recipe whose model is random, and whose windows were heard before."""
    if not heard:
        encoded = tmp_path_factory.mktemp("encoded")
        first = written(tmp_path / "first.toml", voices, encoded, only_encoded=False)
        run(first, tmp_path / "first", overrides=("loop.epochs=1", "loop.epoch_steps=1"))
        heard.append(encoded)
    return written(tmp_path / "toy.toml", voices, heard[0], only_encoded=True)


@pytest.fixture
def fresh(voices: Path, whisper: Any, tmp_path: Path) -> Path:
    """The same recipe, of which nothing was heard."""
    return written(tmp_path / "toy.toml", voices, "", only_encoded=False)


def figures(folder: Path, name: str) -> list[float]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line[name] for line in lines if name in line]


def head_of(folder: Path) -> Quantizer:
    head = open_head(folder / "tokens.safetensors")
    assert isinstance(head, Quantizer)
    return head


def test_a_quantizer_learns_and_its_file_serves(toy: Path, tmp_path: Path, whisper: Any) -> None:
    result = run(toy, tmp_path / "run")
    assert (True, 20) == (result.is_finished, result.step)
    divergences = figures(tmp_path / "run", "divergence")
    assert divergences[-1] < 0.7 * divergences[0]
    head = head_of(tmp_path / "run")
    assert (25, 24, 25.0, 8) == (
        head.codebook_size,
        head.mask_code,
        head.rate_hz,
        head.code_width,
    )
    assert ("toy", "CC0-1.0", "toy.toml") == (
        head.origin.name,
        head.origin.licence,
        head.origin.source,
    )
    check_fits(head, whisper, model_name="toy")
    told = json.loads((tmp_path / "run" / "report.json").read_text())
    assert 24 == told["codes"]
    assert dict(result.metrics) == told["validation"]
    assert "| agreement |" in (tmp_path / "run" / "report.md").read_text()


def test_what_is_encoded_is_not_encoded_again(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = f"data.encoded={str(tmp_path / 'shared')!r}"
    run(fresh, tmp_path / "one", overrides=(shared, "loop.epochs=1"))

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a window is heard again")

    monkeypatch.setattr("tercet.train.tokens.hearing.Teacher.states", refuse)
    run(fresh, tmp_path / "two", overrides=(shared, "loop.epochs=1"))
    run(fresh, tmp_path / "three", overrides=(shared, "loop.epochs=1", "data.only_encoded=true"))
    first, *others = (head_of(tmp_path / name).arrays for name in ("one", "two", "three"))
    for name in first.names():
        for other in others:
            np.testing.assert_array_equal(first.read(name), other.read(name), err_msg=name)


def test_a_resumed_run_gives_the_weights_of_an_undisturbed_one(toy: Path, tmp_path: Path) -> None:
    run(toy, tmp_path / "whole")
    stopped: RunResult = run(toy, tmp_path / "parts", overrides=("loop.max_minutes=0.005",))
    assert "time" == stopped.stopped
    assert stopped.step < 20
    resumed = run(toy, tmp_path / "parts", resume=True)
    assert resumed.is_finished
    whole, parts = head_of(tmp_path / "whole").arrays, head_of(tmp_path / "parts").arrays
    for name in whole.names():
        np.testing.assert_array_equal(whole.read(name), parts.read(name), err_msg=name)


def test_windows_are_heard_anew_where_nothing_is_cached(fresh: Path, tmp_path: Path) -> None:
    changes = ("data.cached=false", "data.windows.noise_share=0.5", "codebook.start_windows=3")
    result = run(
        fresh, tmp_path / "run", overrides=(*changes, "loop.epochs=1", "loop.epoch_steps=3")
    )
    assert result.is_finished
    assert not (tmp_path / "run" / "encoded" / "voices" / "train").exists()
    assert 3 == len(EncodedReader(tmp_path / "run" / "encoded" / "voices" / "start"))


def test_training_goes_on_from_a_given_head(toy: Path, tmp_path: Path) -> None:
    run(toy, tmp_path / "one", overrides=("loop.epochs=1",))
    given = f"codebook.head={str(tmp_path / 'one' / 'tokens.safetensors')!r}"
    run(
        toy,
        tmp_path / "two",
        overrides=(given, "loop.epochs=1", "loop.lr=1e-5", "codebook.decay=0.999"),
    )
    before, after = (head_of(tmp_path / name).arrays for name in ("one", "two"))
    assert not np.array_equal(before.read("mlp.fc1.weight"), after.read("mlp.fc1.weight"))
    np.testing.assert_allclose(
        before.read("mlp.fc1.weight"), after.read("mlp.fc1.weight"), atol=1e-3
    )


@pytest.mark.parametrize(
    ("changes", "codebook"),
    [
        (("head.depth=2", "head.codes=12"), (2, 13, 8)),
        (
            ("head.kind='fsq'", "head.levels=[5,4,3]", "head.codes=60", "head.code_width=4"),
            (1, 61, 4),
        ),
        (("head.downsample=4",), (1, 25, 8)),
        (("thin=1",), (1, 25, 8)),
        (("codebook.start='random'",), (1, 25, 8)),
        (("loop.precision='bf16'",), (1, 25, 8)),
        (("codebook.rotation=true",), (1, 25, 8)),
    ],
)
def test_other_codebooks_are_trained_too(
    toy: Path, tmp_path: Path, changes: tuple[str, ...], codebook: tuple[int, int, int]
) -> None:
    result = run(toy, tmp_path / "run", overrides=(*changes, "loop.epochs=1", "loop.epoch_steps=4"))
    assert result.is_finished
    head = head_of(tmp_path / "run")
    assert codebook == (head.depth, head.codebook_size, head.code_width)


def test_the_originals_losses_train_on_whole_windows_of_its_convention(
    fresh: Path, tmp_path: Path
) -> None:
    changes = ("match='ichigo'", "loop.epochs=1", "loop.epoch_steps=2", "head.state_mean=false")
    run(fresh, tmp_path / "run", overrides=changes)
    reader = EncodedReader(tmp_path / "run" / "encoded" / "voices" / "train")
    assert {(1500, 32)} == {item.states.shape for item in reader if item.states is not None}
    head = head_of(tmp_path / "run")
    assert ICHIGO == head.convention


def test_sets_are_drawn_by_their_weights() -> None:
    order = order_of_sets((100, 10), (0.25, 0.75), seed=0)
    drawn = [order.at(position) for position in range(4000)]
    assert pytest.approx(0.75, abs=0.03) == sum(index >= 100 for index in drawn) / 4000
    assert set(range(110)) == set(drawn)


@pytest.mark.parametrize(
    ("change", "kind", "told"),
    [
        ("data.sets=[{manifest='voices'}]", DataError, "no speech is held out"),
        ("head.codes=0", OptionError, "codes is 0; give at least 1"),
        ("phases=[{share=0.0}]", OptionError, "phases have no share"),
        ("match='glm'", OptionError, "match is 'glm'; give 'ichigo'"),
        ("head.cods=3", OptionError, "unknown key 'cods'; did you mean 'codes'"),
        ("head.kind='lfq'", OptionError, "kind"),
        ("data.sets=[{manifest='nowhere'}]", DataError, "nowhere"),
    ],
)
def test_what_cannot_be_trained_is_told_in_one_line(
    fresh: Path, tmp_path: Path, change: str, kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=told) as raised:
        run(fresh, tmp_path / "run", overrides=(change,))
    assert "\n" not in str(raised.value)


def test_states_of_another_encoder_are_refused(
    toy: Path, tmp_path: Path, whisper: Any, monkeypatch: pytest.MonkeyPatch, random_checkpoint: Any
) -> None:
    other = random_checkpoint(whisper.geometry, 1)
    monkeypatch.setattr("tercet.train.tokens.running.open_checkpoint", lambda path: other)
    with pytest.raises(FingerprintError, match="holds outputs of encoder"):
        run(toy, tmp_path / "two")


def test_a_loss_that_is_not_finite_ends_the_run_and_names_its_windows(
    toy: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=r"not finite at step \d+, with items voices-"):
        run(toy, tmp_path / "run", overrides=("loop.lr=1e30", "loop.clip_norm=0.0"))
    assert (tmp_path / "run" / "bad_batch.json").is_file()


@pytest.mark.parametrize("name", ["base", "ichigo"])
def test_every_recipe_that_is_shipped_can_be_read(name: str) -> None:
    values = load_recipe(ROOT / "recipes" / "tokens" / f"{name}.toml", TokensRecipe).values
    assert f"recipes/tokens/{name}.toml" == values.source


class Noting(Unwatched):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_note(self, text: str) -> None:
        self.told.append(text)


def test_broken_rows_are_all_told_and_left_out_only_if_asked(
    fresh: Path, voices: Path, tmp_path: Path
) -> None:
    rows = [json.loads(r) for r in (voices / "voices" / "manifest.jsonl").read_text().splitlines()]
    missing = [row | {"path": f"none{number}.wav"} for number, row in enumerate(rows[:2])]
    there = [row | {"path": str(voices / "voices" / row["path"])} for row in rows]
    (tmp_path / "some").mkdir()
    lines = "\n".join(json.dumps(row) for row in [*missing, *there])
    (tmp_path / "some" / "manifest.jsonl").write_text(lines)
    sets = "data.sets=[{manifest='some',field='speaker',held_out=['3']}]"
    changes = (f"data.root={str(tmp_path)!r}", sets)
    with pytest.raises(DataError, match=r"none0\.wav") as raised:
        run(fresh, tmp_path / "one", overrides=changes)
    assert 2 == len(getattr(raised.value, "faults", ()))
    quick = ("data.skip_broken=true", "loop.epochs=1", "loop.epoch_steps=1")
    watcher = Noting()
    assert run(fresh, tmp_path / "two", overrides=(*changes, *quick), watcher=watcher).is_finished
    assert 2 == sum(text.startswith("left out: ") for text in watcher.told)
