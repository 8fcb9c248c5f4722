"""Checkpoints that other packages wrote, read array by array; and ours, read by them."""

import copy
import json

import numpy as np
import pytest

from tercet.checkpoint import (
    Generation,
    Geometry,
    MemoryCheckpoint,
    open_checkpoint,
    save_hugging_face,
)
from tercet.checkpoint.naming import ctranslate2_slots, openai_slots

torch = pytest.importorskip("torch")

SHAPES = {
    "tiny.en": {"vocab_size": 51864, "encoder_layers": 2, "decoder_layers": 2, "n_mels": 80},
    "base": {"vocab_size": 51865, "encoder_layers": 3, "decoder_layers": 3, "n_mels": 80},
    "distil": {"vocab_size": 51865, "encoder_layers": 4, "decoder_layers": 2, "n_mels": 80},
    "large-v3": {"vocab_size": 51866, "encoder_layers": 2, "decoder_layers": 2, "n_mels": 128},
}


@pytest.fixture(scope="module", params=SHAPES)
def geometry(request):
    sizes = SHAPES[request.param]
    return Geometry(width=32, encoder_heads=4, decoder_heads=2, **sizes)


def disturb(module):
    """No two arrays alike: fresh norms and zero biases would hide a mix-up."""
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return module.eval()


@pytest.fixture(scope="module")
def hf_model(geometry):
    transformers = pytest.importorskip("transformers")
    config = transformers.WhisperConfig(
        vocab_size=geometry.vocab_size,
        num_mel_bins=geometry.n_mels,
        d_model=geometry.width,
        encoder_layers=geometry.encoder_layers,
        decoder_layers=geometry.decoder_layers,
        encoder_attention_heads=geometry.encoder_heads,
        decoder_attention_heads=geometry.decoder_heads,
        encoder_ffn_dim=geometry.mlp_width,
        decoder_ffn_dim=geometry.mlp_width,
    )
    return disturb(transformers.WhisperForConditionalGeneration(config))


@pytest.fixture(scope="module")
def hf_arrays(hf_model):
    return {
        name: value.numpy().copy()
        for name, value in hf_model.state_dict().items()
        if name != "proj_out.weight"
    }


def assert_same_arrays(expected, checkpoint, dtype=np.float32):
    assert sorted(expected) == list(checkpoint.names())
    for name, array in expected.items():
        read = checkpoint.read(name)
        assert dtype == read.dtype, name
        assert array.shape == read.shape == checkpoint.shape(name), name
        np.testing.assert_array_equal(array.astype(dtype), read, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_folder_of_transformers_reads_back_bit_for_bit(hf_model, geometry, tmp_path, dtype):
    model = copy.deepcopy(hf_model).to(getattr(torch, dtype))
    model.save_pretrained(tmp_path)
    expected = {k: v.float().numpy() for k, v in model.model.state_dict(prefix="model.").items()}
    checkpoint = open_checkpoint(tmp_path)
    assert geometry == checkpoint.geometry
    assert checkpoint.layout == "hf"
    assert_same_arrays(expected, checkpoint, np.float16 if dtype == "float16" else np.float32)


def test_a_sharded_folder_reads_back_bit_for_bit(hf_model, hf_arrays, tmp_path):
    hf_model.save_pretrained(tmp_path, max_shard_size="1MB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    assert_same_arrays(hf_arrays, open_checkpoint(tmp_path))


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "stream"])
@pytest.mark.parametrize("prefix", ["model.", ""])
def test_a_legacy_bin_reads_back_bit_for_bit(hf_model, hf_arrays, tmp_path, is_zip, prefix):
    hf_model.config.save_pretrained(tmp_path)
    state = hf_model.state_dict() if prefix else hf_model.model.state_dict()
    torch.save(state, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=is_zip)
    assert_same_arrays(hf_arrays, open_checkpoint(tmp_path))


def test_a_sharded_legacy_bin_reads_back_bit_for_bit(hf_model, hf_arrays, tmp_path):
    hf_model.config.save_pretrained(tmp_path)
    state, index = hf_model.state_dict(), {}
    for i in (0, 1):
        name = f"pytorch_model-0000{i + 1}-of-00002.bin"
        part = dict(list(state.items())[i::2])
        torch.save(part, tmp_path / name)
        index |= dict.fromkeys(part, name)
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": index}))
    assert_same_arrays(hf_arrays, open_checkpoint(tmp_path))


@pytest.fixture(scope="module")
def openai_model(geometry):
    whisper = pytest.importorskip("whisper.model")
    dims = whisper.ModelDimensions(
        n_mels=geometry.n_mels,
        n_audio_ctx=geometry.n_audio_ctx,
        n_audio_state=geometry.width,
        n_audio_head=geometry.encoder_heads,
        n_audio_layer=geometry.encoder_layers,
        n_vocab=geometry.vocab_size,
        n_text_ctx=geometry.n_text_ctx,
        n_text_state=geometry.width,
        n_text_head=geometry.decoder_heads,
        n_text_layer=geometry.decoder_layers,
    )
    return disturb(whisper.Whisper(dims))


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "stream"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_an_openai_file_reads_back_bit_for_bit(openai_model, geometry, tmp_path, is_zip, dtype):
    state = {k: v.to(getattr(torch, dtype)) for k, v in openai_model.state_dict().items()}
    saved = {"dims": vars(openai_model.dims), "model_state_dict": state}
    torch.save(saved, tmp_path / "a.pt", _use_new_zipfile_serialization=is_zip)
    checkpoint = open_checkpoint(tmp_path / "a.pt")
    assert geometry == checkpoint.geometry
    slots = openai_slots(geometry)
    assert set(state) == {slot.key for slot in slots.values()}
    expected = {name: state[slot.key].numpy() for name, slot in slots.items()}
    assert_same_arrays(expected, checkpoint, np.dtype(dtype))


def test_arrays_renamed_to_openai_give_the_same_logits_there(
    openai_model, hf_model, hf_arrays, geometry
):
    state = {
        slot.key: torch.from_numpy(hf_arrays[name]) for name, slot in openai_slots(geometry).items()
    }
    before = {k: v.clone() for k, v in openai_model.state_dict().items()}
    openai_model.load_state_dict(state, strict=True)
    mel = torch.randn(1, geometry.n_mels, 3000)
    tokens = torch.tensor([[50257, 3, 1, 4, 15]])
    with torch.no_grad():
        ours = openai_model(mel, tokens)
        theirs = hf_model(input_features=mel, decoder_input_ids=tokens).logits
    openai_model.load_state_dict(before)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def write_ctranslate2(model, folder, quantization):
    """What CTranslate2's converter does, but without a tokenizer."""
    pytest.importorskip("ctranslate2")
    from ctranslate2.converters.transformers import WhisperLoader

    # A copy: quantizing works in place, down into the model's own parameters.
    spec = WhisperLoader().get_model_spec(copy.deepcopy(model))
    spec.register_vocabulary([str(i) for i in range(model.config.vocab_size)])
    spec.config.suppress_ids = [1, 2]
    spec.config.suppress_ids_begin = [220]
    spec.config.lang_ids = [50259]
    spec.config.alignment_heads = [[1, 0], [1, 1]]
    spec.validate()
    spec.optimize(quantization=quantization)
    folder.mkdir(exist_ok=True)
    spec.save(str(folder))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_ctranslate2_folder_reads_back_bit_for_bit(
    hf_model, hf_arrays, geometry, tmp_path, dtype
):
    write_ctranslate2(hf_model, tmp_path, dtype)
    checkpoint = open_checkpoint(tmp_path)
    assert geometry == checkpoint.geometry
    assert (
        Generation(
            suppress_tokens=(1, 2), begin_suppress_tokens=(220,), alignment_heads=((1, 0), (1, 1))
        )
        == checkpoint.generation
    )
    rounded = {
        name: torch.from_numpy(a).to(getattr(torch, dtype)).float().numpy()
        for name, a in hf_arrays.items()
    }
    assert_same_arrays(rounded, checkpoint, np.float16 if dtype == "float16" else np.float32)


@pytest.mark.parametrize("quantization", ["int8", "int8_float16", "int16"])
def test_integers_of_ctranslate2_read_back_within_their_scale(
    hf_model, hf_arrays, tmp_path, quantization
):
    write_ctranslate2(hf_model, tmp_path, quantization)
    checkpoint = open_checkpoint(tmp_path)
    in_8_bits = set()
    for name, array in hf_arrays.items():
        read, stored = checkpoint.read(name), checkpoint.read_int8(name)
        if stored is not None:
            in_8_bits.add(name)
            assert stored.values.dtype == np.int8
            assert array.shape == stored.values.shape
            np.testing.assert_array_equal(stored.to_float(), read)
            half_a_step = 0.501 * np.abs(array).max(1) / 127
            assert np.all(np.abs(array - read).max(1) <= half_a_step), name
        else:
            np.testing.assert_allclose(array, read, atol=np.abs(array).max() / 100, err_msg=name)
    matrices = {n for n, a in hf_arrays.items() if a.ndim == 2 and "embed_positions" not in n}
    assert in_8_bits == (set() if quantization == "int16" else matrices)


def test_the_ctranslate2_table_fuses_as_the_converter_does(hf_model, hf_arrays, geometry, tmp_path):
    write_ctranslate2(hf_model, tmp_path, "float32")
    source = open_checkpoint(tmp_path).source
    parts = {}
    for name, slot in ctranslate2_slots(geometry).items():
        parts.setdefault(slot.key, {})[slot.part] = (hf_arrays[name], slot.parts)
    for key, found in parts.items():
        count = found[max(found)][1]
        filler = np.zeros_like(found[max(found)][0])  # keys have no bias
        fused = np.concatenate([found[i][0] if i in found else filler for i in range(count)])
        np.testing.assert_array_equal(fused, source.read(key), err_msg=key)


def test_transformers_opens_what_we_write_and_computes_the_same(
    hf_model, hf_arrays, geometry, tmp_path
):
    transformers = pytest.importorskip("transformers")
    generation = Generation(suppress_tokens=(1, 2), alignment_heads=((1, 0),))
    ours = MemoryCheckpoint(geometry, hf_arrays, generation=generation)
    save_hugging_face(ours, tmp_path)
    opened = transformers.WhisperForConditionalGeneration.from_pretrained(tmp_path).eval()
    mel = torch.randn(1, geometry.n_mels, 3000)
    tokens = torch.tensor([[50257, 3, 1, 4, 15]])
    with torch.no_grad():
        expected = hf_model(input_features=mel, decoder_input_ids=tokens).logits
        got = opened(input_features=mel, decoder_input_ids=tokens).logits
    torch.testing.assert_close(got, expected, atol=0, rtol=0)
    assert opened.generation_config.suppress_tokens == [1, 2]
    assert opened.generation_config.alignment_heads == [[1, 0]]
    assert geometry.is_multilingual == opened.generation_config.is_multilingual
    reader = transformers.WhisperFeatureExtractor.from_pretrained(tmp_path)
    assert (geometry.n_mels, 3000) == (reader.feature_size, reader.nb_max_frames)
    assert generation == open_checkpoint(tmp_path).generation


@pytest.fixture(scope="module")
def small_tokenizer(tmp_path_factory):
    """Bytes and Whisper's first special tokens; the converter fills the rest with timestamps."""
    tokenizers = pytest.importorskip("tokenizers")
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    model = tokenizers.models.BPE(vocab={c: i for i, c in enumerate(letters)}, merges=[])
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    names = [
        "<|endoftext|>",
        "<|startoftranscript|>",
        "<|en|>",
        "<|de|>",
        "<|translate|>",
        "<|transcribe|>",
    ]
    tokenizer.add_special_tokens(names)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.mark.parametrize("quantization", ["float32", "float16", "int8"])
def test_ctranslate2_converts_what_we_write(
    hf_arrays, geometry, tmp_path, small_tokenizer, quantization
):
    ctranslate2 = pytest.importorskip("ctranslate2")
    ours = MemoryCheckpoint(geometry, hf_arrays, tokenizer_file=small_tokenizer)
    save_hugging_face(ours, tmp_path / "hf")
    converter = ctranslate2.converters.TransformersConverter(str(tmp_path / "hf"))
    converter.convert(str(tmp_path / "ct2"), quantization=quantization)
    converted = open_checkpoint(tmp_path / "ct2")
    for name, array in hf_arrays.items():
        worst = np.abs(array).max() * {"float32": 0, "float16": 1e-3, "int8": 5e-3}[quantization]
        np.testing.assert_allclose(array, converted.read(name), atol=worst, rtol=0, err_msg=name)
    model = ctranslate2.models.Whisper(str(tmp_path / "ct2"), inter_threads=1, intra_threads=1)
    assert geometry.n_mels == model.n_mels


def test_the_genuine_weights_read_alike_from_both_layouts(genuine_base, tmp_path):
    genuine = open_checkpoint(genuine_base)
    save_hugging_face(genuine, tmp_path, dtype="float16")
    copy = open_checkpoint(tmp_path)
    assert genuine.geometry == copy.geometry
    assert genuine.generation == copy.generation
    for name in genuine.names():
        np.testing.assert_array_equal(genuine.read(name), copy.read(name), err_msg=name)
