"""What a draft saves: decoding time of the same text with it and without, and how often it guesses rightly.

usage: python benchmarks/draft.py [DRAFT] [--model base] [--compute_type auto] [--engine auto] [--sets A,B]
       [--every 1] [--batches 1] [--rounds 3] [--timestamps] [--out RESULT.json]

DRAFT is what `load_model(draft=)` takes; "auto" by default, the model's own. Recordings: speakers of
LibriSpeech ending in 9 and of speechocean762 ending in 8 or 9, which no draft was trained on. Windows are
encoded, and their cross-attention projected, before any time is taken: it is the decoder's alone, greedy, of
batches of so many windows. Texts are compared token by token.

Accepted is the share of first guesses that the decoder wrote itself; `--fixed N` always guesses N tokens, so
that hesitation at low confidence does not flatter it.
"""

import argparse
import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from interleaved import interleaved, ratio

import tercet
from tercet.audio.convention import SHARED, window_mel
from tercet.audio.load import load
from tercet.decoding.loop import Decoded, decode
from tercet.decoding.options import DecodeOptions
from tercet.decoding.pace import Pace, Tally
from tercet.decoding.speculate import DraftedDecoder
from tercet.engine.protocol import Projected
from tercet.listener import Model

DATA = Path(os.environ.get("TERCET_DATA", "../shared/data"))
HELD_OUT = {"librispeech": ("9",), "speechocean762": ("8", "9")}
LONGEST_S = 30.0


def windows(model: Model, name: str, every: int) -> list[Projected]:
    """Projected windows of held-out speakers, a recording each."""
    folder = DATA / "speech_en" / name
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["speaker"].endswith(HELD_OUT[name])]
    chosen = [row for row in rows if row["duration_s"] <= LONGEST_S][::every]
    parts = model._instruments
    n_mels = parts.encoder.geometry.n_mels
    found = []
    for row in chosen:
        mel = window_mel(load(folder / row["path"]).read(), SHARED, n_mels=n_mels)
        found.append(parts.decoder.project(parts.encoder.encode(mel).states))
    return found


def texts(
    decoder: Any, model: Model, heard: Sequence[Projected], size: int, timed: bool
) -> list[Decoded]:
    """All windows, in batches."""
    options = DecodeOptions(without_timestamps=not timed)
    found: list[Decoded] = []
    for start in range(0, len(heard), size):
        part = heard[start : start + size]
        found += decode(decoder, part, model.tokenizer, options, languages=["en"] * len(part))
    return found


def allowed(pace: Pace, accepted: float) -> dict[str, float]:
    """The least time per token, relative to plain, that costs allow at this acceptance, with any length.

    As if every guess were as likely as the first one, and a length were fixed beforehand.
    """
    plain, draft, verify = pace.costs(1)
    if plain is None or draft is None or verify is None:
        return {}
    best = 1.0
    for length in range(1, pace.most + 1):
        tokens = sum(accepted**depth for depth in range(length + 1))
        best = min(best, (plain + length * (draft + verify)) / plain / tokens)
    return {
        "plain_ms": 1e3 * plain,
        "draft": draft / plain,
        "verify": verify / plain,
        "least": best,
    }


def figures(tally: Tally) -> dict[str, float]:
    return {
        "accepted": tally.first_accepted / max(1, tally.first_guessed),
        "accepted_of_all": tally.accepted / max(1, tally.guessed),
        "tokens_per_pass": tally.written / max(1, tally.rounds),
    }


def measured(
    model: Model, heard: list[Projected], size: int, options: argparse.Namespace
) -> dict[str, Any]:
    """One set at one batch size."""
    drafted = model._instruments.decoder
    assert isinstance(drafted, DraftedDecoder), "no draft"
    plain = drafted.decoder
    wanted = texts(plain, model, heard, size, options.timestamps)
    fixed = DraftedDecoder(plain, drafted.draft, Pace(is_adaptive=False, most=options.fixed))
    gauge = DraftedDecoder(plain, drafted.draft, Pace())  # measures what steps cost
    ways = {"fixed": fixed, "measured": gauge, "adaptive": drafted}
    results = {
        name: texts(each, model, heard, size, options.timestamps) for name, each in ways.items()
    }
    drafted.pace.tally = Tally()
    runs = {
        "plain": partial(texts, plain, model, heard, size, options.timestamps),
        "drafted": partial(texts, drafted, model, heard, size, options.timestamps),
    }
    times = interleaved(runs, options.rounds) if options.rounds else {}
    unlike = {
        name: [
            row
            for row, (one, other) in enumerate(zip(wanted, found, strict=True))
            if one.tokens != other.tokens
        ]
        for name, found in results.items()
    }
    return {
        "windows": len(heard),
        "tokens": sum(len(each.tokens) for each in wanted),
        "other_texts": unlike,
        "fixed": figures(fixed.pace.tally),
        "adaptive": figures(drafted.pace.tally),
        "known": drafted.pace.known,
        "allowed": allowed(gauge.pace, figures(fixed.pace.tally)["accepted"]) if size == 1 else {},
        "ratio": ratio(times["drafted"].wall_s, times["plain"].wall_s) if times else None,
        "seconds": {name: each.median_s for name, each in times.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("draft", nargs="?", default="auto")
    parser.add_argument("--model", default="base")
    parser.add_argument("--compute_type", default="auto")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--sets", default=",".join(HELD_OUT))
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--batches", default="1")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fixed", type=int, default=4)
    parser.add_argument("--timestamps", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    model = tercet.load_model(
        options.model,
        draft=options.draft,
        tags="none",
        tokens="none",
        engine=options.engine,
        compute_type=options.compute_type,
    )
    found = {}
    for name in options.sets.split(","):
        heard = windows(model, name, options.every)
        for size in map(int, options.batches.split(",")):
            found[f"{name}, batch {size}"] = measured(model, heard, size, options)
            print(name, size, json.dumps(found[f"{name}, batch {size}"]), flush=True)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
