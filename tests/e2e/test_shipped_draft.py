"""The draft that tercet-base brings: texts stay what they were, and most of its guesses are right."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import tercet
from tercet.audio.convention import SHARED, window_mel
from tercet.audio.load import load
from tercet.checkpoint import Geometry, save_hugging_face
from tercet.cli import distill
from tercet.decoding.loop import Decoded, decode
from tercet.decoding.options import DecodeOptions
from tercet.decoding.pace import Pace
from tercet.decoding.speculate import DraftedDecoder
from tercet.engine.protocol import Projected

HEARD = {"language": "en", "temperature": 0.0}
HELD_OUT = {"librispeech": "9", "speechocean762": "9"}


@pytest.fixture(scope="module")
def drafted(base_model: Path) -> tercet.Model:
    return tercet.load_model(base_model, tags="none", tokens="none")


def decoder_of(model: tercet.Model) -> DraftedDecoder:
    decoder = model._instruments.decoder
    assert isinstance(decoder, DraftedDecoder)
    return decoder


def projected(model: tercet.Model, paths: Sequence[Path]) -> list[Projected]:
    parts = model._instruments
    mels = [window_mel(load(path).read(), SHARED, n_mels=80) for path in paths]
    return [parts.decoder.project(parts.encoder.encode(mel).states) for mel in mels]


def written(
    decoder: object, model: tercet.Model, windows: list[Projected], *, timed: bool
) -> list[Decoded]:
    """Each window by itself, which is when ONNX Runtime drafts."""
    options = DecodeOptions(without_timestamps=not timed)
    return [
        decode(decoder, [window], model.tokenizer, options, languages=["en"])[0]
        for window in windows
    ]


def test_a_model_comes_with_its_draft(drafted: tercet.Model, base_model: Path) -> None:
    assert "own" in decoder_of(drafted).draft.name
    plain = tercet.load_model(base_model, draft="none", tags="none", tokens="none")
    assert not isinstance(plain._instruments.decoder, DraftedDecoder)


@pytest.mark.parametrize("timed", [False, True])
def test_texts_are_the_same_and_guesses_are_mostly_right(
    drafted: tercet.Model, clips_dir: Path, timed: bool
) -> None:
    """The clips of this repository, in 8 bits."""
    rows = map(json.loads, (clips_dir / "manifest.jsonl").read_text().splitlines())
    paths = [clips_dir / row["path"] for row in rows if row["path"].startswith("librispeech")]
    windows = projected(drafted, paths)
    decoder = decoder_of(drafted)
    pace = Pace(is_adaptive=False, most=4)
    found = written(
        DraftedDecoder(decoder.decoder, decoder.draft, pace), drafted, windows, timed=timed
    )
    plain = written(decoder.decoder, drafted, windows, timed=timed)
    assert [each.tokens for each in plain] == [each.tokens for each in found]
    tally = pace.tally
    assert tally.first_accepted / tally.first_guessed > 0.6
    assert tally.written / tally.rounds > 2


@pytest.mark.parametrize(("name", "every"), [("librispeech", 15), ("speechocean762", 25)])
def test_texts_of_held_out_recordings_are_the_same(
    drafted: tercet.Model, data_dir: Path, name: str, every: int
) -> None:
    """As it is used: drafting as far as it pays. Exceptions would be named."""
    folder = data_dir / "speech_en" / name
    rows = map(json.loads, (folder / "manifest.jsonl").read_text().splitlines())
    chosen = [row for row in rows if row["speaker"].endswith(HELD_OUT[name])][::every]
    windows = projected(drafted, [folder / row["path"] for row in chosen])
    decoder = decoder_of(drafted)
    found = written(decoder, drafted, windows, timed=True)
    plain = written(decoder.decoder, drafted, windows, timed=True)
    other = [
        row["path"]
        for row, one, two in zip(chosen, plain, found, strict=True)
        if one.tokens != two.tokens
    ]
    assert [] == other


def test_torch_verifies_a_batch_at_once_and_writes_the_same(
    base_model: Path, clips_dir: Path, peer
) -> None:
    """In float32, where texts are the same always; rows end at different times."""
    peer("torch")
    model = tercet.load_model(base_model, engine="torch", tags="none", tokens="none")
    windows = projected(model, sorted(clips_dir.glob("librispeech*"))[:3])
    decoder = decoder_of(model)
    pace = Pace(is_adaptive=False, most=3)
    options = DecodeOptions()
    asked = {"languages": ["en"] * len(windows)}
    drafted = DraftedDecoder(decoder.decoder, decoder.draft, pace)
    found = decode(drafted, windows, model.tokenizer, options, **asked)
    plain = decode(decoder.decoder, windows, model.tokenizer, options, **asked)
    assert [each.tokens for each in plain] == [each.tokens for each in found]
    assert pace.tally.accepted > pace.tally.rounds / 2


def test_a_student_drafts_for_its_teacher_on_the_same_states(
    base_model: Path, clips_dir: Path, tmp_path: Path, drafted: tercet.Model
) -> None:
    student = tmp_path / "student"
    assert 0 == distill.run(["init", str(base_model), str(student), "--quiet"])
    model = tercet.load_model(base_model, draft=student, tags="none", tokens="none", threads=1)
    draft = decoder_of(model).draft
    assert draft.encoder is None
    clip = next(clips_dir.glob("librispeech*"))
    wanted = drafted.transcribe(clip, **HEARD)
    assert wanted.text == model.transcribe(clip, **HEARD).text


def test_a_draft_with_another_encoder_hears_for_itself(
    base_model: Path, clips_dir: Path, tmp_path: Path, drafted: tercet.Model, random_checkpoint
) -> None:
    """A model of random weights, which guesses nothing rightly, and changes nothing."""
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
    model = tercet.load_model(
        base_model, draft=tmp_path / "other", tags="none", tokens="none", threads=1
    )
    decoder = decoder_of(model)
    decoder.pace = Pace(is_adaptive=False, most=2)
    clip = next(clips_dir.glob("librispeech*"))
    assert drafted.transcribe(clip, **HEARD).text == model.transcribe(clip, **HEARD).text
    assert decoder.pace.tally.guessed > 0
    codes = drafted_codes(base_model, clip)
    speaking = tercet.load_model(base_model, draft=tmp_path / "other", tags="none", threads=1)
    plain = tercet.load_model(base_model, draft="none", tags="none", threads=1)
    assert plain.detokenize(codes, **HEARD).text == speaking.detokenize(codes, **HEARD).text


def drafted_codes(base_model: Path, clip: Path) -> np.ndarray:
    model = tercet.load_model(base_model, draft="none", tags="none", threads=1)
    return np.asarray(model.tokenize(clip).ids)


def test_the_card_and_the_checksums_name_it(base_model: Path) -> None:
    assert "tokens per verification" in (base_model / "DRAFT_CARD.md").read_text(encoding="utf-8")
    assert "draft.safetensors" in (base_model / "SHA256SUMS").read_text(encoding="utf-8")
    assert (base_model / "draft.safetensors").stat().st_size <= 9e6
