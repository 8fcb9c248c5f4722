"""docs/recipes.md has every key of every recipe, with its default, and no other."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from tercet.train.draft import recipe as draft
from tercet.train.tags import recipe as tags
from tercet.train.tags.scene import SceneOptions
from tercet.train.text import recipe as text
from tercet.train.tokens import recipe as tokens

PAGE = Path(__file__).resolve().parents[2] / "docs" / "recipes.md"
PARTS: dict[str, Any] = {
    "Tag heads: the recipe itself": tags.TagsRecipe,
    "Tag heads: `[data]`": tags.DataRecipe,
    "Tag heads: `[[data.sets]]`": tags.SetRecipe,
    "Tag heads: `[scenes]`": tags.ScenesRecipe,
    "Tag heads: `[scenes.options]`": SceneOptions,
    "Tag heads: `[development]`": tags.DevelopmentRecipe,
    "Tag heads: `[head]`": tags.HeadRecipe,
    "Tag heads: `[augment]`": tags.AugmentRecipe,
    "Quantizers: the recipe itself": tokens.TokensRecipe,
    "Quantizers: `[data]`": tokens.DataRecipe,
    "Quantizers: `[[data.sets]]`": tokens.SetRecipe,
    "Quantizers: `[data.windows]`": tokens.WindowsRecipe,
    "Quantizers: `[head]`": tokens.HeadRecipe,
    "Quantizers: `[codebook]`": tokens.CodebookRecipe,
    "Quantizers: `[[phases]]`": tokens.PhaseRecipe,
    "Text decoders: the recipe itself": text.TextRecipe,
    "Text decoders: `[data]`": text.DataRecipe,
    "Text decoders: `[[data.sets]]`": text.SetRecipe,
    "Text decoders: `[data.sound]`": text.SoundRecipe,
    "Text decoders: `[loss]`": text.LossRecipe,
    "Text decoders: `[learns]`": text.PartsRecipe,
    "Text decoders: `[adapter]`": text.AdapterRecipe,
    "Drafts: the recipe itself": draft.DraftRecipe,
    "Drafts: `[shortlist]`": draft.ShortlistRecipe,
    "Drafts: `[loss]`": draft.DraftLossRecipe,
}
SECTIONS = {"data", "scenes", "options", "development", "head", "augment", "codebook", "phases"}
SECTIONS |= {"windows", "loop", "sound", "loss", "learns", "adapter", "shortlist"}


def section(title: str) -> str:
    text = PAGE.read_text(encoding="utf-8")
    return text.partition(f"## {title}\n")[2].partition("\n## ")[0]


def default_of(field: Any) -> str:
    if field.default is not dataclasses.MISSING:
        return json.dumps(field.default)
    return (
        "" if field.default_factory is dataclasses.MISSING else json.dumps(field.default_factory())
    )


@pytest.mark.parametrize("title", PARTS)
def test_every_key_has_its_row_and_its_default(title: str) -> None:
    is_section = {
        f.name
        for f in dataclasses.fields(PARTS[title])
        if f.name in SECTIONS and not isinstance(f.default, int | str | float)
    }
    if title in ("Quantizers: `[data]`", "Text decoders: `[data]`"):
        is_section.add("sets")
    if title == "Quantizers: `[[data.sets]]`":
        is_section = set()  # its `windows` is a number
    expected = {
        f.name: default_of(f) for f in dataclasses.fields(PARTS[title]) if f.name not in is_section
    }
    rows = re.findall(r"^\| `(\w+)` \| (?:`(.*?)`)? ?\|", section(title), flags=re.MULTILINE)
    assert expected == dict(rows)


def test_every_part_of_the_page_is_compared() -> None:
    titles = re.findall(r"^## (.*)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert list(PARTS) == titles
