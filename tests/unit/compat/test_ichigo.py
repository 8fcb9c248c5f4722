"""ichigo's calls over a model that computes nothing, and the faults of the original that stay away."""

import csv
import wave
from pathlib import Path

import numpy as np
import pytest

import tercet.compat.ichigo as ichigo
from tercet.compat.ichigo import IchigoASR
from tercet.compat.ichigo_settings import settings_of
from tercet.errors import (
    AudioNotFoundError,
    HeadError,
    ModelNotFoundError,
    OptionError,
    OutputError,
    TokensError,
)


@pytest.fixture
def asr(fake):
    return IchigoASR(model=fake().model, language="en")


@pytest.fixture
def recording(tmp_path, stairs):
    """`recording("a.wav", seconds, channels=1)`: a file of that name."""

    def make(name, seconds, channels=1) -> Path:
        path = tmp_path / name
        samples = np.repeat((stairs(seconds) * 32767).astype("<i2"), channels)
        with wave.open(str(path), "wb") as file:
            file.setparams((channels, 2, 16000, 0, "NONE", ""))
            file.writeframes(samples.tobytes())
        return path

    return make


def test_stoks_are_a_row_of_int64(asr, recording, peer, monkeypatch):
    torch = peer("torch")
    stoks = asr.get_stoks(recording("a.wav", 3.29))
    assert (torch.int64, (1, 82)) == (stoks.dtype, tuple(stoks.shape))
    monkeypatch.setattr("tercet.model.tensors.find_spec", lambda name: None)
    array = asr.get_stoks(recording("a.wav", 3.29))
    assert (np.ndarray, np.int64, (1, 82)) == (type(array), array.dtype, array.shape)


def test_stereo_is_mixed(asr, recording):
    assert (1, 50) == tuple(asr.get_stoks(recording("two.wav", 2, channels=2)).shape)


@pytest.mark.parametrize(("seconds", "codes"), [(0.0001, 0), (0.039, 0), (0.04, 1), (0.079, 1)])
def test_very_short_recordings_have_codes_and_text(asr, recording, seconds, codes):
    path = recording("short.wav", seconds)
    stoks = asr.get_stoks(path)
    assert (1, codes) == tuple(stoks.shape)
    assert isinstance(asr.decode_stoks(stoks), str)
    text, figures = asr.transcribe(path, None)
    assert bool(codes) == bool(text)
    assert figures["stok_rate"] == pytest.approx(codes / figures["audio_length"])


def test_what_lies_behind_30_s_is_lost_with_a_warning(asr, recording):
    with pytest.warns(UserWarning, match=r"30 of 31\.0 s"):
        assert (1, 750) == tuple(asr.get_stoks(recording("long.wav", 31)).shape)


def test_codes_are_decoded_from_any_form(asr):
    forms = (
        [[7, 7]],
        [7, 7],
        np.array([[7, 7]]),
        "<|sound_start|><|sound_0007|><|sound_0007|><|sound_end|>",
    )
    assert ["w307"] * 4 == [asr.decode_stoks(form) for form in forms]
    assert "" == asr.decode_stoks([])


@pytest.mark.parametrize("bad", [[101], [-1], [0.5], "<|sound_0101|>"])
def test_codes_out_of_range_are_an_error(asr, bad):
    with pytest.raises(TokensError):
        asr.decode_stoks(bad)


def test_a_file_gives_its_text_and_figures(asr, recording, tmp_path):
    output = tmp_path / "out.txt"
    text, figures = asr.transcribe(recording("a.wav", 8), output)
    assert "w301" == text == output.read_text(encoding="utf-8")
    assert {"stok_rate", "audio_length", "process_time", "rtf"} == set(figures)
    assert (25.0, 8.0) == (figures["stok_rate"], figures["audio_length"])
    assert figures["rtf"] == pytest.approx(figures["process_time"] / 8)


def test_the_class_writes_where_the_original_writes(asr, recording, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asr.transcribe(recording("a.wav", 1))
    assert "w301" == (tmp_path / "transcription.txt").read_text(encoding="utf-8")


def test_long_recordings_are_heard_in_chunks_joined_by_spaces(asr, recording):
    text, figures = asr.transcribe(recording("long.wav", 65), None)
    assert "w301 w302 w303 w304" == text
    assert figures["audio_length"] == 65.0
    assert 24.9 < figures["stok_rate"] <= 25  # the original: 750 codes in 65 s
    assert "w305 w306" == asr.transcribe(recording("short.wav", 19), None, chunk=10.0)[0]


def test_each_chunk_may_have_its_own_language(fake, recording):
    each = fake(language="de")
    text, _ = IchigoASR(model=each.model).transcribe(recording("long.wav", 25), None)
    assert ("w301 w302", [1, 1]) == (text, each.decoder.opened)


def test_samples_are_heard_as_files_are(asr, stairs):
    assert "w301 w302" == asr.transcribe_tensor(stairs(25)[None])
    assert "w303" == asr.transcribe_tensor(stairs(20)[None])
    quiet = stairs(20.5)
    quiet[int(19.6 * 16000) : int(19.9 * 16000)] = 0
    assert "w304" == asr.transcribe_tensor(quiet[None])  # 0.9 s join what is before them


@pytest.fixture
def folder(recording, tmp_path):
    recording("b.wav", 2)
    recording("a.WAV", 2)
    (tmp_path / "broken.wav").write_bytes(b"RIFF....WAVE, or so it says")
    (tmp_path / "notes.md").write_text("no sound")
    return tmp_path


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.mark.filterwarnings("ignore:.*passed over")
def test_a_folder_gives_texts_by_name_and_one_table(asr, folder):
    texts = asr.transcribe(folder, None)
    assert ["a.WAV", "b.wav", "broken.wav"] == list(texts)
    assert ("w301", "w302") == (texts["a.WAV"], texts["b.wav"])
    assert texts["broken.wav"].startswith("ERROR: Error processing broken.wav: ")
    table = rows_of(folder / "transcription.csv")
    assert [["filename", "transcription"], *map(list, texts.items())] == table
    assert texts.keys() == asr.transcribe(folder, None).keys()  # the table is no recording


@pytest.mark.filterwarnings("ignore:.*passed over")
def test_a_table_holds_whatever_is_said(asr, folder, monkeypatch):
    said = 'He said "no, never",\nand left.'
    monkeypatch.setattr(IchigoASR, "decode_stoks", lambda self, stoks: said)
    asr.transcribe(folder, folder / "out" if (folder / "out").mkdir() is None else None)
    assert ["b.wav", said] == rows_of(folder / "out" / "transcription.csv")[2]


@pytest.mark.filterwarnings("ignore:.*passed over")
def test_other_files_are_named_and_passed_over(asr, folder):
    with pytest.warns(UserWarning, match=r"notes\.md"):
        asr.transcribe(folder, None)
    with pytest.warns(UserWarning, match=r"holds no files \.aac"):
        assert {} == asr.transcribe(folder, folder / "none.csv", extensions=(".aac",))
    assert not (folder / "none.csv").exists()


@pytest.mark.filterwarnings("ignore:.*passed over")
def test_a_run_that_is_stopped_leaves_no_table_and_no_rest(asr, folder, monkeypatch):
    before = {path.name for path in folder.iterdir()}

    def stopped(self, stoks):
        raise KeyboardInterrupt

    monkeypatch.setattr(IchigoASR, "decode_stoks", stopped)
    with pytest.raises(KeyboardInterrupt):
        asr.transcribe(folder, None)
    assert before == {path.name for path in folder.iterdir()}


def test_what_cannot_be_heard_or_written_is_refused_at_once(asr, recording, tmp_path, fake):
    path = recording("a.wav", 1)
    with pytest.raises(AudioNotFoundError, match="no such file or folder"):
        asr.transcribe(tmp_path / "none.wav", None)
    with pytest.raises(OptionError, match="extensions"):
        asr.transcribe(path, None, extensions=(".mp3",))
    with pytest.raises(OptionError, match="chunk"):
        asr.transcribe(path, None, chunk=40.0)
    each = fake()
    for output in (tmp_path / "nowhere" / "out.txt", tmp_path):
        with pytest.raises(OutputError):
            IchigoASR(model=each.model).transcribe(path, output)
    assert 0 == each.encoder.calls


def test_the_functions_share_one_model_until_other_arguments_come(fake, recording, monkeypatch):
    monkeypatch.setattr(ichigo, "_opened", None)
    first, second = fake().model, fake().model
    path = recording("a.wav", 1)
    assert "w301" == ichigo.transcribe(path, model=first)[0]
    assert "w302" == ichigo.transcribe(path)[0]
    assert (1, 25) == tuple(ichigo.get_stoks(path).shape)
    assert "w307" == ichigo.decode_stoks([7])
    assert first is ichigo.get_model(model=first).model
    assert second is ichigo.get_model(model=second).model is ichigo.get_model().model


@pytest.mark.parametrize(
    ("config", "whisper", "quantizer", "language"),
    [
        ("ichigo-asr-2501-en-vi", "medium", "ichigo-asr-2501-en-vi", None),
        ("ichigo-asr-2501-en", "medium", "ichigo-asr-2501-en-vi", "en"),
        ("ichigo-asr-2501-vi", "medium", "ichigo-asr-2501-en-vi", "vi"),
        ("ichigo-asr-2502-en", "large-v3", "ichigo-asr-2502-en", "en"),
        ("whispervq-2405-en", "medium", "whispervq-2405-en", None),
        ({"whisper": "base", "quantizer": Path("q.pth")}, "base", Path("q.pth"), None),
    ],
)
def test_a_configuration_names_a_whisper_a_quantizer_and_a_language(
    config, whisper, quantizer, language
):
    found = settings_of(config)
    assert (whisper, quantizer, language) == (found.whisper, found.quantizer, found.language)


@pytest.mark.parametrize(
    "config",
    [
        "mine.yaml",
        "whisper-at:base",
        {"whisper": "base"},
        {"whisper": "a", "quantizer": "b", "x": 1},
    ],
)
def test_other_configurations_are_refused(config):
    with pytest.raises(OptionError, match="config"):
        IchigoASR(config)


def test_a_model_without_a_quantizer_is_refused(fake):
    with pytest.raises(HeadError, match="tokens="):
        IchigoASR(model=fake(tokens=False).model)
    with pytest.raises(OptionError, match="threads"):
        IchigoASR(model=fake().model, threads=1)


def test_a_quantizer_that_is_nowhere_says_so(base_model, tmp_path):
    with pytest.raises(ModelNotFoundError, match="no such file"):
        IchigoASR({"whisper": base_model, "quantizer": tmp_path / "none.pth"})
