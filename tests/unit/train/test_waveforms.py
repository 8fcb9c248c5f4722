import numpy as np
import pytest

from tercet.train.waveforms import (
    active_regions,
    active_rms,
    at_speed,
    coloured_noise,
    in_room,
    tones,
    with_tone,
)

RATE_HZ = 16000


def tone(duration_s: float, frequency_hz: float = 440.0) -> np.ndarray:
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    return (0.3 * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


def silence(duration_s: float) -> np.ndarray:
    return np.zeros(round(duration_s * RATE_HZ), np.float32)


def test_a_sound_between_silences_has_its_own_start_and_end() -> None:
    samples = np.concatenate([silence(1.0), tone(0.5), silence(2.0)])
    ((start_s, end_s),) = active_regions(samples)
    assert pytest.approx((1.0, 1.5), abs=0.021) == (start_s, end_s)


def test_short_pauses_are_bridged_and_long_ones_are_not() -> None:
    samples = np.concatenate([tone(0.5), silence(0.5), tone(0.5), silence(1.0), tone(0.5)])
    assert pytest.approx([0.0, 1.5, 2.5, 3.0], abs=0.021) == np.ravel(active_regions(samples))


def test_a_steady_noise_sounds_throughout() -> None:
    noise = 0.1 * coloured_noise(5 * RATE_HZ, 1.0, np.random.default_rng(0))
    assert ((0.0, 5.0),) == active_regions(noise)


def test_a_bark_over_a_noisy_background_is_found() -> None:
    noise = 0.003 * coloured_noise(5 * RATE_HZ, 1.0, np.random.default_rng(0))
    noise[2 * RATE_HZ : 2 * RATE_HZ + RATE_HZ // 2] += tone(0.5)
    assert pytest.approx([2.0, 2.5], abs=0.021) == np.ravel(active_regions(noise))


def test_silence_has_no_regions_and_no_level() -> None:
    assert () == active_regions(silence(1.0))
    assert 0.0 == active_rms(silence(1.0))
    assert () == active_regions(np.zeros(0, np.float32))


def test_the_level_leaves_pauses_out() -> None:
    with_pause = np.concatenate([tone(1.0), silence(9.0)])
    assert pytest.approx(0.3 / 2**0.5, rel=0.02) == active_rms(with_pause)


def test_twice_the_speed_is_half_as_long_and_an_octave_higher() -> None:
    fast = at_speed(tone(1.0, 500.0), 2.0)
    assert RATE_HZ // 2 == fast.size
    assert 1000 == round(np.abs(np.fft.rfft(fast)).argmax() * RATE_HZ / fast.size)


def test_shelves_raise_one_end_and_lower_the_other() -> None:
    low, high = tone(1.0, 60.0), tone(1.0, 7000.0)
    changed_low, changed_high = with_tone(low, 6.0, -6.0), with_tone(high, 6.0, -6.0)
    assert pytest.approx(2.0, rel=0.1) == np.abs(changed_low).max() / np.abs(low).max()
    assert pytest.approx(0.5, rel=0.1) == np.abs(changed_high).max() / np.abs(high).max()


def test_a_room_of_one_reflection_changes_nothing_but_keeps_start_and_level() -> None:
    room = np.zeros(100, np.float32)
    room[10] = 0.5  # the direct sound comes late; scenes start with it
    samples = np.concatenate([silence(0.5), tone(0.5)])
    np.testing.assert_allclose(samples, in_room(samples, room), atol=1e-6)


def test_noise_of_slope_2_falls_by_6_db_an_octave() -> None:
    noise = coloured_noise(8 * RATE_HZ, 2.0, np.random.default_rng(0))
    power = np.abs(np.fft.rfft(noise)) ** 2
    at = [power[(hz - 50) * 8 : (hz + 50) * 8].mean() for hz in (1000, 2000)]
    assert pytest.approx(4.0, rel=0.2) == at[0] / at[1]
    assert pytest.approx(1.0, rel=1e-3) == np.sqrt((noise**2).mean())


def test_tones_are_finite_and_not_silent_whatever_is_drawn() -> None:
    for seed in range(20):
        drawn = tones(RATE_HZ, np.random.default_rng(seed))
        assert (RATE_HZ,) == drawn.shape
        assert 0.05 < np.abs(drawn).max() <= 1.001
