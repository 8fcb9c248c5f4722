"""What log-mel promises where no other implementation answers."""

import numpy as np
import pytest

from tercet.audio.mel import log_mel, log_mel_maximum, mel_filters
from tercet.errors import OptionError


@pytest.mark.parametrize(("n_samples", "n_frames"), [(0, 0), (1, 0), (159, 0), (160, 1), (200, 1)])
def test_unpadded_sound_too_short_to_reflect_is_as_if_zeros_followed(n_samples, n_frames):
    samples = np.linspace(-0.5, 0.5, n_samples, dtype=np.float32)
    followed = np.zeros(201, np.float32)
    followed[:n_samples] = samples
    expected = log_mel(followed, pad_to=None)[:, :n_frames]

    np.testing.assert_array_equal(log_mel(samples, pad_to=None), expected)
    assert log_mel(samples, pad_to=None).shape == (80, n_frames)


def test_a_window_spans_at_most_two():
    random = np.random.default_rng(0)
    mel = log_mel(random.standard_normal(20000).astype(np.float32))

    assert mel.dtype == np.float32
    assert mel.shape == (80, 3000)
    assert mel.max() - mel.min() == pytest.approx(2.0, abs=1e-6)


def test_a_higher_maximum_raises_the_floor():
    samples = np.sin(np.arange(16000) * 0.3).astype(np.float32)
    floor = log_mel(samples, floor_max=5.0).min()

    assert floor == pytest.approx((5.0 - 8.0 + 4.0) / 4.0)


def test_silence_has_the_lowest_maximum():
    assert log_mel_maximum([np.zeros(100_000, np.float32)]) == pytest.approx(-10.0)
    assert log_mel_maximum([]) == pytest.approx(-10.0)


def test_the_maximum_does_not_depend_on_how_the_sound_is_cut():
    samples = np.random.default_rng(1).standard_normal(30_000).astype(np.float32)
    whole = log_mel_maximum([samples])

    for size in (1, 7, 160, 401, 9999):
        pieces = (
            [samples[i : i + size] for i in range(0, samples.size, size)]
            if size > 1
            else [samples[:1], samples[1:]]
        )
        assert log_mel_maximum(pieces) == pytest.approx(whole, abs=1e-5)


def test_other_numbers_of_bins_are_refused():
    with pytest.raises(OptionError, match="n_mels is 64; Whisper models have 80 or 128"):
        mel_filters(64)


def test_two_channels_are_refused():
    with pytest.raises(OptionError, match=r"not shape \[2, 100\]"):
        log_mel(np.zeros((2, 100), np.float32))
