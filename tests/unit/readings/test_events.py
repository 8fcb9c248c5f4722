"""Scores become events. That cuts into pushes do not matter: tests/property."""

import time

import numpy as np
import pytest

from tercet.errors import LabelError, OptionError
from tercet.readings.events import EventOptions, EventTracker, in_order

LABELS = ("Speech", "Bark", "Rain")


def events_of(rows, *, labels=LABELS, frame_s=0.4, duration_s=None, defaults=(0.5,), **options):
    """(label, start, end, score) of all events; a gap is bridged only where a test says so."""
    scores = np.asarray(rows, np.float32)
    chosen = EventOptions.of(labels, defaults, **{"min_gap_s": 0, **options})
    tracker = EventTracker(chosen, labels, frame_s)
    duration_s = len(scores) * frame_s if duration_s is None else duration_s
    found = in_order([*tracker.push(scores), *tracker.finish(duration_s)])
    assert all(labels[event.label_id] == event.label for event in found)
    return [(event.label, event.start_s, event.end_s, event.score) for event in found]


def barks(*scores: float) -> np.ndarray:
    """Scores of the second label alone."""
    rows = np.zeros((len(scores), 3), np.float32)
    rows[:, 1] = scores
    return rows


def test_an_event_is_where_the_score_is_high():
    assert [("Bark", 0.4, 1.2, 0.9)] == events_of(barks(0.1, 0.9, 0.6, 0.0))


def test_it_begins_at_the_threshold_and_goes_on_down_to_half_of_it():
    found = events_of(barks(0.3, 0.4, 0.5, 0.3, 0.25, 0.24, 0.4))
    assert [("Bark", 0.8, 2.0, 0.5)] == found


def test_the_lower_threshold_can_be_chosen():
    rows = barks(0.3, 0.5, 0.45, 0.3)
    assert [("Bark", 0.4, 1.2, 0.5)] == events_of(rows, off_threshold=0.4)
    assert [("Bark", 0.4, 0.8, 0.5)] == events_of(rows, off_threshold=0.5)
    assert [("Bark", 0.4, 1.6, 0.5)] == events_of(rows, off_threshold=0)


def test_a_score_equal_to_the_threshold_reaches_it_in_single_precision_too():
    for threshold in (0.1, 0.3, 0.6, 0.7, 0.9):
        assert 1 == len(events_of(barks(0.0, threshold, 0.0), threshold=threshold))
        assert 0 == len(events_of(barks(0.0, threshold - 1e-6, 0.0), threshold=threshold))


@pytest.mark.parametrize(
    ("min_gap_s", "count"), [(0, 3), (0.4, 3), (0.41, 2), (0.8, 2), (1.2, 2), (1.21, 1)]
)
def test_shorter_gaps_are_bridged(min_gap_s, count):
    rows = barks(0.9, 0, 0.8, 0, 0, 0, 0.7)
    found = events_of(rows, min_gap_s=min_gap_s)
    assert count == len(found)
    assert ("Bark", 2.4, 2.8) == found[-1][:3] or count == 1
    assert 0.9 == found[0][3]


def test_one_quiet_frame_is_bridged_by_default_and_two_are_not():
    options = EventOptions.of(LABELS, [0.5])
    tracker = EventTracker(options, LABELS)
    found = [*tracker.push(barks(0.9, 0, 0.8, 0, 0, 0.7)), *tracker.finish(2.4)]
    assert [(0.0, 1.2), (2.0, 2.4)] == [(event.start_s, event.end_s) for event in found]


@pytest.mark.parametrize(
    ("min_duration_s", "count"), [(0, 2), (0.4, 2), (0.5, 1), (1.2, 1), (1.3, 0)]
)
def test_shorter_events_are_dropped(min_duration_s, count):
    rows = barks(0, 0.9, 0, 0, 0, 0.9, 0.9, 0.9)
    assert count == len(events_of(rows, min_duration_s=min_duration_s))


def test_gaps_are_bridged_before_short_events_are_dropped():
    rows = barks(0.9, 0, 0.9, 0, 0.9)
    found = events_of(rows, min_duration_s=2.0, min_gap_s=0.8)
    assert [("Bark", 0.0, 2.0, 0.9)] == found


def test_nothing_reaches_beyond_the_recording():
    assert [("Bark", 0.4, 1.13, 0.9)] == events_of(barks(0, 0.9, 0.9), duration_s=1.13)
    assert [] == events_of(barks(0, 0, 0.9), duration_s=0.8)
    assert [] == events_of(barks(0, 0.9, 0.9), duration_s=1.13, min_duration_s=0.8)


def test_events_come_by_onset_then_label():
    rows = [[0.9, 0, 0.9], [0.9, 0.9, 0.9], [0, 0.9, 0.9]]
    expected = [("Speech", 0.0), ("Rain", 0.0), ("Bark", 0.4)]
    assert expected == [(label, start) for label, start, _, _ in events_of(rows)]


def test_each_label_may_have_its_own_numbers():
    rows = np.array([[0.3, 0.3, 0.3]] * 2 + [[0.0, 0.0, 0.0]] + [[0.3, 0.3, 0.3]], np.float32)
    assert ["Rain"] == [e[0] for e in events_of(rows, threshold={"rain": 0.2}, min_gap_s=9)]
    by_label = {"Bark": 0.2, "/m/09x0r": 0.2}
    found = events_of(rows, threshold=by_label, min_gap_s={"Bark": 0.5, 0: 0})
    assert [("Speech", 0.0), ("Bark", 0.0), ("Speech", 1.2)] == [e[:2] for e in found]
    found = events_of(rows, threshold=0.2, min_duration_s={"Bark": 0.8, "Rain": 0.9})
    assert [("Speech", 0.0), ("Bark", 0.0), ("Speech", 1.2)] == [e[:2] for e in found]
    found = events_of(rows, threshold=0.2, off_threshold={"Bark": 0.0})
    assert 1 == len([e for e in found if e[0] == "Bark"])


def test_the_heads_own_thresholds_are_the_default_and_stay_for_labels_that_are_not_named():
    rows = [[0.3, 0.3, 0.3]]
    assert ["Bark"] == [e[0] for e in events_of(rows, defaults=(0.4, 0.2, 0.9))]
    found = events_of(rows, defaults=(0.4, 0.2, 0.9), threshold={"Rain": 0.1})
    assert ["Bark", "Rain"] == [e[0] for e in found]
    assert 3 == len(events_of(rows, defaults=(0.4, 0.2, 0.9), threshold=0.25))


def test_only_wanted_labels_have_events():
    rows = [[0.9, 0.9, 0.9]]
    assert ["Speech", "Rain"] == [e[0] for e in events_of(rows, wanted=["rain", 0])]


def test_the_highest_labels_of_a_frame_count():
    rows = [[0.9, 0.8, 0.7], [0.6, 0.8, 0.9]]
    found = events_of(rows, top_k=1)
    assert [("Speech", 0.0, 0.4, 0.9), ("Rain", 0.4, 0.8, 0.9)] == found
    assert 4 == len({(e[0], e[1]) for e in events_of(rows, top_k=2)}) + 1
    assert events_of(rows) == events_of(rows, top_k=3) == events_of(rows, top_k=50)


def test_of_equal_scores_the_first_labels_count():
    assert ["Speech", "Bark"] == [e[0] for e in events_of([[0.7, 0.7, 0.7]], top_k=2)]
    assert ["Bark"] == [e[0] for e in events_of([[0.6, 0.7, 0.7]], top_k=1)]


def test_labels_are_filtered_before_the_highest_are_taken():
    # Differs from whisper-at, which takes the highest of all labels first and then finds none of the wanted.
    rows = [[0.9, 0.6, 0.1]]
    assert ["Bark"] == [e[0] for e in events_of(rows, wanted=["Bark", "Rain"], top_k=1)]


def test_a_label_under_its_threshold_still_takes_a_place_among_the_highest():
    rows = [[0.6, 0.5, 0.0]]
    assert [] == events_of(rows, threshold={"Speech": 0.8}, top_k=1)
    assert ["Bark"] == [e[0] for e in events_of(rows, threshold={"Speech": 0.8}, top_k=2)]


def test_times_have_no_binary_dust_and_start_where_the_recording_says():
    tracker = EventTracker(EventOptions.of(LABELS, [0.5]), LABELS, start_s=0.8)
    (found,) = [*tracker.push(barks(0, 0, 0, 0.9)), *tracker.finish(100.0)]
    assert (2.0, 2.4, 0.9) == (found.start_s, found.end_s, found.score)
    assert [("Bark", 1.2, 1.6, 0.9)] == events_of(barks(0, 0, 0, 0.9))


def test_rows_may_be_longer():
    found = events_of(barks(0, 0.9, 0), frame_s=10.0, duration_s=25.0)
    assert [("Bark", 10.0, 20.0, 0.9)] == found


def test_an_event_leaves_as_soon_as_nothing_can_change_it():
    tracker = EventTracker(EventOptions.of(LABELS, [0.5], min_gap_s=1.2), LABELS)
    pushed = [len(tracker.push(barks(score))) for score in (0.9, 0, 0, 0.9, 0, 0, 0, 0)]
    assert [0, 0, 0, 0, 0, 0, 1, 0] == pushed
    assert [] == tracker.finish(3.2)


def test_no_rows_give_no_events():
    tracker = EventTracker(EventOptions.of(LABELS, [0.5]), LABELS)
    assert [] == tracker.push(np.zeros((0, 3), np.float32))
    assert [] == tracker.finish(0.0)


def test_gaps_may_be_endless():
    assert 1 == len(events_of(barks(0.9, *[0] * 2000, 0.9), min_gap_s=1e300))


def test_ten_hours_of_all_labels_take_seconds():
    rng = np.random.default_rng(0)
    labels = tuple(f"label {i}" for i in range(527))
    level = rng.beta(0.1, 2.0, 527).astype(np.float32)
    tracker = EventTracker(EventOptions.of(labels, [0.5], top_k=20), labels)
    began, found = time.process_time(), 0
    for _ in range(1200):
        swell = rng.random((75, 527), np.float32) ** 0.25
        found += len(tracker.push(level * swell * 2))
    assert found > 1000
    assert time.process_time() - began < 60


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"threshold": 1.5}, "threshold is 1.5; give a number from 0 to 1"),
        ({"threshold": "0.5"}, "threshold is '0.5'; give a number from 0 to 1"),
        ({"threshold": True}, "threshold is True; give a number from 0 to 1"),
        ({"threshold": [0.5]}, r"threshold is \[0.5\]; give a number from 0 to 1"),
        ({"threshold": {"Bark": -1}}, "threshold of 'Bark' is -1; give a number from 0 to 1"),
        ({"off_threshold": float("nan")}, "off_threshold is nan; give a number from 0 to 1"),
        ({"off_threshold": 0.6}, "off_threshold of 'Speech' is 0.6, above its threshold 0.5; give"),
        ({"threshold": {"Rain": 0.1}, "off_threshold": 0.2}, "of 'Rain' is 0.2, above its thresh"),
        ({"min_duration_s": -0.1}, "min_duration_s is -0.1; give a number from 0 on"),
        ({"min_gap_s": float("inf")}, "min_gap_s is inf; give a number from 0 on"),
        ({"min_gap_s": {"Rain": None}}, "min_gap_s of 'Rain' is None; give a number from 0 on"),
        ({"top_k": 0}, "top_k is 0; give a whole number from 1 on, or None for all"),
        ({"top_k": 2.5}, "top_k is 2.5; give a whole number from 1 on"),
        ({"top_k": True}, "top_k is True; give a whole number from 1 on"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_in_one_line(options, said):
    with pytest.raises(OptionError, match=said) as refused:
        EventOptions.of(LABELS, [0.5], **options)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "options", [{"wanted": ["Barkk"]}, {"threshold": {"Barkk": 0.1}}, {"min_gap_s": {"Barkk": 1}}]
)
def test_an_unknown_label_is_refused(options):
    with pytest.raises(LabelError, match="label 'Barkk' is unknown; did you mean 'Bark'"):
        EventOptions.of(LABELS, [0.5], **options)


def test_an_off_threshold_above_the_threshold_of_a_label_that_is_not_wanted_is_no_matter():
    options = EventOptions.of(
        LABELS, [0.5], wanted=["Bark"], threshold={"Rain": 0.1}, off_threshold=0.2
    )
    assert [1] == options.columns.tolist()
