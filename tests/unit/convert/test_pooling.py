"""Which frames a tap averages."""

import numpy as np
import pytest

from tercet.convert.encoder import pooling_weights


@pytest.mark.parametrize("frames", [1, 19, 20, 21, 40, 1490, 1500])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_every_tap_is_a_mean_of_frames_of_its_own(frames, share):
    weights = pooling_weights(frames, int(frames * share))
    assert (-(-frames // 20), frames) == weights.shape
    np.testing.assert_allclose(1, weights.sum(axis=1), rtol=1e-6)
    taps, columns = np.nonzero(weights)
    np.testing.assert_array_equal(columns // 20, taps)


@pytest.mark.parametrize(
    ("real", "averaged"),
    [
        (0, [20, 20, 10]),  # padding throughout
        (1, [1, 20, 10]),
        (20, [20, 20, 10]),  # a tap's end is where the sound ends
        (27, [20, 7, 10]),
        (40, [20, 20, 10]),
        (41, [20, 20, 1]),
        (50, [20, 20, 10]),
        (60, [20, 20, 10]),  # more than there is
    ],
)
def test_the_tap_in_which_the_sound_ends_averages_its_real_frames(real, averaged):
    weights = pooling_weights(50, real)
    assert averaged == np.count_nonzero(weights, axis=1).tolist()
    assert all(weights[tap, 20 * tap] > 0 for tap in range(3))


def test_the_length_of_a_tap_can_be_chosen():
    expected = [[0.5, 0.5, 0], [0, 0, 1]]
    assert expected == pooling_weights(3, 3, per_tap=2).tolist()
