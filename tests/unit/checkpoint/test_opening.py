"""Which layout a path has, and the one line for everything that is none or is damaged."""

import contextlib
import dataclasses
import json
import struct
import tracemalloc

import numpy as np
import pytest

from tercet.checkpoint import Geometry, MemoryCheckpoint, open_checkpoint, save_hugging_face
from tercet.checkpoint.naming import expected_shapes
from tercet.errors import (
    CheckpointError,
    ModelNotFoundError,
    OptionError,
    OutputError,
    TokenizerError,
)

TINY = Geometry(
    n_mels=8,
    width=16,
    encoder_layers=2,
    encoder_heads=2,
    decoder_layers=1,
    decoder_heads=2,
    vocab_size=40,
    n_audio_ctx=20,
    n_text_ctx=12,
)


@pytest.fixture
def tiny(random_checkpoint):
    return random_checkpoint(TINY)


@pytest.fixture
def folder(tiny, tmp_path):
    save_hugging_face(tiny, tmp_path / "model")
    return tmp_path / "model"


def read_all(path):
    checkpoint = open_checkpoint(path)
    return [checkpoint.read(name) for name in checkpoint.names()]


def error_of(path):
    with pytest.raises(CheckpointError) as caught:
        read_all(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit(path, **changes):
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in (settings | changes).items() if v is not ...}))


def test_what_is_saved_reads_back(tiny, folder):
    checkpoint = open_checkpoint(folder)
    assert TINY == checkpoint.geometry
    assert list(expected_shapes(TINY)) != []
    assert sorted(expected_shapes(TINY)) == list(checkpoint.names())
    for name in tiny.names():
        np.testing.assert_array_equal(tiny.read(name), checkpoint.read(name))
    assert None is checkpoint.tokenizer_file
    assert None is checkpoint.read_int8(checkpoint.names()[0])


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_of_the_folder_opens_the_folder(folder, name):
    assert folder == open_checkpoint(folder / name).path


def test_a_tokenizer_in_the_folder_is_found(tiny, folder, tmp_path):
    vocabulary = {"added_tokens": [{"id": 38, "content": "<|endoftext|>"}]}
    (tmp_path / "t.json").write_text(json.dumps(vocabulary))
    save_hugging_face(tiny, folder, tokenizer_file=tmp_path / "t.json")
    assert folder / "tokenizer.json" == open_checkpoint(folder).tokenizer_file


def test_reading_gives_an_array_of_its_own(tiny, folder):
    checkpoint = open_checkpoint(folder)
    name = "model.encoder.layer_norm.weight"
    checkpoint.read(name)[:] = 9
    np.testing.assert_array_equal(tiny.read(name), checkpoint.read(name))


def test_nothing_at_the_path_is_a_model_not_found(tmp_path):
    with pytest.raises(ModelNotFoundError, match="no such file or folder"):
        open_checkpoint(tmp_path / "absent")


def test_an_empty_folder_says_what_is_wanted(tmp_path):
    assert "no config.json" in error_of(tmp_path)


def test_a_folder_without_weights_says_what_to_fetch(folder):
    (folder / "model.safetensors").unlink()
    assert "no model.safetensors" in error_of(folder)
    (folder / "tf_model.h5").write_bytes(b"x")
    assert "only tf_model.h5" in error_of(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "wav2vec2"}, "model_type is 'wav2vec2'"),
        ({"model_type": ...}, "no 'model_type'"),
        ({"d_model": "16"}, "'d_model' is not a whole number"),
        ({"d_model": ...}, "'d_model' is missing"),
        ({"encoder_layers": 10**9}, "encoder_layers is 1000000000"),
        ({"encoder_layers": 0}, "encoder_layers is 0"),
        ({"encoder_attention_heads": 3}, "no multiple"),
        ({"encoder_layers": 3}, "model.encoder.layers.2.self_attn.q_proj.weight"),
        ({"encoder_layers": 1}, "unknown"),
        ({"vocab_size": 41}, "has shape [40, 16] instead of [41, 16]"),
        ({"activation_function": "relu"}, "another activation"),
        ({"scale_embedding": True}, "scaled embeddings"),
        ({"tie_word_embeddings": False}, "tied"),
        ({"quantization_config": {"bits": 4}}, "packed"),
        ({"decoder_ffn_dim": 32}, "differ"),
    ],
)
def test_settings_that_do_not_fit_are_named(folder, changes, said):
    edit(folder / "config.json", **changes)
    assert said in error_of(folder)


@pytest.mark.parametrize("text", ["", "{", "[1]", "\xff", "[" * 100_000])
@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_json_that_is_none_is_one_error(folder, name, text):
    (folder / name).write_text(text, encoding="latin-1")
    assert name in error_of(folder)


@pytest.mark.parametrize("value", ["x", [1.5], [[1]], [True]])
@pytest.mark.parametrize("key", ["suppress_tokens", "alignment_heads"])
def test_odd_generation_settings_are_named(folder, key, value):
    edit(folder / "generation_config.json", **{key: value})
    assert repr(key) in error_of(folder)


def test_alignment_heads_of_layers_that_are_not_there_are_dropped(folder):
    edit(folder / "generation_config.json", alignment_heads=[[0, 1]])
    assert ((0, 1),) == open_checkpoint(folder).generation.alignment_heads
    edit(folder / "generation_config.json", alignment_heads=[[0, 1], [1, 0]])
    assert None is open_checkpoint(folder).generation.alignment_heads


def test_suppressed_minus_one_means_the_usual_set(folder):
    edit(folder / "generation_config.json", suppress_tokens=[-1], begin_suppress_tokens=[])
    generation = open_checkpoint(folder).generation
    assert None is generation.suppress_tokens
    assert () == generation.begin_suppress_tokens


def test_settings_of_old_folders_are_read_from_config(folder):
    (folder / "generation_config.json").unlink()
    edit(folder / "config.json", suppress_tokens=[7])
    assert (7,) == open_checkpoint(folder).generation.suppress_tokens


def rewrite(path, change):
    """Write a safetensors file anew, its header and data changed."""
    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    header, data = json.loads(raw[8 : 8 + size]), raw[8 + size :]
    data = change(header, data) or data
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def add(name, values):
    def change(header, data):
        end = len(data) + values.nbytes
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": [len(data), end]}
        return data + values.tobytes()

    return change


def test_an_unmerged_adapter_is_told_to_merge(folder):
    name = "model.encoder.layers.0.self_attn.q_proj.lora_A.default.weight"
    rewrite(folder / "model.safetensors", add(name, np.zeros(3, np.float32)))
    assert "merge it" in error_of(folder)


def test_a_folder_with_an_adapter_alone_is_told_where_it_belongs(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "as its adapter (--adapter)" in error_of(tmp_path)


def test_an_unknown_array_inside_the_encoder_is_an_error(folder):
    name = "model.encoder.layers.0.gate.weight"
    rewrite(folder / "model.safetensors", add(name, np.zeros(3, np.float32)))
    assert "encoder.layers.0.gate.weight unknown" in error_of(folder)


def test_arrays_outside_encoder_and_decoder_are_passed_over(tiny, folder):
    rewrite(folder / "model.safetensors", add("tag_head.weight", np.zeros(3, np.float32)))
    assert tiny.names() == open_checkpoint(folder).names()


def test_an_output_layer_must_be_the_embedding(tiny, folder):
    tied = tiny.read("model.decoder.embed_tokens.weight")
    rewrite(folder / "model.safetensors", add("proj_out.weight", tied))
    assert tiny.names() == open_checkpoint(folder).names()
    save_hugging_face(tiny, folder)
    rewrite(folder / "model.safetensors", add("proj_out.weight", tied + 1))
    assert "differs from the token embedding" in error_of(folder)


def test_missing_arrays_are_named_three_at_most(folder):
    def change(header, data):
        for name in [name for name in header if ".encoder.layers.0." in name]:
            header[f"x.{name}"] = header.pop(name)

    rewrite(folder / "model.safetensors", change)
    said = error_of(folder)
    assert 3 == said.count("model.encoder.layers.0.")
    assert "and 12 more missing" in said


def test_a_type_that_is_no_weight_is_named(folder):
    def change(header, data):
        header["model.encoder.conv1.bias"]["dtype"] = "F8_E4M3"
        header["model.encoder.conv1.bias"]["shape"] = [64]

    rewrite(folder / "model.safetensors", change)
    assert "F8_E4M3" in error_of(folder)


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "a/b", 3])
def test_a_shard_must_lie_in_the_folder(folder, name):
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    index = {"weight_map": {"model.encoder.conv1.weight": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "no plain file name" in error_of(folder)


def test_a_missing_shard_is_named(folder):
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    index = {"weight_map": dict.fromkeys(expected_shapes(TINY), "a.safetensors")}
    index["weight_map"]["model.encoder.conv1.bias"] = "b.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "the shard b.safetensors is missing" in error_of(folder)
    index["weight_map"]["model.encoder.conv1.bias"] = "a.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert TINY == open_checkpoint(folder).geometry


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"lmgg" + bytes(60), "whisper.cpp"),
        (b"GGUF" + bytes(60), "GGUF"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"", "cannot be read"),
        (b"nonsense" * 9, "not a file that torch.save wrote"),
    ],
)
def test_files_of_another_world_are_called_by_their_name(tmp_path, start, said):
    path = tmp_path / "model.pt"
    path.write_bytes(start)
    assert said in error_of(path)


def test_a_git_lfs_pointer_in_a_folder_is_recognised(folder):
    (folder / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert "git lfs pull" in error_of(folder)


def test_a_cut_or_flipped_safetensors_file_is_an_error_or_other_numbers(folder):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for size in (0, 4, 8, 100, 2000, len(whole) - 1):
        path.write_bytes(whole[:size])
        error_of(folder)
    rng = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[rng.integers(0, 6000)] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with contextlib.suppress(CheckpointError):
            read_all(folder)


def test_saving_refuses_other_types_and_wrong_shapes(tiny, tmp_path):
    with pytest.raises(OptionError, match="int8"):
        save_hugging_face(tiny, tmp_path, dtype="int8")
    arrays = tiny.arrays | {"model.encoder.conv1.bias": np.zeros(3, np.float32)}
    with pytest.raises(CheckpointError, match=r"conv1\.bias"):
        save_hugging_face(MemoryCheckpoint(TINY, arrays), tmp_path)
    with pytest.raises(TokenizerError, match=r"absent\.json"):
        save_hugging_face(tiny, tmp_path, tokenizer_file=tmp_path / "absent.json")
    assert [] == list(tmp_path.iterdir())


def test_a_failed_save_leaves_the_old_files(tiny, folder, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(name):
        raise OSError(28, "No space left on device")

    tiny.arrays = dict(tiny.arrays)
    monkeypatch.setattr(tiny, "read", full)
    with pytest.raises(OutputError, match="No space left"):
        save_hugging_face(tiny, folder)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_types_are_stored_rounded(tiny, tmp_path, dtype):
    save_hugging_face(tiny, tmp_path, dtype=dtype)
    checkpoint = open_checkpoint(tmp_path)
    step = 2.0 ** (-11 if dtype == "float16" else -8)
    for name in tiny.names():
        np.testing.assert_allclose(tiny.read(name), checkpoint.read(name), rtol=step, atol=1e-7)


def test_bfloat16_rounds_to_even_and_keeps_nan():
    from tercet.checkpoint.dtypes import narrow_to_bfloat16, widen_bfloat16

    values = np.array([1.0, 1.00390625, 1.01171875, -3.0e38, np.inf, np.nan, 3.4e38], np.float32)
    expected = np.array([1.0, 1.0, 1.015625, -3.004055e38, np.inf, np.nan, np.inf], np.float32)
    np.testing.assert_allclose(expected, widen_bfloat16(narrow_to_bfloat16(values)), rtol=1e-4)


def test_memory_stays_near_one_array(random_checkpoint, tmp_path):
    geometry = dataclasses.replace(TINY, encoder_layers=8, width=64, mlp_width=256)
    save_hugging_face(random_checkpoint(geometry), tmp_path)
    whole = (tmp_path / "model.safetensors").stat().st_size
    largest = 64 * 256 * 4
    tracemalloc.start()
    try:
        checkpoint = open_checkpoint(tmp_path)
        for name in checkpoint.names():
            checkpoint.read(name)
        save_hugging_face(checkpoint, tmp_path / "copy")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert whole > 20 * largest
    assert peak < 10 * largest  # three copies of one array, and the tables of names
