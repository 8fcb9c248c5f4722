"""Tercet beside faster-whisper: the same weights, audio and threads, greedy, int8, runs interleaved.

usage: python benchmarks/speed.py [--threads 2] [--repeats 5] [--out benchmarks/results/speed.json]

Needs TERCET_WHISPER_BASE (OpenAI's weights in CTranslate2's layout, for the peer; Tercet runs its shipped
8-bit copy of the same) and TERCET_DATA (default ../shared/data). Prints a table of medians and ratios, then
one JSON line. Cases: `window`, one 30 s window of real speech with timestamps; `chapter`, five minutes
against BatchedInferencePipeline.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

import tercet
from tercet.audio.load import load

GAP = np.zeros(5600, np.float32)
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


def cpu_kind() -> str:
    """Which matrix instructions this CPU has."""
    listing = Path("/proc/cpuinfo")
    flags = listing.read_text(encoding="utf-8") if listing.exists() else ""
    return "AMX" if "amx_int8" in flags else "VNNI" if "avx512_vnni" in flags else "neither"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", default="benchmarks/results/speed.json")
    options = parser.parse_args()
    folder = os.environ.get("TERCET_WHISPER_BASE")
    if not folder:
        parser.exit(2, "TERCET_WHISPER_BASE names no folder with OpenAI's weights\n")
    ours = tercet.load_model("base", threads=options.threads)
    packages = ("tercet", "onnxruntime", "faster-whisper", "ctranslate2")
    record: dict[str, object] = {
        "cpu": cpu_kind(),
        "machine": platform.machine(),
        "threads": options.threads,
        "repeats": options.repeats,
        "versions": {name: version(name) for name in packages},
    }
    print("| case | system | median s | x real time | tokens | ratio |")
    print("| --- | --- | --- | --- | --- | --- |")
    for case, seconds in (("window", 30.0), ("chapter", 300.0)):
        audio = chapter(seconds)
        peer = faster_whisper_run(folder, options.threads, batched=case == "chapter")
        found = measure(
            {"faster-whisper": peer, "tercet": tercet_run(ours)}, audio, options.repeats
        )
        record[case] = found
        base = found["faster-whisper"]["median_s"]
        for name, row in found.items():
            median_s, tokens = row["median_s"], row["tokens"]
            figures = f"{median_s:.2f} | {seconds / median_s:.1f} | {tokens:.0f}"
            print(f"| {case} | {name} | {figures} | {median_s / base:.2f} |")
    text = json.dumps(record)
    print(text)
    Path(options.out).parent.mkdir(parents=True, exist_ok=True)
    Path(options.out).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
