"""Drafts on the real base, in float32: whatever they guess, texts stay what they were."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tercet
from tercet.audio.convention import SHARED, window_mel
from tercet.audio.load import load
from tercet.checkpoint import Geometry, save_hugging_face
from tercet.cli import distill
from tercet.decoding.drafts import Guess
from tercet.decoding.loop import Decoded, decode
from tercet.decoding.options import DecodeOptions
from tercet.decoding.pace import Pace
from tercet.decoding.speculate import DraftedDecoder
from tercet.engine.protocol import Projected

HEARD = {"language": "en", "temperature": 0.0}
TEXT_ALONE = {"tags": "none", "tokens": "none", "compute_type": "float32"}


class Replay:
    """Guesses the text that is known already, with an error now and then."""

    name = "replay"

    def __init__(self, texts: Sequence[Sequence[int]]) -> None:
        self.texts, self.rows = texts, list[int]()
        self.chances = np.random.default_rng(0)

    def open(self, session: object, windows: object, rows: Sequence[int]) -> "Replay":
        self.rows = list(rows)
        return self

    def propose(self, texts: Any, hidden: Any, most: Sequence[int], goes_on: Any) -> list[Guess]:
        guesses = []
        for row, text, count in zip(self.rows, texts, most, strict=True):
            known, guess = list(self.texts[row]), Guess()
            written = next(n for n in range(len(known), 0, -1) if text[-n:] == known[:n])
            for token in known[written : written + min(count, 4)]:
                guess.add(220 if self.chances.random() < 0.2 else token, 0.9)
            guesses.append(guess)
        return guesses

    def reorder(self, rows: np.ndarray) -> None:
        self.rows = [self.rows[row] for row in rows]


def clips(clips_dir: Path) -> list[Path]:
    return sorted(clips_dir.glob("librispeech*"))[:3]


def projected(model: tercet.Model, paths: Sequence[Path]) -> list[Projected]:
    parts = model._instruments
    mels = [window_mel(load(path).read(), SHARED, n_mels=80) for path in paths]
    return [parts.decoder.project(parts.encoder.encode(mel).states) for mel in mels]


@pytest.mark.parametrize("engine", ["onnx", "torch"])
@pytest.mark.parametrize("timed", [False, True])
def test_texts_are_the_same_with_right_and_wrong_guesses(
    base_model: Path, clips_dir: Path, peer: Callable[[str], object], engine: str, timed: bool
) -> None:
    """Torch verifies the batch at once, its rows ending at different times; ONNX Runtime one by one."""
    peer("torch")
    model = tercet.load_model(base_model, engine=engine, **TEXT_ALONE)
    windows = projected(model, clips(clips_dir))
    decoder = model._instruments.decoder
    options = DecodeOptions(without_timestamps=not timed)
    size = 3 if engine == "torch" else 1
    pace = Pace(is_adaptive=False)
    found: list[Decoded] = []
    plain: list[Decoded] = []
    for start in range(0, 3, size):
        part, asked = windows[start : start + size], {"languages": ["en"] * size}
        plain += decode(decoder, part, model.tokenizer, options, **asked)
        replay = Replay([each.tokens for each in plain[start:]])
        drafted = DraftedDecoder(decoder, replay, pace)
        found += decode(drafted, part, model.tokenizer, options, **asked)
    assert [each.tokens for each in plain] == [each.tokens for each in found]
    assert pace.tally.written / pace.tally.rounds > 2
    assert pace.tally.accepted < pace.tally.guessed


def test_in_8_bits_texts_part_only_where_two_tokens_are_nearly_as_likely(
    base_model: Path, clips_dir: Path, record_property: Callable[[str, object], None]
) -> None:
    """A step of several tokens sums in another order, which moves activations across a rounding border.

    How far that moves a logit is measured; texts may part where the two likeliest are nearer.
    """
    model = tercet.load_model(base_model, draft="none", **(TEXT_ALONE | {"compute_type": "int8"}))
    decoder, tokenizer = model._instruments.decoder, model.tokenizer
    options, asked = (
        DecodeOptions(without_timestamps=True, suppress_tokens=""),
        {"languages": ["en"]},
    )
    parted = []
    for window, path in zip(projected(model, clips(clips_dir)), clips(clips_dir), strict=True):
        (plain,) = decode(decoder, [window], tokenizer, options, **asked)
        drafted = DraftedDecoder(decoder, Replay([plain.tokens]), Pace(is_adaptive=False))
        (found,) = decode(drafted, [window], tokenizer, options, **asked)
        start = (*tokenizer.sot_sequence("en", "transcribe"), tokenizer.no_timestamps)
        ids = np.array([*start, *plain.tokens])
        one, several = (forced(decoder, window, ids, n) for n in (1, 5))
        moved = np.abs(one - several).max()
        assert moved < 2, "more than rounding"
        if plain.tokens == found.tokens:
            continue
        pairs = zip((*plain.tokens, -1), (*found.tokens, -1), strict=False)
        at = next(place for place, (left, right) in enumerate(pairs) if left != right)
        best = np.sort(one[len(start) - 1 + at])[-2:]
        parted.append((path.name, at, float(best[1] - best[0]), float(moved)))
        assert best[1] - best[0] <= 2 * moved, parted
    record_property("parted", parted)
    print("texts that part in 8 bits:", parted or "none")  # noqa: T201 - they are to be seen


def forced(decoder: Any, window: Projected, ids: np.ndarray, n: int) -> np.ndarray:
    """Logits behind each of some ids, fed n at a time."""
    session, found = decoder.open([window]), []
    for at in range(0, len(ids), n):
        part = ids[None, at : at + n]
        found.append(session.step(part, keep=np.arange(part.shape[1])[None])[0].copy())
    return np.concatenate(found)


def test_a_student_drafts_for_its_teacher_on_the_same_states(
    base_model: Path, clips_dir: Path, tmp_path: Path
) -> None:
    student = tmp_path / "student"
    assert 0 == distill.run(["init", str(base_model), str(student), "--quiet"])
    model = tercet.load_model(base_model, draft=student, **TEXT_ALONE)
    decoder = model._instruments.decoder
    assert isinstance(decoder, DraftedDecoder)
    assert decoder.draft.encoder is None
    decoder.pace = Pace(is_adaptive=False, most=2)
    plain = tercet.load_model(base_model, draft="none", **TEXT_ALONE)
    clip = clips(clips_dir)[0]
    assert plain.transcribe(clip, **HEARD).text == model.transcribe(clip, **HEARD).text
    assert decoder.pace.tally.guessed > 0


def test_a_draft_with_another_encoder_hears_for_itself(
    base_model: Path, clips_dir: Path, tmp_path: Path, random_checkpoint: Callable[..., Any]
) -> None:
    """A model of random weights, which guesses nothing rightly. Where codes are read, it cannot draft."""
    other = random_checkpoint(
        Geometry(
            n_mels=80,
            width=64,
            encoder_layers=1,
            encoder_heads=2,
            decoder_layers=1,
            decoder_heads=2,
            vocab_size=51865,
        )
    )
    save_hugging_face(other, tmp_path / "other", tokenizer_file=base_model / "tokenizer.json")
    with_tokens = {"tags": "none", "compute_type": "float32"}
    model = tercet.load_model(base_model, draft=tmp_path / "other", **with_tokens)
    plain = tercet.load_model(base_model, draft="none", **with_tokens)
    decoder = model._instruments.decoder
    assert isinstance(decoder, DraftedDecoder)
    decoder.pace = Pace(is_adaptive=False, most=2)
    clip = clips(clips_dir)[0]
    assert plain.transcribe(clip, **HEARD).text == model.transcribe(clip, **HEARD).text
    guessed = decoder.pace.tally.guessed
    assert guessed > 0
    codes = plain.tokenize(clip)
    assert plain.detokenize(codes, **HEARD).text == model.detokenize(codes, **HEARD).text
    assert guessed == decoder.pace.tally.guessed
