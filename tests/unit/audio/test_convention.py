"""What stands around a window's sound, by convention."""

import numpy as np
import pytest

from tercet.audio.convention import (
    ICHIGO,
    SHARED,
    WHISPER_AT,
    WHISPER_AT_TRAINING,
    InputConvention,
    window_mel,
)
from tercet.audio.mel import log_mel
from tercet.errors import OptionError


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, 16000 * 3 + 500).astype(np.float32)


def test_the_shared_convention_is_the_texts_own(sound) -> None:
    expected = log_mel(sound, n_mels=80, pad_value=0.0)
    assert np.array_equal(expected, window_mel(sound, SHARED, n_mels=80))


def test_whisper_ats_package_hears_silence_under_the_files_floor(sound) -> None:
    expected = log_mel(sound, n_mels=80, floor_max=2.0)
    assert np.array_equal(expected, window_mel(sound, WHISPER_AT, n_mels=80, floor_max=2.0))


def test_ichigo_pads_the_clips_own_log_mel_with_its_constant(sound) -> None:
    mel = window_mel(sound, ICHIGO, n_mels=80)
    assert (80, 3000) == mel.shape
    assert np.array_equal(log_mel(sound, n_mels=80, pad_to=None), mel[:, :303])
    assert np.all(mel[:, 303:] == np.float32(-1.5))


def test_ichigo_cuts_what_is_longer_than_30_s() -> None:
    long = np.random.default_rng(1).normal(0, 0.1, 16000 * 31).astype(np.float32)
    mel = window_mel(long, ICHIGO, n_mels=80)
    assert np.array_equal(log_mel(long, n_mels=80, pad_to=None)[:, :3000], mel)


@pytest.mark.parametrize(
    ("samples", "frames"), [(1, 2), (320, 2), (321, 4), (160000, 1000), (480000, 3000)]
)
def test_a_window_as_long_as_its_sound_has_an_even_number_of_frames(samples, frames) -> None:
    mel = window_mel(np.zeros(samples, np.float32), WHISPER_AT_TRAINING, n_mels=80)
    assert (80, frames) == mel.shape


@pytest.mark.parametrize(
    "given",
    [{"edge": "mirror"}, {"mel_floor": "cellar"}, {"length": "10s"}, {"padding": float("nan")}],
)
def test_a_convention_that_nobody_knows_is_refused(given) -> None:
    with pytest.raises(OptionError):
        InputConvention(**given)


def test_the_files_floor_must_be_given() -> None:
    with pytest.raises(OptionError, match="loudest"):
        window_mel(np.zeros(800, np.float32), WHISPER_AT, n_mels=80)


def test_a_convention_survives_json() -> None:
    for each in (SHARED, WHISPER_AT, ICHIGO, WHISPER_AT_TRAINING):
        assert each == InputConvention(**each.to_json())
