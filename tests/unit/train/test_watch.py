"""Time left, and what ends a run before its end."""

import os
import signal

import pytest

from tercet.train.stopping import StopSignals
from tercet.train.watch import Pace, Unwatched, hearing_notes


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_time_left_follows_from_the_steps_so_far() -> None:
    clock = Clock()
    pace = Pace(100, clock)
    assert pace.left_s(10) is None  # a resumed run's first report
    clock.now = 20.0
    assert 2.0 * 80 == pace.left_s(20)


def test_a_run_that_gets_slower_is_believed_to_stay_slow() -> None:
    clock = Clock()
    pace = Pace(1000, clock)
    for step in range(100):
        pace.left_s(step)
        clock.now += 1.0
    for step in range(100, 200):
        clock.now += 4.0
        left = pace.left_s(step)
    assert 4.0 * 801 == pytest.approx(left, rel=0.05)


def test_the_time_is_up_after_so_many_minutes() -> None:
    clock = Clock()
    signals = StopSignals(2.0, clock)
    clock.now = 119.0
    assert not signals.wanted()
    clock.now = 120.0
    assert signals.wanted()
    assert "time" == signals.reason


def test_without_a_limit_the_time_is_never_up() -> None:
    clock = Clock()
    signals = StopSignals(0.0, clock)
    clock.now = 1e9
    assert not signals.wanted()


@pytest.mark.parametrize(
    ("number", "reason"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")]
)
def test_a_signal_is_a_wish_and_the_handlers_before_come_back(number: int, reason: str) -> None:
    before = signal.getsignal(number)
    with StopSignals(0.0) as signals:
        os.kill(os.getpid(), number)
        assert signals.wanted()
    assert reason == signals.reason
    assert before is signal.getsignal(number)


def test_a_second_ctrl_c_is_an_order() -> None:
    with StopSignals(0.0):
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_what_is_heard_is_told_every_ten_seconds_and_at_the_end() -> None:
    class Noting(Unwatched):
        def __init__(self) -> None:
            self.told: list[str] = []

        def on_note(self, text: str) -> None:
            self.told.append(text)

    now_s, watcher = 0.0, Noting()
    tell = hearing_notes(watcher, "clips", 40, clock=lambda: now_s)
    for done in range(1, 41):
        now_s += 0.7
        tell(done)
    assert [f"heard clips: {done} of 40" for done in (15, 30, 40)] == watcher.told
