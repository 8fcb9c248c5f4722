"""The progress of an evaluation: counted, and spoken now and then where there is no terminal."""

import pytest

from tercet.cli.eval_progress import EvalScreen


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_where_there_is_no_terminal_a_line_comes_every_half_minute(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    with EvalScreen(quiet=False, clock=clock).stage("sounds") as on_progress:
        for done, clock.now_s in ((1, 10.0), (3, 30.0), (4, 40.0), (6, 60.0)):
            on_progress(done, 10)
    assert [
        "sounds 3/10  1:10 left",
        "sounds 6/10  0:40 left",
    ] == capsys.readouterr().err.splitlines()


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    screen = EvalScreen(quiet=True, clock=clock)
    screen.note("something")
    with screen.stage("sounds") as on_progress:
        clock.now_s = 100.0
        on_progress(1, 2)
    assert ("", "") == capsys.readouterr()


def test_a_stage_begins_with_nothing_done() -> None:
    clock = Clock()
    screen = EvalScreen(quiet=True, clock=clock)
    with screen.stage("a") as on_progress:
        on_progress(5, 5)
    with screen.stage("b"):
        assert "b 0/0" == screen.text()
