"""What a draft would save on larger models: random weights, and guesses that are right as often as is asked.

usage: python benchmarks/draft_geometry.py [--sizes small,large-v2] [--accepted 0.7,0.8,0.9] [--tokens 64]
       [--rounds 3] [--threads N] [--compute_type float32] [--out RESULT.json]

Weights are random; the text is what the model writes with them, so 8 bits may fail: texts of random weights
hang on rounding. Each round a draft head of random
weights and of the usual cost (a block, 16 000 tokens, candidates from rank 128) is run for every guess, and
what it guesses is replaced by the right token, or with the asked likelihood by a wrong one. Ratios are of the
decoder's time per text to that without a draft; `allowed` is the least that measured costs allow (see
draft.py).
"""

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from draft import allowed, figures
from interleaved import interleaved, ratio

from tercet.checkpoint import open_checkpoint
from tercet.checkpoint.arrays import MemoryCheckpoint
from tercet.checkpoint.geometry import Geometry
from tercet.checkpoint.head_naming import draft_shapes
from tercet.checkpoint.heads import DraftHead, HeadArrays
from tercet.checkpoint.naming import expected_shapes
from tercet.decoding.drafts import Guess, HeadDraft
from tercet.decoding.loop import Decoded, decode
from tercet.decoding.options import DecodeOptions
from tercet.decoding.pace import Pace, Tally
from tercet.decoding.speculate import DraftedDecoder
from tercet.draft_loading import FoundDraft, known_costs
from tercet.engine.choice import choose
from tercet.engine.onnx import PRECISIONS, OnnxDecoder
from tercet.engine.onnx_draft import OnnxDrafter
from tercet.hub import find_model
from tercet.loading import tokenizer_of
from tercet.text.tokenizer import Tokenizer

SIZES = {
    "tiny": (384, 4, 6),
    "base": (512, 6, 8),
    "small": (768, 12, 12),
    "large-v2": (1280, 32, 20),
}
SHORTLIST, RANK = 16_000, 128
SURENESS = 8  # of the likeliest token: no rounding may change the text


def random_model(size: str) -> MemoryCheckpoint:
    """A decoder; of the encoder one layer, which nobody runs."""
    width, layers, heads = SIZES[size]
    geometry = Geometry(
        n_mels=80,
        width=width,
        encoder_layers=1,
        encoder_heads=heads,
        decoder_layers=layers,
        decoder_heads=heads,
        vocab_size=51865,
    )
    rng = np.random.default_rng(0)
    arrays = {}
    for name, shape in expected_shapes(geometry).items():
        spread = 0.1 if len(shape) == 1 else shape[-1] ** -0.5
        values = rng.standard_normal(shape, np.float32) * np.float32(spread)
        arrays[name] = values + np.float32(name.endswith("layer_norm.weight"))
    arrays["model.decoder.layer_norm.weight"] *= SURENESS
    return MemoryCheckpoint(geometry, arrays)


def random_head(geometry: Geometry) -> DraftHead:
    rng = np.random.default_rng(1)
    sizes: dict[str, Any] = {
        "width": geometry.width,
        "mlp_width": geometry.mlp_width,
        "layer": geometry.decoder_layers - 1,
        "vocab_size": geometry.vocab_size,
        "shortlist": SHORTLIST,
        "rank": RANK,
    }
    shapes = draft_shapes(DraftHead(**sizes, arrays=HeadArrays({})))
    arrays = {
        name: rng.standard_normal(shape, np.float32) * np.float32(shape[-1] ** -0.5)
        for name, shape in shapes.items()
    }
    arrays["token_ids"] = np.sort(rng.choice(50000, SHORTLIST, replace=False)).astype(np.float32)
    return DraftHead(**sizes, arrays=HeadArrays(arrays))


class Constructed:
    """A head whose guesses are made right with a given likelihood."""

    name = "constructed"

    def __init__(self, draft: HeadDraft, accepted: float, text: Sequence[int], start: int) -> None:
        self._draft, self._accepted, self._text, self._start = draft, accepted, text, start
        self._chances = np.random.default_rng(0)

    def open(self, session: Any, windows: Any, rows: Sequence[int]) -> "Constructed":
        self._proposer = self._draft.open(session, windows, rows)
        return self

    def propose(self, texts: Any, hidden: Any, most: Sequence[int], goes_on: Any) -> list[Guess]:
        # How sure a real draft would be: as likely as it is right.
        said = Guess()

        def going(row: int, _: float) -> bool:
            return bool(goes_on(row, said.add(0, self._accepted)))

        (guess,) = self._proposer.propose(texts, hidden, most, going)
        written = len(texts[0]) - self._start
        while len(said.tokens) < len(guess.tokens):  # the last one asks for no other
            said.add(0, self._accepted)
        for place in range(len(guess.tokens)):
            is_right = self._chances.random() < self._accepted and written + place < len(self._text)
            said.tokens[place] = int(self._text[written + place]) if is_right else 49999
        return [said]

    def reorder(self, rows: Any) -> None: ...


def texts(decoder: Any, window: Any, tokenizer: Tokenizer, options: DecodeOptions) -> Decoded:
    return decode(decoder, [window], tokenizer, options, languages=["en"])[0]


def measured(size: str, tokenizer: Tokenizer, options: argparse.Namespace) -> dict[str, Any]:
    model = random_model(size)
    precision = PRECISIONS[options.compute_type]
    decoder = OnnxDecoder(model, precision, threads=options.threads)
    head = random_head(model.geometry)
    drafter = OnnxDrafter(head, model, precision, threads=1)
    choice = choose("onnx", "cpu", options.compute_type)
    known = known_costs(FoundDraft("head", head=head), model, choice)
    states = np.random.default_rng(2).standard_normal((1500, model.geometry.width), np.float32)
    window = decoder.project(states)
    how = DecodeOptions(without_timestamps=True, max_tokens=options.tokens)
    plain = texts(decoder, window, tokenizer, how)
    start = len(tokenizer.sot_sequence("en", "transcribe")) + 1
    found = {}
    for accepted in map(float, options.accepted.split(",")):
        draft = Constructed(HeadDraft("head", drafter), accepted, plain.tokens, start)
        gauge = DraftedDecoder(decoder, draft, Pace())  # measures what steps cost
        drafted = DraftedDecoder(decoder, draft, Pace(known=known))
        for each in (gauge, gauge, gauge, drafted):
            if texts(each, window, tokenizer, how).tokens != plain.tokens:
                raise SystemExit(f"{size}: rounding changed the text; give --compute_type float32")
        drafted = gauge if known is None else drafted
        drafted.pace.tally = Tally()
        runs = {
            "plain": partial(texts, decoder, window, tokenizer, how),
            "drafted": partial(texts, drafted, window, tokenizer, how),
        }
        times = interleaved(runs, options.rounds)
        found[str(accepted)] = {
            "tokens": len(plain.tokens),
            "ratio": ratio(times["drafted"].wall_s, times["plain"].wall_s),
            "plain_s": times["plain"].median_s,
            **figures(drafted.pace.tally),
            "known": known,
            "allowed": allowed(gauge.pace, accepted),
        }
        print(size, accepted, json.dumps(found[str(accepted)]), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", default="small,large-v2")
    parser.add_argument("--accepted", default="0.7,0.8,0.9")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--compute_type", default="float32", choices=sorted(PRECISIONS))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    tokenizer = tokenizer_of(open_checkpoint(find_model("base")))
    found = {size: measured(size, tokenizer, options) for size in options.sizes.split(",")}
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
