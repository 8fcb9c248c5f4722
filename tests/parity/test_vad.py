"""Speech regions against faster-whisper's `get_speech_timestamps`, given the same probabilities."""

import json

import numpy as np
import pytest

from tercet.audio.load import load
from tercet.audio.vad import VadOptions, speech_regions
from tercet.audio.voice import VoiceProbabilities

SETTINGS = [
    {},
    {"min_silence_duration_ms": 160},
    {"min_silence_duration_ms": 500, "speech_pad_ms": 30, "threshold": 0.35},
    {"min_silence_duration_ms": 100, "speech_pad_ms": 0, "min_speech_duration_ms": 250},
    {"max_speech_duration_s": 5.0, "speech_pad_ms": 100},
    {"max_speech_duration_s": 2.0, "min_silence_duration_ms": 300, "speech_pad_ms": 50},
    {"threshold": 0.9, "neg_threshold": 0.85, "min_silence_duration_ms": 64, "speech_pad_ms": 200},
]


@pytest.fixture(scope="module")
def their_regions():
    """faster-whisper's function, made to see given probabilities instead of its own network's."""
    vad = pytest.importorskip("faster_whisper.vad")

    def regions(probabilities, n_samples, **settings):
        patch = pytest.MonkeyPatch()
        patch.setattr(vad, "get_vad_model", lambda: lambda _audio: np.array(probabilities))
        try:
            audio = np.zeros(n_samples, np.float32)
            found = vad.get_speech_timestamps(audio, vad.VadOptions(**settings))
        finally:
            patch.undo()
        return [(region["start"], region["end"]) for region in found]

    return regions


@pytest.fixture(scope="module")
def chapter(data_dir):
    """A minute and a half of reading, joined with gaps of 0.35 to 3 s; its samples and probabilities."""
    recipe = json.loads((data_dir / "longform_en" / "recipes.jsonl").read_text().splitlines()[3])
    pieces = []
    for index, part in enumerate(recipe["parts"][:9]):
        pieces += [
            load(data_dir / "longform_en" / part).read(),
            np.zeros(5600 * (1 + index % 9), np.float32),
        ]
    samples = np.concatenate(pieces)
    voices = VoiceProbabilities()
    return samples, voices.push(samples) + voices.finish()


@pytest.mark.parametrize("settings", SETTINGS)
def test_regions_of_real_speech_are_faster_whispers(chapter, their_regions, settings):
    samples, probabilities = chapter
    expected = their_regions(probabilities, samples.size, **settings)
    ours = speech_regions(probabilities, samples.size, VadOptions(**settings))

    assert ours == expected
    assert expected


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("seed", range(5))
def test_regions_of_random_probabilities_are_faster_whispers(their_regions, settings, seed):
    random = np.random.default_rng(seed)
    probabilities = np.repeat(random.random(200), random.integers(1, 30, 200)).tolist()
    n_samples = 512 * len(probabilities) - int(random.integers(0, 512))
    expected = their_regions(probabilities, n_samples, **settings)

    assert speech_regions(probabilities, n_samples, VadOptions(**settings)) == expected


def test_both_builds_of_the_network_hear_the_same_speech(chapter):
    vad = pytest.importorskip("faster_whisper.vad")
    samples, probabilities = chapter
    theirs = vad.get_vad_model()(np.pad(samples, (0, -samples.size % 512))).ravel()
    agree = (theirs > 0.5) == (np.array(probabilities) > 0.5)

    assert agree.mean() > 0.9
