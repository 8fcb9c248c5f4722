"""Windows over recordings whose pauses are known."""

import itertools

import numpy as np
import pytest

from tercet.audio.load import load
from tercet.audio.vad import VadOptions
from tercet.audio.windows import Windower, windows

RATE = 16000


@pytest.fixture
def chapter(clips_dir) -> np.ndarray:
    """78 s of reading in ten utterances, 0.35 s apart."""
    return load(clips_dir / "librispeech-chapter-1320-122612.opus").read()


def test_a_recording_of_thirty_seconds_is_one_window():
    found = list(windows([np.ones(30 * RATE, np.float32)], None))

    assert [(w.start, w.end, w.cut) for w in found] == [(0, 30 * RATE, "end")]


@pytest.mark.parametrize(
    "n_samples", [1, 160, 30 * RATE, 30 * RATE + 1, 31 * RATE, 34 * RATE, 34 * RATE + 1, 70 * RATE]
)
def test_the_last_window_is_not_tiny(n_samples):
    samples = np.random.default_rng(0).standard_normal(n_samples).astype(np.float32)
    samples[29 * RATE : 30 * RATE + 800] *= 0.01  # as late a pause as there can be
    found = list(windows([samples], None))

    assert sum(w.samples.size for w in found) == n_samples
    assert found[-1].cut == "end"
    assert found[-1].samples.size >= min(n_samples, 4 * RATE)
    assert all(20 * RATE <= w.samples.size <= 30 * RATE for w in found[:-1])


def test_no_samples_no_windows():
    assert list(windows([], None)) == []
    assert list(windows([np.zeros(0, np.float32)], VadOptions())) == []


def test_real_speech_is_cut_in_its_pauses(chapter):
    for vad in (None, VadOptions()):
        found = list(windows([chapter], vad))

        assert [w.cut for w in found][:-1] == ["pause"] * (len(found) - 1)
        assert len(found) >= 3
        speech_level = np.sqrt(np.mean(chapter**2))
        for window in found[:-1]:
            around = chapter[window.end - 640 : window.end + 640]  # 80 ms
            assert np.sqrt(np.mean(around**2)) < 0.05 * speech_level


def test_times_are_on_the_files_clock(chapter):
    found = list(windows([chapter], None))

    assert found[0].start_s == 0
    assert found[-1].end_s == pytest.approx(chapter.size / RATE)
    for before, after in itertools.pairwise(found):
        assert before.end_s == after.start_s
        assert after.start % 6400 == 0
        assert after.start_s == after.start / 16000


def test_without_voice_detection_every_window_counts_as_speech():
    found = list(windows([np.zeros(50 * RATE, np.float32)], None))

    assert [w.speech for w in found] == [((w.start, w.end),) for w in found]
    assert all(w.has_speech for w in found)


def test_windows_in_which_nobody_speaks_have_no_speech(chapter):
    silence = np.zeros(40 * RATE, np.float32)
    samples = np.concatenate([silence, chapter[: 20 * RATE], silence])
    found = list(windows([samples], VadOptions()))
    speaking = [w for w in found if w.has_speech]
    marked = [bounds for w in found for bounds in w.speech]

    assert 1 <= len(speaking) <= 2
    assert len(found) - len(speaking) >= 2
    assert marked[0][0] == pytest.approx(40 * RATE, abs=0.6 * RATE)
    assert marked[-1][1] == pytest.approx(60 * RATE, abs=1.5 * RATE)


def test_speech_marks_are_those_of_the_whole_recording(chapter, quick_voice):
    from tercet.audio.vad import speech_regions
    from tercet.audio.voice import VoiceProbabilities

    options = VadOptions(min_silence_duration_ms=200, speech_pad_ms=50)
    voices = VoiceProbabilities()
    probabilities = voices.push(chapter) + voices.finish()
    expected = np.zeros(chapter.size, bool)
    for start, end in speech_regions(probabilities, chapter.size, options):
        expected[start:end] = True
    ours = np.zeros(chapter.size, bool)
    for window in windows([chapter], options):
        for start, end in window.speech:
            assert window.start <= start < end <= window.end
            ours[start:end] = True

    np.testing.assert_array_equal(ours, expected)
    assert 0.5 < expected.mean() < 0.99


def test_patient_options_hold_windows_back_but_change_no_cut(chapter, quick_voice):
    samples = np.concatenate(
        [chapter[: 20 * RATE], np.zeros(55 * RATE, np.float32), chapter[: 5 * RATE]]
    )
    quick = list(windows([samples], VadOptions()))
    windower = Windower(VadOptions(min_silence_duration_ms=60_000))
    early = [w for block in np.array_split(samples[: 74 * RATE], 99) for w in windower.push(block)]
    late = windower.push(samples[74 * RATE :]) + windower.finish()

    assert [(w.start, w.cut) for w in early + late] == [(w.start, w.cut) for w in quick]
    assert early == []  # until somebody speaks again, the silence may have been the end of speech
    assert all(w.has_speech for w in late)
    assert not all(w.has_speech for w in quick)


def test_a_cut_knows_34_seconds_however_much_comes_at_once():
    random = np.random.default_rng(0)
    samples = (0.1 * random.standard_normal(60 * RATE)).astype(np.float32)
    samples[25 * RATE - 4000 : 25 * RATE + 4000] *= (
        0.5  # no pause, unless what follows is much louder
    )
    samples[34 * RATE :] *= 100
    slowly = Windower(None)
    expected = [
        w for piece in np.array_split(samples, 600) for w in slowly.push(piece)
    ] + slowly.finish()
    ours = list(windows([samples], None))

    assert [(w.start, w.cut) for w in ours] == [(w.start, w.cut) for w in expected]
    assert ours[0].cut == "seam"


def test_little_is_held():
    windower = Windower(None)
    most = 0
    for _ in range(40):
        windower.push(np.zeros(50_000, np.float32))
        most = max(most, sum(piece.size for piece in windower._pieces))

    assert most <= 34 * RATE + 50_000


def test_a_window_owns_its_samples():
    samples = np.zeros(10 * RATE, np.float32)
    windower = Windower(None)
    windower.push(samples)
    samples[:] = 1
    (window,) = windower.finish()

    assert not window.samples.any()
    assert window.samples.base is None
