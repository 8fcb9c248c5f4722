"""Short recordings heard as long as they are: words and time beside 30 s of padding, and beside a peer.

usage: python benchmarks/true_length.py ADAPTER [--model base] [--weights FOLDER] [--only padded,adapted]
       [--longest_s 10] [--every 1] [--rounds 3] [--out RESULT.json]

Systems: `padded` (the model as it is), `cut` (the same model given windows without padding, which it never
learnt), `adapted` (with ADAPTER, at the windows' own length), and, with --weights (a CTranslate2 folder of
the same model), `faster-whisper`. All hear English, greedy, without fallback, and no voice filter.

Recordings: LibriSpeech speakers ending in 9 and speechocean762 speakers ending in 9, up to --longest_s, one
of --every. Words are counted once; time is that of all recordings of a set in batches of 8, the median of
interleaved rounds, none with --rounds 0 (faster-whisper has no batches for separate files).
"""

import argparse
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from interleaved import interleaved, ratio

import tercet
from tercet.audio.load import load
from tercet.evaluate.word_errors import Utterance, word_errors
from tercet.listener import Model

DATA = Path(os.environ.get("TERCET_DATA", "../shared/data"))
SETS = ("speech_en/librispeech", "speech_en/speechocean762")
OPTIONS = {"language": "en", "temperature": 0.0, "vad_filter": False, "gate": False}
Write = Callable[[list[np.ndarray]], list[str]]


def recordings(folder: str, longest_s: float, every: int) -> tuple[list[np.ndarray], list[str]]:
    """Sound and text of held-out speakers."""
    lines = (DATA / folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["speaker"].endswith("9")]
    chosen = [row for row in rows if row["duration_s"] <= longest_s][::every]
    sounds = [load(DATA / folder / row["path"]).read() for row in chosen]
    return sounds, [row["text"] for row in chosen]


def of_model(model: Model) -> Write:
    def write(sounds: list[np.ndarray]) -> list[str]:
        texts = [""] * len(sounds)
        for index, heard in model.transcribe_many(sounds, **OPTIONS):
            texts[index] = heard.text
        return texts

    return write


def without_padding(name: str) -> Write:
    """The model as it is, told that it can do what it cannot."""
    plain = tercet.load_model(name, tags="none", tokens="none")
    parts = plain._instruments
    cut = Model(name, parts.encoder, parts.decoder, parts.tokenizer, batch_size=8, true_length=True)
    return of_model(cut)


def of_faster_whisper(weights: str) -> Write:
    from faster_whisper import WhisperModel

    model = WhisperModel(weights, device="cpu", compute_type="int8")

    def write(sounds: list[np.ndarray]) -> list[str]:
        texts = []
        for sound in sounds:
            segments, _ = model.transcribe(sound, language="en", beam_size=1, temperature=0.0)
            texts.append("".join(segment.text for segment in segments))
        return texts

    return write


def systems(options: argparse.Namespace) -> dict[str, Write]:
    heads = {"tags": "none", "tokens": "none"}
    known: dict[str, Callable[[], Write]] = {
        "padded": lambda: of_model(tercet.load_model(options.model, **heads)),
        "cut": lambda: without_padding(options.model),
        "adapted": lambda: of_model(
            tercet.load_model(options.model, adapter=options.adapter, **heads)
        ),
    }
    if options.weights:
        known["faster-whisper"] = lambda: of_faster_whisper(options.weights)
    wanted = options.only.split(",") if options.only else list(known)
    return {name: known[name]() for name in wanted}


def measure(
    found: dict[str, Write], sounds: list[np.ndarray], texts: list[str], rounds: int
) -> dict[str, dict[str, float]]:
    """Word errors of each system, and its times relative to the first one's."""
    results: dict[str, dict[str, float]] = {}
    for name, write in found.items():
        pairs = [
            Utterance(text, each, "en") for text, each in zip(texts, write(sounds), strict=True)
        ]
        counted = word_errors(pairs)
        results[name] = {"wer": counted.rate, "words": counted.words}
    if not rounds:
        return results
    runs = {name: partial(write, sounds) for name, write in found.items()}
    times = interleaved(runs, rounds, is_warm=True)
    first = next(iter(times.values()))
    for name, each in times.items():
        relative = ratio(each.wall_s, first.wall_s)
        results[name] |= {"seconds": each.median_s, **relative}
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("adapter")
    parser.add_argument("--model", default="base")
    parser.add_argument("--weights")
    parser.add_argument("--only")
    parser.add_argument("--longest_s", type=float, default=10.0)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found = systems(options)
    results = {}
    for folder in SETS:
        sounds, texts = recordings(folder, options.longest_s, options.every)
        hours = sum(each.size for each in sounds) / 16000 / 3600
        results[folder] = measure(found, sounds, texts, options.rounds)
        print(f"\n{folder}: {len(sounds)} recordings, {hours * 60:.1f} minutes")
        print("| | WER | time, relative |\n| --- | --- | --- |")
        for name, each in results[folder].items():
            relative = f"{each['median']:.2f}" if "median" in each else ""
            print(f"| {name} | {100 * each['wer']:.2f} % | {relative} |", flush=True)
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
