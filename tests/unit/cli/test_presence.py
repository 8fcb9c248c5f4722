"""Runs that share an output folder: leftovers, claims, waiting. See presence.py and filed.py."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tercet.cli.listening.presence import Presence

Run = Callable[..., Any]
Make = Callable[..., Path]


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def killed(presence: Presence) -> None:
    """What kill -9 does: the lock is gone, everything else stays."""
    presence._file.close()


def test_a_run_leaves_no_mark(tmp_path: Path) -> None:
    presence = Presence(tmp_path)
    assert 1 == len(hidden(tmp_path))
    presence.close()
    assert [] == hidden(tmp_path)


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    first = Presence(tmp_path)
    first.temporary("0").write_text("half of a te")
    (tmp_path / ".1-4711.tercet.tmp").write_text("from whomever")
    (tmp_path / "talk.txt").write_text("mine")
    killed(first)
    Presence(tmp_path).close()
    assert ["talk.txt"] == hidden(tmp_path)


def test_what_a_living_run_has_is_not_touched(tmp_path: Path) -> None:
    first = Presence(tmp_path)
    first.temporary("0").write_text("half of a te")
    before = hidden(tmp_path)
    Presence(tmp_path).close()
    assert before == hidden(tmp_path)


def test_without_locks_only_old_leftovers_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tercet.cli.listening.presence.lock", lambda file, wait: None)
    for name, age_s in ((".0-old.tercet.tmp", 9999), (".0-young.tercet.tmp", 0)):
        (tmp_path / name).write_text("half")
        os.utime(tmp_path / name, (time.time() - age_s,) * 2)
    presence = Presence(tmp_path)
    assert set() == presence.claimed_by_others()
    presence.close()
    assert [".0-young.tercet.tmp"] == hidden(tmp_path)


def test_what_the_living_claim_is_known_and_what_the_dead_claimed_is_free(tmp_path: Path) -> None:
    one, two, three = (Presence(tmp_path) for _ in range(3))
    one.claim(["a.txt", "b.txt"])
    two.claim(["c.txt"])
    assert {"a.txt", "b.txt", "c.txt"} == three.claimed_by_others()
    assert {"c.txt"} == one.claimed_by_others()
    one.claim(["b.txt"])
    killed(two)
    assert {"b.txt"} == three.claimed_by_others()


def test_a_mark_that_was_swept_away_while_it_was_made_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tercet.cli.listening import presence as module

    whole_lock = module.lock
    swept: list[Path] = []

    def lock_after_a_sweep(file: Any, *, wait: bool) -> bool | None:
        if not swept:
            swept.append(Path(file.name))
            swept[0].unlink()
        return whole_lock(file, wait=wait)

    monkeypatch.setattr(module, "lock", lock_after_a_sweep)
    presence = Presence(tmp_path)
    assert 1 == len(hidden(tmp_path))
    assert swept[0].name not in hidden(tmp_path)
    presence.close()


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every claim that is made, in order."""
    made: list[str] = []
    whole = Presence.claim

    def claim(self: Presence, keys: Any) -> None:
        made.extend(keys)
        whole(self, keys)

    polls = iter(range(200))  # then it waits for something that never comes

    def look_again_soon(_: float) -> None:
        next(polls)
        time.sleep(0.02)

    monkeypatch.setattr(Presence, "claim", claim)
    monkeypatch.setattr("tercet.cli.listening.filed.time", SimpleNamespace(sleep=look_again_soon))
    return made


def test_what_another_run_hears_is_waited_for_and_heard_if_that_run_dies(
    run_tercet: Run, recordings: Make, fake_model: Any, claims: list[str]
) -> None:
    folder = recordings("a.mp3", "b.mp3")
    run_tercet("listen", ".", "-o", "out")  # to learn how the two are called
    for path in (folder / "out").iterdir():
        path.unlink()
    fake_model.heard.clear()
    other = Presence(folder / "out")
    other.claim([claims[1]])
    timer = threading.Timer(0.3, killed, [other])
    timer.start()
    ran = run_tercet("listen", ".", "-o", "out", "--resume", "--verbose")
    timer.join()
    assert 0 == ran.code
    assert ["a.mp3", "b.mp3"] == fake_model.heard
    assert 2 == len(fake_model.calls) - 1  # the second was not heard together with the first
    assert 1 == ran.err.count("1 files are being heard by another run; waiting for it")
    assert [".tercet-resume.jsonl", "a.txt", "b.txt"] == hidden(folder / "out")


def test_what_another_run_finishes_is_not_heard_twice(
    run_tercet: Run, recordings: Make, fake_model: Any, claims: list[str]
) -> None:
    folder = recordings("a.mp3", "b.mp3")
    run_tercet("listen", "b.mp3", "-o", "out")
    line = (folder / "out" / ".tercet-resume.jsonl").read_bytes()
    (folder / "out" / ".tercet-resume.jsonl").unlink()
    fake_model.heard.clear()
    other = Presence(folder / "out")
    other.claim([claims[0]])

    def finish() -> None:
        (folder / "out" / ".tercet-resume.jsonl").open("ab").write(line)

    timer = threading.Timer(0.3, finish)
    timer.start()
    assert 0 == run_tercet("listen", ".", "-o", "out", "--resume").code
    timer.join()
    other.close()
    assert ["a.mp3"] == fake_model.heard
    rows = (folder / "out" / ".tercet-resume.jsonl").read_bytes().splitlines()
    assert 2 == len(rows)


@pytest.mark.parametrize("words", [[], ["--resume", "-f", "srt"], ["--resume", "--language", "de"]])
def test_another_runs_work_is_waited_for_only_if_it_is_the_same(
    run_tercet: Run, recordings: Make, fake_model: Any, claims: list[str], words: list[str]
) -> None:
    folder = recordings("a.mp3")
    run_tercet("listen", "a.mp3", "-o", "out")
    other = Presence(folder / "out")
    other.claim(list(claims))
    fake_model.heard.clear()
    assert 0 == run_tercet("listen", "a.mp3", "-o", "out", *words).code
    assert ["a.mp3"] == fake_model.heard
    other.close()


def test_ctrl_c_while_waiting_says_how_to_go_on(
    run_tercet: Run, recordings: Make, claims: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    folder = recordings("a.mp3")
    run_tercet("listen", "a.mp3", "-o", "out")
    (folder / "out" / "a.txt").unlink()
    other = Presence(folder / "out")
    other.claim(list(claims))
    monkeypatch.setattr("tercet.cli.listening.filed.time.sleep", interrupt)
    ran = run_tercet("listen", "a.mp3", "-o", "out", "--resume")
    assert 130 == ran.code
    assert "stopped; 0 of 1 files are finished in out" in ran.err
    other.close()
