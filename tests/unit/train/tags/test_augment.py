import numpy as np
import pytest

from tercet.train.tags.augment import masked, mixed, smoothed


def test_mixing_takes_shares_of_both() -> None:
    first, second = np.full((2, 3), 1.0, np.float32), np.full((2, 3), 5.0, np.float32)
    np.testing.assert_allclose(np.full((2, 3), 4.0), mixed(first, second, 0.25))


def test_a_mask_zeroes_neighbours_in_all_layers_and_leaves_the_rest() -> None:
    taps = np.ones((3, 25, 4), np.float32)
    lengths = []
    for seed in range(50):
        hidden = masked(taps, 10, np.random.default_rng(seed))[..., 0] == 0
        assert (hidden == hidden[0]).all()
        places = np.flatnonzero(hidden[0])
        lengths.append(len(places))
        assert not len(places) or len(places) == places[-1] - places[0] + 1
    assert {True} == {0 <= n < 10 for n in lengths}
    assert len(set(lengths)) > 5
    assert (taps == 1).all()


def test_smoothing_is_whisper_ats() -> None:
    targets = np.array([1.0, 0.0, 0.0, 0.0])
    plain = smoothed(targets, 0.1, is_mixed=False)
    assert pytest.approx([0.9, 0.025, 0.025, 0.025]) == plain
    blend = smoothed(np.array([0.6, 0.4, 0.0, 0.0]), 0.1, is_mixed=True)
    assert pytest.approx([0.54 + 0.025, 0.36 + 0.025, 0.025, 0.025]) == blend


def test_no_smoothing_changes_nothing() -> None:
    targets = np.array([1.0, 0.3])
    assert pytest.approx([1.0, 0.3]) == smoothed(targets, 0.0, is_mixed=False)
