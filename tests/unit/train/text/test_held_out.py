"""Held-out windows by set and language, and the table of before and after."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tercet.dataset.label_table import Label

pytest.importorskip("torch")
pytest.importorskip("lightning")

from tercet.train.loop import RunResult
from tercet.train.text.held_out import HeldOut
from tercet.train.text.material import Lesson, Split, evenly
from tercet.train.text.report import (
    before_and_after,
    closing_notes,
    mix_notes,
    mix_of,
    write_report,
)

Made = Callable[..., Split]


@pytest.fixture
def split(label_of: Callable[..., Label]) -> Made:
    def of(name: str, languages: list[str], *, weight: float = 1.0, held_out: int = 0) -> Split:
        labels = [
            label_of(n, language=language, duration_s=18.0) for n, language in enumerate(languages)
        ]
        lessons = tuple(Lesson(each, each.text_ids, (), "transcribe") for each in labels)
        held = lessons if not held_out else lessons[:held_out]
        return Split(name, weight, lessons, held)

    return of


@pytest.mark.parametrize(
    ("kinds", "n", "chosen"),
    [
        ("aaaa", 2, [0, 1]),
        ("aaaabb", 4, [0, 1, 4, 5]),
        ("aaaabb", 5, [0, 1, 2, 4, 5]),
        ("aaabc", 3, [0, 3, 4]),
        ("ab", 9, [0, 1]),
        ("ab", 0, []),
        ("", 3, []),
    ],
)
def test_all_kinds_are_chosen_as_often_as_they_can(kinds: str, n: int, chosen: list[int]) -> None:
    assert chosen == evenly(kinds, n)


def test_windows_are_written_down_evenly_over_sets_and_languages(split: Made) -> None:
    held_out = HeldOut([split("one", ["en"] * 6), split("two", ["vi", "vi", "vi", "en"])], 5)
    assert [0, 1, 6, 7, 9] == [n for n in range(10) if held_out.is_written(n)]
    assert [("all", "", 10, 5), ("set", "one", 6, 2), ("set", "two", 4, 3)] == [
        (part.kind, part.name, part.windows, part.written) for part in held_out.parts()[:3]
    ]
    assert [("en", 7, 3), ("vi", 3, 2)] == [
        (part.name, part.windows, part.written) for part in held_out.parts()[3:]
    ]


def test_only_what_differs_is_told_apart(split: Made) -> None:
    one = HeldOut([split("one", ["en", "en"])], 1)
    assert {("",): [0, 1]} == one.alike([0, 1])
    assert [""] * 3 == [part.suffix for part in one.parts()]
    mixed = HeldOut([split("one", ["en", "vi"])], 1)
    assert {("", "/language/vi"): [0, 2], ("", "/language/en"): [1]} == mixed.alike([1, 0, 1])
    two = HeldOut([split("one", ["en"]), split("two", ["vi"])], 1)
    assert ("", "/set/two", "/language/vi") == two.suffixes(1)


def test_the_mix_is_told_in_a_line_for_each_set(split: Made) -> None:
    sets = [
        split("viet", ["vi"] * 10, weight=0.7, held_out=2),
        split("both", ["en", "en", "vi", "en"], weight=0.3, held_out=1),
    ]
    assert [
        "viet: 10 windows, 0.05 h, 70.0 % of the draws, vi; 2 held out",
        "both: 4 windows, 0.02 h, 30.0 % of the draws, en 3, vi 1; 1 held out",
    ] == mix_notes(sets)
    assert [{"vi": 10}, {"en": 3, "vi": 1}] == [row["languages"] for row in mix_of(sets)]


BEFORE = {
    "loss": 4.0,
    "wer": 0.5,
    "cer": 0.25,
    "wer/language/vi": 0.75,
    "cer/language/vi": 0.5,
    "wer/language/ja": 1.0,
    "cer/language/ja": 0.4,
    "teacher_wer": 0.125,
    "teacher_wer/language/vi": 0.25,
    "teacher_cer/language/ja": 0.3,
}


def ended(before: dict[str, float], **parts: float) -> RunResult:
    metrics = {"loss": 2.0, "wer": 0.25, "cer": 0.125}
    named = {name.replace("_", "/"): value for name, value in parts.items()}
    return RunResult(Path("run"), 9, 9, None, metrics, named, before, "best")


def test_what_was_won_and_lost_is_told_by_language(split: Made) -> None:
    held_out = HeldOut([split("one", ["vi", "ja", "vi"])], 2)
    result = ended(BEFORE, wer_language_vi=0.3, cer_language_ja=0.2)
    told = before_and_after(held_out, result)
    assert {
        "windows": 2,
        "written": 1,
        "before": {"wer": 0.75, "cer": 0.5},
        "after": {"wer": 0.3},
        "teacher": {"wer": 0.25},
    } == told["languages"]["vi"]
    assert {"loss": 4.0, "wer": 0.5, "cer": 0.25} == told["all"]["before"]
    assert told["all"] == told["sets"]["one"]  # the only one
    assert [
        "all: wer 50.0 % before, 25.0 % after, 12.5 % teacher",
        "language vi: wer 75.0 % before, 30.0 % after, 25.0 % teacher",
    ] == closing_notes(held_out, result)[:2]


def test_languages_without_spaces_are_told_by_letters(split: Made) -> None:
    held_out = HeldOut([split("one", ["vi", "ja"])], 2)
    result = ended(BEFORE, wer_language_ja=0.9, cer_language_ja=0.2)
    expected = "language ja: cer 40.0 % before, 20.0 % after, 30.0 % teacher"
    assert expected == closing_notes(held_out, result)[2]


def test_what_was_not_measured_has_no_column(split: Made, tmp_path: Path) -> None:
    sets = [split("one", ["vi", "ja"])]
    held_out = HeldOut(sets, 2)
    facts: dict[str, Any] = {"teacher": None, "decoder_layers": 2}
    write_report(tmp_path, "mine", facts, ended({}, wer_language_vi=0.3), held_out, sets)
    page = (tmp_path / "report.md").read_text()
    assert "| held out | windows | written | loss after | wer after | cer after |" in page
    assert "| language vi | 1 | 1 |  | 30.0 % |  |" in page
    assert "- one: 2 windows, 0.01 h, 100.0 % of the draws, vi 1, ja 1; 2 held out" in page
    write_report(tmp_path, "mine", facts, ended(BEFORE), held_out, sets)
    page = (tmp_path / "report.md").read_text()
    assert "| wer before | wer after | wer teacher |" in page
    assert "| all | 2 | 2 | 4 | 2 | 50.0 % | 25.0 % | 12.5 % |" in page
    told = json.loads((tmp_path / "report.json").read_text())
    assert {"loss": 2.0, "wer": 0.25, "cer": 0.125} == told["validation"]
    assert 0.4 == told["held_out"]["languages"]["ja"]["before"]["cer"]
