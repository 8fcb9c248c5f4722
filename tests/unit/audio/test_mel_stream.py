"""Slices of a recording's log-mel: when they come, and how little they keep. The numbers: tests/parity."""

import tracemalloc

import numpy as np
import pytest

from tercet.audio.mel import log_mel, log_mel_maximum
from tercet.audio.mel_stream import mel_slices
from tercet.errors import OptionError


def blocks_of(samples, size):
    return (samples[at : at + size] for at in range(0, samples.size, size))


def test_one_full_window_is_the_log_mel_of_it(speechlike):
    samples = speechlike(4.0)
    maximum = log_mel_maximum([samples])
    (found,) = mel_slices([samples], floor_max=maximum, slice_frames=450)
    assert (0, 400) == (found.start_frame, found.real_frames)
    np.testing.assert_allclose(log_mel(samples, pad_to=72000), found.mel, atol=1e-5)


def test_behind_the_sound_there_is_silence(speechlike):
    (found,) = mel_slices([speechlike(1.0)], floor_max=1.0)
    assert (100, np.float32) == (found.real_frames, found.mel.dtype)
    assert (1.0 - 8.0 + 4.0) / 4.0 == found.mel[:, 102:].max() == found.mel.min()


def test_a_slice_comes_as_soon_as_its_sound_is_there(speechlike):
    samples = speechlike(10.0)
    pulled = []

    def arriving():
        for at in range(0, samples.size, 1600):
            pulled.append(at)
            yield samples[at : at + 1600]

    slices = mel_slices(arriving(), floor_max=0.0, slice_frames=100)
    assert 0 == next(slices).start_frame
    assert 11 == len(pulled)  # the last frame hears 12.5 ms of the second second


@pytest.mark.parametrize("size", [1, 37, 160, 4001])
def test_the_size_of_blocks_does_not_matter(speechlike, size):
    samples = speechlike(0.7)
    whole = list(mel_slices([samples], floor_max=0.5, slice_frames=30))
    found = list(mel_slices(blocks_of(samples, size), floor_max=0.5, slice_frames=30))
    assert [(0, 30), (30, 30), (60, 10)] == [(s.start_frame, s.real_frames) for s in found]
    for expected, got in zip(whole, found, strict=True):
        np.testing.assert_allclose(expected.mel, got.mel, atol=1e-6)


def test_empty_blocks_are_allowed_and_too_little_sound_gives_nothing():
    empty = np.zeros(0, np.float32)
    assert [] == list(mel_slices([], floor_max=0.0))
    assert [] == list(mel_slices([empty, np.zeros(159, np.float32), empty], floor_max=0.0))
    (found,) = mel_slices([empty, np.zeros(160, np.float32), empty], floor_max=0.0)
    assert 1 == found.real_frames


def test_memory_does_not_grow_with_the_recording():
    def peak(minutes: int) -> int:
        noise = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
        tracemalloc.start()
        for _ in mel_slices((noise for _ in range(60 * minutes)), floor_max=2.0):
            pass
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    assert peak(6) < 1.2 * peak(2)


@pytest.mark.parametrize("frames", [0, -1, 3001])
def test_slices_of_another_size_are_refused(frames):
    with pytest.raises(OptionError, match=f"slice_frames is {frames}; give 1 to 3000"):
        list(mel_slices([], floor_max=0.0, slice_frames=frames))


def test_another_number_of_bins_is_refused():
    with pytest.raises(OptionError, match="n_mels is 81"):
        list(mel_slices([np.zeros(1600, np.float32)], floor_max=0.0, n_mels=81))
