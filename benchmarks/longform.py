"""Word error rate of joined chapters: windows heard out, by the original rules, chunked; and a peer.

usage: python benchmarks/longform.py [--every 10] [--threads 2] [--model base]
           [--systems parallel,original,chunked,hf,peer] [--chunks 15,25,30]

Chapters are those of TERCET_DATA's longform_en/recipes.jsonl (default ../shared/data), utterances joined
with 0.35 s of silence; greedy, one try at temperature 0. Prints corpus-level WER after Whisper's English
normaliser, per system. `parallel`: as `transcribe` hears. `original`: windows may end before the speech in
them does. `chunked`: `longform="chunked"`, for each length of chunks, with timestamps and without. `hf`: the
same with `match="hf"`. `peer`: faster-whisper's batched pipeline in int8, where TERCET_WHISPER_BASE names its
weights. The seconds are those of the run, on whatever else the machine does.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from unittest import mock

import jiwer
import numpy as np
from whisper_normalizer.english import EnglishTextNormalizer

import tercet
from tercet.audio.load import load
from tercet.decoding.rules import HearOut

Recordings = list[tuple[np.ndarray, str]]
GAP = np.zeros(5600, np.float32)


def chapters(every: int) -> Recordings:
    folder = Path(os.environ.get("TERCET_DATA", "../shared/data")) / "longform_en"
    lines = (folder / "recipes.jsonl").read_text(encoding="utf-8").splitlines()
    found = []
    for recipe in map(json.loads, lines[::every]):
        parts = [piece for part in recipe["parts"] for piece in (load(folder / part).read(), GAP)]
        found.append((np.concatenate(parts), recipe["text"]))
    return found


def errors(hear: Callable[[np.ndarray], str], recordings: Recordings) -> jiwer.WordOutput:
    normalise = EnglishTextNormalizer()
    heard = [normalise(hear(samples)) for samples, _ in recordings]
    return jiwer.process_words([normalise(text) for _, text in recordings], heard)


def systems(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[np.ndarray], str]]]:
    model = tercet.load_model(options.model, threads=options.threads)

    def heard_out(samples: np.ndarray, **others: object) -> str:
        return model.transcribe(samples, language="en", temperature=0.0, **others).text

    def original(samples: np.ndarray) -> str:
        with mock.patch.object(HearOut, "apply", return_value=None):
            return heard_out(samples)

    if "parallel" in options.systems:
        yield "Tercet, windows heard out", heard_out
    if "original" in options.systems:
        yield "Tercet, original rules", original
    for match in (None, "hf"):
        if (match or "chunked") in options.systems:
            for length_s, is_untimed in product(options.chunks, (False, True)):
                how = {"chunk_length_s": length_s, "without_timestamps": is_untimed, "match": match}
                name = f"Tercet, chunks of {length_s:g} s{', no times' if is_untimed else ''}"
                name += "" if match is None else ', match="hf"'
                yield name, partial(heard_out, longform="chunked", **how)
    if "peer" in options.systems and (folder := os.environ.get("TERCET_WHISPER_BASE")):
        from faster_whisper import BatchedInferencePipeline, WhisperModel

        whisper = WhisperModel(folder, compute_type="int8", cpu_threads=options.threads or 0)
        pipeline = BatchedInferencePipeline(model=whisper)
        settings = {"language": "en", "beam_size": 1, "temperature": 0.0, "batch_size": 8}

        def batched(samples: np.ndarray) -> str:
            segments, _ = pipeline.transcribe(samples, without_timestamps=False, **settings)
            return "".join(segment.text for segment in segments)

        yield "faster-whisper, batched", batched


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--model", default="base")
    names = "parallel,original,chunked,hf,peer"
    parser.add_argument("--systems", type=lambda text: text.split(","), default=names.split(","))
    parser.add_argument(
        "--chunks", type=lambda text: [float(s) for s in text.split(",")], default=[15, 25, 30]
    )
    options = parser.parse_args()
    recordings = chapters(options.every)
    seconds = sum(samples.size for samples, _ in recordings) / 16000
    print(f"{len(recordings)} chapters, {seconds / 60:.0f} minutes")
    print("| system | WER % | ins | del | sub | s |\n| --- | --- | --- | --- | --- | --- |")
    for name, hear in systems(options):
        began = time.monotonic()
        total = errors(hear, recordings)
        took_s = time.monotonic() - began
        counts = f"{total.insertions} | {total.deletions} | {total.substitutions}"
        print(f"| {name} | {100 * total.wer:.2f} | {counts} | {took_s:.0f} |", flush=True)


if __name__ == "__main__":
    main()
