"""The program in a process of its own: its streams, signals and terminal. The model is a stub.

What real speech becomes is tested beside this file.
"""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Hears every file as its stem; `slow.mp3` takes for ever, once it has said that it began.
STUB = """
import sys, time
import tercet
from pathlib import Path
from tercet.cli.main import run
from tercet.results import Hearing, Progress, Segment, Transcript

def heard(index, source, on_progress):
    on_progress(Progress(index, 30.0, 60.0))
    if Path(source).stem == "slow":
        Path("began").touch()
        time.sleep(60)
    segment = Segment(id=0, seek=0, start=0.0, end=1.0, text=" " + Path(source).stem,
                      tokens=(1,), temperature=0.0, avg_logprob=-0.1,
                      compression_ratio=1.0, no_speech_prob=0.0)
    return Transcript(text=segment.text, segments=(segment,) * 5000, language="en",
                      language_probability=None, duration_s=60.0)

def part(source, on_progress):
    return Hearing(transcript=heard(0, source, on_progress), tags=None, speech_tokens=None,
                   duration_s=60.0, encoder_passes=(("text",),))

class Model:
    has_tags = has_tokens = False

    def transcribe_many(self, sources, *, on_progress, **_):
        for index, source in enumerate(sources):
            yield index, heard(index, source, on_progress)

    def stream(self, source, *, on_progress, **_):
        if Path(source).stem == "slow":  # its first window is quick
            yield part("first", on_progress)
        yield part(source, on_progress)

tercet.load_model = lambda *_, **__: Model()
sys.argv[0] = "tercet"
run()
"""
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the program with the stub model, in a folder with `a.mp3` and `slow.mp3`."""
    for name in ("a.mp3", "grün.mp3", "slow.mp3"):
        (tmp_path / name).write_bytes(b"sound")
    running: list[subprocess.Popen[bytes]] = []

    def popen(*words: str, **options: object) -> subprocess.Popen[bytes]:
        settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        command = [sys.executable, "-c", STUB, *words]
        process = subprocess.Popen(command, cwd=tmp_path, **settings)  # type: ignore[call-overload]
        running.append(process)
        return process  # type: ignore[no-any-return]

    yield popen
    for process in running:
        process.kill()
        process.communicate()


def test_the_version_comes_at_once() -> None:
    from importlib.metadata import version

    took_s = []
    for _ in range(5):
        before = time.perf_counter()
        command = [sys.executable, "-m", "tercet.cli.main", "--version"]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        took_s.append(time.perf_counter() - before)
        assert f"tercet {version('tercet')}\n" == ran.stdout
    assert min(took_s) < 0.4


def test_the_version_needs_neither_typer_nor_numpy() -> None:
    program = (
        "import sys\nfrom tercet.cli.main import main\nmain(['--version'])\nmain([])\n"
        "print('loaded:', *sorted({'typer', 'rich', 'numpy', 'av'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "loaded:" == ran.stdout.splitlines()[-1]


def test_a_reader_that_goes_away_is_no_drama(start: Start) -> None:
    process = start("listen", "a.mp3", "grün.mp3", "-f", "json")
    assert process.stdout is not None
    assert b'{"text": " a' == process.stdout.read(12)
    process.stdout.close()
    assert process.stderr is not None
    assert b"" == process.stderr.read()
    assert 1 == process.wait(20)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout_is_one_line(start: Start) -> None:
    with Path("/dev/full").open("wb") as full:
        process = start("listen", "a.mp3", stdout=full)
        _, err = process.communicate(timeout=20)
    assert b"tercet: standard output: not written: no space left on device\n" == err
    assert 1 == process.returncode


def test_a_terminal_without_umlauts_gets_question_marks(start: Start) -> None:
    process = start("listen", "grün.mp3", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    out, err = process.communicate(timeout=20)
    assert (b"gr?n", b"", 0) == (out.splitlines()[0], err, process.returncode)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_ctrl_c_keeps_the_finished_file_and_says_how_to_go_on(start: Start, tmp_path: Path) -> None:
    process = start("listen", "a.mp3", "slow.mp3", "-o", "out")
    wait_for(tmp_path / "began")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert 130 == process.returncode
    assert b"stopped; 1 of 2 files are finished in out; the same command with --resume" in err
    assert 1 == len(err.splitlines())
    assert [".tercet-resume.jsonl", "a.txt"] == sorted(p.name for p in (tmp_path / "out").iterdir())


def test_the_text_of_one_recording_comes_while_it_is_heard(start: Start, tmp_path: Path) -> None:
    with (tmp_path / "text").open("wb") as text:
        process = start("listen", "slow.mp3", stdout=text)
        wait_for(tmp_path / "began")
    assert b"first\n" * 5000 == (tmp_path / "text").read_bytes()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (130, b"tercet: stopped; the text so far was printed\n") == (process.returncode, err)


def test_a_reader_that_goes_away_while_it_is_heard_is_no_drama(start: Start) -> None:
    # Without buffers, Python itself takes a text of which a part was written for written.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = start("listen", "grün.mp3", "-f", "jsonl", env=env)
    assert process.stdout is not None
    assert b'{"id": 0, "seek"' == process.stdout.read(16)
    process.stdout.close()
    assert process.stderr is not None
    assert b"" == process.stderr.read()
    assert 1 == process.wait(20)


def everything_shown(terminal: int, process: subprocess.Popen[bytes]) -> str:
    """What appears on the terminal until the program ends."""
    shown = b""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.05)[0]:
            try:
                shown += os.read(terminal, 65536)
            except OSError:
                break
        elif process.poll() is not None:
            break
    return shown.decode()


def test_a_terminal_sees_progress_and_stdout_does_not(start: Start) -> None:
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = start("listen", "a.mp3", "grün.mp3", stderr=theirs, env=env)
    os.close(theirs)
    assert process.stdout is not None
    out = process.stdout.read().decode()
    shown = everything_shown(ours, process)
    os.close(ours)
    assert "a\n" * 5000 + "grün\n" * 5000 == out
    assert "0/2 files" in shown
    assert "==> grün.mp3" in shown
    assert "of audio heard in" in shown
    assert 0 == process.wait(20)


def test_one_terminal_for_both_shows_the_text_whole(start: Start) -> None:
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = start("listen", "a.mp3", "-f", "txt", stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    shown = everything_shown(ours, process)
    os.close(ours)
    assert "a\r\n" * 5000 in shown


def test_help_in_a_pipe_has_no_colours(start: Start) -> None:
    out, err = start("listen", "--help").communicate(timeout=20)
    assert b"" == err
    assert b"--output_format" in out
    assert b"\x1b" not in out
