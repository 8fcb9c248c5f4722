"""Word error rate on real speech: Tercet and openai-whisper on the same clips and weights, greedy.

usage:
  python benchmarks/wer.py run SYSTEM OUT.jsonl [--model M] [--engine E] [--compute_type T] [--threads N]
      [--part I/N] [--set S] [--fallback]
  python benchmarks/wer.py table NAME=RUN.jsonl ...

SYSTEM is `tercet` or `openai`. The clips: every fifth of LibriSpeech test-clean (371) and every fourth of
speechocean762 (380) as listed by the manifests in TERCET_DATA (default ../shared/data); every speaker is
heard. A run continues where it stopped. `table` prints corpus-level WER after Whisper's English normaliser,
with insertions, deletions, substitutions and a 95 % bootstrap interval over clips; rows compare the clips
that all runs have, also without those on which one of them loops.
"""

import argparse
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import jiwer
from whisper_normalizer.english import EnglishTextNormalizer

SETS = {"librispeech": ("test-clean", 5), "speechocean762": (None, 4)}


def data_folder() -> Path:
    return Path(os.environ.get("TERCET_DATA", "../shared/data")) / "speech_en"


def clips() -> Iterator[tuple[str, dict[str, str]]]:
    for name, (subset, step) in SETS.items():
        lines = (data_folder() / name / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        rows = [row for row in rows if subset is None or row["subset"] == subset]
        yield from ((name, row) for row in rows[::step])


def tercet_system(options: argparse.Namespace) -> Callable[[Path], str]:
    import tercet

    model = tercet.load_model(
        options.model,
        engine=options.engine,
        compute_type=options.compute_type,
        threads=options.threads,
    )
    settings = {"language": "en", "vad_filter": options.vad_filter}
    if not options.fallback:
        settings["temperature"] = 0.0
    return lambda path: model.transcribe(path, **settings).text


def openai_system(options: argparse.Namespace) -> Callable[[Path], str]:
    import torch
    import whisper

    from tercet.audio.load import load

    if options.threads:
        torch.set_num_threads(options.threads)
    model = whisper.load_model(options.model)

    def hear(path: Path) -> str:
        samples = load(path).read()
        settings = {} if options.fallback else {"temperature": 0.0}
        return str(
            whisper.transcribe(model, samples, language="en", fp16=False, **settings)["text"]
        )

    return hear


def run(options: argparse.Namespace) -> None:
    out = Path(options.out)
    done = {json.loads(line)["path"] for line in out.open()} if out.exists() else set()
    part, parts = map(int, options.part.split("/"))
    hear = {"tercet": tercet_system, "openai": openai_system}[options.system](options)
    with out.open("a", encoding="utf-8") as file:
        for number, (name, row) in enumerate(clips()):
            if row["path"] in done or number % parts != part or options.set not in ("all", name):
                continue
            text = hear(data_folder() / name / row["path"])
            line = {"set": name, "path": row["path"], "ref": row["text"], "hyp": text}
            file.write(json.dumps(line) + "\n")
            file.flush()


def table(runs: list[str]) -> None:
    normalise = EnglishTextNormalizer()
    found = {}
    for spec in runs:
        name, path = spec.split("=", 1)
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        found[name] = {row["path"]: row for row in rows}
    shared = set.intersection(*(set(rows) for rows in found.values()))
    looping = {path for path in shared if any(is_loop(rows[path]) for rows in found.values())}
    print("| system | set | clips | WER % | 95 % interval | ins | del | sub |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, rows in found.items():
        for group, kept in groups(rows, shared, looping):
            pairs = [(normalise(row["ref"]), normalise(row["hyp"])) for row in kept]
            pairs = [pair for pair in pairs if pair[0]]
            if not pairs:
                continue
            total = jiwer.process_words([p[0] for p in pairs], [p[1] for p in pairs])
            low, high = interval(pairs)
            print(
                f"| {name} | {group} | {len(pairs)} | {100 * total.wer:.2f} | {low:.2f}-{high:.2f} "
                f"| {total.insertions} | {total.deletions} | {total.substitutions} |"
            )


def groups(
    rows: dict[str, dict[str, str]], shared: set[str], looping: set[str]
) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Each set, and where systems looped, the set without those clips."""
    for group in SETS:
        paths = [path for path in sorted(shared) if rows[path]["set"] == group]
        yield group, [rows[path] for path in paths]
        if looping.intersection(paths):
            kept = [rows[path] for path in paths if path not in looping]
            yield f"{group} without loops", kept


def is_loop(row: dict[str, str]) -> bool:
    """Whether a text is so much longer than what was said that it repeats itself without end."""
    return len(row["hyp"].split()) > 3 * len(row["ref"].split()) + 20


def interval(pairs: list[tuple[str, str]]) -> tuple[float, float]:
    """Bootstrap over clips, 1000 draws, fixed seed."""
    counts = []
    for reference, heard in pairs:
        one = jiwer.process_words(reference, heard)
        counts.append((one.insertions + one.deletions + one.substitutions, len(reference.split())))
    draw = random.Random(0)
    rates = []
    for _ in range(1000):
        sample = draw.choices(counts, k=len(counts))
        rates.append(100 * sum(e for e, _ in sample) / sum(n for _, n in sample))
    rates.sort()
    return rates[25], rates[974]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run")
    one.add_argument("system", choices=["tercet", "openai"])
    one.add_argument("out")
    one.add_argument("--model", default="base")
    one.add_argument("--compute_type", default="auto")
    one.add_argument("--engine", default="auto")
    one.add_argument("--threads", type=int)
    one.add_argument("--part", default="0/1")
    one.add_argument("--set", choices=["all", *SETS], default="all")
    one.add_argument("--fallback", action="store_true", help="try again at higher temperatures")
    one.add_argument("--vad_filter", action=argparse.BooleanOptionalAction, default=True)
    one.set_defaults(action=run)
    two = commands.add_parser("table")
    two.add_argument("runs", nargs="+")
    two.set_defaults(action=lambda options: table(options.runs))
    options = parser.parse_args()
    options.action(options)


if __name__ == "__main__":
    main()
