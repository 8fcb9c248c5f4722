"""Reports of error rates are read by what is looked for, wherever it stands."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tercet.evaluate.bootstrap import Interval, PairedTest
from tercet.evaluate.text_scores import Edits, Rate, TextScores
from tercet.publish.text_reports import Measured, TextReport, read_text_report

EDITS = Edits(substitutions=6, deletions=3, insertions=1, size=200)


def scores(rate: float = 0.05) -> dict[str, Any]:
    """As `tercet eval text` scores a corpus."""
    one = Rate(edits=EDITS, interval=Interval(0.04, 0.06))
    whole = TextScores(
        utterances=20, left_out=1, rates={"wer": one, "cer": one}, headline="wer", repeats=2,
        heard_words=1000, five_dup=3,
    ).to_json()  # fmt: skip
    return whole | {"wer": whole["wer"] | {"rate": rate}}


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def from_value(value: object) -> TextReport:
        path = tmp_path / "report.json"
        path.write_text(json.dumps(value))
        return read_text_report(path)

    return from_value


def test_the_scores_own_form_is_read_back(read: Any) -> None:
    (system,) = read({"model": "base", "manifest": "a/b.jsonl", "figures": scores()}).systems
    assert ("base", "b", 20, 2.0) == (
        system.model, system.data, system.utterances, system.repeats_per_1000_words,
    )  # fmt: skip
    assert {"wer", "cer"} == set(system.rates)
    assert Measured(0.05, 0.04, 0.06) == system.rates["wer"]


@pytest.mark.parametrize(
    "whole",
    [
        {"model": "base", **scores()},
        {"model": "base", "scores": scores(), "by_length": {"short": {"scores": scores(0.9)}}},
        {"model": "base", "report": {"overall": scores(), "groups": [{"x": scores(0.9)}]}},
    ],
)
def test_parts_of_the_corpus_are_not_taken_for_the_whole(read: Any, whole: object) -> None:
    (system,) = read(whole).systems
    assert ("base", 0.05) == (system.model, system.rates["wer"].rate)


def test_two_systems_and_their_comparison_are_found(read: Any) -> None:
    test = asdict(
        PairedTest(
            difference=-0.01, interval=Interval(-0.02, 0.0), p_value=0.03, wins=5, losses=2, ties=9
        )
    )
    report = read(
        {
            "manifest": "b.jsonl",
            "systems": [{"model": "x", "scores": scores()}, {"model": "y", "scores": scores(0.06)}],
            "comparison": test,
        }
    )
    assert {"x": 0.05, "y": 0.06} == {each.model: each.rates["wer"].rate for each in report.systems}
    (compared,) = report.comparisons
    assert ("x", "y", "wer", -0.01, -0.02, 0.0, 0.03) == (
        compared.first, compared.second, compared.unit, compared.difference, compared.low,
        compared.high, compared.p_value,
    )  # fmt: skip


def test_systems_by_name_are_called_by_their_keys(read: Any) -> None:
    report = read({"results": {"small": scores(), "tiny": scores(0.1)}})
    assert ["small", "tiny"] == [each.model for each in report.systems]


def test_an_interval_that_nobody_has_is_none(read: Any) -> None:
    (system,) = read({"wer": {"rate": 0.5, "interval": None}}).systems
    assert Measured(0.5, None, None) == system.rates["wer"]
