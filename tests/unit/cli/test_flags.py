"""Spellings of a command line. See flags.py."""

import pytest

from tercet.cli.listen import ListenOptions
from tercet.cli.options import table
from tercet.cli.options.flags import FlagTable, normalise
from tercet.cli.options.later import LATER_FLAGS
from tercet.errors import OptionError


def flag_table() -> FlagTable:
    return table.flag_table(ListenOptions, LATER_FLAGS)


def normal(*words: str) -> list[str]:
    return normalise(words, flag_table())


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        (["--vad_filter=True"], ["--vad_filter"]),
        (["--vad_filter=True"], ["--vad-filter"]),
        (["--vad_filter=True"], ["--vad_filter", "True"]),
        (["--vad_filter=false"], ["--vad-filter=false"]),
        (["--vad_filter=False"], ["--no-vad-filter"]),
        (["--vad_filter=False"], ["--no_vad_filter"]),
        (["--vad_filter=True", "a.mp3"], ["--vad_filter", "a.mp3"]),
        (["--vad_filter=False", "True"], ["--no-vad-filter", "True"]),
        (["--vad_filter=True", "1"], ["--vad_filter", "1"]),
        (["True", "--vad_filter=True"], ["True", "--vad_filter"]),
        (["--vad_filter=True", "--", "True"], ["--vad_filter", "--", "True"]),
    ],
)
def test_a_boolean_has_many_spellings(expected: list[str], words: list[str]) -> None:
    assert expected == normal(*words)


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        (["--output_dir=out-put"], ["--output-dir", "out-put"]),
        (["--output_dir=out-put"], ["--output-dir=out-put"]),
        (["--output_dir=out"], ["-o", "out"]),
        (["--output_dir=out"], ["-oout"]),
        (["--output_format=srt,vtt"], ["-f", "srt,vtt"]),
        (["--format=srt"], ["--format", "srt"]),
        (["--logprob_threshold=-2.5"], ["--logprob-threshold", "-2.5"]),
        (["--suppress_tokens=-1"], ["--suppress_tokens", "-1"]),
        (["--output_dir=--odd"], ["--output_dir", "--odd"]),
        (["--output_dir=True", "a.mp3"], ["--output_dir", "True", "a.mp3"]),
        (["--output_dir=a=b"], ["--output_dir=a=b"]),
        (["--language="], ["--language="]),
    ],
)
def test_a_value_is_taken_as_it_is(expected: list[str], words: list[str]) -> None:
    assert expected == normal(*words)


def test_files_are_left_alone() -> None:
    words = ["a-b_c.mp3", "-", "--", "--vad-filter", "-o", "--nonsense"]
    assert words == normal(*words)


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ("no such option: --vadfilter; did you mean --vad_filter?", ["--vadfilter"]),
        ("no such option: --qqq", ["--qqq=3"]),
        ("no such option: -x (a file whose name starts with '-' goes after --)", ["-x.mp3"]),
        ("--output_dir needs a value", ["--output_dir"]),
        ("--output_dir needs a value", ["--output_dir", "--output-format", "srt"]),
        ("--output_dir needs a value", ["--output_dir", "--no-vad-filter"]),
        ("-o needs a value", ["-o", "-f", "srt"]),
        ("--no-vad-filter takes no value; write --vad_filter=True", ["--no-vad-filter=True"]),
        ("no such option: --no-model", ["--no-model"]),
    ],
)
def test_a_slip_is_one_line_that_says_what_to_do(expected: str, words: list[str]) -> None:
    with pytest.raises(OptionError) as caught:
        normal(*words)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        ["--beam_size", "1"],
        ["--beam-size=None"],
        ["--condition_on_previous_text", "False"],
        ["--no-condition-on-previous-text"],
        ["--word_timestamps=false"],
        ["--fp16", "False"],
        ["--clip_timestamps", "0"],
        ["--batched"],
    ],
)
def test_a_later_flag_may_ask_for_what_happens_anyway(words: list[str]) -> None:
    assert ["a.mp3"] == normal(*words, "a.mp3")


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ("--beam_size comes in a later release; until then only '1'", ["--beam_size", "5"]),
        ("--best_of comes in a later release", ["--best-of=5"]),
        ("--word_timestamps comes in a later release", ["--word_timestamps"]),
        ("--word_timestamps comes in a later release", ["--word_timestamps", "True", "a.mp3"]),
        ("--initial_prompt comes in a later release", ["--initial_prompt", "--odd words"]),
        (
            "--fp16 True has no effect here; choose the arithmetic with --compute_type",
            ["--fp16", "True"],
        ),
        ("give --model a folder", ["--model_dir", "models"]),
    ],
)
def test_a_later_flag_says_so(expected: str, words: list[str]) -> None:
    with pytest.raises(OptionError) as caught:
        normal(*words)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_flag_of_openai_whisper_is_known() -> None:
    whisper = pytest.importorskip("whisper.transcribe")
    import inspect
    import re

    names = set(re.findall(r'"--(\w+)"', inspect.getsource(whisper.cli)))
    assert len(names) > 30
    assert set() == {name for name in names if not flag_table().knows(name)}


def test_no_flag_is_both_of_now_and_of_later() -> None:
    known = flag_table()
    assert set() == set(known.later) & (known.valued | known.booleans)
