"""Tercet beside faster-whisper: the same weights, audio and threads, greedy, int8, runs interleaved.

usage: python benchmarks/speed.py [--threads 2] [--repeats 5] [--out benchmarks/results/speed.json]
       python benchmarks/speed.py --readme NAME=RESULTS.json ...   writes the README's table

Needs TERCET_WHISPER_BASE (OpenAI's weights in CTranslate2's layout, for the peer; Tercet runs its shipped
8-bit copy of the same) and TERCET_DATA (default ../shared/data). Prints a table of medians and ratios to the
peer of each case, and writes it with the machine and the versions. Cases: one 30 s window of real speech with
timestamps; ten minutes against BatchedInferencePipeline, eight windows at once.

To see a lesser processor on a greater one (AVX-512 with VNNI on one with AMX), limit everybody:
TERCET_CPU=vnni ONEDNN_MAX_CPU_ISA=AVX512_CORE_VNNI MKL_ENABLE_INSTRUCTIONS=AVX512_E1. CTranslate2 is given
CT2_FORCE_CPU_ISA=AVX512, with which it is faster than by its own choice.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np

import tercet
from tercet.audio.load import load
from tercet.engine.cpu import this_cpu

GAP = np.zeros(5600, np.float32)
ENGINES = {"OpenVINO and ONNX Runtime": "openvino", "ONNX Runtime alone": "onnx"}
Run = Callable[[np.ndarray], int]


def chapter(seconds: float) -> np.ndarray:
    """Consecutive utterances of one chapter, joined with 0.35 s of silence."""
    folder = Path(os.environ.get("TERCET_DATA", "../shared/data")) / "longform_en"
    recipes = [json.loads(line) for line in (folder / "recipes.jsonl").open(encoding="utf-8")]
    longest = max(recipes, key=lambda recipe: recipe["duration_s"])
    parts: list[np.ndarray] = []
    while sum(part.size for part in parts) < seconds * 16000:
        parts += [load(folder / longest["parts"][len(parts) // 2]).read(), GAP]
    return np.concatenate(parts)[: int(seconds * 16000)]


def tercet_run(model: tercet.Model) -> Run:
    """Greedy, one attempt; returns the number of text tokens."""

    def run(audio: np.ndarray) -> int:
        heard = model.transcribe(audio, language="en", temperature=0.0)
        return sum(len(segment.tokens) for segment in heard.segments)

    return run


def faster_whisper_run(folder: str, threads: int, *, batched: bool) -> Run:
    """The peer at its best greedy settings."""
    os.environ.setdefault("CT2_FORCE_CPU_ISA", "AVX512")  # read when it is imported
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    model = WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=threads)
    settings = {"language": "en", "beam_size": 1, "temperature": 0.0, "without_timestamps": False}
    if batched:
        pipeline = BatchedInferencePipeline(model=model)

        def run_batched(audio: np.ndarray) -> int:
            segments, _ = pipeline.transcribe(audio, batch_size=8, **settings)
            return sum(len(segment.tokens) for segment in segments)

        return run_batched

    def run(audio: np.ndarray) -> int:
        segments, _ = model.transcribe(audio, condition_on_previous_text=False, **settings)
        return sum(len(segment.tokens) for segment in segments)

    return run


def measure(runs: dict[str, Run], audio: np.ndarray, repeats: int) -> dict[str, dict[str, float]]:
    """Interleaved runs after one warm-up each: median and fastest seconds, tokens written."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    tokens = {name: run(audio) for name, run in runs.items()}
    for _ in range(repeats):
        for name, run in runs.items():
            started = time.perf_counter()
            run(audio)
            seconds[name].append(time.perf_counter() - started)
    return {
        name: {"median_s": statistics.median(s), "min_s": min(s), "tokens": tokens[name]}
        for name, s in seconds.items()
    }


def cases(threads: int, folder: str) -> Iterator[tuple[str, float, dict[str, Run]]]:
    """(name, seconds of audio, runs); what is made for one case is let go before the next."""
    whisper = {"faster-whisper": faster_whisper_run(folder, threads, batched=False)}
    ours = {
        f"tercet, {name}": tercet_run(tercet.load_model("base", threads=threads, engine=engine))
        for name, engine in ENGINES.items()
    }
    yield "one 30 s window", 30.0, whisper | ours
    batched = {"faster-whisper, batched": faster_whisper_run(folder, threads, batched=True)}
    yield "ten minutes", 600.0, batched | ours


def machine(threads: int) -> dict[str, object]:
    """What the figures depend on, beside the code."""
    packages = ("tercet", "onnxruntime", "openvino", "faster-whisper", "ctranslate2")
    limits = ("TERCET_CPU", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "CT2_FORCE_CPU_ISA")
    return {
        "cpu": this_cpu().kind,
        "name": this_cpu().name,
        "threads": threads,
        "environment": {name: os.environ[name] for name in limits if name in os.environ},
        "versions": {name: version(name) for name in packages},
    }


def readme_table(specs: list[str]) -> str:
    """One column of ratios per machine, one row per case and engine."""
    found = {}
    for spec in specs:
        name, path = spec.split("=", 1)
        found[name] = json.loads(Path(path).read_text(encoding="utf-8"))["cases"]
    lines = [
        "| case | engine | " + " | ".join(found) + " |",
        "| --- | --- |" + " --- |" * len(found),
    ]
    for case, systems in next(iter(found.values())).items():
        peer, *ours = systems
        for name in ours:
            cells = []
            for rows in found.values():
                own, other = rows[case][name], rows[case][peer]
                cells.append(
                    f"**{own['ratio']:.2f}** ({own['median_s']:.1f} s / {other['median_s']:.1f} s)"
                )
            lines.append(f"| {case} | {name.removeprefix('tercet, ')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_readme(specs: list[str]) -> None:
    readme = Path(__file__).resolve().parent.parent / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition("<!-- speed: written by benchmarks/speed.py -->\n")
    _, end, after = rest.partition("<!-- end of speed -->")
    readme.write_text(f"{before}{begin}{readme_table(specs)}\n{end}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", default="benchmarks/results/speed.json")
    parser.add_argument("--readme", nargs="+", metavar="NAME=RESULTS.json")
    options = parser.parse_args()
    if options.readme:
        write_readme(options.readme)
        return
    folder = os.environ.get("TERCET_WHISPER_BASE")
    if not folder:
        parser.exit(2, "TERCET_WHISPER_BASE names no folder with OpenAI's weights\n")
    record = machine(options.threads) | {"repeats": options.repeats, "cases": {}}
    print("| case | system | median s | fastest s | x real time | tokens | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for case, seconds, runs in cases(options.threads, folder):
        found = measure(runs, chapter(seconds), options.repeats)
        record["cases"][case] = found
        peer = next(iter(found.values()))["median_s"]
        for name, row in found.items():
            row["ratio"] = row["median_s"] / peer
            figures = (
                f"{row['median_s']:.2f} | {row['min_s']:.2f} | {seconds / row['median_s']:.1f}"
            )
            print(f"| {case} | {name} | {figures} | {row['tokens']:.0f} | {row['ratio']:.2f} |")
    Path(options.out).parent.mkdir(parents=True, exist_ok=True)
    Path(options.out).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
