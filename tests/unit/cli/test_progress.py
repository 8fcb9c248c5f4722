"""The numbers beside the bar. See progress.py."""

import pytest

from tercet.cli.listening.progress import Meter, Reading, clock_text, status_text
from tercet.results import Progress


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_speed_and_time_left_are_in_audio_time() -> None:
    clock = Clock()
    meter = Meter(1, clock)
    meter.update(Progress(0, 60.0, 180.0))
    clock.now_s += 6.0
    assert Reading(60.0, 180.0, 10.0, 12.0) == meter.read()


def test_recordings_not_met_yet_count_as_average_ones() -> None:
    meter = Meter(4, Clock())
    meter.update(Progress(0, 10.0, 100.0))
    meter.update(Progress(1, 0.0, 300.0))
    assert 800.0 == meter.read().total_s


def test_nothing_is_claimed_before_it_is_known() -> None:
    meter = Meter(1, Clock())
    assert Reading(0.0, None, None, None) == meter.read()
    meter.update(Progress(0, 30.0, None))
    assert meter.read().total_s is None


def test_a_failed_recording_is_not_awaited() -> None:
    meter = Meter(3, Clock())
    meter.update(Progress(0, 100.0, 100.0))
    meter.update(Progress(1, 20.0, 500.0))
    meter.finish(1)
    meter.finish(2)
    assert 120.0 == meter.read().total_s
    assert 2 == meter.finished


def test_the_total_is_never_behind_what_is_done() -> None:
    meter = Meter(1, Clock())
    meter.update(Progress(0, 31.0, 30.0))
    assert 31.0 == meter.read().total_s


@pytest.mark.parametrize(
    ("expected", "reading", "files"),
    [
        ("0:00", Reading(0.0, None, None, None), 1),
        ("0:30", Reading(30.0, None, None, None), 1),
        ("1:00 of 3:00  10.0x  0:12 left", Reading(60.0, 180.0, 10.0, 12.0), 1),
        ("2/5 files  1:00 of 1:00:05", Reading(60.0, 3605.0, None, None), 5),
    ],
)
def test_the_line_says_what_is_known(expected: str, reading: Reading, files: int) -> None:
    assert expected == status_text(reading, 2, files)


@pytest.mark.parametrize(("expected", "seconds"), [("0:00", 0.4), ("1:00", 59.6), ("0:05", 5)])
def test_a_duration_is_read_as_on_a_clock(expected: str, seconds: float) -> None:
    assert expected == clock_text(seconds)
