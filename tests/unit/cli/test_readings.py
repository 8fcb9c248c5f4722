"""`tercet listen` with heads: which readings are asked for, and how they are written beside the text."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tercet.cli.listen import ListenOptions
from tercet.cli.options.table import flags
from tercet.errors import HeadError, LabelError
from tercet.text.captions import render

Run = Callable[..., Any]
Make = Callable[..., Path]
ALL = ("text", "tags", "tokens")


@pytest.fixture
def model(fake_model: Any) -> Any:
    """A model with both heads."""
    fake_model.has_tags = fake_model.has_tokens = True
    return fake_model


# --- what is asked for -----------------------------------------------------------------------


@pytest.mark.parametrize("words", [["-f", "json"], ["-f", "jsonl"], ["-o", "out"]])
@pytest.mark.parametrize(
    ("expected", "tags", "tokens"),
    [
        (("text", "tags"), True, False),
        (("text", "tokens"), False, True),
        (ALL, True, True),
    ],
)
def test_all_that_the_model_has_is_read(
    run_tercet: Run,
    recordings: Make,
    fake_model: Any,
    expected: tuple[str, ...],
    tags: bool,
    tokens: bool,
    words: list[str],
) -> None:
    recordings("a.mp3")
    fake_model.has_tags, fake_model.has_tokens = tags, tokens
    assert 0 == run_tercet("listen", "a.mp3", *words).code
    assert [expected] == fake_model.only


@pytest.mark.option("--only")
@pytest.mark.parametrize(
    ("expected", "only"),
    [
        (("text", "tags"), "text,tags"),
        (("text", "tokens"), "tokens,text"),
        (("tags",), "tags"),
        (("tags", "tokens"), "Tags, tokens"),
    ],
)
def test_only_chooses_the_readings(
    run_tercet: Run, recordings: Make, model: Any, expected: tuple[str, ...], only: str
) -> None:
    recordings("a.mp3")
    assert 0 == run_tercet("listen", "a.mp3", "-f", "json", "--only", only).code
    assert [expected] == model.only


def test_only_text_of_a_model_with_heads_is_what_text_alone_is(
    run_tercet: Run, recordings: Make, model: Any
) -> None:
    recordings("a.mp3")
    with_heads = run_tercet("listen", "a.mp3", "-f", "json", "--only", "text").out
    model.has_tags = model.has_tokens = False
    assert run_tercet("listen", "a.mp3", "-f", "json").out == with_heads
    assert [] == model.only


@pytest.mark.option("--tags")
@pytest.mark.option("--tokens")
def test_heads_are_named_when_the_model_is_loaded(
    run_tercet: Run, recordings: Make, fake_model: Any
) -> None:
    recordings("a.mp3")
    run_tercet("listen", "a.mp3", "-f", "json")
    assert {"tags", "tokens"}.isdisjoint(fake_model.loaded[-1][1])
    run_tercet("listen", "a.mp3", "--tags", "my-tags.safetensors", "--tokens", "codes.safetensors")
    given = fake_model.loaded[-1][1]
    assert ("my-tags.safetensors", "codes.safetensors") == (given["tags"], given["tokens"])


@pytest.mark.option("--draft")
@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ((), None),
        (("--draft", "auto"), None),
        (("--draft", "none"), "none"),
        (("--draft", "ngram"), "ngram"),
        (("--draft", "my.safetensors"), "my.safetensors"),
        (("--only", "tags"), "none"),  # no text: nothing to guess
    ],
)
def test_a_draft_is_named_when_the_model_is_loaded(
    run_tercet: Run, recordings: Make, fake_model: Any, words: tuple[str, ...], wanted: str | None
) -> None:
    recordings("a.mp3")
    run_tercet("listen", "a.mp3", *words)
    assert wanted == fake_model.loaded[-1][1].get("draft")


def test_commands_that_write_no_text_open_no_draft(
    run_tercet: Run, recordings: Make, fake_model: Any
) -> None:
    recordings("a.mp3")
    for command in ("tag", "tokenize"):
        run_tercet(command, "a.mp3")
        assert "none" == fake_model.loaded[-1][1]["draft"]


def test_a_head_that_is_not_read_from_is_not_opened(
    run_tercet: Run, recordings: Make, fake_model: Any
) -> None:
    recordings("a.mp3")
    run_tercet("listen", "a.mp3", "--only", "text,tags", "--tags", "t.safetensors")
    given = fake_model.loaded[-1][1]
    assert ("t.safetensors", "none") == (given["tags"], given["tokens"])


@pytest.mark.option("--labels")
@pytest.mark.option("--top_k")
@pytest.mark.option("--threshold")
@pytest.mark.option("--off_threshold")
@pytest.mark.option("--min_duration")
@pytest.mark.option("--min_gap")
@pytest.mark.option("--at_time_res")
@pytest.mark.option("--window")
@pytest.mark.option("--hop")
@pytest.mark.option("--label_language")
@pytest.mark.parametrize(
    ("option", "value", "argument", "expected"),
    [
        ("--labels", "Bark", "labels", ("Bark",)),
        ("--labels", "Bark, Speech,Bark", "labels", ("Bark", "Speech")),
        (
            "--labels",
            "child speech, Kid speaking,Bark",
            "labels",
            ("child speech, Kid speaking", "Bark"),
        ),
        ("--labels", "my own, odd;Bark", "labels", ("my own, odd", "Bark")),
        ("--labels", "my own, odd;", "labels", ("my own, odd",)),
        ("--top_k", "3", "top_k", 3),
        ("--threshold", "0.3", "threshold", 0.3),
        ("--threshold", "Bark=0.3,Speech=.6", "threshold", {"Bark": 0.3, "Speech": 0.6}),
        (
            "--threshold",
            "Child speech, kid speaking=0.5, Bark=1",
            "threshold",
            {"Child speech, kid speaking": 0.5, "Bark": 1.0},
        ),
        ("--off_threshold", "0.1", "off_threshold", 0.1),
        ("--min_duration", "0.8", "min_duration_s", 0.8),
        ("--min_duration", "Bark=0.4", "min_duration_s", {"Bark": 0.4}),
        ("--min_gap", "1.2", "min_gap_s", 1.2),
        ("--at_time_res", "10", "at_time_res", 10.0),
        ("--window", "4", "window_s", 4.0),
        ("--hop", "0.4", "hop_s", 0.4),
        ("--label_language", "zh", "label_language", "zh"),
    ],
)
@pytest.mark.parametrize("command", ["listen", "tag"])
def test_an_option_of_events_reaches_the_model(
    run_tercet: Run,
    recordings: Make,
    model: Any,
    command: str,
    option: str,
    value: str,
    argument: str,
    expected: object,
) -> None:
    recordings("a.mp3")
    assert 0 == run_tercet(command, "a.mp3").code
    without = model.calls[-1]
    assert argument not in without
    assert 0 == run_tercet(command, "a.mp3", option, value).code
    assert {**without, argument: expected} == model.calls[-1]


def test_events_start_from_the_librarys_defaults() -> None:
    from tercet.readings.events import DEFAULT_MIN_DURATION_S, DEFAULT_MIN_GAP_S

    shown = {name: flag.parse(flag.default) for name, flag in flags(ListenOptions).items()}
    assert (DEFAULT_MIN_DURATION_S, DEFAULT_MIN_GAP_S) == (shown["min_duration"], shown["min_gap"])


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("--only", "text,music", "text, tags, tokens, with commas between several, or None"),
        ("--labels", " , ", "names of sounds, with commas between several, or None"),
        ("--top_k", "0", "a whole number, 1 or more, or None"),
        ("--threshold", "1.5", "a number from 0 to 1, or NAME=NUMBER,NAME=NUMBER, or None"),
        ("--threshold", "Bark=loud", "a number from 0 to 1, or NAME=NUMBER,NAME=NUMBER, or None"),
        ("--threshold", "Bark=0.3,Speech", "NAME=NUMBER,NAME=NUMBER"),
        ("--threshold", "Bark=", "NAME=NUMBER,NAME=NUMBER"),
        ("--min_gap", "-1", "a number, 0 or more, or NAME=NUMBER,NAME=NUMBER"),
        ("--hop", "short", "a number, 0 or more, or None"),
    ],
)
def test_a_value_that_is_not_allowed_is_one_line(
    run_tercet: Run, recordings: Make, option: str, value: str, allowed: str
) -> None:
    recordings("a.mp3")
    ran = run_tercet("listen", "a.mp3", option, value)
    assert (2, "", 1) == (ran.code, ran.out, len(ran.err.splitlines()))
    assert f"{option}: {value!r} is not " in ran.err
    assert allowed in ran.err


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ("--labels has no effect with --only text", ["--only", "text", "--labels", "Bark"]),
        ("--language has no effect with --only tags", ["--only", "tags", "--language", "de"]),
        ("--seed has no effect with --only tokens", ["--only", "tokens", "--seed", "3"]),
        ("--tokens has no effect with --only tags", ["--only", "tags", "--tokens", "c.st"]),
        (
            "--output_format srt writes text, which --only tags leaves out; choose txt or json or jsonl",
            ["--only", "tags", "-f", "srt"],
        ),
    ],
)
def test_an_option_of_a_reading_that_is_left_out_is_an_error(
    run_tercet: Run, recordings: Make, fake_model: Any, expected: str, words: list[str]
) -> None:
    recordings("a.mp3")
    ran = run_tercet("listen", "a.mp3", *words)
    assert (2, "", 1) == (ran.code, ran.out, len(ran.err.splitlines()))
    assert expected in ran.err
    assert [] == fake_model.loaded


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("listen", ["--only", "text,tags"]),
        ("listen", ["--labels", "Bark"]),  # asks for events without saying so
        ("tag", []),
        ("tokenize", []),
    ],
)
@pytest.mark.parametrize("files", [["a.mp3"], ["a.mp3", "b.mp3"]])
def test_a_reading_that_the_model_lacks_is_a_usage_error_in_the_command_lines_words(
    run_tercet: Run,
    recordings: Make,
    fake_model: Any,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    words: list[str],
    files: list[str],
) -> None:
    def refuse(*_: Any, only: Any, **__: Any) -> Any:
        assert tuple(only) != ("text",)
        raise HeadError("base has no tag head; give one with tags=")

    recordings("a.mp3", "b.mp3")
    monkeypatch.setattr(fake_model, "listen_many", refuse)
    monkeypatch.setattr(fake_model, "stream", refuse)
    ran = run_tercet(command, *files, *words)
    assert (2, "", "tercet: base has no tag head; give one with --tags\n") == (
        ran.code, ran.out, ran.err,
    )  # fmt: skip


def test_a_label_that_nobody_knows_is_a_usage_error(
    run_tercet: Run, recordings: Make, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise LabelError("no sound is called 'Bakr'; did you mean 'Bark'?")

    recordings("a.mp3")
    monkeypatch.setattr(model, "stream", refuse)
    ran = run_tercet("listen", "a.mp3", "--labels", "Bakr")
    assert (2, "tercet: no sound is called 'Bakr'; did you mean 'Bark'?\n") == (ran.code, ran.err)


# --- what is written -------------------------------------------------------------------------


def test_json_is_whispers_with_ours_beside_it(
    run_tercet: Run, recordings: Make, model: Any
) -> None:
    recordings("dog.mp3")
    heard = json.loads(run_tercet("listen", "dog.mp3", "-f", "json").out)
    assert (" dog", "en", "tercet/1") == (heard["text"], heard["language"], heard["schema"])
    assert [" dog"] == [segment["text"] for segment in heard["segments"]]
    assert [
        {"start_s": 0.0, "end_s": 0.8, "label": "dog", "score": 0.75, "label_id": 0}
    ] == heard["sound_events"]  # fmt: skip
    assert [list(b"dog")] == [window["ids"] for window in heard["speech_tokens"]["windows"]]


@pytest.mark.parametrize("format_name", ["txt", "srt", "vtt", "tsv"])
def test_subtitles_without_sounds_are_the_transcripts(
    run_tercet: Run, recordings: Make, model: Any, say: Any, format_name: str
) -> None:
    recordings("dog.mp3")
    expected = render(say("dog"), format_name)
    assert expected == run_tercet("listen", "dog.mp3", "-f", format_name, "--sounds", "off").out
    assert [ALL] == model.only


def test_a_line_of_json_says_which_kind_it_is(
    run_tercet: Run, recordings: Make, model: Any, tmp_path: Path
) -> None:
    recordings("dog.mp3", "cat.mp3")
    rows = run_tercet("listen", "dog.mp3", "cat.mp3", "-f", "jsonl").out.splitlines()
    told = [json.loads(row) for row in rows]
    kinds = ["segment", "sound_event", "speech_tokens"]
    assert kinds * 2 == [row["kind"] for row in told]
    assert ["dog.mp3"] * 3 + ["cat.mp3"] * 3 == [row["file"] for row in told]
    run_tercet("listen", "dog.mp3", "-f", "jsonl", "-o", tmp_path)
    filed = [json.loads(row) for row in (tmp_path / "dog.jsonl").read_text().splitlines()]
    assert (" dog", "dog", list(b"dog")) == (filed[0]["text"], filed[1]["label"], filed[2]["ids"])


def test_the_segment_lines_have_the_fields_that_they_have_without_heads(
    run_tercet: Run, recordings: Make, model: Any
) -> None:
    recordings("dog.mp3")
    with_heads = json.loads(run_tercet("listen", "dog.mp3", "-f", "jsonl").out.splitlines()[0])
    model.has_tags = model.has_tokens = False
    (alone,) = run_tercet("listen", "dog.mp3", "-f", "jsonl").out.splitlines()
    assert {"kind": "segment", **json.loads(alone)} == with_heads


def test_live_or_not_the_same_lines_are_printed(
    run_tercet: Run, recordings: Make, model: Any, tmp_path: Path
) -> None:
    recordings("dog.mp3")
    live = run_tercet("listen", "dog.mp3", "-f", "jsonl").out
    run_tercet("listen", "dog.mp3", "-f", "jsonl", "-o", tmp_path)
    assert sorted((tmp_path / "dog.jsonl").read_text().splitlines()) == sorted(live.splitlines())


def test_a_number_that_json_cannot_hold_is_null_beside_events_too(
    run_tercet: Run, recordings: Make, model: Any, say: Any, sounds: Any, hear: Any
) -> None:
    recordings("dog.mp3")
    unsure = replace(say("dog"), language_probability=float("nan"))
    model.answers["dog.mp3"] = hear(unsure, sounds("Bark"))
    heard = json.loads(run_tercet("listen", "dog.mp3", "-f", "json").out)
    assert (None, "Bark") == (heard["language_probability"], heard["sound_events"][0]["label"])


def test_without_text_txt_shows_events_and_tokens(
    run_tercet: Run, recordings: Make, model: Any
) -> None:
    recordings("dog.mp3")
    ran = run_tercet("listen", "dog.mp3", "--only", "tags,tokens")
    event, tokens = ran.out.splitlines()
    assert event.endswith("dog")
    assert "<|sound_start|><|sound_0100|><|sound_0111|><|sound_0103|><|sound_end|>" == tokens


def test_each_channel_has_all_its_readings(
    run_tercet: Run, recordings: Make, model: Any, sounds: Any, say: Any, hear: Any
) -> None:
    folder = recordings("call.mp3")
    model.answers["call.mp3"] = tuple(
        hear(say(name, channel=n), sounds(name, channel=n)) for n, name in enumerate(("l", "r"))
    )
    words = ["--channel", "each", "--only", "text,tags", "-f", "json", "-o", "out"]
    assert 0 == run_tercet("listen", "call.mp3", *words).code
    for n, name in enumerate(("l", "r")):
        heard = json.loads((folder / "out" / f"call.ch{n}.json").read_text())
        assert (n, name) == (heard["channel"], heard["sound_events"][0]["label"])


@pytest.mark.parametrize("files", [["dog.mp3"], ["dog.mp3", "cat.mp3"]])
def test_verbose_tells_of_every_reading(
    run_tercet: Run, recordings: Make, model: Any, files: list[str]
) -> None:
    recordings("dog.mp3", "cat.mp3")
    told = run_tercet("listen", *files, "--verbose").err
    assert "dog.mp3: 0:42, language en (0.98)" in told
    assert "dog.mp3: 0:42, 1 sound events" in told
    assert "dog.mp3: 0:42, 3 speech tokens of codebook c0de" in told
    assert "[00:00.000 --> 00:00.800] dog (0.75)" in told


def test_resume_hears_again_what_was_heard_with_other_readings(
    run_tercet: Run, recordings: Make, model: Any
) -> None:
    recordings("a.mp3")
    words = ["listen", "a.mp3", "-o", "out", "-f", "json", "--resume"]
    for only, heard in (("text,tags", 1), ("text,tags", 1), ("text,tokens", 2), ("text,tokens", 2)):
        assert 0 == run_tercet(*words, "--only", only).code
        assert heard == len(model.heard)


@pytest.mark.parametrize(("command", "option"), [("tag", "--tags"), ("tokenize", "--tokens")])
def test_none_in_place_of_a_head_is_no_head_though_one_lies_beside_the_model(
    run_tercet: Run, recordings: Make, fake_model: Any, command: str, option: str
) -> None:
    recordings("a.mp3")
    for words in (["listen", "-f", "json"], [command]):
        for value in ("none", "None"):
            run_tercet(*words, "a.mp3", option, value)
            assert "none" == fake_model.loaded[-1][1][option[2:]]
        for value in ("auto", ""):
            run_tercet(*words, "a.mp3", option, value)
            assert option[2:] not in fake_model.loaded[-1][1]


def test_no_head_may_be_asked_for_where_its_reading_is_left_out(
    run_tercet: Run, recordings: Make, fake_model: Any
) -> None:
    recordings("a.mp3")
    ran = run_tercet("listen", "a.mp3", "--only", "text", "--tags", "none")
    assert (0, "none") == (ran.code, fake_model.loaded[-1][1]["tags"])


def test_the_bar_of_what_is_fetched_names_model_and_heads(
    run_tercet: Run, recordings: Make, fake_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []

    @contextmanager
    def bar(name: str, *, quiet: bool) -> Iterator[None]:
        names.append(name)
        yield None

    monkeypatch.setattr("tercet.cli.listening.run.download_bar", bar)
    recordings("a.mp3")
    run_tercet("listen", "a.mp3")
    run_tercet("listen", "a.mp3", "--tags", "none", "--tokens", "o/n:codes.pth", "--model", "tiny")
    assert ["base", "tiny, o/n:codes.pth"] == names


@pytest.mark.parametrize(
    ("words", "idle"),
    [
        ({"output_format": ("txt",)}, {"tokens"}),  # the gate listens to the tag head
        ({"output_format": ("txt",), "gate": False}, {"tags", "tokens"}),
        ({"output_format": ("srt",), "gate": False}, {"tokens"}),
        ({"output_format": ("srt",), "gate": False, "sounds": "off"}, {"tags", "tokens"}),
        ({"output_format": ("txt", "json")}, set()),
        ({"output_format": ("timeline",)}, set()),
        ({"output_format": ("txt",), "tokens": "mine.safetensors"}, set()),
        ({"output_format": ("json",), "only": ("text",), "gate": False}, {"tags", "tokens"}),
    ],
)
def test_heads_whose_reading_no_format_shows_are_not_opened(words: Any, idle: set[str]) -> None:
    assert idle == set(ListenOptions(files=("a.wav",), **words).idle_heads)
