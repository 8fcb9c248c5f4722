"""The recipes that are shipped can be read, and one that could not be run runs on toys."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tercet.dataset.label_table import Label, Span

pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("jiwer")

from tercet.train.recipe import load_recipe
from tercet.train.text.recipe import TextRecipe
from tercet.train.text.running import run

FOLDER = Path(__file__).resolve().parents[4] / "recipes" / "text"
RECIPES = sorted(path.stem for path in FOLDER.glob("*.toml"))


def test_there_are_recipes() -> None:
    assert {"base-2", "first", "vi-en"} <= set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_that_is_shipped_can_be_read_and_is_told_of(name: str) -> None:
    values = load_recipe(FOLDER / f"{name}.toml", TextRecipe).values
    assert any(each.held_out for each in values.data.sets)
    assert f"| `{name}.toml` |" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_vietnamese_and_english_are_mixed_as_ichigos_article_says() -> None:
    values = load_recipe(FOLDER / "vi-en.toml", TextRecipe).values
    assert {"labels-vivoice": 0.7, "labels-libritts-r": 0.3} == {
        each.labels: each.weight for each in values.data.sets
    }
    assert {"reference"} == {each.text for each in values.data.sets}
    # Of 867,772 clips, less one of 256, about each is drawn once.
    draws = values.loop.batch_size * values.loop.epochs * values.loop.epoch_steps
    assert pytest.approx(867_772 * 255 / 256, rel=0.05) == 0.7 * draws


def test_vietnamese_and_english_are_fine_tuned_on_toys(
    pair: Any,
    recordings: Path,
    label_of: Callable[..., Label],
    store: Callable[..., Path],
    tmp_path: Path,
) -> None:
    def labels(language: str) -> list[Label]:
        return [
            label_of(
                n,
                language=language,
                recording=f"w{n}-{n % 4:02}",
                speaker=f"s{9 if n > 8 else 1}",
                spans=(Span(str(recordings / f"{n}.wav"), 0.0, 2.0, 0.0),),
                reference=f"Said {n}.",
                reference_of="window",
            )
            for n in range(12)
        ]

    store(tmp_path / "labels-vivoice", labels("vi"))
    store(tmp_path / "labels-libritts-r", labels("en"))
    toys = ("student=teacher", "teacher=nobody", f"data.root={str(tmp_path)!r}", "valid_words=2")
    short = ("loop.batch_size=4", "loop.accumulate=2", "loop.epochs=1", "loop.epoch_steps=1")
    here = ("loop.precision=fp32", "loop.tensorboard=false")
    recipe = FOLDER / "vi-en.toml"
    result = run(recipe, tmp_path / "run", overrides=(*toys, *short, *here))
    assert result.is_finished
    told = json.loads((tmp_path / "run" / "report.json").read_text())
    assert [0.7, 0.3] == [round(row["share"], 6) for row in told["mix"]]
    for language in ("vi", "en"):
        row = told["held_out"]["languages"][language]
        assert (3, 1) == (row["windows"], row["written"])
        assert {"loss", "wer", "cer"} == set(row["before"]) == set(row["after"])
