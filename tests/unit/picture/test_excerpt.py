"""A stretch of a recording, and its spectrogram in 0..1."""

import wave
from pathlib import Path

import numpy as np
import pytest

from tercet.audio.mel import log_mel
from tercet.errors import AudioNotFoundError, OptionError
from tercet.picture import excerpt as module
from tercet.picture.excerpt import mel_levels, read_excerpt

RATE_HZ = 16000


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """25 s in which sample n is n / 2**20: every one tells its place."""
    path = tmp_path / "ramp.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((np.arange(25 * RATE_HZ) // 32).astype("<i2").tobytes())
    return path


def test_the_stretch_is_the_one_that_was_asked_for(recording: Path) -> None:
    part = read_excerpt(str(recording), start_s=9.5, end_s=21.25)
    assert (9.5, 21.25, 25.0) == (part.start_s, part.end_s, part.total_s)
    places = np.arange(round(9.5 * RATE_HZ), round(21.25 * RATE_HZ)) // 32
    np.testing.assert_array_equal(places / 32768, part.samples)


def test_it_ends_where_the_recording_does(recording: Path) -> None:
    part = read_excerpt(str(recording), start_s=0.0, end_s=120.0)
    assert (25.0, 25.0) == (part.end_s, part.total_s)


def test_the_rest_of_a_long_recording_is_not_held(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    class Endless:
        duration_s = 36000.0

        def __enter__(self) -> "Endless":
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def blocks(self):
            for n in range(3600):
                read.append(n)
                yield np.full(160000, n, np.float32)

    monkeypatch.setattr(module, "load", lambda source: Endless())
    part = read_excerpt("x", start_s=100.0, end_s=115.0)
    assert (15 * RATE_HZ, 36000.0) == (part.samples.size, part.total_s)
    assert part.samples.base is None or part.samples.base.size == part.samples.size
    assert 12 == len(read)  # not a block further than the end


@pytest.mark.parametrize(
    ("expected", "start_s", "end_s"),
    [
        ("is 0:25.0 long", 25.0, 30.0),
        ("no stretch", 3.0, 3.0),
        ("no stretch", -1.0, 3.0),
        ("600 s at most", 0.0, 601.0),
    ],
)
def test_what_is_no_stretch_of_it_is_one_line(
    recording: Path, expected: str, start_s: float, end_s: float
) -> None:
    with pytest.raises(OptionError, match=expected):
        read_excerpt(str(recording), start_s=start_s, end_s=end_s)


def test_a_missing_recording_is_the_loaders_error(tmp_path: Path) -> None:
    with pytest.raises(AudioNotFoundError):
        read_excerpt(str(tmp_path / "no.wav"), start_s=0.0, end_s=1.0)


def test_levels_are_the_log_mel_between_the_loudest_and_80_db_below() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.1, 20 * RATE_HZ).astype(np.float32)
    levels = mel_levels(samples, frames_per_column=1)
    mel = log_mel(samples, pad_to=None)  # floored at the maximum less 8, then (x + 4) / 4
    expected = np.clip((4 * mel - 4 * mel.max()) / 8 + 1, 0, 1)
    assert (80, 2000) == levels.shape
    np.testing.assert_allclose(expected[:, :-1], levels[:, :-1], atol=1e-5)


def test_a_column_is_the_mean_of_its_frames_wherever_blocks_end() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.1, round(17.01 * RATE_HZ)).astype(np.float32)
    fine, coarse = (mel_levels(samples, frames_per_column=n) for n in (1, 2))
    assert (1701, 851) == (fine.shape[1], coarse.shape[1])
    means = fine[:, :1700].reshape(80, 850, 2).mean(axis=2)
    # Both have their own loudest point: the same up to a constant.
    difference = (coarse[:, :850] - means)[:, :-1]
    np.testing.assert_allclose(difference.mean(), difference, atol=1e-4)


def test_silence_is_all_of_one_level_and_a_blink_of_sound_has_a_column() -> None:
    assert 1 == len(np.unique(mel_levels(np.zeros(RATE_HZ, np.float32))))
    assert (80, 1) == mel_levels(np.ones(3, np.float32)).shape
