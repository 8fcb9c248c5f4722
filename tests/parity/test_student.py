"""A student's folder in the programs that people will open it with."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tercet.checkpoint import Geometry, save_hugging_face  # noqa: E402
from tercet.cli.main import main  # noqa: E402

GEOMETRY = Geometry(
    n_mels=80,
    width=128,
    encoder_layers=2,
    encoder_heads=2,
    decoder_layers=4,
    decoder_heads=2,
    vocab_size=51865,
)


@pytest.fixture(scope="module")
def folders(random_checkpoint, byte_tokenizer_file, tmp_path_factory):
    """A teacher's folder and that of its student of layers 0 and 3."""
    place = tmp_path_factory.mktemp("models")
    tokenizer = byte_tokenizer_file(GEOMETRY.vocab_size)
    save_hugging_face(random_checkpoint(GEOMETRY), place / "teacher", tokenizer_file=tokenizer)
    words = ["--compute_type", "float32"]
    assert 0 == main(["distill", "init", str(place / "teacher"), str(place / "student"), *words])
    return place / "teacher", place / "student"


def test_transformers_computes_what_the_teachers_layers_compute(folders):
    teacher, student = (
        transformers.WhisperForConditionalGeneration.from_pretrained(folder).eval()
        for folder in folders
    )
    layers = teacher.model.decoder.layers
    teacher.model.decoder.layers = torch.nn.ModuleList([layers[0], layers[3]])
    sound = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(0))
    tokens = torch.tensor([[50258, 50259, 50359, 50363, 11, 12]])
    with torch.no_grad():
        theirs = teacher(input_features=sound, decoder_input_ids=tokens, use_cache=False).logits
        ours = student(input_features=sound, decoder_input_ids=tokens, use_cache=False).logits
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)
    assert student.proj_out.weight is student.model.decoder.embed_tokens.weight
    assert getattr(student.generation_config, "forced_decoder_ids", None) is None


def test_transformers_writes_something_down(folders):
    _, folder = folders
    student = transformers.WhisperForConditionalGeneration.from_pretrained(folder)
    reader = transformers.WhisperFeatureExtractor.from_pretrained(folder)
    features = reader(np.zeros(16000, np.float32), sampling_rate=16000, return_tensors="pt")
    said = student.generate(features.input_features, language="en", max_new_tokens=5)
    tokenizer = transformers.WhisperTokenizerFast.from_pretrained(folder)
    assert isinstance(tokenizer.batch_decode(said, skip_special_tokens=True)[0], str)


def test_faster_whisper_hears_with_it(folders, tmp_path):
    converters = pytest.importorskip("ctranslate2.converters")
    faster_whisper = pytest.importorskip("faster_whisper")
    _, folder = folders
    copied = ["tokenizer.json", "preprocessor_config.json"]
    converters.TransformersConverter(str(folder), copy_files=copied).convert(str(tmp_path / "ct2"))
    model = faster_whisper.WhisperModel(
        str(tmp_path / "ct2"), device="cpu", compute_type="float32", cpu_threads=1
    )
    noise = np.random.default_rng(0).standard_normal(32000).astype(np.float32) * 0.1
    segments, info = model.transcribe(noise, language="en", beam_size=1, max_new_tokens=5)
    assert isinstance([segment.text for segment in segments], list)
    assert 2.0 == info.duration


def test_whisper_cpps_converter_finds_what_it_reads(folders):
    # convert-h5-to-ggml reads these three files, and opens the weights with transformers.
    _, folder = folders
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    added = json.loads((folder / "added_tokens.json").read_text(encoding="utf-8"))
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    told = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    assert told["model"]["vocab"] == vocabulary
    assert 448 == settings["max_length"]
    for name in ("d_model", "encoder_layers", "decoder_layers", "num_mel_bins", "vocab_size"):
        assert name in settings
    assert set(vocabulary).isdisjoint(added)
    everything = vocabulary | added
    for each in told["added_tokens"]:
        assert each["id"] == everything[each["content"]]
