"""Figures of texts that are known, and what is said of two models."""

import json
from typing import Any

import pytest

from tercet.errors import DataError
from tercet.evaluate.text.comparison import compare
from tercet.evaluate.text.journal import Heard
from tercet.evaluate.text.latency import Latency
from tercet.evaluate.text.report import comparison_json, comparison_lines, report_of, worst

pytest.importorskip("jiwer")
pytest.importorskip("whisper_normalizer")


def heard(key: str, said: str, text: str, **more: Any) -> Heard:
    usual: dict[str, Any] = {"language": "en", "duration_s": 4.0, "took_s": 0.5}
    return Heard(key=key, reference=said, text=text, **(usual | more))


FOUR = [
    heard("a", "red green blue white", "red green blue white", fields={"room": "hall"}),
    heard(
        "b",
        "red green blue white",
        "red green glue white",
        fields={"room": "hall"},
        duration_s=12.0,
    ),
    heard("c", "red green blue white", "red white black", fields={"room": ""}, duration_s=40.0),
    heard("d", "(laughs)", "nothing", duration_s=8.0),
]


def test_figures_are_those_of_the_texts() -> None:
    report = report_of(FOUR, by=["room"], lengths_s=(5.0, 30.0))
    # Of 12 words b has one wrong, c two wrong and one missing.
    edits = report.all.scores.rates["wer"].edits
    assert 12 == edits.size
    assert 4 == edits.errors
    assert pytest.approx(4 / 12) == report.all.headline.rate
    assert (3, 1) == (report.all.scores.utterances, report.all.scores.left_out)
    assert pytest.approx(64.0 / 2.0) == report.rtfx
    assert ["0 to 5 s", "5 to 30 s", "over 30 s"] == [each.name for each in report.lengths]
    assert [0.0, 0.25, 0.75] == [each.headline.rate for each in report.lengths]
    assert [("(none)", 0.75), ("hall", 0.125)] == [
        (each.name, each.headline.rate) for each in report.by["room"]
    ]


def test_noise_is_told_apart_and_not_among_the_clean_figures() -> None:
    noisy = [
        heard("a|10", "red green", "red", noise="white", snr_db=10.0),
        heard("a|0", "red green", "", noise="white", snr_db=0.0),
    ]
    report = report_of([*FOUR[:1], *noisy])
    assert 0.0 == report.all.headline.rate
    assert [("white", 10.0, 0.5), ("white", 0.0, 1.0)] == [
        (each.noise, each.snr_db, each.rate.rate) for each in report.noise
    ]
    (row,) = [line for line in report.lines() if line.startswith("white")]
    assert ["white", "0.0", "50.0", "100.0"] == row.split()


def test_lines_and_json_say_the_same() -> None:
    latency = Latency(batch=4, recordings=3, median_s=0.25, rtfx=16.0)
    report = report_of(FOUR, by=["room"], latency=[latency])
    lines = report.lines()
    told = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert lines[0] == "recordings           4, 1.1 minutes (1 without a word left out)"
    assert lines[1].startswith("WER                  33.33 % (95 %: ")
    assert "errors               3 substitutions, 1 deletions, 0 insertions in 12 words" in lines
    assert "4                 3     0.250    16.0" in lines
    assert pytest.approx(1 / 3) == told["scores"]["wer"]["rate"]
    assert {"hall", "(none)"} == {each["name"] for each in told["by"]["room"]}
    assert ["red green blue white", "red green glue white", "red white black", "nothing"] == [
        each["text"] for each in told["written"]
    ]
    assert [{"batch": 4, "recordings": 3, "median_s": 0.25, "rtfx": 16.0}] == told["latency"]


def test_a_single_recording_has_no_interval() -> None:
    report = report_of(FOUR[:1])
    assert "WER                  0.00 % (95 %: -)" in report.lines()
    assert report.to_json()["scores"]["wer"]["interval"] is None


def test_letters_count_where_there_are_no_spaces() -> None:
    report = report_of([heard("z", "你好吗", "你好", language="zh")])
    assert "cer" == report.all.scores.headline
    assert pytest.approx(1 / 3) == report.all.headline.rate


def test_the_worst_come_first_and_the_faultless_not_at_all() -> None:
    assert [(3, "c"), (1, "b")] == [(errors, each.key) for errors, each in worst(FOUR, 9)]
    assert [(3, "c")] == [(errors, each.key) for errors, each in worst(FOUR, 1)]


def many(right: int, wrong: int) -> list[Heard]:
    texts = ["red green blue white"] * right + ["red green"] * wrong
    return [heard(f"{n}", "red green blue white", text) for n, text in enumerate(texts)]


def test_fewer_errors_in_many_recordings_are_no_chance() -> None:
    test = compare(many(40, 0), list(reversed(many(20, 20))))
    assert pytest.approx(-0.25) == test.difference
    assert (20, 0, 20) == (test.wins, test.losses, test.ties)
    assert test.p_value < 0.01
    first, second = comparison_lines(("ours", "theirs"), test)
    assert first.startswith("ours less theirs: -25.00 points (95 %: -")
    assert first.endswith("ours has fewer errors")
    assert second.endswith("20 with fewer errors by ours, 0 by theirs, 20 alike")


def test_one_recording_more_may_be_chance() -> None:
    test = compare(many(39, 1), many(40, 0))
    assert test.p_value > 0.05
    assert (
        "theirs has fewer errors, which may be chance"
        in comparison_lines(("ours", "theirs"), test)[0]
    )


def test_alike_is_said() -> None:
    test = compare(many(3, 1), many(3, 1))
    assert comparison_lines(("a", "b"), test)[0].endswith("as many errors")


def test_a_comparison_of_one_recording_is_json_without_numbers_that_are_none() -> None:
    told = comparison_json(("a", "b"), compare(many(1, 0), many(0, 1)))
    assert (None, "a", 1) == (told["interval"], told["first"], told["wins"])
    json.dumps(told, allow_nan=False)


def test_other_recordings_or_references_are_refused() -> None:
    with pytest.raises(DataError, match=r"heard other recordings \(2 is not in b, 1 in all\)"):
        compare(many(3, 0), many(2, 0), names=("a", "b"))
    other = [heard("0", "gold grey", "gold grey")]
    with pytest.raises(DataError, match=r"0 has another reference in each"):
        compare(many(1, 0), other)
    with pytest.raises(DataError, match=r"no recording has a word"):
        compare([heard("0", "(laughs)", "")], [heard("0", "(laughs)", "")])
