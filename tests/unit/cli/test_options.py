"""Every option has an effect. Those of the model and the decoding: that they arrive.

What an option does to the text of real speech is shown in tests/e2e.
"""

import math
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from tercet.cli.listen import Listening, ListenOptions
from tercet.cli.options import table
from tercet.errors import OptionError


def flags() -> dict[str, table.Flag]:
    return table.flags(ListenOptions)


def options(**texts: str) -> ListenOptions:
    defaults = {name: flag.default for name, flag in flags().items()}
    return table.from_texts(ListenOptions, ("a.mp3",), {**defaults, **texts})


@pytest.mark.option("--model")
@pytest.mark.option("--adapter")
@pytest.mark.option("--device")
@pytest.mark.option("--compute_type")
@pytest.mark.option("--engine")
@pytest.mark.option("--threads")
@pytest.mark.option("--batch_size")
@pytest.mark.option("--offline")
@pytest.mark.option("--channel")
@pytest.mark.option("--mel_floor")
@pytest.mark.option("--task")
@pytest.mark.option("--language")
@pytest.mark.option("--without_timestamps")
@pytest.mark.option("--max_initial_timestamp")
@pytest.mark.option("--suppress_tokens")
@pytest.mark.option("--suppress_blank")
@pytest.mark.option("--temperature")
@pytest.mark.option("--temperature_increment_on_fallback")
@pytest.mark.option("--compression_ratio_threshold")
@pytest.mark.option("--logprob_threshold")
@pytest.mark.option("--no_speech_threshold")
@pytest.mark.option("--seed")
@pytest.mark.option("--vad_filter")
@pytest.mark.option("--vad_threshold")
@pytest.mark.option("--vad_neg_threshold")
@pytest.mark.option("--vad_min_speech_duration_ms")
@pytest.mark.option("--vad_max_speech_duration_s")
@pytest.mark.option("--vad_min_silence_duration_ms")
@pytest.mark.option("--vad_speech_pad_ms")
@pytest.mark.parametrize(
    ("option", "value", "argument", "expected"),
    [
        ("--model", "turbo", "model", "turbo"),
        ("--adapter", "./lora", "adapter", "./lora"),
        ("--device", "cuda", "device", "cuda"),
        ("--compute_type", "float32", "compute_type", "float32"),
        ("--engine", "torch", "engine", "torch"),
        ("--threads", "3", "threads", 3),
        ("--batch_size", "4", "batch_size", 4),
        ("--offline", "True", "offline", True),
        ("--channel", "each", "channel", "each"),
        ("--channel", "1", "channel", 1),
        ("--mel_floor", "file", "mel_floor", "file"),
        ("--task", "translate", "task", "translate"),
        ("--language", "German", "language", "German"),
        ("--without_timestamps", "True", "without_timestamps", True),
        ("--max_initial_timestamp", "None", "max_initial_timestamp", None),
        ("--max_initial_timestamp", "0.5", "max_initial_timestamp", 0.5),
        ("--suppress_tokens", "-1, 50", "suppress_tokens", "-1,50"),
        ("--suppress_tokens", "", "suppress_tokens", ""),
        ("--suppress_blank", "False", "suppress_blank", False),
        ("--temperature", "0.4", "temperature", (0.4, 0.6, 0.8, 1.0)),
        ("--temperature_increment_on_fallback", "None", "temperature", (0.0,)),
        ("--temperature_increment_on_fallback", "0", "temperature", (0.0,)),
        ("--temperature_increment_on_fallback", "0.5", "temperature", (0.0, 0.5, 1.0)),
        ("--compression_ratio_threshold", "None", "compression_ratio_threshold", None),
        ("--logprob_threshold", "-2", "logprob_threshold", -2.0),
        ("--logprob_threshold", "None", "logprob_threshold", None),
        ("--no_speech_threshold", "0.3", "no_speech_threshold", 0.3),
        ("--seed", "7", "seed", 7),
        ("--vad_filter", "False", "vad_filter", False),
        ("--gate", "True", "gate", True),
        ("--vad_threshold", "0.4", "vad_parameters", {"threshold": 0.4}),
        ("--vad_neg_threshold", "0.2", "vad_parameters", {"neg_threshold": 0.2}),
        ("--vad_min_speech_duration_ms", "9", "vad_parameters", {"min_speech_duration_ms": 9}),
        ("--vad_max_speech_duration_s", "9", "vad_parameters", {"max_speech_duration_s": 9}),
        ("--vad_min_silence_duration_ms", "0", "vad_parameters", {"min_silence_duration_ms": 0}),
        ("--vad_speech_pad_ms", "9", "vad_parameters", {"speech_pad_ms": 9}),
    ],
)
def test_the_option_reaches_the_model(
    run_tercet: Callable[..., Any],
    fake_model: Any,
    recordings: Callable[..., Any],
    option: str,
    value: str,
    argument: str,
    expected: object,
) -> None:
    recordings("a.mp3")
    assert 0 == run_tercet("listen", "a.mp3").code
    without = fake_model.options
    assert 0 == run_tercet("listen", "a.mp3", option, value).code
    assert expected == fake_model.options[argument]
    assert without == {**fake_model.options, argument: without[argument]}
    assert without[argument] != expected


def test_what_the_model_is_told_when_nothing_is_said(
    run_tercet: Callable[..., Any], fake_model: Any, recordings: Callable[..., Any]
) -> None:
    recordings("a.mp3")
    run_tercet("listen", "a.mp3")
    assert {
        "model": "base",
        "adapter": None,
        "device": "auto",
        "compute_type": "auto",
        "engine": "auto",
        "threads": None,
        "batch_size": 8,
        "offline": None,
        "on_progress": None,
        "tokens": "none",  # plain text shows none
        "language": None,
        "task": "transcribe",
        "temperature": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
        "compression_ratio_threshold": 2.4,
        "logprob_threshold": -1.0,
        "no_speech_threshold": 0.6,
        "suppress_tokens": "-1",
        "suppress_blank": True,
        "without_timestamps": False,
        "max_initial_timestamp": 1.0,
        "seed": 0,
        "longform": "parallel",
        "chunk_length_s": None,
        "stride_length_s": None,
        "match": None,
        "vad_filter": True,
        "vad_parameters": None,
        "gate": "auto",
        "mel_floor": "window",
        "channel": "mean",
    } == fake_model.options


@pytest.mark.parametrize(
    ("start", "step"), [(0, 0.2), (0.4, 0.2), (0.1, 0.3), (1, 0.2), (0, 0.25), (0.95, 0.1), (0, 1)]
)
def test_the_temperatures_are_openai_whispers(start: float, step: float) -> None:
    import numpy as np

    expected = np.arange(start, 1.0 + 1e-6, step).tolist()
    ours = options(temperature=str(start), temperature_increment_on_fallback=str(step))
    assert expected == pytest.approx(ours.temperatures)
    assert len(expected) == len(ours.temperatures)


def test_a_temperature_above_one_is_tried_once() -> None:
    assert (1.5,) == options(temperature="1.5").temperatures


@pytest.mark.parametrize("word", ["None", "auto", ""])
def test_no_language_means_find_out(word: str) -> None:
    assert options(language=word).language is None


@pytest.mark.parametrize("word", ["None", "0"])
def test_no_threads_means_the_librarys_choice(word: str) -> None:
    assert options(threads=word).load_arguments()["threads"] is None


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("task", "summarise", "transcribe or translate"),
        ("device", "tpu", "auto, cpu or cuda"),
        ("output_format", "doc", "txt, srt, vtt, tsv, json, jsonl, timeline or all"),
        ("output_format", "", "txt, srt, vtt, tsv, json, jsonl, timeline or all"),
        ("temperature", "warm", "a number, 0 or more"),
        ("temperature", "nan", "a number, 0 or more"),
        ("temperature", "-1", "a number, 0 or more"),
        ("temperature_increment_on_fallback", "0.0001", "0.01 or more"),
        ("vad_threshold", "1.5", "a number from 0 to 1"),
        ("vad_neg_threshold", "2", "a number from 0 to 1, or None"),
        ("batch_size", "0", "a whole number, 1 or more"),
        ("threads", "many", "a whole number, 0 or more, or None"),
        ("seed", "-1", "a whole number, 0 or more"),
        ("channel", "left", "mean, each, or a channel's number"),
        ("channel", "-1", "mean, each, or a channel's number"),
        ("suppress_tokens", "1;2", "token ids with commas"),
        ("suppress_tokens", "-2", "token ids with commas"),
        ("vad_filter", "maybe", "True or False"),
        ("model", "", "a text that is not empty"),
    ],
)
def test_a_value_that_is_not_allowed_names_the_option_and_what_is(
    name: str, value: str, allowed: str
) -> None:
    with pytest.raises(OptionError) as caught:
        options(**{name: value})
    assert f"--{name}: " in str(caught.value)
    assert allowed in str(caught.value)


@pytest.mark.option("--longform")
def test_sequential_comes_later() -> None:
    with pytest.raises(OptionError, match="--longform sequential comes in a later release"):
        options(longform="sequential")


@pytest.mark.option("--chunk_length")
@pytest.mark.option("--stride")
@pytest.mark.option("--match")
def test_chunks_have_a_length_strides_and_a_way_of_merging() -> None:
    chosen = options(longform="chunked", chunk_length="15", stride="2,3", match="hf").arguments()
    expected = {
        "longform": "chunked", "chunk_length_s": 15.0, "stride_length_s": (2.0, 3.0), "match": "hf",
    }  # fmt: skip
    assert expected == {name: chosen[name] for name in expected}
    assert 2.5 == options(longform="chunked", stride="2.5").arguments()["stride_length_s"]
    nothing = options().arguments()
    assert {None} == {nothing[name] for name in ("chunk_length_s", "stride_length_s", "match")}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"chunk_length": "15"}, "--chunk_length has no effect without --longform chunked"),
        ({"stride": "2"}, "--stride has no effect without --longform chunked"),
        ({"match": "hf"}, "--match has no effect without --longform chunked"),
        ({"chunk_length": "31"}, "--chunk_length: '31' is not a number from 1 to 30, or None"),
        ({"chunk_length": "0"}, "--chunk_length: '0' is not a number from 1 to 30, or None"),
        ({"stride": "-1"}, "--stride: '-1' is not seconds from 0 on, or LEFT,RIGHT, or None"),
        ({"stride": "1,2,3"}, "--stride: '1,2,3' is not seconds from 0 on, or LEFT,RIGHT, or None"),
        ({"match": "openai"}, "--match: 'openai' is not hf, or None"),
    ],
)
def test_options_of_chunks_need_chunks_and_sense(given: dict[str, str], message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        options(**given)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"only": "tags"}, "only tags"),
        ({"only": "text,tokens"}, "only text,tokens"),
        ({"labels": "Bark"}, "labels"),
        ({"tags": "a.safetensors"}, "tags"),
        ({"tokens": "a.safetensors"}, "tokens"),
        ({"sounds": "only", "output_format": "srt"}, "sounds"),
        ({"match": "hf", "logprob_threshold": "-2"}, "logprob_threshold"),
        ({"match": "hf", "temperature": "0.5"}, "temperature"),
        ({"match": "hf", "seed": "1"}, "seed"),
        ({"match": "hf", "vad_threshold": "0.4"}, "vad_threshold"),
        ({"match": "hf", "gate": "True"}, "gate"),
        ({"match": "hf", "mel_floor": "file"}, "mel_floor"),
    ],
)
def test_what_has_no_effect_on_chunks_is_refused(given: dict[str, str], name: str) -> None:
    with pytest.raises(OptionError) as caught:
        options(longform="chunked", **given)
    assert str(caught.value).startswith(f"--{name} ")
    assert "drop one of them" in str(caught.value)


def test_what_the_pipeline_does_anyway_may_be_asked_for() -> None:
    chosen = options(
        longform="chunked", match="hf", temperature_increment_on_fallback="None", gate="False",
        compression_ratio_threshold="None", logprob_threshold="None", no_speech_threshold="None",
        vad_filter="False",
    )  # fmt: skip
    assert ((0.0,), False) == (chosen.temperatures, chosen.vad_filter)


def test_chunks_need_no_head_but_the_gates() -> None:
    assert ("tokens",) == options(longform="chunked", output_format="json").idle_heads
    assert ("tags", "tokens") == options(longform="chunked", gate="False").idle_heads
    assert ("tags", "tokens") == options(longform="chunked", match="hf").idle_heads


def test_voice_activity_starts_from_the_librarys_defaults() -> None:
    vad = pytest.importorskip("tercet.audio.vad")
    library = vad.VadOptions()
    shown = {field.name: flags()[f"vad_{field.name}"] for field in fields(library)}
    assert {
        name: None if getattr(library, name) == math.inf else getattr(library, name)
        for name in shown
    } == {name: flag.parse(flag.default) for name, flag in shown.items()}


def test_voice_activity_without_the_filter_is_an_error() -> None:
    with pytest.raises(OptionError, match="--vad_threshold has no effect with --vad_filter False"):
        options(vad_filter="False", vad_threshold="0.4")


def test_the_settings_of_a_result_hold_all_that_it_depends_on() -> None:
    apart = {
        "files", "output_format", "output_dir", "resume", "verbose", "quiet", "threads",
        "batch_size", "temperature_increment_on_fallback", "offline", "draft",
    }  # fmt: skip
    everything = {field.name for field in fields(ListenOptions)}
    vad = {name for name in everything if name.startswith("vad_") and name != "vad_filter"}
    changed = options(
        only="text,tags,tokens", tags="a.safetensors", tokens="b.safetensors", labels="Bark", top_k="3",
        threshold="0.2", off_threshold="0.1", min_duration="0.8", min_gap="0.4", at_time_res="10",
        window="10", hop="2", label_language="zh", output_format="srt", sounds="only",
        sound_names="Bark=woof", adapter="./lora",
    )  # fmt: skip
    settings = {
        name.removesuffix("_s").replace("stride_length", "stride")
        for name in Listening(changed).settings()
    }
    assert everything - apart - vad | {"vad_parameters"} == settings
