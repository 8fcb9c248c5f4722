"""What the gate does: words heard where nobody speaks, and what it costs where somebody does. With peers.

usage:
  python benchmarks/gate.py run SYSTEM OUT.jsonl [--tags HEAD] [--weights FOLDER] [--sounds N] [--speech N]
  python benchmarks/gate.py table RESULT.json NAME=OUT.jsonl ...

SYSTEM: `tercet` (one pass gives the text with the gate and, with what it dropped, without), `faster`
(faster-whisper), `faster-vad` (with its Silero filter), `openai` (openai-whisper). All hear base in
English with their own defaults; faster-whisper has one beam, as the others. A run continues where it
stopped.

The clips are development's (TERCET_DATA, default ../shared/data); a tag head has trained on none of them
but the cries: ESC-10 and ESC-50 extras of fold 4, donateacry; silence, white and pink noise and tones, made
here; LibriSpeech speakers ending in 9 and speechocean762 speakers ending in 8 or 9, clean and with a sound
of fold 4 at 5 dB. `--sounds` and `--speech` take so many at equal distances (of each speech set).
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import jiwer
import numpy as np
from whisper_normalizer.english import EnglishTextNormalizer

from tercet.audio.load import load

RATE_HZ = 16000
SNR_DB = 5.0
DATA = Path(os.environ.get("TERCET_DATA", "../shared/data"))
SOUNDS = ("sounds/esc10", "sounds/esc50_extra_cc", "sounds/donateacry_babycry")
SPEECH = {"speech_en/librispeech": ("9",), "speech_en/speechocean762": ("8", "9")}
Hear = Callable[[np.ndarray], dict[str, Any]]


class Clip(NamedTuple):
    """A development clip; `text` None: nobody speaks in it."""

    name: str
    kind: str
    text: str | None
    samples: Callable[[], np.ndarray]


def rows(folder: str) -> list[dict[str, Any]]:
    lines = (DATA / folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [{**json.loads(line), "folder": folder} for line in lines]


def from_file(row: dict[str, Any], kind: str, text: str | None) -> Clip:
    path = DATA / row["folder"] / row["path"]
    return Clip(f"{row['folder']}/{row['path']}", kind, text, lambda: load(path).read())


def spread(items: list[Any], n: int | None) -> list[Any]:
    """`n` of them at equal distances, or all."""
    if n is None or n >= len(items):
        return items
    return [items[i * len(items) // n] for i in range(n)]


def made() -> Iterator[Clip]:
    """Silence, noise and tones, from a fixed seed."""
    rng = np.random.default_rng(7)
    for seconds in (1, 5, 12, 31):
        yield _made(f"silence {seconds} s", "silence", np.zeros(seconds * RATE_HZ))
    for level in (0.003, 0.03, 0.3):
        for seconds in (5, 12):
            white = rng.normal(0, level, seconds * RATE_HZ)
            yield _made(f"white {level} {seconds} s", "noise", white)
            spectrum = np.fft.rfft(rng.normal(0, 1, seconds * RATE_HZ))
            spectrum /= np.sqrt(np.maximum(1, np.arange(spectrum.size)))
            pink = np.fft.irfft(spectrum)
            yield _made(f"pink {level} {seconds} s", "noise", pink * level / pink.std())
    times = np.arange(5 * RATE_HZ) / RATE_HZ
    for hz in (50, 220, 440, 1000, 3000):
        yield _made(f"sine {hz} Hz", "tone", 0.2 * np.sin(2 * np.pi * hz * times))
    for hz in (150, 300):
        yield _made(f"square {hz} Hz", "tone", 0.2 * np.sign(np.sin(2 * np.pi * hz * times)))


def _made(name: str, kind: str, samples: np.ndarray) -> Clip:
    return Clip(name, kind, None, lambda: samples.astype(np.float32))


def sounds() -> list[Clip]:
    found = []
    for folder in SOUNDS:
        kind = "baby's cry (donateacry)" if "cry" in folder else "environment"
        found += [from_file(row, kind, None) for row in rows(folder) if row.get("fold", 4) == 4]
    return found


def speech(n: int | None) -> Iterator[Clip]:
    """Each set clean, then with sounds."""
    noises = [clip for clip in sounds() if clip.kind == "environment"]
    for folder, ends in SPEECH.items():
        of_speakers = [row for row in rows(folder) if row["speaker"].endswith(ends)]
        for row in spread(of_speakers, n):
            clean = from_file(row, Path(folder).name, row["text"])
            noise = noises[crc32(clean.name.encode()) % len(noises)]  # whatever else is heard
            yield clean
            yield clean._replace(
                name=f"{clean.name} + {noise.name}",
                kind=f"{clean.kind}, {SNR_DB:g} dB",
                samples=lambda a=clean, b=noise: mixed(a.samples(), b.samples()),
            )


def mixed(voice: np.ndarray, sound: np.ndarray) -> np.ndarray:
    sound = np.resize(sound, voice.size)
    gain = np.sqrt(np.mean(voice**2) / (np.mean(sound**2) + 1e-9) / 10 ** (SNR_DB / 10))
    both = voice + gain * sound
    return (both / max(1.0, np.abs(both).max())).astype(np.float32)


def clips(options: argparse.Namespace) -> list[Clip]:
    silent = spread([*sounds(), *made()], options.sounds)
    return [*silent, *speech(options.speech)]


def tercet_system(options: argparse.Namespace, _: Path) -> Hear:
    import tercet

    model = tercet.load_model("base", tags=options.tags, threads=options.threads)

    def hear(samples: np.ndarray) -> dict[str, Any]:
        found = model.transcribe(samples, language="en", gate=True)
        whole = sorted((*found.segments, *found.dropped), key=lambda segment: segment.start)
        return {
            "text": "".join(segment.text for segment in whole),
            "gated": found.text,
            "reasons": [segment.reason for segment in whole],
        }

    return hear


def faster_system(options: argparse.Namespace, _: Path) -> Hear:
    from faster_whisper import WhisperModel

    model = WhisperModel(options.weights, compute_type="int8", cpu_threads=options.threads or 0)
    settings = {"language": "en", "beam_size": 1, "vad_filter": options.system == "faster-vad"}

    def hear(samples: np.ndarray) -> dict[str, Any]:
        segments, _ = model.transcribe(samples, **settings)
        return {"text": "".join(segment.text for segment in segments)}

    return hear


def openai_system(options: argparse.Namespace, folder: Path) -> Hear:
    import torch
    import whisper
    from originals import layouts

    from tercet.checkpoint import open_checkpoint

    torch.set_num_threads(options.threads or torch.get_num_threads())
    layouts.write_whisper(folder / "base.pt", open_checkpoint(Path(options.weights)))
    model = whisper.load_model(str(folder / "base.pt"), device="cpu")
    return lambda samples: {
        "text": whisper.transcribe(model, samples, language="en", fp16=False)["text"]
    }


def run(options: argparse.Namespace) -> None:
    out = Path(options.out)
    done = {json.loads(line)["name"] for line in out.open()} if out.exists() else set()
    opened = {"tercet": tercet_system, "openai": openai_system}.get(options.system, faster_system)
    with tempfile.TemporaryDirectory() as folder, out.open("a", encoding="utf-8") as file:
        hear = opened(options, Path(folder))
        for clip in clips(options):
            if clip.name not in done:
                line = {"name": clip.name, "kind": clip.kind, "reference": clip.text}
                file.write(json.dumps(line | hear(clip.samples())) + "\n")
                file.flush()


def table(result: str, runs: list[str]) -> None:
    """Prints both tables over the clips that all runs have, and writes the JSON."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for spec in runs:
        name, path = spec.split("=", 1)
        lines = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
        found[name] = {line["name"]: line for line in lines}
        if "gated" in lines[0]:
            gated = {line["name"]: {**line, "text": line["gated"]} for line in lines}
            found[f"{name}, gate off"] = found.pop(name)
            found[f"{name}, gate on"] = gated
    shared = set.intersection(*(set(lines) for lines in found.values()))
    summary = {
        name: {"clips of all systems": figures([lines[key] for key in sorted(shared)])}
        | ({"all its clips": figures(list(lines.values()))} if len(lines) > len(shared) else {})
        for name, lines in found.items()
    }
    for group in ("clips of all systems", "all its clips"):
        show({name: each[group] for name, each in summary.items() if group in each}, group)
    Path(result).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


def figures(lines: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """By kind: clips, and how many yield words, or words and errors among them."""
    normalise = EnglishTextNormalizer()
    found: dict[str, dict[str, float]] = {}
    kinds = dict.fromkeys(line["kind"] for line in lines)
    for kind in kinds:
        of_kind = [line for line in lines if line["kind"] == kind]
        if of_kind[0]["reference"] is None:
            with_words = sum(bool(normalise(line["text"]).strip()) for line in of_kind)
            found[kind] = {"clips": len(of_kind), "with words": with_words}
            continue
        pairs = [(normalise(line["reference"]), normalise(line["text"])) for line in of_kind]
        total = jiwer.process_words([pair[0] for pair in pairs], [pair[1] for pair in pairs])
        words = total.hits + total.substitutions + total.deletions
        errors = total.insertions + total.deletions + total.substitutions
        found[kind] = {"clips": len(of_kind), "words": words, "errors": errors}
    return found


def show(systems: dict[str, dict[str, dict[str, float]]], title: str) -> None:
    if not systems:
        return
    kinds = list(next(iter(systems.values())))
    silent = [kind for kind in kinds if "with words" in next(iter(systems.values()))[kind]]
    spoken = [kind for kind in kinds if kind not in silent]
    print(f"\n{title}: non-speech clips that yield words\n")
    print("| system | all | " + " | ".join(silent) + " |\n" + "| --- " * (len(silent) + 2) + "|")
    for name, of in systems.items():
        counts = [(of[kind]["with words"], of[kind]["clips"]) for kind in silent]
        counts.insert(0, (sum(c[0] for c in counts), sum(c[1] for c in counts)))
        cells = [f"{100 * words / n:.1f} % ({words:g} of {n:g})" for words, n in counts]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print(f"\n{title}: word error rate, %\n")
    print("| system | " + " | ".join(spoken) + " |\n" + "| --- " * (len(spoken) + 1) + "|")
    for name, of in systems.items():
        rates = [
            f"{100 * of[kind]['errors'] / of[kind]['words']:.2f}" if kind in of else ""
            for kind in spoken
        ]
        print(f"| {name} | " + " | ".join(rates) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run")
    one.add_argument("system", choices=["tercet", "faster", "faster-vad", "openai"])
    one.add_argument("out")
    one.add_argument("--tags", help="the head that hears Speech; without one, the model's own")
    one.add_argument("--weights", default=os.environ.get("TERCET_WHISPER_BASE", "base"))
    one.add_argument("--sounds", type=int)
    one.add_argument("--speech", type=int)
    one.add_argument("--threads", type=int)
    one.set_defaults(action=run)
    two = commands.add_parser("table")
    two.add_argument("result")
    two.add_argument("runs", nargs="+")
    two.set_defaults(action=lambda options: table(options.result, options.runs))
    options = parser.parse_args()
    options.action(options)


if __name__ == "__main__":
    main()
