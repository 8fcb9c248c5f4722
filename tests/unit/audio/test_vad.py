"""Voice activity: faster-whisper's parameters and rules."""

import numpy as np
import pytest

from tercet.audio.vad import SpeechTracker, VadOptions, speech_regions
from tercet.audio.voice import VoiceProbabilities
from tercet.errors import OptionError

QUICK = VadOptions(min_silence_duration_ms=96, speech_pad_ms=0)


def chunks(*runs: tuple[int, float]) -> list[float]:
    """Probabilities: so many chunks of each value."""
    return [value for count, value in runs for _ in range(count)]


def test_the_defaults_are_faster_whispers():
    vad = pytest.importorskip("faster_whisper.vad")
    theirs = vars(vad.VadOptions())

    assert {name: getattr(VadOptions(), name) for name in theirs} == theirs


def test_an_unknown_parameter_is_named():
    with pytest.raises(OptionError, match="no parameter 'onset'; it has threshold, neg_threshold"):
        VadOptions.from_mapping({"onset": 0.5})


def test_a_mapping_sets_parameters():
    assert VadOptions.from_mapping({"threshold": 0.6}) == VadOptions(threshold=0.6)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold", 0),
        ("threshold", 1.5),
        ("threshold", "0.5"),
        ("threshold", None),
        ("threshold", True),
        ("threshold", float("nan")),
        ("neg_threshold", 0.6),
        ("neg_threshold", 0),
        ("min_speech_duration_ms", -1),
        ("min_silence_duration_ms", float("inf")),
        ("speech_pad_ms", -400),
        ("max_speech_duration_s", 0.8),
        ("max_speech_duration_s", 0),
    ],
)
def test_nonsense_values_are_refused(name, value):
    with pytest.raises(OptionError, match=f"{name} is .*give"):
        VadOptions.from_mapping({name: value})


@pytest.mark.parametrize(("threshold", "expected"), [(0.5, 0.35), (0.1, 0.01), (0.005, 0.005)])
def test_speech_ends_below_its_own_threshold(threshold, expected):
    assert VadOptions(threshold=threshold).silence_threshold == pytest.approx(expected)
    assert VadOptions(threshold=0.5, neg_threshold=0.2).silence_threshold == 0.2


def test_every_parameter_changes_the_regions():
    voice = chunks((4, 0.0), (10, 0.9), (2, 0.4), (10, 0.9), (4, 0.1), (2, 0.8), (8, 0.0))
    n_samples = 512 * len(voice)

    def regions(**changes):
        settings = {"min_silence_duration_ms": 96, "speech_pad_ms": 0} | changes
        found = speech_regions(voice, n_samples, VadOptions(**settings))
        return [(start / 512, end / 512) for start, end in found]

    assert regions() == [(4, 26), (30, 32)]
    assert regions(threshold=0.85) == [(4, 26)]
    assert regions(neg_threshold=0.45, min_silence_duration_ms=32) == [(4, 14), (16, 26), (30, 32)]
    assert regions(min_speech_duration_ms=70) == [(4, 26)]
    assert regions(min_silence_duration_ms=400) == [(4, 40)]
    assert regions(speech_pad_ms=32) == [(3, 27), (29, 33)]
    assert regions(max_speech_duration_s=0.33) == [(4, 14), (16, 26), (30, 32)]


def test_a_gap_too_narrow_for_two_paddings_is_shared():
    voice = chunks((10, 0.9), (6, 0.0), (10, 0.9), (20, 0.0))
    options = VadOptions(min_silence_duration_ms=96, speech_pad_ms=128)

    assert speech_regions(voice, 512 * 46, options) == [(0, 13 * 512), (13 * 512, 30 * 512)]


def test_silence_has_no_regions():
    assert speech_regions(chunks((100, 0.1)), 51200) == []
    assert speech_regions([], 0) == []


@pytest.mark.parametrize("seed", range(8))
def test_what_is_settled_never_changes(seed):
    random = np.random.default_rng(seed)
    voice = np.repeat(random.random(60), random.integers(1, 25, 60))
    options = VadOptions(
        min_silence_duration_ms=int(random.integers(0, 600)),
        speech_pad_ms=int(random.integers(0, 300)),
        min_speech_duration_ms=int(random.choice([0, 250])),
        max_speech_duration_s=float(random.choice([np.inf, 1.5])),
    )
    n_samples = 512 * voice.size
    final = mask(speech_regions(voice, n_samples, options), n_samples)
    tracker = SpeechTracker(options)
    settled, forgotten = [], 0
    for count, probability in enumerate(voice, start=1):
        tracker.push([probability])
        settled.append(tracker.settled)
        now = mask(tracker.regions(512 * count), n_samples)
        sure = slice(forgotten, settled[-1])
        np.testing.assert_array_equal(now[sure], final[sure])
        forgotten = max(0, settled[-1] - 20_000)
        tracker.forget(forgotten)
    assert settled[-1] > n_samples - 16 * 3000  # it keeps up


def mask(regions: list[tuple[int, int]], n_samples: int) -> np.ndarray:
    marks = np.zeros(n_samples, bool)
    for start, end in regions:
        marks[start:end] = True
    return marks


def test_probabilities_do_not_depend_on_the_pushes(speechlike):
    samples = speechlike(2.0)
    whole = VoiceProbabilities()
    expected = whole.push(samples) + whole.finish()
    pushed = VoiceProbabilities()
    ours: list[float] = []
    for piece in np.array_split(samples, [1, 2, 515, 1029, 20000, 20001]):
        ours += pushed.push(piece)
    ours += pushed.finish()

    assert len(expected) == 63  # the last one is half a chunk and zeros
    assert ours == expected
    assert pushed.finish() == []


def test_speech_is_voice_and_rain_is_not(clips_dir):
    from tercet.audio.load import load

    def share(name: str) -> float:
        voices = VoiceProbabilities()
        return float(np.mean(np.array(voices.push(load(clips_dir / name).read())) > 0.5))

    assert share("librispeech-61-70968-0000.opus") > 0.7
    assert share("esc10-Rain-1-26222-A.opus") < 0.1
