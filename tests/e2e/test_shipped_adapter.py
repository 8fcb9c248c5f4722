"""The adapter that tercet-base brings: short clips, heard as long as they are."""

import json
from pathlib import Path

import numpy as np
import pytest

import tercet
from tercet.audio.load import load
from tercet.engine.protocol import Encoder
from tercet.errors import HeadError, ModelNotFoundError
from tercet.evaluate.word_errors import Utterance, word_errors

HEARD = {"language": "en", "temperature": 0.0}


@pytest.fixture(scope="module")
def short(base_model: Path) -> tercet.Model:
    return tercet.load_model(base_model, adapter="true-length", threads=1)


@pytest.fixture(scope="module")
def english(clips_dir: Path) -> list[dict[str, str]]:
    """Four clips of LibriSpeech, 4 to 8 s."""
    rows = map(json.loads, (clips_dir / "manifest.jsonl").read_text().splitlines())
    return [row for row in rows if row["path"].startswith("librispeech")][:4]


def columns_of(model: tercet.Model, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the log-mels that its encoder is given from now on."""
    encoder: Encoder = model._instruments.encoder
    real, seen = encoder.encode, list[int]()

    def encode(mel: np.ndarray, *, real_frames: int | None = None) -> object:
        seen.append(mel.shape[1])
        return real(mel, real_frames=real_frames)

    monkeypatch.setattr(encoder, "encode", encode)
    return seen


def test_short_clips_are_heard_without_padding_and_understood(
    short: tercet.Model,
    clips_dir: Path,
    english: list[dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    columns = columns_of(short, monkeypatch)
    texts = [short.transcribe(clips_dir / row["path"], **HEARD).text for row in english]
    lengths = [load(clips_dir / row["path"]).read().size / 160 for row in english]
    assert [pytest.approx(each, abs=2) for each in lengths] == columns
    pairs = [Utterance(row["text"], text, "en") for row, text in zip(english, texts, strict=True)]
    assert word_errors(pairs).rate < 0.15


def test_texts_are_those_of_a_batch(
    short: tercet.Model, clips_dir: Path, english: list[dict[str, str]]
) -> None:
    paths = [clips_dir / row["path"] for row in english]
    alone = [short.transcribe(path, **HEARD).text for path in paths]
    assert alone == [heard.text for _, heard in sorted(short.transcribe_many(paths, **HEARD))]


def test_heads_are_left_aside_and_a_name_that_is_none_names_those_there_are(
    short: tercet.Model, base_model: Path
) -> None:
    assert ("text",) == short.readings
    with pytest.raises(
        HeadError, match=r"no tag head for its encoder with the adapter \(its own is for"
    ):
        short.tag(np.zeros(16000, np.float32))
    with pytest.raises(ModelNotFoundError, match="with the model came true-length"):
        tercet.load_model(base_model, adapter="true_length")
