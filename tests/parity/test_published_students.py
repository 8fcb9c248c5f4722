"""A student's folder as it is published: transformers and faster-whisper open it by what its card says."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tercet.checkpoint import Geometry, save_hugging_face
from tercet.checkpoint.naming import expected_shapes
from tercet.hub.contents import contents_of

Peer = Callable[[str], ModuleType]
STUDENT = Geometry(
    n_mels=80, width=64, encoder_layers=2, encoder_heads=1, decoder_layers=2, decoder_heads=1,
    vocab_size=51865,
)  # fmt: skip
LARGE_V2 = Geometry(
    n_mels=80, width=1280, encoder_layers=32, encoder_heads=20, decoder_layers=32,
    decoder_heads=20, vocab_size=51865,
)  # fmt: skip


@pytest.fixture(scope="module")
def student(
    tmp_path_factory: pytest.TempPathFactory,
    random_checkpoint: Callable[..., Any],
    byte_tokenizer_file: Callable[[int], Path],
) -> Path:
    """Of random weights, with nothing in its folder but what is published."""
    made = tmp_path_factory.mktemp("made")
    save_hugging_face(
        random_checkpoint(STUDENT), made, dtype="float32", tokenizer_file=byte_tokenizer_file(51865)
    )
    folder = tmp_path_factory.mktemp("published")
    for each in contents_of(made).files:
        (folder / each.name).write_bytes(each.path.read_bytes())
    return folder


def numbers_by_transformers(peer: Peer, geometry: Geometry) -> int:
    """What transformers counts in a model of this shape; nothing is allocated."""
    transformers, torch = peer("transformers"), peer("torch")
    config = transformers.WhisperConfig(
        num_mel_bins=geometry.n_mels, d_model=geometry.width, vocab_size=geometry.vocab_size,
        encoder_layers=geometry.encoder_layers, encoder_attention_heads=geometry.encoder_heads,
        decoder_layers=geometry.decoder_layers, decoder_attention_heads=geometry.decoder_heads,
        encoder_ffn_dim=geometry.mlp_width, decoder_ffn_dim=geometry.mlp_width,
    )  # fmt: skip
    with torch.device("meta"):
        model = transformers.WhisperForConditionalGeneration(config)
    model.tie_weights()
    return sum(each.numel() for each in model.parameters())


@pytest.mark.parametrize("geometry", [STUDENT, LARGE_V2, replace(LARGE_V2, decoder_layers=2)])
def test_parameters_of_a_card_are_those_that_transformers_counts(
    peer: Peer, geometry: Geometry
) -> None:
    ours = sum(math.prod(shape) for shape in expected_shapes(geometry).values())
    assert numbers_by_transformers(peer, geometry) == ours


def test_large_v2_with_two_layers_is_half_as_large(peer: Peer) -> None:
    two, whole = (
        numbers_by_transformers(peer, each)
        for each in (replace(LARGE_V2, decoder_layers=2), LARGE_V2)
    )
    assert 0.49 == round(two / whole, 2)


def test_transformers_opens_it_with_all_of_its_weights(peer: Peer, student: Path) -> None:
    transformers, torch = peer("transformers"), peer("torch")
    model, told = transformers.WhisperForConditionalGeneration.from_pretrained(
        student, output_loading_info=True
    )
    assert [] == [*told["missing_keys"], *told["unexpected_keys"], *told["mismatched_keys"]]
    features = transformers.WhisperFeatureExtractor.from_pretrained(student)
    heard = features(np.zeros(16000, np.float32), sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        tokens = model.generate(heard.input_features, language="en", max_new_tokens=5)
    assert tokens.shape[1] >= 1


def test_faster_whisper_opens_what_the_cards_command_makes(
    peer: Peer, student: Path, tmp_path: Path
) -> None:
    faster_whisper = peer("faster_whisper")
    converter = peer("ctranslate2.converters")
    folder = tmp_path / "student-ct2"
    peer("transformers")
    converter.TransformersConverter(
        str(student), copy_files=["tokenizer.json", "preprocessor_config.json"]
    ).convert(str(folder))
    model = faster_whisper.WhisperModel(str(folder), device="cpu", compute_type="float32")
    assert 80 == model.feature_extractor.mel_filters.shape[0]
    segments, info = model.transcribe(
        np.zeros(16000, np.float32), language="en", temperature=0.0, max_new_tokens=5
    )
    assert ("en", True) == (info.language, all(segment.text is not None for segment in segments))
