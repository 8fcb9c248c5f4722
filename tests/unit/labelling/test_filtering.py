"""Which labels are kept, each limit by itself."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tercet.dataset.label_table import Label
from tercet.dataset.label_writing import LabelWriter
from tercet.dataset.verdicts import read_verdicts
from tercet.errors import DataError, OptionError
from tercet.labelling.filter_report import lines, write_report
from tercet.labelling.filtering import FilterRule, filter_labels, judged

LabelOf = Callable[..., Label]
RULE = FilterRule()
SAID = {"reference": "the birch canoe slid", "reference_of": "window"}


def reason_of(label: Label, **limits: Any) -> str | None:
    [verdict] = judged([label], replace(RULE, **limits))
    assert verdict.kept == (verdict.reason is None)
    return verdict.reason


@pytest.mark.parametrize(
    ("changes", "reason", "limits"),
    [
        ({"speech_s": 0.2, "text": ""}, "no speech", {"least_speech_s": 0.1}),
        ({"is_cut_off": True}, "text cut off", None),
        ({"cut": "seam", "is_last": False}, "cut through speech", {"keep_seams": True}),
        ({"compression_ratio": 2.5}, "repetitive", {"most_compression": 2.6}),
        ({"avg_logprob": -1.1}, "low log-probability", {"least_logprob": -1.2}),
        ({"reference": "the canoe", "reference_of": "window"}, "far from the reference", {"most_wer": 1.0}),
        ({"text": " "}, "no text", None),
        ({"reference": "", "reference_of": "window"}, "text where the reference has none", None),
    ],
)  # fmt: skip
def test_each_limit_leaves_out_and_each_can_be_moved(
    label_of: LabelOf, changes: dict[str, Any], reason: str, limits: dict[str, Any] | None
) -> None:
    assert reason_of(label_of()) is None
    assert reason == reason_of(label_of(**changes))
    if limits is not None:
        assert reason != reason_of(label_of(**changes), **limits)


def test_letters_have_a_limit_of_their_own(label_of: LabelOf) -> None:
    near = label_of(text="the birch canoe slit", **SAID)  # 1 word of 4, 1 letter of 20
    assert reason_of(near, most_wer=0.25) is None
    assert reason_of(near, most_wer=0.25, most_cer=0.06) is None
    assert "far from the reference" == reason_of(near, most_wer=0.25, most_cer=0.04)


def test_other_languages_are_left_out_if_some_are_named(label_of: LabelOf) -> None:
    assert "other language" == reason_of(label_of(language="de"), languages=("en", "fr"))
    assert reason_of(label_of(language="fr"), languages=("en", "fr")) is None


def test_a_rate_at_the_limit_is_kept(label_of: LabelOf) -> None:
    assert reason_of(label_of(text="the birch canoe", **SAID), most_wer=0.25) is None


def test_what_follows_a_seam_begins_in_the_middle_of_a_word(label_of: LabelOf) -> None:
    windows = [
        label_of(id=f"r-{n}", recording="r", cut=cut, is_last=n == 2)
        for n, cut in enumerate(("seam", "pause", "end"))
    ]
    assert ["cut through speech", "cut through speech", None] == [
        each.reason for each in judged(windows, RULE)
    ]


def test_a_recordings_reference_judges_its_windows_apart(label_of: LabelOf) -> None:
    whole = {"reference": "the birch canoe slid on smooth planks", "reference_of": "recording"}
    windows = [
        label_of(id="r-0", recording="r", is_last=False, text="the birch canoe", cut="pause"),
        label_of(id="r-1", recording="r", text="sled an smooth banks", **whole),
    ]
    first, second = judged(windows, RULE)
    assert (True, 0.0, 3) == (first.kept, first.wer, first.reference_words)
    assert (False, 0.75, 4) == (second.kept, second.wer, second.reference_words)


@pytest.fixture
def folder(tmp_path: Path, label_of: LabelOf) -> Path:
    """Three labels: one good, one far from its reference, one unsure."""
    with LabelWriter(tmp_path, {}) as writer:
        writer.add([label_of(id="a", **SAID), label_of(id="b", text="nothing", **SAID)])
        writer.add([label_of(id="c", avg_logprob=-3.0, duration_s=6.0)])
    return tmp_path


def test_verdicts_lie_beside_the_labels_and_can_be_given_anew(folder: Path) -> None:
    filtered = filter_labels(folder, RULE)
    assert (3, 1, 14.0, 4.0) == (
        filtered.windows,
        filtered.kept,
        filtered.total_s,
        filtered.kept_s,
    )
    assert {"low log-probability": (1, 6.0), "far from the reference": (1, 4.0)} == filtered.reasons
    verdicts = read_verdicts(folder)
    assert [True, False, False] == [verdicts[name].kept for name in "abc"]
    assert (None, 1.0) == (verdicts["c"].wer, verdicts["b"].wer)
    filter_labels(folder, FilterRule(most_wer=1.0, least_logprob=-4.0))
    assert all(each.kept for each in read_verdicts(folder).values())


def test_the_report_counts_what_was_left_out_and_why(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    filtered = filter_labels(folder, RULE)
    write_report(folder, filtered)
    told = json.loads((folder / "filter.json").read_text())
    assert {"windows": 1, "seconds": 6.0} == told["dropped"]["low log-probability"]
    assert 0.2 == told["rule"]["most_wer"]
    text = (folder / "filter.md").read_text()
    assert "Kept 1 of 3 windows, 0.07 of 0.23 minutes." in text
    assert "| low log-probability | 1 | 33.3 % | 0.10 |" in lines(filtered)
    assert b"\x89PNG" == (folder / "filter.png").read_bytes()[:4]
    assert not list(folder.glob(".*"))


def test_a_folder_without_labels_says_how_to_make_some(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no labels-00000.parquet; make it: tercet label"):
        filter_labels(tmp_path, RULE)
    with pytest.raises(DataError, match=r"filter.parquet: is not there; make it: tercet label"):
        read_verdicts(tmp_path)


@pytest.mark.parametrize("name", ["most_wer", "most_cer", "least_speech_s", "most_compression"])
def test_limits_are_numbers_from_nought_on(name: str) -> None:
    with pytest.raises(OptionError, match=f"{name} is -1"):
        FilterRule(**{name: -1})
