"""whisper-at's `transcribe` over a model that computes nothing; the original's faults stay away."""

import subprocess
import sys
import tracemalloc
import wave

import numpy as np
import pytest

from tercet.compat.whisper_at import WhisperAT, load_audio, parse_at_label, transcribe
from tercet.errors import HeadError, LanguageError, OptionError
from tercet.listener import Model

PLAIN = {"vad_filter": False, "language": "en"}
pytestmark = pytest.mark.filterwarnings("ignore:at_time_res")


@pytest.fixture
def hears(fake):
    """`hears(audio, ...)`: the result of a fresh model."""
    return lambda audio, **options: WhisperAT(fake().model).transcribe(audio, **(PLAIN | options))


def test_the_result_is_openais_dictionary_with_tags(hears, stairs):
    result = hears(stairs(25))
    keys = {"text", "segments", "language", "at_time_res", "audio_tag", "duration_s"}
    assert keys == set(result)
    assert (10, 25.0, "en") == (result["at_time_res"], result["duration_s"], result["language"])
    assert {"id", "seek", "start", "end", "text", "tokens", "temperature", "avg_logprob"} < set(
        result["segments"][0]
    )
    assert result["text"] == "".join(segment["text"] for segment in result["segments"])
    assert result["text"]


def test_tags_are_a_tensor_where_torch_is_and_an_array_where_it_is_not(
    hears, stairs, peer, monkeypatch
):
    torch = peer("torch")
    tensor = hears(stairs(25))["audio_tag"]
    assert (torch.float32, (3, 527)) == (tensor.dtype, tuple(tensor.shape))
    monkeypatch.setattr("tercet.model.tensors.find_spec", lambda name: None)
    array = hears(stairs(25))["audio_tag"]
    assert (np.ndarray, np.float32) == (type(array), array.dtype)
    np.testing.assert_array_equal(array, tensor.numpy())


def test_rows_keep_to_their_time_though_segments_end_elsewhere(hears, stairs):
    """The text ends at 2 s of every window; whisper-at would begin the next rows there."""
    result = hears(stairs(68))
    assert 2.0 == result["segments"][0]["end"]
    loudness = np.asarray(result["audio_tag"])[:, 1]
    # Five steps of equal height (9.5 dB: 0.95 log10, a quarter of it in the encoder's units, times 10), anew.
    steps = np.diff(loudness[:5])
    np.testing.assert_allclose(10 * 2 * np.log10(3) / 4, steps, atol=0.25)
    assert abs(loudness[5] - loudness[0]) < 0.5  # 50..60 s sounds as 0..10 s
    assert 7 == len(loudness)


def test_the_last_row_is_filled_with_frames_of_zeros(hears, stairs):
    short, long = (np.asarray(hears(stairs(each))["audio_tag"])[-1, 1] for each in (65, 70))
    assert short < long  # half of its frames are zeros


def test_any_number_of_rows_fits_its_recording(hears, stairs):
    for seconds, resolution, rows in (
        (0.005, 10, 0),
        (0.3, 10, 1),
        (29.9, 10, 3),
        (30, 10, 3),
        (30.1, 10, 4),
    ):
        result = hears(stairs(seconds), at_time_res=resolution)
        assert (rows, 527) == tuple(result["audio_tag"].shape)


def test_times_beyond_the_recording_are_not_reported(hears, stairs):
    rows = parse_at_label(hears(stairs(25)))
    assert [(0, 10), (10, 20), (20, 25.0)] == [tuple(row["time"].values()) for row in rows]


@pytest.mark.parametrize(
    ("resolution", "exact"),
    [(4.4, 4.4), (8.8, 8.8), (0.4 + 0.4 + 0.4, 1.2), (3 * 0.4, 1.2), (30, 30)],
)
def test_every_multiple_of_a_frame_is_a_resolution(hears, stairs, resolution, exact):
    result = hears(stairs(20), at_time_res=resolution)
    assert exact == result["at_time_res"]
    assert int(np.ceil(20 / exact)) == len(result["audio_tag"])


@pytest.mark.parametrize("resolution", [0, 1, -10, "10", float("nan")])
def test_other_resolutions_are_refused(hears, stairs, resolution):
    with pytest.raises(OptionError, match="at_time_res"):
        hears(stairs(1), at_time_res=resolution)


@pytest.mark.filterwarnings("default")
def test_a_resolution_that_heads_were_not_trained_at_is_remarked_on(hears, stairs, recwarn):
    hears(stairs(5))
    assert [] == [str(each.message) for each in recwarn if "at_time_res" in str(each.message)]
    with pytest.warns(UserWarning, match="trained on windows of 10 s"):
        hears(stairs(5), at_time_res=2)


def test_memory_does_not_grow_with_the_length(fake, stairs, tmp_path, monkeypatch):
    text = fake().model.transcribe(stairs(1))
    monkeypatch.setattr(Model, "transcribe", lambda self, audio, **options: text)  # tags alone

    def peak(seconds):
        path = tmp_path / f"{seconds}.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes((stairs(seconds) * 32767).astype("<i2").tobytes())
        model = WhisperAT(fake().model)
        tracemalloc.start()
        result = model.transcribe(str(path), **PLAIN)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert seconds // 10 == len(result["audio_tag"])
        return most

    peak(30)  # what is made once is made
    # Rows and events are kept, but nothing that takes a byte for each sample.
    assert peak(180) - peak(60) < 120 * 16000


def test_labels_follow_the_language_that_was_heard(fake, stairs):
    result = WhisperAT(fake(language="de").model).transcribe(stairs(5), vad_filter=False)
    assert "de" == result["language"]
    german = parse_at_label(result, p_threshold=-100)[0]["audio tags"][0][0]
    assert german != parse_at_label(result, language="en", p_threshold=-100)[0]["audio tags"][0][0]


def test_one_class_is_found_though_others_are_higher(hears, stairs):
    rows = parse_at_label(hears(stairs(5)), top_k=1, p_threshold=-100, include_class_list=[526])
    assert ["Field recording"] == [name for name, _ in rows[0]["audio tags"]]


def test_text_and_tags_cost_a_pass_of_the_encoder_each(fake, stairs):
    each = fake()
    WhisperAT(each.model).transcribe(stairs(5), **PLAIN)
    assert 2 == each.encoder.calls


def test_the_function_is_the_method(hears, fake, stairs):
    model = WhisperAT(fake().model)
    assert hears(stairs(5))["text"] == transcribe(model, stairs(5), **PLAIN)["text"]
    assert model.is_multilingual


def test_a_head_of_its_own_labels_names_them(fake, stairs):
    names = tuple(f"sound {n}" for n in range(527))
    result = WhisperAT(fake(labels=names).model).transcribe(stairs(5), **PLAIN)
    assert list(names) == result["label_names"]


def test_a_model_without_tags_is_refused(fake):
    with pytest.raises(HeadError, match="tags="):
        WhisperAT(fake(tags=False).model)


@pytest.mark.parametrize(
    "options",
    [
        {"condition_on_previous_text": False},
        {"fp16": False},
        {"beam_size": 1, "best_of": None, "patience": 1.0},
        {"temperature": 0.0, "no_speech_threshold": None, "suppress_tokens": "-1"},
    ],
)
def test_what_asks_for_nothing_else_is_accepted(hears, stairs, options):
    assert hears(stairs(5))["text"] == hears(stairs(5), **options)["text"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("beam_size", 5),
        ("best_of", 5),
        ("patience", 2.0),
        ("initial_prompt", "Names: Anna."),
        ("word_timestamps", True),
        ("prepend_punctuations", "("),
        ("prefix", "So"),
        ("sample_len", 4),
    ],
)
def test_what_comes_later_says_so_before_anything_is_heard(fake, stairs, name, value):
    each = fake()
    with pytest.raises(OptionError, match=f"{name} comes in a later release"):
        WhisperAT(each.model).transcribe(stairs(5), **{name: value})
    assert 0 == each.encoder.calls


def test_wrong_options_are_refused_before_anything_is_heard(fake, stairs):
    each = fake()
    model = WhisperAT(each.model)
    for options, error in (
        ({"no_such_option": 1}, TypeError),
        ({"language": "xx"}, LanguageError),
        ({"channel": "each"}, OptionError),
        ({"temperature": "hot"}, OptionError),
    ):
        with pytest.raises(error):
            model.transcribe(stairs(5), **options)
    assert 0 == each.encoder.calls


def test_a_source_that_can_be_heard_only_once_is_refused(hears, stairs):
    with pytest.raises(OptionError, match="reads it twice"):
        hears(iter([stairs(5)]))


def test_verbose_prints_the_segments_as_they_lie(fake, stairs, capsys):
    model = WhisperAT(fake().model)
    model.transcribe(stairs(5), verbose=True, vad_filter=False)
    lines = capsys.readouterr().out.splitlines()
    assert "Detected language: German" == lines[0]
    assert lines[1].startswith("[00:00.000 --> 00:02.000]  w")
    model.transcribe(stairs(5), vad_filter=False)
    assert "" == capsys.readouterr().out
    model.transcribe(stairs(5), verbose=False, vad_filter=False)
    assert ["Detected language: German"] == capsys.readouterr().out.splitlines()


def test_load_audio_gives_samples(stairs):
    np.testing.assert_array_equal(stairs(1), load_audio(stairs(1)))
    with pytest.raises(OptionError, match="sr"):
        load_audio(stairs(1), sr=8000)


def test_importing_the_originals_names_loads_no_torch():
    program = (
        "import sys, tercet.compat.whisper_at, tercet.compat.ichigo\n"
        "print({'torch', 'onnxruntime', 'whisper'} & set(sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "set()" == run.stdout.strip()
