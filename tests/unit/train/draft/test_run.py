"""A draft learns to guess what its teacher wrote, from labels to the file that `load_model` takes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from tercet.checkpoint.geometry import Geometry
from tercet.checkpoint.head_file import open_head
from tercet.checkpoint.heads import DraftHead, Origin
from tercet.cli import exit_codes
from tercet.convert.head_fit import check_fits
from tercet.errors import DataError, OptionError
from tercet.model import load_torch
from tercet.train.draft import running
from tercet.train.draft.guides import Guides
from tercet.train.draft.narrowing import narrowing
from tercet.train.draft.recipe import DraftRecipe, ShortlistRecipe
from tercet.train.draft.running import run
from tercet.train.draft.shortlist import shortlist
from tercet.train.draft.task import DraftTask
from tercet.train.recipe import load_recipe
from tercet.train.text.data import Batch
from tercet.train.text.losses import IGNORED
from tercet.train.text.material import Lesson

GEOMETRY = Geometry(
    n_mels=80,
    width=32,
    encoder_layers=1,
    encoder_heads=2,
    decoder_layers=2,
    decoder_heads=2,
    vocab_size=51865,
)
RECIPE = """
name = "toy"
licence = "MIT"
teacher = "teacher"
stored = "float32"
[data]
root = {root!r}
timestamps_share = 1.0
[[data.sets]]
labels = "speech"
field = "speaker"
held_out = ["3"]
[shortlist]
size = 100
[loss]
depth = 2
depth_from = 0.0
dropout = 0.0
[loop]
batch_size = 3
epochs = 2
epoch_steps = 3
lr = 3e-3
tensorboard = false
log_steps = 1
"""


@pytest.fixture
def teacher(random_checkpoint, byte_tokenizer_file, monkeypatch):
    made = random_checkpoint(GEOMETRY)
    made.tokenizer_file = byte_tokenizer_file(GEOMETRY.vocab_size)
    monkeypatch.setattr(running, "find_model", lambda name: Path(name))
    monkeypatch.setattr(running, "open_checkpoint", lambda path: made)
    return made


@pytest.fixture
def toy(labels: Path, teacher: Any, tmp_path: Path) -> Path:
    path = tmp_path / "toy.toml"
    path.write_text(RECIPE.format(root=str(labels)))
    return path


def test_a_draft_learns_and_its_file_fits_its_teacher(toy, teacher, tmp_path, figures) -> None:
    result = run(toy, tmp_path / "run", overrides=("loop.epoch_steps=20",))
    assert (True, 40) == (result.is_finished, result.step)
    losses = figures(tmp_path / "run", "loss")
    assert losses[-1] < 0.7 * losses[0]
    head = open_head(tmp_path / "run" / "draft.safetensors")
    assert isinstance(head, DraftHead)
    assert ("toy", "MIT", "teacher") == (
        head.origin.name,
        head.origin.licence,
        head.origin.encoder_name,
    )
    assert (1, 32, 51865) == (head.layer, head.width, head.vocab_size)
    check_fits(head, teacher, model_name="teacher")
    # Of the labels: 9 speakers' ids of two kinds, and every timestamp and the end.
    ids = set(head.token_ids.tolist())
    assert {300, 408, 50257, 50364, 51864} <= ids
    assert not ids & {309, 411}, "ids of held-out speakers alone"
    assert {"accepted_1", "accepted_4", "coverage"} <= set(result.metrics)
    assert 1 <= result.metrics["tokens_per_pass"] <= 5


def test_a_run_resumes_and_refuses_another_recipe(toy, tmp_path) -> None:
    run(toy, tmp_path / "whole", overrides=("loop.epoch_steps=2",))
    run(toy, tmp_path / "parts", overrides=("loop.epoch_steps=2", "loop.max_minutes=1e-9"))
    assert not (tmp_path / "parts" / "draft.safetensors").exists()
    while not run(
        toy, tmp_path / "parts", resume=True, overrides=("loop.epoch_steps=2",)
    ).is_finished:
        pass
    whole, parts = (
        open_head(tmp_path / name / "draft.safetensors").arrays.values
        for name in ("whole", "parts")
    )
    for name, value in whole.items():
        np.testing.assert_array_equal(value, parts[name])
    with pytest.raises(OptionError, match=r"loss\.depth"):
        run(toy, tmp_path / "parts", resume=True, overrides=("loss.depth=1",))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("layer=2", "layer is 2; teacher has 2 decoder layers: give -2 to 1"),
        ("data.cached=false", "a draft hears the states that its decoder hears"),
        ("loop.compile=true", "loop.compile is for train text"),
        ("loss.depth=0", "depth is 0"),
        ("loss.decay=0", "decay is 0"),
        ("loss.dropout=1", "dropout is 1"),
        ("loss.depth_from=2", "depth_from is 2"),
        ("shortlist.size=0", "size is 0"),
        ("shortlist.labels_share=2", "labels_share is 2"),
        ("remember_mb=-1", "remember_mb is -1"),
    ],
)
def test_recipes_that_make_no_sense_are_one_line(toy, tmp_path, change, line) -> None:
    with pytest.raises(OptionError) as caught:
        run(toy, tmp_path / "run", overrides=(change,))
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_held_out_and_missing_corpora_are_one_line(toy, tmp_path) -> None:
    with pytest.raises(DataError, match=r"absent\.txt: cannot be read"):
        run(toy, tmp_path / "run", overrides=('shortlist.corpora=["absent.txt"]',))
    text = toy.read_text().replace('field = "speaker"\nheld_out = ["3"]\n', "")
    toy.write_text(text)
    with pytest.raises(DataError, match="no window is held out"):
        run(toy, tmp_path / "run")


def test_the_command_trains_a_draft(toy, tmp_path) -> None:
    from tercet.cli import train

    words = ["draft", str(toy), "--out", str(tmp_path / "run"), "--set", "loop.epochs=1", "--quiet"]
    assert exit_codes.OK == train.run(words)
    assert (tmp_path / "run" / "draft.safetensors").is_file()


def lesson(label_of, *ids: int) -> Lesson:
    return Lesson(label_of(0), ids, (), "transcribe")


def test_a_shortlist_has_what_labels_and_corpora_have_most_often(
    label_of, byte_tokenizer, tmp_path
) -> None:
    tokenizer = byte_tokenizer(51865)
    lessons = [lesson(label_of, 50364, 300, 300, 300, 301, 301, 302, 50400)]
    stamps = list(range(50364, 51865))
    of_labels = shortlist(ShortlistRecipe(size=2), lessons, tmp_path, tokenizer)
    assert [300, 301, 50257, *stamps] == of_labels.tolist()
    (tmp_path / "table.tsv").write_text("id\tSHOUTED\n")
    corpora = ShortlistRecipe(size=1, corpora=("table.tsv",), labels_share=0.0)
    (most,) = shortlist(corpora, lessons, tmp_path, tokenizer).tolist()[:1]
    assert most in tokenizer.encode(" shouted"), "lower case: nobody writes in capitals"
    both = ShortlistRecipe(size=1, corpora=("table.tsv",), labels_share=0.9)
    assert 300 == shortlist(both, lessons, tmp_path, tokenizer)[0]


def batch(inputs: list[list[int]], targets: list[list[int]]) -> Batch:
    rows = len(inputs)
    states = torch.randn(rows, 20, GEOMETRY.width, generator=torch.Generator().manual_seed(0))
    return Batch(
        numbers=torch.arange(rows),
        states=states,
        mel=torch.zeros(rows, 0),
        lengths=torch.zeros(rows, dtype=torch.int64),
        inputs=torch.tensor(inputs),
        targets=torch.tensor(targets),
    )


def test_the_teacher_reads_each_text_once(random_checkpoint, monkeypatch) -> None:
    from tercet.train.draft import guides

    _, decoder = load_torch(random_checkpoint(GEOMETRY))
    given = batch([[5, 6, 7], [8, 9, 0]], [[6, 7, 1], [9, 1, IGNORED]])
    kept = Guides(1, room_mb=1)
    first = kept.of(decoder.module, given)
    monkeypatch.setattr(guides, "hidden_of_text", lambda *_, **__: pytest.fail("read again"))
    for before, again in zip(first, kept.of(decoder.module, given), strict=True):
        np.testing.assert_allclose(before[0], again[0], atol=4e-3)  # float16
        np.testing.assert_allclose(before[1, :2], again[1, :2], atol=4e-3)
    with pytest.raises(pytest.fail.Exception):
        Guides(1, room_mb=0).of(decoder.module, given)
    with pytest.raises(pytest.fail.Exception):
        kept.of(decoder.module, given._replace(numbers=given.numbers + 1))


def test_narrowing_keeps_what_hidden_states_have() -> None:
    """Of states in 3 of 16 directions nothing is lost; else it is the best of its rank."""
    rng = torch.Generator().manual_seed(3)
    rows = torch.randn(40, 16, generator=rng)
    hidden = torch.randn(500, 3, generator=rng) @ torch.randn(3, 16, generator=rng)
    narrow, widen = narrowing(rows, hidden.T @ hidden / 500, 3)
    assert ((3, 16), (16, 3)) == (tuple(narrow.shape), tuple(widen.shape))
    near = hidden @ narrow.T @ widen.T @ rows.T
    torch.testing.assert_close(near, hidden @ rows.T, atol=1e-2, rtol=1e-3)

    hidden = torch.randn(500, 16, generator=rng) * torch.arange(1, 17)
    wanted = hidden @ rows.T
    narrow, widen = narrowing(rows, hidden.T @ hidden / 500, 4)
    error = (hidden @ narrow.T @ widen.T @ rows.T - wanted).square().mean()
    values = torch.linalg.svdvals(wanted.double())
    least = values[4:].square().sum() / wanted.numel()
    assert float(least) == pytest.approx(float(error), rel=1e-3), "no rank of 4 comes closer"


@pytest.mark.parametrize("layer", [0, 1])
def test_a_guide_is_what_the_decoder_knows_while_it_writes(random_checkpoint, layer) -> None:
    """Its hidden states, and what goes into the layer: that layer's cache is made of it."""
    _, decoder = load_torch(random_checkpoint(GEOMETRY))
    given = batch([[5, 6, 7, 8]], [[6, 7, 8, 1]])
    guide = Guides(layer, room_mb=1).of(decoder.module, given)
    session = decoder.open([decoder.project(given.states[0])])
    session.step(given.inputs.numpy(), keep=np.arange(4)[None])
    torch.testing.assert_close(guide.hidden, session.hidden(), atol=1e-4, rtol=1e-4)
    block = decoder.module.blocks[layer]
    keys, values = block.self_attn.keys_values(block.self_attn_layer_norm(guide.read))
    kept_keys, kept_values, visible = session.written(layer)
    assert visible.all()
    torch.testing.assert_close(keys, kept_keys, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(values, kept_values, atol=1e-4, rtol=1e-4)


def test_the_oldest_texts_are_forgotten_first(random_checkpoint) -> None:
    _, decoder = load_torch(random_checkpoint(GEOMETRY))
    kept = Guides(1, room_mb=1)
    n = 400
    for number in range(50):  # 50 x 400 x 64 numbers of two bytes: more than a MB
        given = batch([[5] * n], [[6] * n])
        kept.of(decoder.module, given._replace(numbers=torch.tensor([number])))
    numbers = [key[0] for key in kept._kept]
    assert numbers == list(range(50 - len(numbers), 50))
    assert 2**20 - 2 * n * 32 < kept._size <= 2**20


def test_guesses_are_of_what_was_written_and_start_from_it(random_checkpoint, tmp_path) -> None:
    """A prompt (ids 1 2) is not asked for: nothing is guessed in it, nor out of it."""
    _, decoder = load_torch(random_checkpoint(GEOMETRY))
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(root=str(tmp_path)))
    recipe = load_recipe(path, DraftRecipe, ()).values
    ids = np.array([3, 4, 5, 6, 50257])
    task = DraftTask(decoder.module, ids, recipe, layer=1).eval()
    given = batch([[1, 2, 3, 4, 5]], [[IGNORED, IGNORED, 4, 5, 6]])
    first, second = task._passes(given, 2)
    assert [5, 6] == first.tokens.tolist()  # behind 3 4 and behind 4 5
    assert [6] == second.tokens.tolist()
    assert (2, GEOMETRY.width) == tuple(first.hidden.shape)
    guides = task._guides.of(task.teacher, given)
    torch.testing.assert_close(first.guide, guides.hidden[0, 3:5], atol=2e-3, rtol=0)


def test_a_file_gives_the_same_guesses_as_the_task(random_checkpoint, tmp_path) -> None:
    from tercet.model.draft import Seen, draft_module

    _, decoder = load_torch(random_checkpoint(GEOMETRY))
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(root=str(tmp_path)))
    recipe = load_recipe(path, DraftRecipe, ()).values
    task = DraftTask(decoder.module, np.array([3, 4, 5]), recipe, layer=0).eval()
    head = task.head(Origin(name="toy"))
    again = draft_module(replace(head, layer=0))
    words, hidden = torch.randn(2, 1, 4, GEOMETRY.width)
    attention = decoder.module.blocks[0].encoder_attn
    written, heard = (Seen(*attention.keys_values(torch.randn(1, 9, 32)), None) for _ in range(2))
    torch.testing.assert_close(
        task.draft(words, hidden, written, heard), again(words, hidden, written, heard)
    )
