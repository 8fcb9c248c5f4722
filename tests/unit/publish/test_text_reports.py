"""What a card takes from reports of `tercet eval text`."""

import json
from pathlib import Path
from typing import Any

import pytest

from tercet.errors import DataError
from tercet.evaluate.text.bootstrap import Interval, PairedTest
from tercet.evaluate.text.report import comparison_json
from tercet.evaluate.text.scores import Edits, Rate, TextScores
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


def test_a_report_of_one_model_is_read(read: Any) -> None:
    whole = {"model": "base", "manifest": "a/b.jsonl", "scores": scores()}
    (system,) = read(whole).systems
    assert ("base", "b", 20, 2.0) == (
        system.model, system.data, system.utterances, system.repeats_per_1000_words,
    )  # fmt: skip
    assert {"wer", "cer"} == set(system.rates)
    assert Measured(0.05, 0.04, 0.06) == system.rates["wer"]


def test_parts_of_the_corpus_are_not_taken_for_the_whole(read: Any) -> None:
    part = {"name": "0 to 5 s", **scores(0.9)}
    (system,) = read({"model": "base", "scores": scores(), "lengths": [part]}).systems
    assert ("base", 0.05) == (system.model, system.rates["wer"].rate)


def test_two_models_and_their_comparison_are_read(read: Any) -> None:
    test = PairedTest(
        difference=-0.01, interval=Interval(-0.02, 0.0), p_value=0.03, wins=5, losses=2, ties=9
    )
    models = [{"model": "x", "scores": scores()}, {"model": "y", "scores": scores(0.06)}]
    report = read({"models": models, "comparison": comparison_json(("x", "y"), test)})
    assert {"x": 0.05, "y": 0.06} == {each.model: each.rates["wer"].rate for each in report.systems}
    (compared,) = report.comparisons
    assert ("x", "y", "wer", -0.01, -0.02, 0.0, 0.03) == (
        compared.first, compared.second, compared.unit, compared.difference, compared.low,
        compared.high, compared.p_value,
    )  # fmt: skip


def test_a_manifest_without_a_name_of_its_own_has_its_folders(read: Any) -> None:
    whole = {"manifest": "data/librispeech/manifest.jsonl", "scores": scores()}
    assert "librispeech" == read(whole).systems[0].data
    assert "manifest" == read(whole | {"manifest": "manifest.jsonl"}).systems[0].data


def test_an_interval_that_nobody_has_is_none(read: Any) -> None:
    (system,) = read({"scores": {"wer": {"rate": 0.5, "interval": None}}}).systems
    assert Measured(0.5, None, None) == system.rates["wer"]


@pytest.mark.parametrize("whole", [{}, {"models": 3}, {"models": []}, {"scores": {"wer": 0.1}}])
def test_what_has_no_rates_is_one_line(read: Any, whole: object) -> None:
    with pytest.raises(DataError, match=r"report\.json: has no word error rates"):
        read(whole)
