"""Packages that raise, crash, hang or chatter on import: each becomes a line."""

import subprocess
from pathlib import Path

import pytest

from tercet.doctor.examine import Finding, Group, examine

GOOD = "value = 1"
BROKEN = {
    "raises": ("raise ImportError('libtbb: not found\\nmore')", "ImportError: libtbb: not found"),
    "leaves": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "ends": ("import os; os._exit(7)", "ends Python with exit code 7"),
    "crashes": ("import os; os.kill(os.getpid(), 11)", "crashes Python (SIGSEGV)"),
    "silent": ("raise ValueError", "ValueError"),
}  # fmt: skip


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes modules that the probe can import."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(**modules: str) -> None:
        for name, code in modules.items():
            (tmp_path / f"{name}.py").write_text(code)

    return write


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_package_is_told_and_those_around_it_are_still_examined(made_up, how):
    code, words = BROKEN[how]
    made_up(before=GOOD, broken=code, after=GOOD)
    assert {
        "before": Finding(),
        "broken": Finding(error=words),
        "after": Finding(),
    } == examine([Group(("before", "broken", "after"), 30)])


def test_a_package_that_hangs_is_late(made_up):
    made_up(hangs="import time; time.sleep(60)")
    assert examine([Group(("hangs",), 1)])["hangs"].is_late


def test_what_was_answered_before_one_hangs_is_kept(monkeypatch):
    def stop(command, timeout, **_):
        answers = b'{"name": "before", "found": {"a": 1}}\n{"name": "han'
        raise subprocess.TimeoutExpired(command, timeout, output=answers)

    monkeypatch.setattr(subprocess, "run", stop)
    findings = examine([Group(("before", "hangs"), 30)])
    assert Finding({"a": 1}) == findings["before"]
    assert findings["hangs"].is_late


def test_what_a_package_prints_is_not_taken_for_an_answer(made_up):
    made_up(chatty="import os; print('{}'); os.write(1, b'welcome\\n')")
    assert {"chatty": Finding()} == examine([Group(("chatty",), 30)])


def test_a_package_that_is_not_there_is_told(made_up):
    [finding] = examine([Group(("nowhere_to_be_found",), 30)]).values()
    assert "ModuleNotFoundError: No module named 'nowhere_to_be_found'" == finding.error


def test_a_file_in_the_working_folder_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    [finding] = examine([Group(("mine",), 30)]).values()
    assert "No module named 'mine'" in str(finding.error)


def test_groups_run_side_by_side(made_up, tmp_path):
    """Each waits for the other's sign; one after the other, they would wait until their time is over."""
    meet = (
        "import pathlib, time\n"
        "pathlib.Path({mine!r}).touch()\n"
        "while not pathlib.Path({other!r}).exists():\n    time.sleep(0.01)"
    )
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    made_up(first=meet.format(mine=one, other=two), second=meet.format(mine=two, other=one))
    groups = [Group(("first",), 20), Group(("second",), 20)]
    assert {"first": Finding(), "second": Finding()} == examine(groups)
