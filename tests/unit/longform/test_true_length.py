"""A model that learnt to hear windows as long as they are: what its encoder is given, for which reading."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tercet.checkpoint import Geometry, open_checkpoint, save_hugging_face
from tercet.checkpoint.adapter import open_adapter, with_adapter
from tercet.checkpoint.adapter_writing import AdapterFacts, save_adapter

PLAIN = {"vad_filter": False, "language": "en"}
TINY = Geometry(
    n_mels=80,
    width=16,
    encoder_layers=1,
    encoder_heads=2,
    decoder_layers=1,
    decoder_heads=2,
    vocab_size=51865,
)


def test_windows_are_heard_as_long_as_they_are(fake, noise) -> None:
    short = fake(true_length=True)
    short.model.transcribe(noise(3.2), **PLAIN)
    assert [320] == short.encoder.columns
    assert [160] == short.encoder.real_frames
    padded = fake()
    padded.model.transcribe(noise(3.2), **PLAIN)
    assert [3000] == padded.encoder.columns


def test_heads_hear_30_s_in_a_pass_of_their_own(fake, noise) -> None:
    both = fake(tags={}, true_length=True)
    heard = both.model.listen(noise(3.2), **PLAIN)
    assert [320, 3000] == both.encoder.columns
    assert (("text",), ("tags",)) == heard.encoder_passes


def test_the_files_floor_belongs_to_it_too(fake, noise) -> None:
    sound = np.concatenate([noise(31.0), noise(2.0) * 1e-6])
    texts = {
        floor: fake(true_length=True).model.transcribe(sound, mel_floor=floor, **PLAIN).text
        for floor in ("window", "file")
    }
    assert texts["window"] != texts["file"]


def test_recordings_of_different_lengths_share_a_batch(fake, noise) -> None:
    short = fake(true_length=True)
    sounds = [noise(seconds, seed) for seed, seconds in enumerate((1.0, 7.5, 3.0))]
    list(short.model.transcribe_many(sounds, **PLAIN))
    assert [100, 750, 300] == short.encoder.columns
    assert [3] == short.decoder.opened


@pytest.fixture
def folder(random_checkpoint, tmp_path) -> Path:
    checkpoint = random_checkpoint(TINY)
    save_hugging_face(checkpoint, tmp_path / "model")
    return tmp_path / "model"


def test_a_model_says_it_in_its_settings(random_checkpoint, folder, tmp_path) -> None:
    assert not open_checkpoint(folder).generation.true_length
    assert "true_length" not in json.loads((folder / "generation_config.json").read_text())
    made = random_checkpoint(TINY)
    made.generation = replace(made.generation, true_length=True)
    save_hugging_face(made, tmp_path / "short")
    assert open_checkpoint(tmp_path / "short").generation.true_length


@pytest.mark.parametrize("true_length", [True, False])
def test_an_adapter_says_it_in_its_own(folder, tmp_path, true_length) -> None:
    ones = (np.ones((1, 16), np.float32), np.ones((16, 1), np.float32))
    facts = AdapterFacts(base="tiny", rank=1, alpha=1.0, true_length=true_length)
    matrices = {"model.encoder.layers.0.self_attn.q_proj": ones}
    save_adapter(tmp_path / "lora", matrices, facts, dtype="float16")
    merged = with_adapter(open_checkpoint(folder), open_adapter(tmp_path / "lora"))
    assert true_length == merged.generation.true_length
