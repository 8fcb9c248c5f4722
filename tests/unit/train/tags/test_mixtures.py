from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tercet.train.tags.material import split
from tercet.train.tags.mixtures import SceneMaker, SceneOrder, orders, utterances
from tercet.train.tags.recipe import DataRecipe, SetRecipe
from tercet.train.tags.scene import KINDS, Event, Material, SceneOptions, frame_targets
from tercet.train.waveforms import active_rms

RATE_HZ = 16000
EVEN = SceneOptions(noise_share=0.0, room_share=0.0, full_length_share=1.0, gain_db=(0.0, 0.0))


@pytest.fixture
def material(sounds: Path) -> Material:
    sets = (
        SetRecipe(manifest="dogs", field="fold", held_out=("4",)),
        SetRecipe(manifest="rains", field="fold", held_out=("4",)),
        SetRecipe(manifest="voices", role="speech", field="speaker", held_out=("7",)),
    )
    return split(DataRecipe(sets=sets), ["Speech", "Dog", "Rain"], sounds).train


@pytest.mark.parametrize("kind", KINDS)
def test_a_scene_depends_on_its_order_alone(material: Material, kind: str) -> None:
    order = SceneOrder(kind, 3, "2", 7)  # type: ignore[arg-type]
    first = SceneMaker(material).make(order)
    maker = SceneMaker(material)
    maker.make(SceneOrder("quiet", 0, "1", 7))
    again = maker.make(order)
    np.testing.assert_array_equal(first.samples, again.samples)
    assert first.events == again.events


@pytest.mark.parametrize("kind", KINDS)
def test_a_scene_is_finite_audio_of_at_most_30_s_with_events_inside(
    material: Material, kind: str
) -> None:
    maker = SceneMaker(material)
    for number in range(12):
        scene = maker.make(SceneOrder(kind, number, "1", 1))  # type: ignore[arg-type]
        assert np.float32 == scene.samples.dtype
        assert 0 < scene.samples.size <= 30 * RATE_HZ
        assert np.isfinite(scene.samples).all()
        for event in scene.events:
            assert 0 <= event.start_s < event.end_s <= scene.samples.size / RATE_HZ + 1e-6


def test_events_are_where_the_sounds_are(material: Material) -> None:
    options = replace(EVEN, sounds=(1, 1), tone_db=0.0)
    maker = SceneMaker(material, options)
    for number in range(8):
        scene = maker.make(SceneOrder("quiet", number, "1", 5))
        (event,) = scene.events
        loud = np.flatnonzero(np.abs(scene.samples) > 0.02)
        assert pytest.approx(event.start_s, abs=0.04) == loud[0] / RATE_HZ
        assert pytest.approx(event.end_s, abs=0.04) == loud[-1] / RATE_HZ


def test_onsets_lie_all_over_the_window(material: Material) -> None:
    maker = SceneMaker(material, replace(EVEN, sounds=(1, 1)))
    onsets = [maker.make(SceneOrder("quiet", n, "1", 5)).events[0].start_s for n in range(60)]
    assert {0, 1, 2} == {int(onset // 10) for onset in onsets}


def test_speech_is_so_much_louder_than_the_sound_as_asked(material: Material) -> None:
    options = replace(EVEN, sounds=(1, 1), speech_over_sound_db=(20.0, 20.0))
    maker = SceneMaker(material, options)
    ratios = []
    for number in range(20):
        scene = maker.make(SceneOrder("spoken", number, "1", 5))
        sound = next(event for event in scene.events if event.label != "Speech")
        others = [event for event in scene.events if event.label == "Speech"]
        if any(e.start_s < sound.end_s and sound.start_s < e.end_s for e in others):
            continue  # only where it can be measured apart
        part = scene.samples[int(sound.start_s * RATE_HZ) : int(sound.end_s * RATE_HZ)]
        speech = np.concatenate(
            [scene.samples[int(e.start_s * RATE_HZ) : int(e.end_s * RATE_HZ)] for e in others]
        )
        ratios.append(20 * np.log10(active_rms(speech) / active_rms(part)))
    assert len(ratios) >= 2
    assert pytest.approx(20.0, abs=5.0) == np.mean(ratios)  # utterances differ by 4 dB


def test_sounds_of_one_scene_are_of_one_group(material: Material) -> None:
    only_dogs = Material(
        groups={"1": material.groups["1"], "2": material.groups["2"][:2]}, speech=material.speech
    )
    assert {"Dog"} == {source.label for source in only_dogs.groups["2"]}
    maker = SceneMaker(only_dogs, EVEN)
    labels = {e.label for n in range(10) for e in maker.make(SceneOrder("quiet", n, "2", 1)).events}
    assert {"Dog"} == labels


def test_sounds_of_one_label_never_overlap(material: Material) -> None:
    maker = SceneMaker(material, replace(EVEN, sounds=(5, 5)))
    for number in range(10):
        events = maker.make(SceneOrder("quiet", number, "1", 2)).events
        for label in ("Dog", "Rain"):
            mine = sorted((e.start_s, e.end_s) for e in events if e.label == label)
            assert all(a[1] < b[0] for a, b in pairwise(mine))


def test_nothing_has_no_events(material: Material) -> None:
    maker = SceneMaker(material)
    assert all(() == maker.make(SceneOrder("nothing", n, "1", 1)).events for n in range(8))


def test_orders_have_every_clip_so_often_and_scenes_as_many_as_asked(material: Material) -> None:
    found = orders(material, {"clip": 2, "quiet": 5}, seed=3)
    n_clips = sum(len(sources) for sources in material.groups.values())
    assert Counter({"clip": 2 * n_clips, "quiet": 5}) == Counter(order.kind for order in found)
    assert len(found) == len({order.key for order in found})
    assert found == orders(material, {"clip": 2, "quiet": 5}, seed=3)


def test_utterances_are_drawn_without_repeats(material: Material) -> None:
    clips = utterances(material.speech, 4, seed=1)
    assert 4 == len({key for key, _ in clips})
    assert {"Speech"} == {event.label for event in clips[0][1]().events}


def test_a_frame_counts_as_full_from_0_2_s_on() -> None:
    events = [Event(0.7, 1.7, "Dog"), Event(0.0, 0.1, "Rain"), Event(0.0, 0.4, "Siren")]
    targets = frame_targets(events, ["Dog", "Rain"], 5)
    expected = [[0.0, 1.0], [0.5, 0.0], [1.0, 0.0], [1.0, 0.0], [0.5, 0.0]]
    np.testing.assert_allclose(expected, targets, atol=1e-5)
