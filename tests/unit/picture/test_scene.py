"""What a picture shows of a result: the stretch, and nothing from outside of it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tercet.picture.scene import MOST_LANES, Scene, scene_of
from tercet.picture.wording import is_part, lane_note, short_label, subtitle

Make = Callable[..., Scene]


def test_all_readings_are_there_on_the_recordings_clock(scene: Make) -> None:
    shown = scene()
    assert [(0.0, 3.0, "Come here."), (6.0, 9.5, "Good dog.")] == [
        (each.start_s, each.end_s, each.text) for each in shown.segments or ()
    ]
    (lane,) = shown.lanes or ()
    assert ("Bark", [(3.4, 4.2, 0.75)]) == (
        lane.label,
        [(each.start_s, each.end_s, each.score) for each in lane.events],
    )
    assert shown.strip is not None
    assert (250, (4.0,), 511) == (
        len(shown.strip.ids),
        shown.strip.borders_s,
        shown.strip.mask_code,
    )


def test_what_lies_outside_of_the_stretch_is_left_out(scene: Make) -> None:
    shown = scene(5.0, 10.0)
    assert ["Good dog."] == [each.text for each in shown.segments or ()]
    assert () == shown.lanes
    assert shown.strip is not None
    assert (125, 125, 5.0) == (len(shown.strip.ids), shown.strip.ids[0, 0], shown.strip.start_s)
    assert () == shown.strip.borders_s
    assert ["Good dog."] == [line.text for line in shown.lines]


@pytest.mark.parametrize(("first", "start_s"), [(5, 2.0), (3, 1.2)])  # 1.2 / 0.4 is 2.9999...
def test_the_curve_holds_the_frame_scores_of_the_stretch(
    scene: Make, hear: Any, first: int, start_s: float
) -> None:
    (lane,) = scene(start_s, 6.0).lanes or ()
    assert lane.curve is not None
    assert (pytest.approx(start_s), 0.4) == (lane.curve.start_s, lane.curve.frame_s)
    np.testing.assert_array_equal(hear().tags.frames[first:15, 0], lane.curve.scores)


def test_a_hearing_of_a_part_is_moved_to_its_place(hear: Any, excerpt: Any) -> None:
    heard = hear(codes=np.arange(250))
    shown = scene_of(heard, excerpt(60.0, 70.0, 300.0), title="x", offset_s=60.0)
    assert [60.0, 66.0] == [each.start_s for each in shown.segments or ()]
    (lane,) = shown.lanes or ()
    assert (63.4, 60.0) == (lane.events[0].start_s, lane.curve.start_s if lane.curve else None)
    assert shown.strip is not None
    assert (60.0, 70.0) == (shown.strip.start_s, shown.strip.end_s)
    assert [60.0, 63.4, 66.0] == [line.time_s for line in shown.lines]


def test_a_reading_that_is_not_there_is_none_and_an_empty_one_is_empty(scene: Make) -> None:
    without = scene(said=None, heard=None, codes=None)
    assert (None, None, None) == (without.segments, without.lanes, without.strip)
    empty = scene(said=(), heard=())
    assert ((), ()) == (empty.segments, empty.lanes)
    assert "no sound event found" == lane_note(empty)
    assert "" == lane_note(without)


def test_of_many_sounds_those_heard_longest_and_most_surely_have_lanes(scene: Make) -> None:
    heard = tuple((n * 0.5, n * 0.5 + 0.1 * (n + 1), f"sound {n}", 0.9) for n in range(11))
    shown = scene(heard=heard)
    assert [f"sound {n}" for n in range(3, 11)] == [lane.label for lane in shown.lanes or ()]
    assert (MOST_LANES, 3) == (len(shown.lanes or ()), shown.hidden_lanes)
    assert "3 more sounds not shown" == lane_note(shown)


@pytest.mark.parametrize(
    ("expected", "stretch", "total_s"),
    [
        ("10.0 s  ·  English", (0.0, 10.0), 10.0),
        ("1:30  ·  English", (0.0, 90.0), 90.2),
        ("0:00 to 0:10 of 1:00:00  ·  English", (0.0, 10.0), 3600.0),
        ("0:30.5 to 0:40.5 of 0:40.5  ·  English", (30.5, 40.5), 40.5),
    ],
)
def test_the_subtitle_says_which_part_is_shown(
    hear: Any, excerpt: Any, expected: str, stretch: tuple[float, float], total_s: float
) -> None:
    shown = scene_of(hear(), excerpt(*stretch, total_s), title="x")
    assert (expected.split("  ")[0], expected) == (subtitle(shown).split("  ")[0], subtitle(shown))
    assert is_part(shown) == (" to " in expected)


def test_a_label_is_shown_without_its_synonyms() -> None:
    assert "Crowing" == short_label("Crowing, cock-a-doodle-doo")
    assert "Bark" == short_label("Bark")
