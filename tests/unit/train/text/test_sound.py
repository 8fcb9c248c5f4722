"""The sound of labels: where spans lie, and what is changed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tercet.dataset.label_table import Label, Span
from tercet.errors import AudioError
from tercet.train.text import sound
from tercet.train.text.recipe import SoundRecipe
from tercet.train.text.sound import SpanReader, changed, masked, speed_of

LabelOf = Callable[..., Label]
WriteWav = Callable[[Path, np.ndarray], None]


def window(label_of: LabelOf, duration_s: float, *spans: Span) -> Label:
    return label_of(0, spans=spans, duration_s=duration_s)


def test_spans_lie_in_their_places(label_of: LabelOf, write_wav: WriteWav, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_wav(path, np.arange(48000) / 48000)
    label = window(label_of, 2.0, Span(str(path), 1.0, 0.5, 0.0), Span(str(path), 2.0, 1.0, 1.0))
    samples = SpanReader().window(label)
    assert 32000 == samples.size
    np.testing.assert_allclose(np.arange(16000, 24000) / 48000, samples[:8000], atol=1e-4)
    np.testing.assert_array_equal(0, samples[8000:16000])
    np.testing.assert_allclose(np.arange(32000, 48000) / 48000, samples[16000:], atol=1e-4)


def test_windows_of_a_recording_cost_one_pass(
    label_of: LabelOf, write_wav: WriteWav, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "long.wav"
    write_wav(path, np.linspace(0, 0.9, 16000 * 45))
    opened: list[Path] = []
    real = sound.load
    monkeypatch.setattr(sound, "load", lambda given: opened.append(given) or real(given))
    reader = SpanReader()
    for start_s in (0.0, 12.0, 24.0, 30.0):
        samples = reader.window(window(label_of, 12.0, Span(str(path), start_s, 12.0, 0.0)))
        expected = 0.9 * (16000 * start_s + np.arange(192000)) / (16000 * 45 - 1)
        np.testing.assert_allclose(expected, samples, atol=1e-3)
    assert 1 == len(opened)
    reader.window(window(label_of, 1.0, Span(str(path), 0.0, 1.0, 0.0)))
    assert 2 == len(opened)  # back to what is gone


def test_a_recording_that_is_shorter_now_leaves_silence(
    label_of: LabelOf, write_wav: WriteWav, tmp_path: Path
) -> None:
    write_wav(tmp_path / "a.wav", np.full(8000, 0.5))
    label = window(label_of, 1.0, Span(str(tmp_path / "a.wav"), 0.0, 1.0, 0.0))
    np.testing.assert_array_equal(0, SpanReader().window(label)[8000:])
    with pytest.raises(AudioError):
        SpanReader().window(window(label_of, 1.0, Span(str(tmp_path / "no.wav"), 0.0, 1.0, 0.0)))


def test_gain_and_noise_are_as_loud_as_the_recipe_says() -> None:
    speech = 0.1 * np.sin(np.arange(16000) / 5).astype(np.float32)
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(speech, changed(speech, SoundRecipe(), rng))
    half = changed(speech, SoundRecipe(gain_db=(-6.02, -6.02)), rng)
    np.testing.assert_allclose(0.5 * speech, half, atol=1e-4)
    noisy = changed(speech, SoundRecipe(noise_share=1.0, snr_db=(10.0, 10.0)), rng)
    rest = noisy - speech
    assert pytest.approx(10.0, abs=0.1) == 10 * np.log10(np.mean(speech**2) / np.mean(rest**2))
    share = SoundRecipe(noise_share=0.3)
    drawn = [changed(speech[:200], share, np.random.default_rng(n)) for n in range(200)]
    changed_share = np.mean([not np.array_equal(each, speech[:200]) for each in drawn])
    assert pytest.approx(0.3, abs=0.1) == changed_share
    silence = np.zeros(100, np.float32)
    np.testing.assert_array_equal(silence, changed(silence, SoundRecipe(noise_share=1.0), rng))


def test_masks_blank_stretches_and_bands_of_the_sound_alone() -> None:
    mel = np.random.default_rng(0).normal(size=(80, 3000)).astype(np.float32)
    recipe = SoundRecipe(time_masks=3, time_mask_s=0.5, mel_masks=2, mel_mask_bins=10)
    found = masked(mel, 1000, recipe, np.random.default_rng(1))
    np.testing.assert_array_equal(mel[:, 1000:], found[:, 1000:])
    mean = mel[:, :1000].mean()
    blank = np.isclose(found[:, :1000], mean)
    bands, times = blank.all(1).sum(), blank.all(0).sum()
    assert 0 < bands <= 20
    assert 0 < times <= 150
    assert mel is masked(mel, 1000, SoundRecipe(), np.random.default_rng(1))
    assert not np.array_equal(found, masked(mel, 1000, recipe, np.random.default_rng(2)))
    masked(mel, 0, recipe, np.random.default_rng(1))  # nothing sounds: nothing to blank


def test_speed_is_drawn_within_its_bounds_and_the_same_for_one_seed() -> None:
    recipe = SoundRecipe(speed=(0.9, 1.1))
    drawn = [speed_of(10.0, recipe, seed) for seed in range(200)]
    assert 0.9 <= min(drawn) < 0.92
    assert 1.08 < max(drawn) <= 1.1
    assert drawn[7] == speed_of(10.0, recipe, 7)


def test_no_window_gets_longer_than_30_s() -> None:
    recipe = SoundRecipe(speed=(0.5, 0.5))
    assert 0.5 == speed_of(10.0, recipe, 0)
    assert 0.8 == speed_of(24.0, recipe, 0)
    assert 1.0 == speed_of(30.0, recipe, 0)
