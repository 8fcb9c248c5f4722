"""Word error rate of joined chapters, with windows heard out (`HearOut`) and by the original rules.

usage: python benchmarks/longform.py [--every 10] [--threads 2] [--model base]

Chapters are those of TERCET_DATA's longform_en/recipes.jsonl (default ../shared/data), utterances joined
with 0.35 s of silence; greedy, one try at temperature 0. Prints corpus-level WER after Whisper's English
normaliser, per rule.
"""

import argparse
import json
import os
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import jiwer
import numpy as np
from whisper_normalizer.english import EnglishTextNormalizer

import tercet
from tercet.audio.load import load
from tercet.decoding.rules import HearOut

GAP = np.zeros(5600, np.float32)


def chapters(every: int) -> list[tuple[np.ndarray, str]]:
    folder = Path(os.environ.get("TERCET_DATA", "../shared/data")) / "longform_en"
    lines = (folder / "recipes.jsonl").read_text(encoding="utf-8").splitlines()
    found = []
    for recipe in map(json.loads, lines[::every]):
        parts = [piece for part in recipe["parts"] for piece in (load(folder / part).read(), GAP)]
        found.append((np.concatenate(parts), recipe["text"]))
    return found


def measure(model: tercet.Model, recordings: list[tuple[np.ndarray, str]]) -> jiwer.WordOutput:
    normalise = EnglishTextNormalizer()
    heard = [
        model.transcribe(samples, language="en", temperature=0.0).text for samples, _ in recordings
    ]
    references = [normalise(text) for _, text in recordings]
    return jiwer.process_words(references, [normalise(text) for text in heard])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--model", default="base")
    options = parser.parse_args()
    recordings = chapters(options.every)
    model = tercet.load_model(options.model, threads=options.threads)
    seconds = sum(samples.size for samples, _ in recordings) / 16000
    print(f"{len(recordings)} chapters, {seconds / 60:.0f} minutes")
    print("| rule | WER % | ins | del | sub |\n| --- | --- | --- | --- | --- |")
    for name, is_off in (("heard out", False), ("original", True)):
        switched_off = mock.patch.object(HearOut, "apply", return_value=None)
        with switched_off if is_off else nullcontext():
            total = measure(model, recordings)
        counts = f"{total.insertions} | {total.deletions} | {total.substitutions}"
        print(f"| {name} | {100 * total.wer:.2f} | {counts} |", flush=True)


if __name__ == "__main__":
    main()
