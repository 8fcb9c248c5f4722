"""kill -9 in the middle of `tercet listen --resume`: nothing lost, doubled or half-written.

`benchmarks/kill_listen.py` does the same many times over.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tercet.cli.listening.resume import JOURNAL_NAME

# Hears every file as its stem in 30 ms, and says in `heard` that it did.
STUB = """
import sys, time
import tercet
from pathlib import Path
from tercet.cli.main import run
from tercet.results import Segment, Transcript

class Model:
    has_tags = has_tokens = False

    def transcribe_many(self, sources, **_):
        for index, source in enumerate(sources):
            time.sleep(0.03)
            with open("heard", "a") as heard:
                heard.write(Path(source).stem + "\\n")
            segment = Segment(id=0, seek=0, start=0.0, end=1.0, text=" " + Path(source).stem,
                              tokens=(1,), temperature=0.0, avg_logprob=-0.1,
                              compression_ratio=1.0, no_speech_prob=0.0)
            yield index, Transcript(text=segment.text, segments=(segment,) * 3000, language="en",
                                    language_probability=None, duration_s=60.0)

tercet.load_model = lambda *_, **__: Model()
sys.argv[0] = "tercet"
run()
"""
N_FILES = 20
FORMATS = ("txt", "srt", "vtt", "tsv", "json", "jsonl")
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the program with the stub model in a folder with recordings."""
    for n in range(N_FILES):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{n:02d}.mp3").write_bytes(b"sound")
    running: list[subprocess.Popen[bytes]] = []

    def popen(*words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", STUB, "listen", "in", "-f", "all", *words]
        running.append(subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE))
        return running[-1]

    yield popen
    for process in running:
        process.kill()
        process.communicate()


def results(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name[0] != "."}


def journal(out: Path) -> list[str]:
    """Names of the recordings that are finished."""
    found = []
    if (out / JOURNAL_NAME).exists():
        for row in (out / JOURNAL_NAME).read_bytes().splitlines():
            try:
                found.append(json.loads(row)["name"])
            except ValueError:  # torn by a kill
                continue
    return found


def stamps(out: Path) -> dict[str, tuple[int, int]]:
    """Every result that the journal calls finished, and what a second writing would change."""
    stems = [Path(name).stem for name in journal(out)]
    stats = {f"{s}.{f}": (out / f"{s}.{f}").stat() for s in stems for f in FORMATS}
    return {name: (status.st_ino, status.st_mtime_ns) for name, status in stats.items()}


def hidden(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir() if path.name[0] == ".")


@pytest.fixture
def right(start: Start, tmp_path: Path) -> dict[str, bytes]:
    """What an undisturbed run writes."""
    assert 0 == start("-o", "right").wait(60)
    (tmp_path / "heard").unlink()
    found = results(tmp_path / "right")
    assert N_FILES * len(FORMATS) == len(found)
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_again_and_again_everything_is_there_once_and_whole(
    start: Start, right: dict[str, bytes], tmp_path: Path, seed: int
) -> None:
    out, chance = tmp_path / "out", random.Random(seed)
    n_killed = 0
    for _ in range(4):
        before = stamps(out)
        process = start("-o", "out", "--resume", "True")
        at = len(journal(out)) + chance.randrange(1, 4)
        deadline = time.monotonic() + 20
        while len(journal(out)) < at and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.04))
        process.send_signal(signal.SIGKILL)
        n_killed += -signal.SIGKILL == process.wait()
        assert before.items() <= stamps(out).items()
        assert results(out).items() <= right.items()
    assert 4 == n_killed
    n_before = len(journal(out))
    assert 4 <= n_before < N_FILES
    before = stamps(out)
    assert 0 == start("-o", "out", "--resume", "True").wait(60)
    assert before.items() <= stamps(out).items()
    assert right == results(out)
    assert [f"{n:02d}.mp3" for n in range(N_FILES)] == sorted(journal(out))
    assert [JOURNAL_NAME] == hidden(out)
    # One that was killed between hearing and noting is heard again; one that was noted is not.
    assert len((tmp_path / "heard").read_text().split()) <= N_FILES + n_killed


def test_two_at_once_share_the_work(start: Start, right: dict[str, bytes], tmp_path: Path) -> None:
    pair = [start("-o", "out", "--resume") for _ in range(2)]
    assert [(0, b""), (0, b"")] == [(p.wait(60), p.stderr and p.stderr.read()) for p in pair]
    assert right == results(tmp_path / "out")
    assert [JOURNAL_NAME] == hidden(tmp_path / "out")
    assert [f"{n:02d}" for n in range(N_FILES)] == sorted((tmp_path / "heard").read_text().split())


def test_one_goes_on_where_the_other_was_killed(
    start: Start, right: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = start("-o", "out")
    deadline = time.monotonic() + 20
    while len(journal(out) if out.exists() else []) < 3 and time.monotonic() < deadline:
        time.sleep(0.002)
    second = start("-o", "out", "--resume")
    time.sleep(0.2)
    first.kill()
    assert 0 == second.wait(60)
    assert right == results(out)
    assert [f"{n:02d}.mp3" for n in range(N_FILES)] == sorted(journal(out))
    assert [JOURNAL_NAME] == hidden(out)


def test_real_speech_survives_two_kills(base_model: Path, clips_dir: Path, tmp_path: Path) -> None:
    """The shipped weights; the results are those of an undisturbed run, byte for byte."""
    recordings = tmp_path / "in"
    recordings.mkdir()
    for path in sorted(clips_dir.glob("librispeech-[1-6]*-*-*.opus"))[:5]:
        shutil.copy(path, recordings)

    def begin(out: str, *words: str) -> subprocess.Popen[bytes]:
        options = ["--model", str(base_model), "--threads", "2", "--batch_size", "1", "-f", "all"]
        command = [sys.executable, "-m", "tercet.cli.main", "listen", "in", "-o", out]
        return subprocess.Popen([*command, *options, *words], cwd=tmp_path, env=dict(os.environ))

    assert 0 == begin("right").wait(120)
    out = tmp_path / "out"
    for n_finished in (1, 3):
        process = begin("out", "--resume")
        deadline = time.monotonic() + 60
        while len(journal(out)) < n_finished and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        assert -signal.SIGKILL == process.wait()
    assert len(journal(out)) < 5
    assert 0 == begin("out", "--resume").wait(120)
    assert results(tmp_path / "right") == results(out)
    assert 5 == len(journal(out)) == len(set(journal(out)))
    assert [JOURNAL_NAME] == hidden(out)
