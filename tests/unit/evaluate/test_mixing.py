import numpy as np
import pytest

from tercet.errors import DataError
from tercet.evaluate.mixing import babble, fitted, mixed, rms


@pytest.mark.parametrize(("expected", "snr_db"), [(0.5, 0.0), (0.05, 20.0), (5.0, -20.0)])
def test_the_noise_is_scaled_to_the_ratio_of_both_rms(expected: float, snr_db: float) -> None:
    speech = np.full(8, 0.5, np.float32)
    noise = np.array([2.0, -2.0], np.float32)
    together = mixed(speech, noise, snr_db)
    assert pytest.approx([expected, -expected] * 4) == (together - speech).tolist()
    assert np.float32 == together.dtype


def test_noise_is_repeated_from_its_beginning_or_cut() -> None:
    assert [1, 2, 3, 1, 2] == fitted(np.array([1, 2, 3]), 5).tolist()
    assert [1, 2] == fitted(np.array([1, 2, 3]), 2).tolist()


def test_the_loudness_that_counts_is_that_of_what_is_heard_of_the_noise() -> None:
    speech = np.ones(2, np.float32)
    loud_later = np.array([1.0, 1.0, 100.0, 100.0], np.float32)
    assert [2.0, 2.0] == mixed(speech, loud_later, 0.0).tolist()


def test_silent_noise_is_refused() -> None:
    with pytest.raises(DataError, match="silent in its first 2 samples"):
        mixed(np.ones(2, np.float32), np.array([0.0, 0.0, 1.0], np.float32), 0.0)


def test_voices_of_a_babble_are_equally_loud_and_silent_ones_add_nothing() -> None:
    loud, quiet = np.array([8.0, -8.0]), np.array([0.1, 0.1])
    assert pytest.approx([2.0, 0.0]) == babble([loud, quiet], 2).tolist()
    assert pytest.approx([1.0, -1.0]) == babble([loud, np.zeros(3)], 2).tolist()


def test_rms_of_nothing_is_zero() -> None:
    assert 0.0 == rms(np.zeros(0))
    assert 5.0 == pytest.approx(rms(np.array([7.0, -1.0])))
