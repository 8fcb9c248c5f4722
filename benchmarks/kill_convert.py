"""kill -9 of `tercet convert` at random moments: what lies under the folder's name is whole every time.

usage: python benchmarks/kill_convert.py [SOURCE] [--kills N] [--seed N]

SOURCE is what `tercet convert` takes, default base. Half of the runs begin with no folder, half replace
an older one (another number type). Half of the moments are drawn from the whole run, half from its last
fifth, in which the folder gets its name. After each kill the folder must be absent (where there was
none), the old one or the new one, byte for byte; a run that is not killed must then succeed and leave
nothing beside it. The last line is JSON.
"""

import argparse
import hashlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

Content = dict[str, str]  # file name -> SHA-256
OLD_TYPE = "float16"


def command(source: str, folder: Path, *options: str) -> list[str]:
    program = [sys.executable, "-m", "tercet.cli.main", "convert"]
    return [*program, source, str(folder), "--quiet", *options]


def content(folder: Path) -> Content | None:
    if not folder.exists():
        return None
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def killed(words: list[str], after_s: float) -> bool:
    """Run a command and kill it; False where it was through before."""
    with subprocess.Popen(words) as process:
        try:
            process.wait(timeout=after_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return True
        if process.returncode:
            raise SystemExit(f"{' '.join(words)}: exit code {process.returncode}")
        return False


def moment_s(chance: random.Random, run_s: float) -> float:
    return chance.uniform(0, run_s) if chance.random() < 0.5 else chance.uniform(0.8, 1.05) * run_s


def one_kill(source: str, place: Path, old: Path | None, after_s: float) -> tuple[bool, str]:
    """(killed in time, what lies there: "none", "old", "new")."""
    folder = place / "out"
    shutil.rmtree(folder, ignore_errors=True)
    if old is not None:
        shutil.copytree(old, folder)
    was_killed = killed(command(source, folder, "--force"), after_s)
    found = content(folder)
    whole = {"none": None, "old": content(place / "old"), "new": content(place / "new")}
    state = next((name for name, expected in whole.items() if found == expected), "broken")
    if state == "broken" or (state == "none" and old) or (state == "old" and not old):
        raise SystemExit(f"killed after {after_s:.3f} s: {state}, {folder} holds {found}")
    return was_killed, state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="?", default="base")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="tercet-kill-") as name:
        place = Path(name)
        subprocess.run(
            command(options.source, place / "old", "--compute_type", OLD_TYPE), check=True
        )
        began_s = time.monotonic()
        subprocess.run(command(options.source, place / "new"), check=True)
        run_s = time.monotonic() - began_s
        left = {"none": 0, "old": 0, "new": 0}
        kills = leftovers = 0
        while kills < options.kills:
            old = place / "old" if kills % 2 else None
            was_killed, state = one_kill(options.source, place, old, moment_s(chance, run_s))
            kills += was_killed
            left[state] += was_killed
            leftovers += any(path.name.startswith(".") for path in place.iterdir())
        subprocess.run(command(options.source, place / "out", "--force"), check=True)
        beside = sorted(path.name for path in place.iterdir())
        if content(place / "out") != content(place / "new") or beside != ["new", "old", "out"]:
            raise SystemExit(f"the run after the kills left {beside}")
    print(
        f"{kills} kills within {run_s:.2f} s: {left['none']} before the first folder, {left['old']} "
    )
    print(
        f"with the old folder, {left['new']} with the new one, 0 broken; {leftovers} left something"
    )
    print("beside it, which the next run cleared away")
    figures = {"kills": kills, "left": left, "leftovers": leftovers, "run_s": round(run_s, 2)}
    print(json.dumps({"source": options.source, "broken": 0, **figures}))


if __name__ == "__main__":
    main()
