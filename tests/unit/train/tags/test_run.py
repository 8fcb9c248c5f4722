import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet.checkpoint.geometry import Geometry
from tercet.checkpoint.head_file import open_head
from tercet.checkpoint.heads import TagHead
from tercet.convert.head_fit import check_fits
from tercet.errors import DataError, OptionError
from tercet.model.tag_scorer import TorchTagScorer
from tercet.readings.frames import FrameScores
from tercet.train.recipe import load_recipe
from tercet.train.tags import running
from tercet.train.tags.encoding import Ears, about_taps
from tercet.train.tags.recipe import TagsRecipe
from tercet.train.tags.running import run

ROOT = Path(__file__).resolve().parents[4]
GEOMETRY = Geometry(
    n_mels=80,
    width=32,
    encoder_layers=2,
    encoder_heads=2,
    decoder_layers=1,
    decoder_heads=2,
    vocab_size=51865,
)
RECIPE = """
name = "toy"
licence = "CC0-1.0"
model = "toy"
labels = ["Rain", "Speech", "Dog"]
[data]
root = "data"
[[data.sets]]
manifest = "dogs"
field = "fold"
held_out = ["4"]
[[data.sets]]
manifest = "rains"
field = "fold"
held_out = ["4"]
[[data.sets]]
manifest = "voices"
role = "speech"
field = "speaker"
held_out = ["3", "7"]
[scenes.counts]
clip = 1
speech = 4
quiet = 6
spoken = 8
nothing = 2
[scenes.options]
full_length_share = 0.1
[development]
speech_clips = 2
quiet = 3
spoken = 3
nothing = 2
[head]
layers = "weighted"
hidden = 16
time_heads = 2
window_frames = 2
hop_frames = 1
[augment]
mixup_share = 0.3
mixup_beta = 5.0
smoothing = 0.02
dropout = 0.05
balance = 0.5
floor = 0.3
[loop]
batch_size = 64
epochs = 3
epoch_steps = 40
lr = 3e-3
average = "ema"
ema_decay = 0.95
tensorboard = false
"""


@pytest.fixture
def toy(
    sounds: Path,
    tmp_path: Path,
    make_ears: Callable[..., Ears],
    random_checkpoint: Callable[..., object],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A recipe whose model is random and whose ears are `make_ears`'."""
    checkpoint = random_checkpoint(GEOMETRY)
    monkeypatch.setattr(running, "find_model", lambda name: Path(name))
    monkeypatch.setattr(running, "open_checkpoint", lambda path: checkpoint)
    monkeypatch.setattr(running, "open_ears", lambda *a, **o: make_ears(about_taps(*a, **o)))
    path = tmp_path / "toy.toml"
    path.write_text(RECIPE)
    return path


def test_a_head_learns_to_tell_three_sounds_apart_and_its_file_serves(
    toy: Path, tmp_path: Path, random_checkpoint: Callable[..., object]
) -> None:
    result = run(toy, tmp_path / "run")
    assert result.is_finished
    head = open_head(tmp_path / "run" / "tags.safetensors")
    assert isinstance(head, TagHead)
    assert (("Speech", "Dog", "Rain"), 2, 1) == (head.labels, head.window_frames, head.hop_frames)
    assert ("toy", "CC0-1.0", "toy.toml", "toy") == (
        head.origin.name,
        head.origin.licence,
        head.origin.source,
        head.origin.encoder_name,
    )
    check_fits(head, random_checkpoint(GEOMETRY), model_name="toy")  # type: ignore[arg-type]
    told = json.loads((tmp_path / "run" / "report.json").read_text())
    figures = told["development"]
    assert {"n": 4, "of": 4} == figures["accuracy"]
    assert {"n": 2, "of": 2} == figures["speech_found"]
    assert figures["quiet"]["f1"] > 0.8
    assert figures["quiet"]["median_onset_error_s"] <= 0.4
    assert dict(zip(head.labels, head.thresholds, strict=True)) == figures["thresholds"]
    assert (tmp_path / "run" / "report.png").stat().st_size > 1000
    assert "| sounds in quiet: found |" in (tmp_path / "run" / "report.md").read_text()


def test_the_same_seed_gives_the_same_head_and_a_second_run_encodes_nothing(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = ("loop.epochs=1", f"data.encoded='{tmp_path / 'taps'}'")
    run(toy, tmp_path / "one", overrides=shared)

    def deaf(*args: Any, **options: Any) -> Ears:
        def refuse(samples: np.ndarray) -> np.ndarray:
            raise AssertionError("encoded again")

        return Ears(taps_of=refuse, about=about_taps(*args, **options))

    monkeypatch.setattr(running, "open_ears", deaf)
    run(toy, tmp_path / "two", overrides=shared)
    files = [(tmp_path / name / "tags.safetensors").read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]
    toy.write_text(RECIPE.replace("quiet = 6", "quiet = 60"))  # 54 scenes more are not heard
    run(toy, tmp_path / "three", overrides=(*shared, "data.only_encoded=true"))
    assert files[0] == (tmp_path / "three" / "tags.safetensors").read_bytes()


def test_windows_are_heard_in_training_as_they_are_served(toy: Path, tmp_path: Path) -> None:
    run(toy, tmp_path / "run", overrides=("loop.epochs=1", "head.stored='float32'"))
    head = open_head(tmp_path / "run" / "tags.safetensors")
    assert isinstance(head, TagHead)
    taps = np.random.default_rng(0).normal(size=(2, 9, 32)).astype(np.float32)
    scores = FrameScores(TorchTagScorer(head), n_labels=3, window_frames=2, hop_frames=1)
    rows = np.concatenate([scores.push(taps).scores, scores.finish().scores])
    assert (9, 3) == rows.shape


def test_a_label_that_is_left_out_is_trained_and_not_in_the_file(toy: Path, tmp_path: Path) -> None:
    shared = ("loop.epochs=1", "head.stored='float32'", f"data.encoded='{tmp_path / 'taps'}'")
    run(toy, tmp_path / "all", overrides=shared)
    run(toy, tmp_path / "some", overrides=(*shared, "left_out=['Dog']"))
    every, some = (open_head(tmp_path / name / "tags.safetensors") for name in ("all", "some"))
    assert isinstance(every, TagHead)
    assert isinstance(some, TagHead)
    assert (("Speech", "Dog", "Rain"), ("Speech", "Rain")) == (every.labels, some.labels)
    taps = np.random.default_rng(0).normal(size=(2, 4, 32)).astype(np.float32)
    windows = np.arange(4)[:, None].repeat(2, 1)
    of_all, of_some = (TorchTagScorer(each).score(taps, windows) for each in (every, some))
    np.testing.assert_array_equal(of_all[:, [0, 2]], of_some)
    assert "Dog" not in json.loads((tmp_path / "some" / "report.json").read_text())["by_label"]


def test_rounds_after_the_first_have_counts_of_their_own(toy: Path) -> None:
    changes = ("scenes.rounds=3", "scenes.again.quiet=2")
    scenes = load_recipe(toy, TagsRecipe, changes).values.scenes
    assert [(6, 4), (2, 0), (2, 0)] == [
        (scenes.kinds(number)["quiet"], scenes.kinds(number)["speech"]) for number in range(3)
    ]
    assert 6 == load_recipe(toy, TagsRecipe, ("scenes.rounds=2",)).values.scenes.kinds(1)["quiet"]


def test_a_sound_whose_label_is_not_trained_is_refused(toy: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dogs0\.wav: .*one of the recipe's labels, not Dog"):
        run(toy, tmp_path / "run", overrides=("labels=['Rain', 'Speech']",))


def test_without_a_held_out_sound_there_is_nothing_to_develop_on(toy: Path, tmp_path: Path) -> None:
    toy.write_text(RECIPE.replace('held_out = ["4"]', 'held_out = ["9"]'))
    with pytest.raises(DataError, match="no sound is held out"):
        run(toy, tmp_path / "run")


CLIPS = """
model = "toy"
labels = ["Rain", "Dog"]
default_threshold = 0.3
[data]
root = "data"
train = "all.jsonl"
held_out_field = "fold"
held_out = ["4"]
clip_s = 1.0
[head]
layers = "each"
time_heads = 1
layer_heads = 2
window_frames = 3
hop_frames = 3
stored = "float32"
[augment]
time_mask_frames = 1
[loop]
batch_size = 8
epochs = 3
epoch_steps = 20
lr = 3e-3
average = "epochs"
tensorboard = false
"""


def test_labelled_clips_are_trained_on_in_whole_windows(
    toy: Path, sounds: Path, tmp_path: Path
) -> None:
    rows = [
        json.loads(line) | {"path": f"{name}/{json.loads(line)['path']}"}
        for name in ("dogs", "rains")
        for line in (sounds / name / "manifest.jsonl").read_text().splitlines()
    ]
    (sounds / "all.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    toy.write_text(CLIPS)
    result = run(toy, tmp_path / "run")
    assert 1.0 == result.metrics["map"]
    head = open_head(tmp_path / "run" / "tags.safetensors")
    assert isinstance(head, TagHead)
    assert ("lw_tr_1_2", (0.3,), "sound") == (head.mode, head.thresholds, head.convention.length)


@pytest.mark.parametrize("name", ["base", "audioset-2m", "audioset-20k", "esc50"])
def test_every_recipe_that_is_shipped_can_be_read(name: str) -> None:
    values = load_recipe(ROOT / "recipes" / "tags" / f"{name}.toml", TagsRecipe).values
    assert f"recipes/tags/{name}.toml" == values.source


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("head.window_frames=3", None),
        ("head.hop_frames=3", "hop_frames 3 does not divide window_frames 2"),
        ("head.layer_heads=1", "layer_heads needs layers 'each', not 'weighted'"),
        ("augment.mixup_share=2", "mixup_share is 2.0; give 0..1"),
        ("scenes.counts.clips=1", "counts has 'clips'; the kinds are clip, changed_clip"),
        ("scenes.again.clips=1", "again has 'clips'; the kinds are clip, changed_clip"),
        ("left_out=['Cat']", "left_out has 'Cat', which is none of the recipe's labels"),
        ("left_out=['Rain','Speech','Dog']", "left_out has all labels"),
        ("data.train='x.csv'", "give either"),
        ("data.only_encoded=true", "only_encoded needs a folder"),
        ("loop.batchsize=3", "unknown key 'batchsize'; did you mean 'batch_size'"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(toy: Path, change: str, told: str | None) -> None:
    if told is None:
        load_recipe(toy, TagsRecipe, (change,))
        return
    with pytest.raises(OptionError, match=told):
        load_recipe(toy, TagsRecipe, (change,))
