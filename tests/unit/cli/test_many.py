"""Thousands of recordings in one run: order, failures among them, time and memory. See delivery.py."""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tercet.cli.listening.aside import Aside
from tercet.cli.listening.resume import JOURNAL_NAME
from tercet.errors import UndecodableAudioError

Run = Callable[..., Any]
Make = Callable[..., Path]
Say = Callable[..., Any]

BAD = (0, 1, 17, 50, 51, 52, 98, 99)


def names(count: int) -> list[str]:
    return [f"{n:05d}.wav" for n in range(count)]


@pytest.fixture
def hundred(recordings: Make, fake_model: Any) -> list[str]:
    """A hundred recordings, some of which fail; the model is through with them in no order."""
    recordings(*names(100))
    for n in BAD:
        name = names(100)[n]
        fake_model.answers[name] = UndecodableAudioError(f"{name}: not audio; convert it")
    fake_model.order = lambda count: sorted(range(count), key=lambda n: n * 37 % count)
    return [f"{n:05d}" for n in range(100) if n not in BAD]


def complaints(err: str) -> list[str]:
    return sorted(err.splitlines())


def test_bad_ones_among_a_hundred_are_each_reported_and_the_others_printed_in_order(
    run_tercet: Run, hundred: list[str]
) -> None:
    ran = run_tercet("listen", *names(100))
    assert (1, hundred) == (ran.code, ran.out.split())
    assert [f"tercet: {n:05d}.wav: not audio; convert it" for n in BAD] == complaints(ran.err)


def test_bad_ones_among_a_hundred_leave_the_others_files(
    run_tercet: Run, hundred: list[str]
) -> None:
    ran = run_tercet("listen", ".", "-o", "out")
    assert 1 == ran.code
    assert len(BAD) == len(complaints(ran.err))
    assert [f"{stem}.txt" for stem in hundred] == sorted(p.name for p in Path("out").glob("*.txt"))


def test_results_behind_a_slow_recording_wait_on_the_disk_and_keep_their_order(
    run_tercet: Run, recordings: Make, fake_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tercet.cli.listening.printed.Aside", lambda: Aside(in_memory_bytes=20))
    recordings(*names(50))
    fake_model.order = lambda count: [*range(1, count), 0]
    assert [f"{n:05d}" for n in range(50)] == run_tercet("listen", ".").out.split()


@pytest.mark.parametrize("in_memory_bytes", [0, 10, 1000])
def test_what_is_set_aside_comes_back_whole_once(in_memory_bytes: int) -> None:
    aside = Aside(in_memory_bytes)
    texts = {5: "grün\n", 2: "", 9: "name \udce9\n" * 10}
    for index, text in texts.items():
        aside.put(index, text)
    assert [2, 5, 9] == aside.waiting()
    for index, text in texts.items():
        assert text == aside.take(index)
        assert index not in aside
    aside.put(1, "after")
    assert "after" == aside.take(1)
    aside.close()


def test_the_disk_is_used_again_once_nothing_waits_there(monkeypatch: pytest.MonkeyPatch) -> None:
    files: list[Any] = []
    whole = tempfile.TemporaryFile
    monkeypatch.setattr("tempfile.TemporaryFile", lambda: files.append(whole()) or files[-1])
    aside = Aside(in_memory_bytes=0)
    for n in range(100):
        aside.put(n, "a text of 20 letters")
        assert "a text of 20 letters" == aside.take(n)
    assert [20] == [file.seek(0, 2) for file in files]
    aside.close()


def test_a_full_disk_keeps_what_waits_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError("no space left")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    aside = Aside(in_memory_bytes=0)
    aside.put(3, "kept")
    assert "kept" == aside.take(3)


def test_going_on_after_thousands_takes_no_time(
    run_tercet: Run, recordings: Make, fake_model: Any
) -> None:
    """One pass over the recordings and one over the journal, not one over the other for each."""
    count = 3000
    folder = recordings(*names(count))
    assert 0 == run_tercet("listen", ".", "-o", "out").code
    (folder / "late.wav").write_bytes(b"one more")
    fake_model.heard.clear()
    started = time.perf_counter()
    assert 0 == run_tercet("listen", ".", "-o", "out", "--resume").code
    assert time.perf_counter() - started < 3.0  # a pass over all lines per recording takes 10 s
    assert ["late.wav"] == fake_model.heard


def test_a_journal_of_dead_lines_is_written_anew(
    run_tercet: Run, recordings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tercet.cli.listening.resume._DEAD_LINES_KEPT", 8)
    folder = recordings("a.wav", "b.wav")
    journal = folder / "out" / JOURNAL_NAME
    for language in ("de", "en", "fr", "it", "de"):
        assert 0 == run_tercet("listen", ".", "-o", "out", "--language", language).code
    journal.write_bytes(journal.read_bytes() + b'torn {"name\n')
    assert 0 == run_tercet("listen", ".", "-o", "out", "--resume", "--language", "de").code
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert ["a.wav", "b.wav"] == sorted(line["name"] for line in lines)
    assert [] == [p.name for p in (folder / "out").iterdir() if p.name.endswith(".tmp")]


def test_a_journal_that_cannot_be_written_anew_serves_as_it_is(
    run_tercet: Run, recordings: Make, fake_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tercet.cli.listening.resume._DEAD_LINES_KEPT", 1)
    folder = recordings("a.wav")
    monkeypatch.setattr("tercet.cli.listening.resume.Journal._rewrite", full)
    for _ in range(5):
        run_tercet("listen", ".", "-o", "out")
    fake_model.heard.clear()
    assert 0 == run_tercet("listen", ".", "-o", "out", "--resume").code
    assert [] == fake_model.heard
    assert 5 == len((folder / "out" / JOURNAL_NAME).read_bytes().splitlines())


def test_a_file_written_over_with_other_settings_is_not_called_finished(
    run_tercet: Run, recordings: Make, fake_model: Any
) -> None:
    recordings("a.wav")
    run_tercet("listen", "a.wav", "-o", "out", "--language", "en")
    run_tercet("listen", "a.wav", "-o", "out", "--language", "de")
    fake_model.heard.clear()
    assert 0 == run_tercet("listen", "a.wav", "-o", "out", "--language", "en", "--resume").code
    assert ["a.wav"] == fake_model.heard
    assert 0 == run_tercet("listen", "a.wav", "-o", "out", "--language", "en", "--resume").code
    assert ["a.wav"] == fake_model.heard


# --- what changes while it is heard ----------------------------------------------------------


@pytest.fixture
def changing(recordings: Make, fake_model: Any, say: Say) -> Path:
    """Three recordings; somebody writes to the second while it is heard."""
    folder = recordings("a.wav", "b.wav", "c.wav")
    whole = fake_model.transcribe_many

    def transcribe_many(sources: list[str], **options: Any) -> Any:
        for index, outcome in whole(sources, **options):
            if Path(sources[index]).name == "b.wav":
                Path(sources[index]).write_bytes(b"more sound than before")
            yield index, outcome

    fake_model.transcribe_many = transcribe_many
    return folder


CHANGED = (
    "tercet: b.wav: changed after this run began, its text may mix old and new; hear it again\n"
)


def test_a_file_that_changes_while_it_is_heard_is_one_line(run_tercet: Run, changing: Path) -> None:
    ran = run_tercet("listen", "a.wav", "b.wav", "c.wav")
    assert (1, "a\nb\nc\n", CHANGED) == (ran.code, ran.out, ran.err)


def test_a_file_that_changed_while_it_was_heard_is_heard_again_by_resume(
    run_tercet: Run, changing: Path, fake_model: Any
) -> None:
    ran = run_tercet("listen", ".", "-o", "out")
    assert (1, CHANGED) == (ran.code, ran.err)
    del fake_model.transcribe_many
    fake_model.heard.clear()
    assert 0 == run_tercet("listen", ".", "-o", "out", "--resume").code
    assert ["b.wav"] == fake_model.heard


def test_a_file_that_is_removed_after_it_was_heard_is_fine(
    run_tercet: Run, recordings: Make, fake_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = recordings("a.wav", "b.wav")
    fake_model.order = lambda count: [(folder / "a.wav").unlink(), 1, 0][1:]
    assert (0, "a\nb\n") == (lambda ran: (ran.code, ran.out))(
        run_tercet("listen", "a.wav", "b.wav")
    )


@pytest.mark.parametrize(
    ("reason", "number"), [("no space left on device", 28), ("read-only file system", 30)]
)
def test_a_folder_that_fails_midway_is_one_line_each_and_the_others_go_on(
    run_tercet: Run,
    recordings: Make,
    fake_model: Any,
    monkeypatch: pytest.MonkeyPatch,
    reason: str,
    number: int,
) -> None:
    recordings("a.wav", "b.wav", "c.wav", "d.wav")
    whole_open = Path.open

    def open_or_fail(path: Path, *args: Any, **kwargs: Any) -> Any:
        if path.name.endswith(".tmp") and len(fake_model.heard) in (2, 3):
            raise OSError(number, reason.capitalize())
        return whole_open(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", open_or_fail)
    ran = run_tercet("listen", ".", "-o", "out")
    assert 1 == ran.code
    assert [
        f"tercet: {name}.wav: out/{name}.txt: not written: {reason}" for name in ("b", "c")
    ] == ran.err.splitlines()
    assert ["a.txt", "d.txt"] == sorted(p.name for p in Path("out").glob("[a-z]*"))


def test_a_folder_that_is_removed_midway_is_one_line_each(
    run_tercet: Run, recordings: Make, fake_model: Any, tmp_path: Path
) -> None:
    folder = recordings("a.wav", "b.wav")
    out = folder / "out"
    fake_model.order = lambda count: [out.rename(tmp_path / "away"), *range(count)][1:]
    ran = run_tercet("listen", "a.wav", "b.wav", "-o", "out")
    assert 1 == ran.code
    assert [
        f"tercet: {name}.wav: out/{name}.txt: not written: no such file or directory"
        for name in ("a", "b")
    ] == ran.err.splitlines()
