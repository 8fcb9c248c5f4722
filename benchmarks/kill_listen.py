"""kill -9 at random moments of `tercet listen --resume` over a folder: is anything lost or doubled?

usage: python benchmarks/kill_listen.py [--kills 20] [--clips 24] [--threads 2] [--model base] [--seed 0]

Clips are short LibriSpeech utterances of TERCET_DATA (default ../shared/data), or those of tests/clips.
One undisturbed run sets what is right. Then runs are killed at random moments until the folder is
finished, in a fresh folder again and again until there were enough kills; an undisturbed run ends each
folder. Checked after every kill: each result under its name is whole, equal byte for byte, and one that
the journal calls finished is not written again. Checked at the end of a folder: every result there,
one line per recording in the journal, nothing else left. Last, two runs at once into one folder, and
two of which one is killed. Prints what was found, writes it as JSON, exits with 1 if anything was wrong.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
JOURNAL = ".tercet-resume.jsonl"


@dataclass
class Trial:
    """One folder of recordings, what is right, and what went wrong."""

    work: Path
    options: list[str]
    n_clips: int = 0
    right: dict[str, bytes] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def complain(self, line: str) -> None:
        print(f"WRONG: {line}", flush=True)
        self.wrong.append(line)

    def start(self, out: Path, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tercet.cli.main", "listen", str(self.work / "clips")]
        return subprocess.Popen(
            [*command, "-o", str(out), "-f", "all", "--quiet", *self.options, *words],
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # so that everything it started is killed with it
        )

    def finish(self, out: Path, *words: str) -> float:
        """Run to the end; returns the seconds."""
        started = time.perf_counter()
        if code := self.start(out, *words).wait():
            self.complain(f"an undisturbed run ended with {code}")
        return time.perf_counter() - started

    def check_results(self, out: Path, when: str) -> None:
        for name, content in results(out).items():
            if self.right.get(name) != content:
                self.complain(f"{when}: {name} is not what an undisturbed run writes")

    def check_end(self, out: Path, when: str) -> None:
        self.check_results(out, when)
        if lost := self.right.keys() - results(out).keys():
            self.complain(f"{when}: lost {', '.join(sorted(lost))}")
        names = [line["name"] for line in journal(out)]
        if len(names) != self.n_clips or len(set(names)) != self.n_clips:
            self.complain(f"{when}: {len(names)} journal lines of {self.n_clips} recordings")
        if left := {path.name for path in out.iterdir()} - {*self.right, JOURNAL}:
            self.complain(f"{when}: left behind {', '.join(sorted(left))}")


def results(out: Path) -> dict[str, bytes]:
    if not out.is_dir():
        return {}
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name[0] != "."}


def journal(out: Path) -> list[dict]:
    """The lines that are whole."""
    lines = []
    if (out / JOURNAL).exists():
        for row in (out / JOURNAL).read_bytes().splitlines():
            try:
                lines.append(json.loads(row))
            except ValueError:  # torn by a kill
                continue
    return lines


def written(out: Path) -> dict[str, tuple[int, int]]:
    """Every file that the journal calls finished, with what changes when it is written again."""
    names = [name for line in journal(out) for files in line["outputs"].values() for name in files]
    stats = {name: (out / name).stat() for name in names}
    return {name: (status.st_ino, status.st_mtime_ns) for name, status in stats.items()}


def lay_out(folder: Path, count: int) -> int:
    """Copy short clips into a folder; returns how many."""
    data = Path(os.environ.get("TERCET_DATA", "../shared/data")) / "speech_en" / "librispeech"
    found = sorted(data.glob("audio/*/*.opus"), key=lambda path: path.stat().st_size)
    if not found:
        found = sorted((ROOT / "tests" / "clips").glob("*.opus"), key=lambda p: p.stat().st_size)
    folder.mkdir(parents=True)
    # Every so many of the shorter half: clips of all speakers.
    short = found[: max(count, len(found) // 2)]
    for path in short[:: max(1, len(short) // count)][:count]:
        shutil.copyfile(path, folder / path.name)
    return len(list(folder.iterdir()))


def kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def finishes_before(
    process: subprocess.Popen[bytes], out: Path, took_s: float, chance: random.Random
) -> bool:
    """Wait for a random moment, half of the time soon after a result; whether it ended before."""
    now = time.monotonic()
    until = now + chance.uniform(0.05, took_s)
    if chance.random() < 0.5:
        n_before = len(results(out))
        until = now + 2 * took_s
        while len(results(out)) == n_before and time.monotonic() < until and process.poll() is None:
            time.sleep(0.001)
        until = time.monotonic() + chance.uniform(0, 0.3)
    try:
        process.wait(timeout=max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def kill_again_and_again(trial: Trial, kills: int, took_s: float, chance: random.Random) -> dict:
    """Returns what happened, counted."""
    done = rounds = during_load = 0
    started = time.perf_counter()
    while done < kills:
        rounds += 1
        out = trial.work / f"out-{rounds}"
        while done < kills:
            before = written(out)
            process = trial.start(out, "--resume", "True")
            if finishes_before(process, out, took_s, chance):
                break
            kill(process)
            done += 1
            trial.check_results(out, f"kill {done}")
            after = written(out)
            during_load += after == before
            if any(after.get(name) != state for name, state in before.items()):
                trial.complain(f"kill {done}: a finished result was written again")
            print(f"kill {done}: {len(journal(out))} of {trial.n_clips} finished", flush=True)
        before = written(out)
        trial.finish(out, "--resume", "True")
        if any(written(out).get(name) != state for name, state in before.items()):
            trial.complain(f"folder {rounds}: a finished result was written again")
        trial.check_end(out, f"folder {rounds}")
    seconds = round(time.perf_counter() - started, 1)
    return {"kills": done, "folders": rounds, "kills_between_results": during_load, "s": seconds}


def two_at_once(trial: Trial, took_s: float, chance: random.Random) -> None:
    out = trial.work / "two"
    pair = [trial.start(out, "--resume"), trial.start(out, "--resume")]
    if any([process.wait() for process in pair]):
        trial.complain("two at once: one of them failed")
    trial.check_end(out, "two at once")
    out = trial.work / "one-of-two"
    pair = [trial.start(out, "--resume"), trial.start(out, "--resume")]
    time.sleep(chance.uniform(took_s / 3, took_s))
    kill(pair[0])
    if pair[1].wait():
        trial.complain("two at once, one killed: the other failed")
    before = written(out)
    # Where the survivor was through before the kill, the mark of the killed one is the next run's to remove.
    trial.finish(out, "--resume", "True")
    if written(out) != before:
        trial.complain("two at once, one killed: the next run wrote something again")
    trial.check_end(out, "two at once, one killed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--threads", default="2")
    parser.add_argument("--model", default="base")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default=str(ROOT / "benchmarks" / "results" / "kill_listen.json"))
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as work:
        # Small batches, so that results come one by one and not eight at a time.
        words = ["--model", options.model, "--threads", options.threads, "--batch_size", "2"]
        trial = Trial(Path(work), words)
        trial.n_clips = lay_out(trial.work / "clips", options.clips)
        took_s = trial.finish(trial.work / "right")
        trial.right = results(trial.work / "right")
        record = {"clips": trial.n_clips, "undisturbed_s": round(took_s, 1), "seed": options.seed}
        print(f"{trial.n_clips} clips, undisturbed {took_s:.1f} s, {len(trial.right)} results")
        record |= kill_again_and_again(trial, options.kills, took_s, chance)
        two_at_once(trial, took_s, chance)
        record["wrong"] = trial.wrong
    Path(options.out).write_text(json.dumps(record) + "\n", encoding="utf-8")
    print(json.dumps(record))
    sys.exit(bool(trial.wrong))


if __name__ == "__main__":
    main()
