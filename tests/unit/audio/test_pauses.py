"""Choosing where to cut."""

import numpy as np
import pytest

from tercet.audio.pauses import best_cut, levels_db, quiet_frames

RATE = 16000


@pytest.fixture
def sound_with_gaps():
    """Noise at -20 dB over a floor at -60 dB, silent in the given stretches of seconds."""

    def make(*gaps: tuple[float, float], seconds: float = 34.0, floor: float = 1e-3) -> np.ndarray:
        random = np.random.default_rng(0)
        samples = 0.1 * random.standard_normal(round(seconds * RATE))
        for start, end in gaps:
            samples[round(start * RATE) : round(end * RATE)] *= floor / 0.1
        return samples.astype(np.float32)

    return make


def cut(samples, voice=None):
    at, kind = best_cut(samples, voice, 20 * RATE, 30 * RATE)
    return at / RATE, kind


def test_the_longest_pause_that_holds_a_grid_point_wins(sound_with_gaps):
    samples = sound_with_gaps((5, 9), (21.0, 21.3), (24.55, 25.1), (28.3, 28.6))

    assert cut(samples) == (24.8, "pause")


def test_a_longer_pause_between_two_grid_points_is_no_use(sound_with_gaps):
    samples = sound_with_gaps((5, 7), (22.05, 22.35), (26.3, 26.5))

    assert cut(samples) == (26.4, "pause")


def test_of_two_equal_pauses_the_later_one_wins(sound_with_gaps):
    samples = sound_with_gaps((5, 7), (22.2, 22.6), (27.0, 27.4))

    assert cut(samples) == (27.2, "pause")


def test_in_a_pause_the_quietest_grid_point_wins(sound_with_gaps):
    samples = sound_with_gaps((23, 27))
    breath = slice(round(23.1 * RATE), round(25.9 * RATE))
    samples[breath] *= 3
    samples[round(26.2 * RATE) : round(26.9 * RATE)] *= 3

    assert cut(samples) == (26.0, "pause")


def test_in_digital_silence_the_last_point_wins():
    assert cut(np.zeros(34 * RATE, np.float32)) == (30.0, "seam")
    assert cut(np.zeros(34 * RATE, np.float32), np.zeros(3400)) == (30.0, "pause")


def test_the_closure_of_a_plosive_is_no_pause(sound_with_gaps):
    samples = sound_with_gaps((5, 8), (24.73, 24.87))

    assert cut(samples)[1] == "seam"


def test_without_a_pause_the_quietest_point_is_a_seam(sound_with_gaps):
    samples = sound_with_gaps()
    samples[round(25.5 * RATE) : round(25.7 * RATE)] *= 0.5

    assert cut(samples) == (25.6, "seam")


def test_where_no_voice_is_heard_is_a_pause_however_loud(sound_with_gaps):
    voice = np.ones(3400)
    voice[2300:2450] = 0.1

    assert cut(sound_with_gaps(), voice)[1] == "pause"
    assert 23.2 <= cut(sound_with_gaps(), voice)[0] <= 24.4


def test_cuts_keep_to_the_range_and_the_grid(sound_with_gaps):
    samples = sound_with_gaps((10, 19.9), (30.2, 33))
    at, kind = cut(samples)

    assert 20 <= at <= 30
    assert at * RATE % 6400 == 0
    assert kind == "seam"


def test_levels_are_decibels_of_power():
    samples = np.concatenate([np.full(160, 0.1), np.full(160, 1.0), np.zeros(170)]).astype(
        np.float32
    )

    np.testing.assert_allclose(levels_db(samples), [-20, 0, -100], atol=1e-3)


def test_a_rooms_quiet_counts_even_where_other_gaps_are_digital_silence(sound_with_gaps):
    samples = sound_with_gaps((25.0, 25.5))
    samples[5 * RATE : 9 * RATE] = 0

    assert cut(samples) == (25.2, "pause")


def test_one_pause_in_half_a_minute_is_found(sound_with_gaps):
    assert cut(sound_with_gaps((24.4, 25.2))) == (24.8, "pause")


def test_the_edge_of_a_pause_is_kept_clear(sound_with_gaps):
    samples = sound_with_gaps((5, 7), (24.78, 25.1), (27.1, 27.3))

    assert cut(samples) == (27.2, "pause")


def test_without_contrast_energy_says_nothing():
    levels = np.random.default_rng(0).normal(-20, 1, 1000)

    assert not quiet_frames(levels, None).any()
    assert quiet_frames(levels, np.zeros(1000)).all()
