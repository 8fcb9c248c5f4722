"""Transcripts as files: against openai-whisper's own writers. See captions.py."""

import json
from pathlib import Path

import pytest

from tercet.errors import OptionError
from tercet.results import Segment, Transcript
from tercet.text.captions import FORMATS, render, timestamp

TEXTS = (
    " Hello there.",
    " an arrow --> and a\ttab ",
    "",
    " Grüße, 你好,   two spaces",
    " next\u2028line & <b>",
)


def transcript(*spans: tuple[float, float, str], channel: int | None = None) -> Transcript:
    segments = tuple(
        Segment(
            id=n, seek=0, start=start, end=end, text=text, tokens=(50364, 2425, 50414),
            temperature=0.2, avg_logprob=-0.31, compression_ratio=0.9, no_speech_prob=0.02,
        )
        for n, (start, end, text) in enumerate(spans)
    )  # fmt: skip
    return Transcript(
        text="".join(text for _, _, text in spans), segments=segments, language="de",
        language_probability=None, duration_s=4000.0, channel=channel,
    )  # fmt: skip


MANY = transcript(
    *((1000.0 * n + 0.0005, 1000.0 * n + 59.9996, text) for n, text in enumerate(TEXTS))
)


def whisper_writes(format_name: str, heard: Transcript, folder: Path) -> str:
    whisper_writers = pytest.importorskip("whisper.utils")
    result = {key: heard.to_json()[key] for key in ("text", "segments", "language")}
    whisper_writers.get_writer(format_name, str(folder))(result, "talk.wav")
    return (folder / f"talk.{format_name}").read_bytes().decode("utf-8")


@pytest.mark.parametrize("heard", [MANY, transcript()], ids=["many", "none"])
@pytest.mark.parametrize("format_name", ["txt", "srt", "vtt", "tsv"])
def test_captions_equal_openai_whispers(
    format_name: str, heard: Transcript, tmp_path: Path
) -> None:
    assert whisper_writes(format_name, heard, tmp_path) == render(heard, format_name)


@pytest.mark.parametrize("heard", [MANY, transcript()], ids=["many", "none"])
def test_json_starts_with_openai_whispers(heard: Transcript, tmp_path: Path) -> None:
    theirs, ours = whisper_writes("json", heard, tmp_path), render(heard, "json")
    assert theirs.removesuffix("}") + ", " == ours[: len(theirs) + 1]
    assert "tercet/1" == json.loads(ours)["schema"]


def test_jsonl_is_one_segment_per_line() -> None:
    rows = render(MANY, "jsonl").split("\n")
    assert "" == rows.pop()
    assert [segment.to_json() for segment in MANY.segments] == [json.loads(row) for row in rows]
    assert len(TEXTS) == len(render(MANY, "jsonl").splitlines())


def test_json_names_the_channel() -> None:
    one = transcript((0.0, 1.0, " left"), channel=1)
    assert 1 == json.loads(render(one, "json"))["channel"]
    assert 1 == json.loads(render(one, "jsonl"))["channel"]
    assert "channel" not in json.loads(render(MANY, "json"))


@pytest.mark.parametrize("format_name", ["txt", "srt", "vtt", "tsv"])
def test_a_line_break_in_a_segment_breaks_no_row(format_name: str) -> None:
    broken = transcript((0.0, 1.0, " first\nsecond\n\nthird"))
    whole = transcript((0.0, 1.0, " first second  third"))
    assert render(whole, format_name) == render(broken, format_name)


def test_json_has_null_where_json_has_no_number() -> None:
    plain = transcript((0.0, 1.0, " a"))
    odd = Segment(**{**plain.segments[0].to_json(), "avg_logprob": float("nan"), "tokens": (1,)})
    heard = Transcript(
        text=" a", segments=(odd,), language="en", language_probability=None, duration_s=1.0
    )
    assert '"avg_logprob": null' in render(heard, "json")


@pytest.mark.parametrize(
    ("expected", "seconds", "always_hours"),
    [
        ("00:00.000", 0.0, False),
        ("00:00:00.000", 0.0, True),
        ("00:00.000", -0.01, False),
        ("01:00.000", 59.9996, False),
        ("01:00:00.000", 3599.9996, False),
        ("100:00:01.500", 360001.5, True),
    ],
)
def test_a_time_is_rounded_to_milliseconds(
    expected: str, seconds: float, always_hours: bool
) -> None:
    assert expected == timestamp(seconds, always_hours=always_hours, decimal_mark=".")


def test_an_unknown_format_is_one_line_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match=f"'doc'.*{', '.join(FORMATS)}"):
        render(MANY, "doc")


def test_the_results_methods_use_these_writers() -> None:
    assert render(MANY, "srt") == MANY.to_srt()
    assert render(MANY, "txt") == MANY.to_txt()
