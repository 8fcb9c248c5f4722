"""What all three readings cost: beside text alone, and beside the three systems that they come from.

usage: python benchmarks/three_readings.py own [--threads 2] [--rounds 7] [--head shipped|TL-Tr|WA-Tr]
           [--cases window,long,readings,parts]
       python benchmarks/three_readings.py originals [--threads 2] [--rounds 7] [--long-rounds 3]
           [--cases window,long]

Real speech of TERCET_DATA (default ../shared/data), as in speed.py: one window of 30 s, and ten minutes.
Greedy, English given. Runs take turns; medians, and the ratio of each round with its quartiles; seconds
on the wall, and of CPU time, which other programs on the machine trouble less.

own: `transcribe` of base without heads against `listen` of base with its own (shipped), or with larger
random ones: a tag head projected to 256 with 50 labels, a score every 0.4 s from 2 s (TL-Tr: 3.5 MB in
float16; WA-Tr: 3.7 MB in float32), and Ichigo's quantizer at base's width, MLP of 2048, 2561 codes (7.0
MB in int8).
`readings` adds one after the other, `parts` times the encoder with and without taps and both heads, all in
one window of 30 s. Writes results/three_readings.json; cases that are not measured again keep their
figures (also below).

originals: openai-whisper's `transcribe`, whisper-at's with at_time_res=10 and ichigo_asr's `quantize`, one
after the other, in float32, against one `listen` of ours with the same heads (TL-Tr for AudioSet's labels,
6.6 M numbers; the same quantizer in float32) and the shipped 8-bit copy of the same Whisper. Needs
TERCET_WHISPER_BASE, and the originals' packages; how they are installed and what stands in for what they
lack is told in originals/systems.py. Writes results/three_readings_originals.json. On a machine that
others use, set OMP_WAIT_POLICY=PASSIVE: torch's threads that wait for each other spin otherwise, and
the originals take five times as long as they must.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from interleaved import Times, interleaved, ratio
from made_heads import larger_tag_head, mode_head, quantizer
from speed import chapter, machine

import tercet
from tercet.audio.convention import SHARED, window_mel
from tercet.convert.head_store import write_head
from tercet.longform.ear import TagWindows, frame_scores

SETTINGS = {"language": "en", "temperature": 0.0}
RESULTS = Path(__file__).resolve().parent / "results"
LENGTHS_S = {"window": 30.0, "long": 600.0}
FRAMES = 75  # taps of 30 s
Runs = dict[str, Callable[[], object]]


def shipped_models(folder: Path, threads: int, head: str) -> tuple[tercet.Model, tercet.Model]:
    """Base as text alone would have it, and base with its heads, or with larger ones.

    Both have the same decoder: of two equal ones, one may lie better in memory by some percent.
    """
    heads = {}
    if head != "shipped":
        tag_type = "float16" if head == "TL-Tr" else "float32"
        write_head(folder / "tags.safetensors", larger_tag_head(head), compute_type=tag_type)
        write_head(folder / "codes.safetensors", quantizer(), compute_type="int8")
        heads = {"tags": folder / "tags.safetensors", "tokens": folder / "codes.safetensors"}
    full = tercet.load_model("base", threads=threads, **heads)
    plain = tercet.load_model("base", threads=threads, tags="none", tokens="none")
    alone = tercet.Model(
        "base",
        plain._instruments.encoder,
        full._instruments.decoder,
        full.tokenizer,
        batch_size=full._instruments.batch_size,
        overlap=full._instruments.overlap,
    )
    return alone, full


def alone_runs(alone: tercet.Model, full: tercet.Model, audio: np.ndarray) -> Runs:
    """The figure that is promised. What comes first is what the others are held against."""
    return {
        "text, no heads": partial(alone.transcribe, audio, **SETTINGS),
        "all three": partial(full.listen, audio, **SETTINGS),
    }


def reading_runs(alone: tercet.Model, full: tercet.Model, audio: np.ndarray) -> Runs:
    """What each reading adds, on the same model."""
    return {
        "text": partial(full.transcribe, audio, **SETTINGS),
        "text and tags": partial(full.listen, audio, only=("text", "tags"), **SETTINGS),
        "text and tokens": partial(full.listen, audio, only=("text", "tokens"), **SETTINGS),
        "all three": partial(full.listen, audio, **SETTINGS),
    }


def part_runs(alone: tercet.Model, full: tercet.Model, audio: np.ndarray) -> Runs:
    """The work per window, each piece by itself."""
    plain, tapped = alone._instruments.encoder, full._instruments.encoder
    tags, codes = full._instruments.tags, full._instruments.codes
    mel = window_mel(audio, SHARED, n_mels=80, floor_max=None)
    heard = tapped.encode(mel, real_frames=1500)
    taps = np.asarray(heard.taps)
    window, hop = tags.head.window_frames, tags.head.hop_frames
    kept = np.concatenate([taps[:, -(window - hop) :], taps], axis=1) if window > hop else taps
    windows = np.arange(0, FRAMES, hop)[:, None] + np.arange(window)
    how = TagWindows(window_frames=window, hop_frames=hop, row_frames=hop)
    return {
        "encoder, no taps": partial(plain.encode, mel, real_frames=1500),
        "encoder with taps": partial(tapped.encode, mel, real_frames=1500),
        "tag head": partial(tags.scorer.score, kept, windows),
        "tag head and its bookkeeping": lambda: frame_scores(tags, how).push(taps),
        "quantizer": partial(codes.coder.encode, heard.states),
        "log-mel": partial(window_mel, audio, SHARED, n_mels=80, floor_max=None),
    }


OWN = {"window": alone_runs, "long": alone_runs, "readings": reading_runs, "parts": part_runs}


def row(times: Times, base: Times) -> dict[str, object]:
    return {
        "median_s": times.median_s,
        "median_cpu_s": times.median_cpu_s,
        "ratio": ratio(times.wall_s, base.wall_s),
        "cpu_ratio": ratio(times.cpu_s, base.cpu_s),
        "wall_s": times.wall_s,
        "cpu_s": times.cpu_s,
    }


def told(case: str, name: str, found: dict[str, object]) -> str:
    wall, cpu = found["ratio"], found["cpu_ratio"]
    return (
        f"| {case} | {name} | {found['median_s']:.3f} | {wall['median']:.3f} ({wall['quarter']:.3f} to "
        f"{wall['three_quarters']:.3f}) | {found['median_cpu_s']:.3f} | {cpu['median']:.3f} "
        f"({cpu['quarter']:.3f} to {cpu['three_quarters']:.3f}) |"
    )


def own(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, dict[str, object]]]]:
    with tempfile.TemporaryDirectory() as name:
        alone, full = shipped_models(Path(name), options.threads, options.head)
    for case in options.cases.split(","):
        audio = chapter(LENGTHS_S.get(case, 30.0))
        runs = OWN[case](alone, full, audio)
        found = interleaved(runs, options.rounds if case == "long" else 3 * options.rounds)
        first = next(iter(found.values()))
        yield f"{case}, {options.head}", {n: row(times, first) for n, times in found.items()}


def originals(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, dict[str, object]]]]:
    from originals.systems import INSTALL, PACKAGES, open_originals

    weights = os.environ.get("TERCET_WHISPER_BASE")
    if not weights or not PACKAGES.is_dir():
        raise SystemExit(f"give TERCET_WHISPER_BASE, and install the originals:\n  {INSTALL}")
    tags, codes = mode_head("TL-Tr", 512, 6), quantizer()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_head(folder / "tags.safetensors", tags)
        write_head(folder / "codes.safetensors", codes)
        heads = {"tags": folder / "tags.safetensors", "tokens": folder / "codes.safetensors"}
        model = tercet.load_model("base", threads=options.threads, **heads)
        theirs = open_originals(weights, tags, codes, folder, options.threads)
    for case in options.cases.split(","):
        audio = chapter(LENGTHS_S[case])
        if case == "window":
            print(agreement(model, theirs, audio))
        runs: Runs = {name: partial(run, audio) for name, run in theirs.items()}
        runs["tercet, all three"] = partial(model.listen, audio, **SETTINGS)
        rounds = options.rounds if case == "window" else options.long_rounds
        found = interleaved(runs, rounds, is_warm=case == "long")
        together = added([found[name] for name in theirs])
        yield case, {name: row(times, together) for name, times in found.items()}


def added(parts: list[Times]) -> Times:
    """One after the other, round by round."""
    return Times(
        [sum(each) for each in zip(*(part.wall_s for part in parts), strict=True)],
        [sum(each) for each in zip(*(part.cpu_s for part in parts), strict=True)],
    )


def agreement(
    model: tercet.Model, theirs: dict[str, Callable[[np.ndarray], object]], audio: np.ndarray
) -> str:
    """That both sides do the same work: what they heard in one window, side by side."""
    heard = model.listen(audio, **SETTINGS)
    text = str(theirs["openai-whisper"](audio)["text"])
    logits = theirs["whisper-at"](audio)["audio_tag"].numpy()
    codes = theirs["ichigo_asr"](audio)[0]
    same = float(np.mean(np.asarray(heard.speech_tokens.ids) == codes))
    # Its last row is another window's: it decodes the end once more and writes over what it had.
    scores = 1 / (1 + np.exp(-logits[:-1]))
    apart = float(np.abs(np.asarray(heard.tags.frames)[::25][: len(scores)] - scores).max())
    return (
        f"words: {len(heard.text.split())}, theirs {len(text.split())}; codes that are equal: {same:.3f}; "
        f"largest difference of a score: {apart:.4f}; encoder passes of ours: {heard.encoder_passes}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["own", "originals"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7, help="three times as many for one window")
    parser.add_argument("--long-rounds", type=int, default=3)
    parser.add_argument("--head", choices=["shipped", "TL-Tr", "WA-Tr"], default="shipped")
    parser.add_argument("--cases")
    parser.add_argument("--out")
    options = parser.parse_args()
    is_own = options.what == "own"
    options.cases = options.cases or ("window,long,readings,parts" if is_own else "window,long")
    name = "three_readings.json" if is_own else "three_readings_originals.json"
    out = Path(options.out or RESULTS / name)
    record = machine(options.threads) | {"cases": earlier(out, options.threads)}
    print("| case | run | median s | ratio (quartiles) | CPU s | ratio (quartiles) |")
    print("| --- | --- | --- | --- | --- | --- |")
    before = os.getloadavg()
    for case, rows in (own if is_own else originals)(options):
        load = {"before": before, "after": os.getloadavg()}
        waiting = os.environ.get("OMP_WAIT_POLICY", "")
        record["cases"][case] = {"load": load, "omp_wait_policy": waiting, "runs": rows}
        for run, found in rows.items():
            print(told(case, run, found), flush=True)
        before = os.getloadavg()
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def earlier(out: Path, threads: int) -> dict[str, object]:
    """The cases that were measured before, if the machine and the versions were the same."""
    if not out.exists():
        return {}
    record = json.loads(out.read_text(encoding="utf-8"))
    cases = record.pop("cases")
    return cases if record == machine(threads) else {}


if __name__ == "__main__":
    main()
