"""Base's own draft: it guesses well, and texts are what they are without it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tercet
from tercet.checkpoint.head_file import open_head
from tercet.checkpoint.heads import DraftHead
from tercet.decoding.pace import Pace, Tally
from tercet.decoding.speculate import DraftedDecoder

ALONE: dict[str, Any] = {"tags": "none", "tokens": "none", "offline": True}
GREEDY = {"temperature": 0.0}


def spoken(clips_dir: Path, language: str) -> list[Path]:
    """The short clips of one language."""
    rows = map(json.loads, (clips_dir / "manifest.jsonl").read_text("utf-8").splitlines())
    return [
        clips_dir / row["path"]
        for row in rows
        if row.get("language") == language and row["duration_s"] < 30
    ]


def texts(model: tercet.Model, paths: list[Path]) -> Iterator[str]:
    """One recording at a time, which is when a draft is asked."""
    return (model.transcribe(path, **GREEDY).text for path in paths)


def tally(model: tercet.Model) -> Tally:
    decoder = model._instruments.decoder
    assert isinstance(decoder, DraftedDecoder)
    return decoder.pace.tally


def test_it_is_taken_without_being_asked_for(base_model: Path, clips_dir: Path) -> None:
    head = open_head(base_model / "draft.safetensors")
    assert isinstance(head, DraftHead)
    assert ("Apache-2.0", "base") == (head.origin.licence, head.origin.encoder_name)
    model = tercet.load_model(base_model, compute_type="float32", **ALONE)
    assert "".join(texts(model, spoken(clips_dir, "en")[:1]))
    assert tally(model).guessed > 0
    in_8_bits = tercet.load_model(base_model, compute_type="int8", **ALONE)
    assert not isinstance(in_8_bits._instruments.decoder, DraftedDecoder), "it does not pay there"


def test_four_of_five_first_guesses_come_true(base_model: Path, clips_dir: Path) -> None:
    """In English read aloud."""
    file = base_model / "draft.safetensors"
    model = tercet.load_model(base_model, compute_type="int8", draft=file, **ALONE)
    decoder = model._instruments.decoder
    decoder.pace = Pace(is_adaptive=False, most=3)
    assert all(texts(model, [each for each in spoken(clips_dir, "en") if "libri" in each.name]))
    found = tally(model)
    assert found.first_accepted >= 0.75 * found.first_guessed
    assert found.written >= 2.4 * found.rounds


@pytest.mark.parametrize("language", ["en", "de", "fr"])
def test_in_float32_every_text_is_what_it_is_without(
    base_model: Path, clips_dir: Path, language: str
) -> None:
    """In languages, too, that the draft has never heard."""
    paths = spoken(clips_dir, language)
    drafted = tercet.load_model(base_model, compute_type="float32", **ALONE)
    plain = tercet.load_model(base_model, compute_type="float32", draft="none", **ALONE)
    drafted._instruments.decoder.pace = Pace(is_adaptive=False, most=3)
    assert list(texts(plain, paths)) == list(texts(drafted, paths))
    assert tally(drafted).guessed > 0


def test_in_8_bits_a_text_does_not_depend_on_the_ones_before(
    base_model: Path, clips_dir: Path
) -> None:
    paths = spoken(clips_dir, "en")
    file = base_model / "draft.safetensors"
    asked = ALONE | {"compute_type": "int8", "draft": file}
    one, other = (tercet.load_model(base_model, **asked) for _ in range(2))
    forwards, backwards = list(texts(one, paths)), list(texts(other, paths[::-1]))
    assert forwards == backwards[::-1]
    assert tally(one) == tally(other)
