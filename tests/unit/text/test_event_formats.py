"""Sound events as files and as lines for people."""

import csv
import io
import json

import numpy as np
import pytest

from tercet.errors import OptionError
from tercet.results import SoundEvent, SoundEvents
from tercet.text.event_formats import FORMATS, json_lines, json_object, render, text_line

NASTY = "a\tb\nc\r\nd\u2028e\x85f\x0bg\x1ch"


def event(start_s: float, end_s: float, label: str, score: float = 0.874) -> SoundEvent:
    return SoundEvent(start_s=start_s, end_s=end_s, label=label, score=score, label_id=0)


def heard(*events: SoundEvent, channel: int | None = None) -> SoundEvents:
    return SoundEvents(
        events=events,
        frames=np.zeros((3, 1), np.float32),
        labels=("Bark",),
        duration_s=40000.0,
        channel=channel,
    )


TWO = heard(event(3.2, 4.8, "Bark"), event(59.97, 3725.43, "Male speech, man speaking", 1.0))


def test_txt_is_for_people():
    expected = (
        "   0:03.2 -    0:04.8  0.87  Bark\n"
        "   1:00.0 - 1:02:05.4  1.00  Male speech, man speaking\n"
    )
    assert expected == render(TWO, "txt")
    assert expected == TWO.to_txt()
    assert expected == "".join(text_line(each) for each in TWO)


def test_columns_stand_under_each_other_up_to_ten_hours():
    lines = [text_line(event(start, start, "x")) for start in (0.0, 61.0, 3600.0, 35999.9)]
    assert {len("9:59:59.9 - 9:59:59.9  0.87  x\n")} == {len(line) for line in lines}
    assert "10:00:00.0 - 10:00:00.0  0.87  x\n" == text_line(event(36000.0, 36000.0, "x"))


def test_audacity_has_a_label_track():
    expected = "3.200000\t4.800000\tBark\n59.970000\t3725.430000\tMale speech, man speaking\n"
    assert expected == render(TWO, "audacity")
    assert expected == TWO.to_audacity()


def test_tsv_has_a_header_and_seconds():
    expected = (
        "start_s\tend_s\tlabel\tscore\n"
        "3.200\t4.800\tBark\t0.8740\n"
        "59.970\t3725.430\tMale speech, man speaking\t1.0000\n"
    )
    assert expected == render(TWO, "tsv")
    assert expected == TWO.to_tsv()


def test_json_is_the_results_own():
    assert TWO.to_json() == json.loads(render(TWO, "json"))
    assert "\n" not in render(TWO, "json")


def test_jsonl_is_one_event_per_line():
    rows = [json.loads(row) for row in render(TWO, "jsonl").splitlines()]
    assert [each.to_json() for each in TWO] == rows


def test_channel_and_extra_keys_come_last():
    one = heard(event(0.0, 1.0, "Bark"), channel=1)
    keys = ["channel", "file"]
    assert keys == list(json.loads(json_lines(one, {"file": "a.wav"})))[-2:]
    assert "file" == list(json.loads(json_object(one, {"file": "a.wav"})))[-1]
    assert 1 == json.loads(json_object(one))["channel"]
    assert "channel" not in json.loads(json_lines(heard(event(0.0, 1.0, "Bark"))))


@pytest.mark.parametrize(("format_name", "columns"), [("tsv", 4), ("audacity", 3), ("txt", 1)])
def test_no_label_breaks_a_line_or_a_column(format_name, columns):
    lines = render(heard(event(0.0, 0.4, NASTY)), format_name).splitlines()
    assert (2 if format_name == "tsv" else 1) == len(lines)
    assert columns == len(lines[-1].split("\t"))
    assert "a b c d e f g h" in lines[-1]


def test_json_keeps_every_label_on_one_line():
    nasty = heard(event(0.0, 0.4, NASTY))
    assert 1 == len(render(nasty, "jsonl").splitlines()) == len(render(nasty, "json").splitlines())
    assert NASTY == json.loads(render(nasty, "jsonl"))["label"]


def test_tsv_is_read_back_by_a_csv_reader():
    rows = list(csv.reader(io.StringIO(render(TWO, "tsv")), delimiter="\t"))
    assert ["59.970", "3725.430", "Male speech, man speaking", "1.0000"] == rows[2]


@pytest.mark.parametrize("format_name", FORMATS)
def test_no_events_give_the_empty_form(format_name):
    empty = {"txt": "", "jsonl": "", "audacity": "", "tsv": "start_s\tend_s\tlabel\tscore\n"}
    text = render(heard(), format_name)
    assert text == empty.get(format_name, text)
    assert format_name != "json" or [] == json.loads(text)["events"]


def test_another_format_is_refused_with_those_that_there_are():
    with pytest.raises(OptionError, match="'srt' is not an event format; choose txt, json, jsonl"):
        render(TWO, "srt")
