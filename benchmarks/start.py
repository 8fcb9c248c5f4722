"""How long Tercet takes to be there: import, `tercet --version`, loading base, the first words.

usage: python benchmarks/start.py [--repeats 7] [--out benchmarks/results/start.json]

Each run is a fresh process with warm file caches; prints medians and writes them.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import tercet
from tercet.engine.cpu import this_cpu

CLIP = Path(__file__).resolve().parent.parent / "examples" / "o_pioneers.opus"
TIMED = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"
INSIDE = {  # seconds that the process itself counts
    "import tercet": "import tercet",
    "load_model('base')": "import tercet; tercet.load_model('base')",
    "load_model('base', engine='onnx')": "import tercet; tercet.load_model('base', engine='onnx')",
}
WHOLE = {  # seconds from starting the process to its end
    "tercet --version": ["--version"],
    "tercet listen, the example": ["listen", str(CLIP), "--quiet"],
}


def inside(code: str) -> float:
    command = [sys.executable, "-c", TIMED.format(code)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def whole(words: list[str]) -> float:
    command = [sys.executable, "-m", "tercet.cli.main", *words]
    started = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", default="benchmarks/results/start.json")
    options = parser.parse_args()
    cases = {name: lambda code=code: inside(code) for name, code in INSIDE.items()}
    cases |= {name: lambda words=words: whole(words) for name, words in WHOLE.items()}
    found = {}
    print("| | median s | fastest s |\n| --- | --- | --- |")
    for name, run in cases.items():
        run()
        seconds = [run() for _ in range(options.repeats)]
        found[name] = {"median_s": statistics.median(seconds), "min_s": min(seconds)}
        print(
            f"| {name} | {found[name]['median_s']:.2f} | {found[name]['min_s']:.2f} |", flush=True
        )
    record = {"cpu": this_cpu().kind, "cores": this_cpu().cores, "tercet": tercet.__version__}
    text = json.dumps(record | {"cases": found}, indent=1)
    Path(options.out).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
