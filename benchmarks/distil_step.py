"""A step of distillation against the original's, rebuilt on transformers: time, and peak memory.

usage: python benchmarks/distil_step.py [--lengths 110,220] [--batch 4] [--rounds 11] [--threads 2]
           [--recompute]

The teacher is base (TERCET_WHISPER_BASE, a folder of its weights; without it, random weights of its
shape), the student has its encoder, frozen, and its first and last decoder layer. One batch of windows of
30 s, every text as long as said. The original's step is Distil-Whisper's PyTorch script's: texts padded to
448, both networks' logits of all positions, divergence and cross-entropy in full, AdamW, clipped gradients;
the encoder runs once, in both. A third run takes states that were kept (`data.cached`). Both losses of
the first step have to agree. Times: rounds in turn in one process. Memory: the largest resident set of a
process of its own that makes two steps. Writes benchmarks/results/distil_step.json; with --recompute
both recompute their decoder blocks (gradient checkpointing), into the same file under another name.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from interleaved import interleaved, ratio
from originals.distillation import OriginalStep, first_and_last, random_base

from tercet.checkpoint import open_checkpoint
from tercet.checkpoint.save import save_hugging_face
from tercet.loading import tokenizer_of
from tercet.model import load_torch
from tercet.train.devices import open_fabric, quiet
from tercet.train.recipe import LoopRecipe
from tercet.train.steps import Stepper
from tercet.train.text.data import Batch
from tercet.train.text.held_out import HeldOut
from tercet.train.text.recipe import DataRecipe, PartsRecipe, SetRecipe, TextRecipe
from tercet.train.text.task import Networks, TextTask

RESULTS = Path(__file__).resolve().parent / "results" / "distil_step.json"
LR = 1e-4
CLIP = 1.0
VOCABULARY = 50257  # ordinary text; specials are above
START = (50258, 50259, 50359, 50363)  # English, transcribed, without timestamps
END = 50257
OWN, CACHED, ORIGINAL = "own", "own, states kept", "original"


def own_step(folder: Path, batch: Batch, args: Any, *, is_cached: bool) -> Callable[[], float]:
    """The training loop's own step (`train.steps.Stepper` around `TextTask`)."""
    student, teacher = (open_checkpoint(folder / name) for name in ("student", "teacher"))
    encoder, decoder = load_torch(student, dtype="float32", taps=False)
    _, its_decoder = load_torch(teacher, dtype="float32", taps=False)
    loop = LoopRecipe(batch_size=args.batch, lr=LR, clip_norm=CLIP, accelerator="cpu")
    recipe = TextRecipe(
        student="student",
        data=DataRecipe(sets=(SetRecipe(labels="none"),), cached=is_cached),
        learns=PartsRecipe(positions=True),  # as the original's
        recompute=args.recompute,
        valid_words=0,
        loop=loop,
    )
    if is_cached:
        with torch.no_grad():  # not inference_mode: its tensors cannot be saved for gradients
            batch = batch._replace(sound=encoder.module(batch.sound))
    networks = Networks(
        student=decoder.module,
        teacher=its_decoder.module,
        encoder=None if is_cached else encoder.module,
    )
    task = TextTask(networks, recipe, tokenizer_of(student), student.geometry, HeldOut((), 0))
    with quiet():
        stepper = Stepper(open_fabric(loop), task, loop)
    task.train()
    batches, done = repeat(list(batch)), iter(range(10**6))

    def step() -> float:
        number = next(done)
        figures = stepper.compute(batches, number)
        stepper.apply(number, 10**6)
        return figures.loss

    return step


def write_pair(folder: Path, base: str | None) -> bool:
    """`teacher` and `student` in Hugging Face's layout; returns whether they have base's weights."""
    if base is None:
        random_base(folder / "teacher")
    else:
        teacher = open_checkpoint(Path(base))
        save_hugging_face(
            teacher, folder / "teacher", dtype="float32", tokenizer_file=teacher.tokenizer_file
        )
    first_and_last(folder)
    return base is not None


def batch_of(rows: int, length: int) -> Batch:
    """Random windows and texts: `length` ids are asked for in every row."""
    random = torch.Generator().manual_seed(1)
    sound = torch.randn(rows, 80, 3000, generator=random)
    words = torch.randint(VOCABULARY, (rows, length - len(START)), generator=random)
    start = torch.tensor(START).expand(rows, -1)
    text = torch.cat([start, words, torch.full((rows, 1), END)], 1)
    return Batch(torch.arange(rows), sound, text[:, :-1].clone(), text[:, 1:].clone())


def steps(folder: Path, length: int, args: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Each run by its name, ready to make steps."""
    batch = batch_of(args.batch, length)
    made: dict[str, Any] = {}
    for name in names:
        if name == ORIGINAL:
            made[name] = OriginalStep(
                folder,
                batch.sound,
                batch.inputs,
                batch.targets,
                lr=LR,
                clip=CLIP,
                recompute=args.recompute,
            )
        else:
            made[name] = own_step(folder, batch, args, is_cached=name == CACHED)
    return made


def peak_mb(folder: Path, length: int, args: Any, name: str) -> float:
    """Of a process of its own."""
    given = SimpleNamespace(
        batch=args.batch,
        threads=args.threads,
        recompute=args.recompute,
        folder=str(folder),
        length=length,
    )
    command = [sys.executable, __file__, "--alone", name, "--given", json.dumps(vars(given))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def alone(name: str, given: Any) -> None:
    """Two steps, so that the optimizer's state is there; prints the peak."""
    torch.set_num_threads(given.threads)
    (step,) = steps(Path(given.folder), given.length, given, (name,)).values()
    step()
    step()
    print(high_water_mb())


def high_water_mb() -> float:
    """This process's largest resident set. Linux hands `ru_maxrss` down from the process that started it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("peak memory needs Linux's /proc/self/status")


def measure(folder: Path, length: int, args: Any) -> dict[str, Any]:
    """Times and memory of all three at one length."""
    names = (OWN, CACHED, ORIGINAL)
    runs = steps(folder, length, args, names)
    losses = {name: run() for name, run in runs.items()}
    if max(losses.values()) - min(losses.values()) > 1e-3 * losses[ORIGINAL]:
        raise SystemExit(f"the first steps' losses differ: {losses}")
    times = interleaved(runs, args.rounds, is_warm=True)
    runs.clear()
    peaks = {name: peak_mb(folder, length, args, name) for name in names}
    found: dict[str, Any] = {"first_loss": losses[ORIGINAL]}
    for name in names:
        found[name] = {
            "median_s": round(times[name].median_s, 3),
            "median_cpu_s": round(times[name].median_cpu_s, 3),
            "peak_mb": round(peaks[name]),
        }
        if name != ORIGINAL:
            wall = ratio(times[name].wall_s, times[ORIGINAL].wall_s)
            cpu = ratio(times[name].cpu_s, times[ORIGINAL].cpu_s)
            found[name]["time_ratio"] = {key: round(value, 3) for key, value in wall.items()}
            found[name]["cpu_ratio"] = {key: round(value, 3) for key, value in cpu.items()}
            found[name]["memory_ratio"] = round(peaks[name] / peaks[ORIGINAL], 3)
        print(f"{length} {name}: {found[name]}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--lengths", default="110,220")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--recompute", action="store_true")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    parser.add_argument("--given", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.alone:
        alone(args.alone, SimpleNamespace(**json.loads(args.given)))
        return
    torch.set_num_threads(args.threads)
    held = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        is_genuine = write_pair(folder, os.environ.get("TERCET_WHISPER_BASE"))
        for length in map(int, args.lengths.split(",")):
            key = f"{length}, recomputed" if args.recompute else str(length)
            held[key] = measure(folder, length, args)
            held[key] |= {
                "batch": args.batch,
                "rounds": args.rounds,
                "threads": args.threads,
                "weights": "base" if is_genuine else "random",
                "processor": platform.processor() or platform.machine(),
                "torch": torch.__version__,
            }
            RESULTS.write_text(json.dumps(held, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
