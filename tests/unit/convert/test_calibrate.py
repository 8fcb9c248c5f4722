"""Which sound a calibration hears."""

from dataclasses import replace

import numpy as np
import pytest

from tercet.convert.calibrate import measure, windows_of
from tercet.errors import OptionError

RATE_HZ = 16000


def sound(seconds, value):
    return np.full(int(seconds * RATE_HZ), value, np.float32)


def test_short_recordings_share_full_windows():
    files = [sound(8, n / 100) for n in range(10)]
    windows = windows_of(files)
    assert [30 * RATE_HZ] * 2 == [len(window) for window in windows]
    assert {0, 1, 2, 3} == {round(100 * float(v)) for v in np.unique(windows[0])}


def test_long_recordings_are_heard_from_their_starts_only():
    files = [sound(500, 0.1), sound(500, 0.2)]
    windows = windows_of(files, 4)
    assert 4 == len(windows)
    assert [0.1, 0.1, 0.2, 0.2] == [round(float(window[0]), 2) for window in windows]


def test_less_sound_than_a_window_is_taken_as_it_is():
    assert [3 * RATE_HZ] == [len(window) for window in windows_of([sound(3, 0.1)])]


def test_no_recordings_are_an_error():
    with pytest.raises(OptionError, match="no recordings to calibrate with"):
        windows_of([])


def test_the_largest_inputs_of_all_windows_are_kept(random_checkpoint, small_geometry):
    checkpoint = random_checkpoint(replace(small_geometry, n_mels=80))
    rng = np.random.default_rng(0)
    # 40 positions of the small model are 0.8 s.
    windows = [rng.normal(0, loud, 12000).astype(np.float32) for loud in (0.01, 0.3)]
    seen = []
    both = measure(checkpoint, windows, on_progress=lambda *pair: seen.append(pair))
    alone = [measure(checkpoint, [window]) for window in windows]
    groups = ("self_attn", "out_proj", "fc1", "fc2")
    assert {f"layers.{i}.{g}" for i in range(2) for g in groups} == set(both)
    for name, values in both.items():
        np.testing.assert_array_equal(np.maximum(alone[0][name], alone[1][name]), values)
    assert [(1, 2), (2, 2)] == seen
