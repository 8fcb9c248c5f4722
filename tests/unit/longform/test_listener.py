"""What `Model` refuses before any audio is opened, and what it hands on."""

import math

import numpy as np
import pytest

import tercet
from tercet.longform.settings import temperatures_of

NONSENSE = [
    ("language", ""),
    ("language", "klingon"),
    ("language", 5),
    ("task", "sing"),
    ("task", None),
    ("temperature", -0.1),
    ("temperature", math.nan),
    ("temperature", math.inf),
    ("temperature", ()),
    ("temperature", (0, "0.2")),
    ("temperature", (0, True)),
    ("temperature", "0"),
    ("temperature", None),
    ("temperature", True),
    ("compression_ratio_threshold", "2.4"),
    ("compression_ratio_threshold", math.nan),
    ("logprob_threshold", "-1"),
    ("no_speech_threshold", True),
    ("suppress_tokens", "a"),
    ("suppress_tokens", "-2"),
    ("suppress_tokens", [51865]),
    ("suppress_tokens", 3),
    ("suppress_blank", "no"),
    ("suppress_blank", None),
    ("without_timestamps", 1),
    ("max_initial_timestamp", -1),
    ("max_initial_timestamp", 31),
    ("max_initial_timestamp", "1"),
    ("max_initial_timestamp", math.nan),
    ("seed", -1),
    ("seed", 0.5),
    ("seed", "0"),
    ("seed", True),
    ("longform", "sequential"),
    ("chunk_length_s", 20),
    ("stride_length_s", 5),
    ("match", "hf"),
    ("match", "openai"),
    ("longform", "zigzag"),
    ("longform", None),
    ("batch_size", 0),
    ("batch_size", -1),
    ("batch_size", 2.0),
    ("batch_size", "8"),
    ("batch_size", True),
    ("batch_size", 100000),
    ("vad_filter", "False"),
    ("vad_filter", 0),
    ("vad_parameters", 5),
    ("vad_parameters", {"threshold": 2}),
    ("vad_parameters", {"treshold": 0.5}),
    ("vad_parameters", {"speech_pad_ms": math.nan}),
    ("mel_floor", "cellar"),
    ("mel_floor", None),
    ("channel", "left"),
    ("channel", -1),
    ("channel", True),
    ("channel", 1.5),
    ("channel", None),
    ("on_progress", "print"),
    ("should_cancel", True),
]


class Untouched:
    """A file that must not be read."""

    def read(self, size=-1):
        raise AssertionError("the audio was opened")


@pytest.mark.parametrize(("option", "value"), NONSENSE, ids=lambda value: repr(value)[:24])
def test_nonsense_is_refused_in_one_line_before_audio_is_opened(fake, option, value) -> None:
    model = fake().model
    calls = [(model.transcribe, Untouched()), (model.stream, Untouched())]
    for call, audio in [*calls, (model.transcribe_many, [Untouched()])]:
        with pytest.raises(tercet.OptionError) as raised:
            call(audio, **{option: value})
        message = str(raised.value)
        assert 20 < len(message) < 200
        assert "\n" not in message


def test_voice_parameters_without_the_filter_are_refused(fake) -> None:
    with pytest.raises(tercet.OptionError, match="vad_filter is off"):
        fake().model.transcribe(Untouched(), vad_filter=False, vad_parameters={"threshold": 0.4})


def test_an_unknown_option_is_a_type_error_as_in_any_function(fake) -> None:
    model = fake().model
    for call in (model.transcribe, model.stream):
        with pytest.raises(TypeError, match="langauge"):
            call(Untouched(), langauge="en")
    with pytest.raises(TypeError, match="max_tokens"):
        model.transcribe_many([Untouched()], max_tokens=3)


def test_numpys_numbers_are_numbers(fake, noise) -> None:
    options = {"vad_filter": False, "language": "en"}
    expected = fake().model.transcribe(noise(3), **options)
    given = {"seed": np.int64(0), "batch_size": np.int32(2), "temperature": np.float32(0)}
    assert expected == fake().model.transcribe(noise(3), **options, **given)


def test_a_list_of_temperatures_is_as_good_as_a_tuple() -> None:
    assert (0.0, 0.5) == temperatures_of([0, 0.5]) == temperatures_of((0.0, 0.5))
    assert (0.3,) == temperatures_of(0.3)


def test_each_channel_cannot_be_streamed(fake) -> None:
    with pytest.raises(tercet.OptionError, match="cannot be streamed"):
        fake().model.stream(Untouched(), channel="each")


@pytest.mark.parametrize("batch_size", [0, True, "4", 5000])
def test_a_model_has_a_sensible_batch_size(fake, batch_size) -> None:
    with pytest.raises(tercet.OptionError, match="batch_size"):
        fake(batch_size)


def test_a_model_says_what_it_is(fake) -> None:
    model = fake().model
    assert ("fake", 51865, 99) == (model.name, model.geometry.vocab_size, len(model.languages))


def test_the_whole_can_be_had_in_one_expression(fake, noise) -> None:
    heard = fake().model.transcribe(noise(3), vad_filter=False, language="en")
    assert heard.text == "".join(segment.text for segment in heard.segments)
    assert heard.to_txt().strip() == heard.text.strip()
    assert heard.to_json()["segments"][0]["text"] == heard.text
