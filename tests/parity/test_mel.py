"""Our log-mel against openai-whisper's and transformers' own functions."""

import importlib

import numpy as np
import pytest

from tercet.audio.mel import log_mel, log_mel_maximum, mel_filters

LENGTHS = (0, 1, 159, 160, 161, 399, 400, 479999, 480000, 480001)


@pytest.fixture(scope="module")
def whisper_audio():
    return pytest.importorskip("whisper.audio")


@pytest.fixture(scope="module", params=[80, 128])
def n_mels(request):
    return request.param


@pytest.fixture(scope="module")
def extractor(n_mels):
    transformers = pytest.importorskip("transformers")
    return transformers.WhisperFeatureExtractor(feature_size=n_mels)


def sound(n_samples: int, *, seed: int = 0) -> np.ndarray:
    """A chirp in noise, loud and quiet by turns: the floor matters in its quiet parts."""
    random = np.random.default_rng(seed)
    t = np.arange(n_samples) / 16000
    chirp = 0.4 * np.sin(2 * np.pi * (200 + 400 * t) * t) * (np.sin(2 * np.pi * 0.7 * t) > 0)
    return (chirp + 0.003 * random.standard_normal(n_samples)).astype(np.float32)


def openai_mel(whisper_audio, samples, n_mels, **options):
    torch = importlib.import_module("torch")
    return whisper_audio.log_mel_spectrogram(torch.from_numpy(samples), n_mels, **options).numpy()


def test_the_filters_are_openai_whispers(whisper_audio, n_mels):
    expected = whisper_audio.mel_filters("cpu", n_mels).numpy()

    np.testing.assert_allclose(mel_filters(n_mels), expected, atol=1e-7)


@pytest.mark.parametrize("n_samples", LENGTHS)
def test_padded_mels_are_openai_whispers(whisper_audio, n_mels, n_samples):
    samples = sound(n_samples)
    expected = openai_mel(whisper_audio, whisper_audio.pad_or_trim(samples), n_mels)

    np.testing.assert_allclose(log_mel(samples, n_mels=n_mels), expected, atol=1e-4)


@pytest.mark.parametrize("n_samples", LENGTHS)
def test_padded_mels_are_those_of_transformers(extractor, n_mels, n_samples):
    samples = sound(n_samples)
    given = samples if n_samples else np.zeros(1, np.float32)  # transformers refuses an empty array
    expected = extractor(given, sampling_rate=16000, return_tensors="np")["input_features"][0]

    np.testing.assert_allclose(log_mel(samples, n_mels=n_mels), expected, atol=1e-4)


@pytest.mark.parametrize("n_samples", [201, 399, 400, 401, 1599, 1600, 16001, 111111])
def test_unpadded_mels_are_openai_whispers_from_201_samples_on(whisper_audio, n_mels, n_samples):
    samples = sound(n_samples)
    expected = openai_mel(whisper_audio, samples, n_mels)

    np.testing.assert_allclose(log_mel(samples, n_mels=n_mels, pad_to=None), expected, atol=1e-4)


@pytest.mark.parametrize("level", [1.0, 1e-2, 1e-4, 0.0])
def test_the_level_of_the_sound_does_not_matter(whisper_audio, n_mels, level):
    samples = sound(48000) * np.float32(level)
    expected = openai_mel(whisper_audio, whisper_audio.pad_or_trim(samples), n_mels)

    np.testing.assert_allclose(log_mel(samples, n_mels=n_mels), expected, atol=1e-4)


def test_real_speech_has_openai_whispers_mel(whisper_audio, n_mels, data_dir):
    files = sorted((data_dir / "speech_en" / "librispeech" / "audio").rglob("*.opus"))[::600]
    load = importlib.import_module("tercet.audio.load").load
    for file in files:
        samples = load(file).read()
        expected = openai_mel(whisper_audio, whisper_audio.pad_or_trim(samples), n_mels)

        np.testing.assert_allclose(log_mel(samples, n_mels=n_mels), expected, atol=1e-4)
    assert len(files) >= 4


@pytest.mark.parametrize("n_samples", [0, 100, 161, 200, 201, 359, 360, 361, 16000, 99999])
def test_the_files_maximum_is_openai_whispers(whisper_audio, n_mels, n_samples):
    """Its mel's own maximum, undone from (x + 4) / 4, with the zeros that `transcribe` appends."""
    samples = sound(n_samples)
    expected = openai_mel(whisper_audio, samples, n_mels, padding=480000).max() * 4 - 4
    blocks = np.array_split(samples, [50, 150, 1000, 1007, 40000])

    assert log_mel_maximum(blocks, n_mels=n_mels) == pytest.approx(expected, abs=4e-4)


def test_under_the_files_floor_a_windows_mel_is_a_slice_of_the_whole_files(whisper_audio, n_mels):
    samples = np.concatenate([sound(300_000), sound(400_000, seed=1) * np.float32(0.0005)])
    whole = openai_mel(whisper_audio, samples, n_mels, padding=480000)
    maximum = log_mel_maximum(iter([samples]), n_mels=n_mels)
    start = 320_000
    ours = log_mel(samples[start:], n_mels=n_mels, pad_to=None, floor_max=maximum)
    expected = whole[:, start // 160 : samples.size // 160]
    own_floor = log_mel(samples[start:], n_mels=n_mels, pad_to=None)

    np.testing.assert_allclose(ours[:, 2:-2], expected[:, 2:-2], atol=1e-4)
    assert (
        np.abs(own_floor - expected)[:, 2:-2].max() > 0.1
    )  # the floor does matter in this quiet window


# A full window has no padding: there, its last frames differ, ours reflect the sound at the window's end.
@pytest.mark.parametrize("n_samples", [1, 160, 48_017, 479_700])
def test_padding_in_the_spectrogram_is_that_of_openais_transcribe(whisper_audio, n_samples):
    samples = sound(n_samples)
    whole = openai_mel(whisper_audio, samples, 80, padding=480_000)
    content = whole[:, : whole.shape[1] - 3000]
    expected = whisper_audio.pad_or_trim(content, 3000)

    ours = log_mel(samples, pad_value=0.0)
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    assert np.abs(ours - log_mel(samples)).max() > 0.1
