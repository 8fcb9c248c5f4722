"""Recipes: what is read, and what is refused in which words."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from tercet.errors import OptionError
from tercet.train.recipe import RUN_TIME, LoopRecipe, load_recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    path: Path
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Some:
    name: str
    mode: Literal["plain", "fancy"] = "plain"
    limit: int | None = None
    size: int | str = 1
    pair: tuple[int, float] = (1, 2.0)
    sets: tuple[Set, ...] = ()
    shares: dict[str, float] = field(default_factory=dict)
    loop: LoopRecipe = field(default_factory=LoopRecipe)


@pytest.fixture
def read(tmp_path: Path):
    """`read(text, *overrides)`."""

    def of(text: str, *overrides: str):
        path = tmp_path / "r.toml"
        path.write_text(text)
        return load_recipe(path, Some, overrides)

    return of


def test_every_kind_of_value_is_read(read) -> None:
    recipe = read(
        'name = "x"\nmode = "fancy"\nlimit = 3\nsize = "all"\npair = [4, 5]\n'
        '[[sets]]\npath = "a/b"\nweight = 2\n[shares]\nen = 1\n[loop]\nlr = 1\nbetas = [0.9, 0.95]\n'
    )
    expected = Some(
        name="x",
        mode="fancy",
        limit=3,
        size="all",
        pair=(4, 5.0),
        sets=(Set(path=Path("a/b"), weight=2.0),),
        shares={"en": 1.0},
        loop=LoopRecipe(lr=1.0, betas=(0.9, 0.95)),
    )
    assert expected == recipe.values
    assert float is type(recipe.values.loop.lr)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('name = "x"\nmodel = 1', "unknown key 'model'; did you mean 'mode'"),
        ('name = "x"\nzzz = 1', "unknown key 'zzz'; the keys are name, mode"),
        ('name = "x"\n[loop]\nbatchsize = 1', r"\[loop\]: unknown key 'batchsize'; did you mean"),
        ('name = "x"\n[[sets]]\npth = "a"', r"\[sets\]: unknown key 'pth'; did you mean 'path'"),
        ("limit = 1", "the key 'name' is missing"),
        ("name = 1", "name is 1; give a text"),
        ('name = "x"\nlimit = "3"', "limit is '3'; give a whole number"),
        ('name = "x"\nlimit = true', "limit is True; give a whole number"),
        ('name = "x"\nsize = 1.5', "size is 1.5; give a whole number or a text"),
        ('name = "x"\nmode = "f"', "mode is 'f'; give 'plain' or 'fancy'"),
        ('name = "x"\npair = [1]', r"pair is \[1\]; give a list of 2"),
        ('name = "x"\nsets = 1', "sets is 1; give a list"),
        ('name = "x"\nloop = 1', r"\[loop\]: is a section, not 1"),
        ('name = "x"\nshares = 1', "shares is 1; give a table"),
        ('name = "x"\n[loop]\nlr = 0', r"\[loop\]: lr is 0.0; give a number above 0"),
        ('name = "x"\n[loop]\nepochs = 0', "epochs is 0; give at least 1"),
        ('name = "x"\n[loop]\nlr = nan', "lr is nan; give a number above 0"),
        ('name = "x"\n[loop]\nclip_norm = nan', "clip_norm is nan; give at least 0"),
        ('name = "x"\n[loop]\nbatch_size = 6\naccumulate = 4', "cannot be split into 4 equal"),
        ('name = "x"\n[loop]\nresult = "average"', "average is 'none'; give 'epochs' or 'ema'"),
        ('name = "x"\n[loop]\naverage = "epochs"\naverage_from = 11', "there are 10 epochs"),
        ("name = ", "is not TOML"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_the_file_and_the_key(
    read, text: str, told: str
) -> None:
    with pytest.raises(OptionError, match=told) as caught:
        read(text)
    assert "r.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"no\.toml: no such recipe"):
        load_recipe(tmp_path / "no.toml", Some)


def test_the_command_line_counts_more_than_the_file(read) -> None:
    recipe = read(
        'name = "x"\n[loop]\nlr = 1.0', "loop.lr=2e-3", "loop.schedule=cosine", 'name="y z"'
    )
    assert ("y z", 2e-3, "cosine") == (
        recipe.values.name,
        recipe.values.loop.lr,
        recipe.values.loop.schedule,
    )
    assert "# changed on the command line: loop.lr=2e-3\n" in recipe.text


@pytest.mark.parametrize("change", ["loop.lr", "=3", "name.deep=3"])
def test_a_change_that_cannot_be_meant_is_refused(read, change: str) -> None:
    with pytest.raises(OptionError, match=r"give key=value|is no section"):
        read('name = "x"', change)


def test_settings_have_every_value_defaults_included(read) -> None:
    settings = read('name = "x"\n[[sets]]\npath = "a"').settings()
    assert "x" == settings["name"]
    assert 10 == settings["loop.epochs"]
    assert [{"path": "a", "weight": 1.0}] == settings["sets"]
    assert {f"loop.{name}" for name in RUN_TIME} < set(settings)


def test_the_page_lists_every_key_of_the_loop_with_its_default() -> None:
    import dataclasses
    import json
    import re

    page = Path(__file__).parents[3] / "docs" / "train.md"
    part = page.read_text(encoding="utf-8").partition("## `[loop]`")[2].partition("## Manifests")[0]
    told = dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \|", part, flags=re.MULTILINE))
    defaults = {f.name: json.dumps(f.default) for f in dataclasses.fields(LoopRecipe)}
    assert defaults == told
    run_time = part.partition("a resume may change it")[2]
    assert set(RUN_TIME) == set(re.findall(r"^\| `(\w+)` ", run_time, flags=re.MULTILINE))
