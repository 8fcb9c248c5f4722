"""Students in the hands of others: transformers, faster-whisper, and the files whisper.cpp needs."""

import json

import numpy as np
import pytest

from tercet.checkpoint import Geometry, open_checkpoint
from tercet.convert.student import make_student, plan_student
from tercet.convert.student_folder import report_of, write_student

torch = pytest.importorskip("torch")

GEOMETRY = Geometry(
    n_mels=80,
    width=64,
    encoder_layers=2,
    encoder_heads=2,
    decoder_layers=4,
    decoder_heads=2,
    vocab_size=51865,
)
KEPT = (0, 3)
# What convert-h5-to-ggml.py of whisper.cpp takes from config.json.
OF_CONFIG = [
    "vocab_size",
    "max_source_positions",
    "d_model",
    "encoder_attention_heads",
    "encoder_layers",
    "max_length",
    "decoder_attention_heads",
    "decoder_layers",
    "num_mel_bins",
]


@pytest.fixture(scope="module")
def tokenizer(byte_tokenizer_file):
    return byte_tokenizer_file(GEOMETRY.vocab_size)


@pytest.fixture(scope="module")
def teacher(random_checkpoint):
    return random_checkpoint(GEOMETRY)


@pytest.fixture(scope="module")
def student(teacher, tokenizer, tmp_path_factory):
    made = make_student(teacher, plan_student(GEOMETRY, layers=KEPT), tokenizer_file=tokenizer)
    folder = tmp_path_factory.mktemp("students") / "student"
    write_student(made, folder, report_of(made, teacher="t", compute_type="float32"))
    return folder


def test_transformers_computes_what_the_teacher_would_with_those_layers_alone(
    teacher, student, tokenizer, peer, tmp_path
):
    whisper = peer("transformers").WhisperForConditionalGeneration
    whole = make_student(
        teacher, plan_student(GEOMETRY, decoder_layers=4), tokenizer_file=tokenizer
    )
    write_student(whole, tmp_path / "t", report_of(whole, teacher="t", compute_type="float32"))
    expected_of = whisper.from_pretrained(tmp_path / "t").eval()
    layers = expected_of.model.decoder.layers
    expected_of.model.decoder.layers = torch.nn.ModuleList([layers[i] for i in KEPT])
    opened = whisper.from_pretrained(student).eval()
    mel = torch.randn(1, 80, 3000)
    tokens = torch.tensor([[50258, 50259, 50359, 3, 14]])
    with torch.no_grad():
        expected = expected_of(input_features=mel, decoder_input_ids=tokens, use_cache=False).logits
        got = opened(input_features=mel, decoder_input_ids=tokens, use_cache=False).logits
    torch.testing.assert_close(got, expected, atol=0, rtol=0)
    assert opened.generation_config.forced_decoder_ids is None
    assert opened.proj_out.weight is opened.model.decoder.embed_tokens.weight


def test_faster_whisper_opens_what_the_converter_makes_of_it(teacher, student, peer, tmp_path):
    converter = peer("ctranslate2").converters.TransformersConverter(
        str(student), copy_files=["tokenizer.json", "preprocessor_config.json"]
    )
    converter.convert(str(tmp_path / "ct2"))
    told = json.loads((tmp_path / "ct2" / "config.json").read_text())
    assert [[1, 0], [1, 1]] == told["alignment_heads"]  # the upper half: the teacher lists none
    assert 99 == len(told["lang_ids"])
    np.testing.assert_array_equal(
        teacher.read("model.decoder.layers.3.fc2.weight"),
        open_checkpoint(tmp_path / "ct2").read("model.decoder.layers.1.fc2.weight"),
    )
    model = peer("faster_whisper").WhisperModel(str(tmp_path / "ct2"), device="cpu", cpu_threads=1)
    noise = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    segments, _ = model.transcribe(
        noise, language="en", beam_size=1, temperature=0.0, max_new_tokens=5
    )
    assert all(isinstance(segment.text, str) for segment in segments)


def test_whisper_cpps_converter_finds_the_files_and_settings_that_it_reads(student):
    words = json.loads((student / "vocab.json").read_text())
    added = json.loads((student / "added_tokens.json").read_text())
    config = json.loads((student / "config.json").read_text())
    assert list(range(50257)) == sorted(words.values())
    assert 50257 == added["<|endoftext|>"]
    assert [] == [key for key in OF_CONFIG if not isinstance(config.get(key), int)]
    assert 448 == config["max_length"]
