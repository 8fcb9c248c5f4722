"""CTranslate2's model.bin, made by hand: integers, aliases, damage. Real ones are in `tests/parity`."""

import contextlib
import json
import random
import struct

import numpy as np
import pytest

from tercet.checkpoint import Geometry, open_checkpoint
from tercet.checkpoint.naming import ctranslate2_slots
from tercet.errors import CheckpointError

TINY = Geometry(
    n_mels=8,
    width=8,
    encoder_layers=1,
    encoder_heads=2,
    decoder_layers=1,
    decoder_heads=4,
    vocab_size=10,
    n_audio_ctx=6,
    n_text_ctx=5,
)
TYPES = ["float32", "int8", "int16", "int32", "float16"]


def text(value):
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"


def model_bin(records, aliases=(), version=6, name="WhisperSpec"):
    raw = struct.pack("<I", version) + text(name) + struct.pack("<II", 3, len(records))
    for key, array in records.items():
        raw += (
            text(key) + struct.pack("<B", array.ndim) + struct.pack(f"<{array.ndim}I", *array.shape)
        )
        raw += struct.pack("<BI", TYPES.index(array.dtype.name), array.nbytes) + array.tobytes()
    return raw + struct.pack("<I", len(aliases)) + b"".join(text(a) + text(b) for a, b in aliases)


@pytest.fixture
def arrays(random_checkpoint):
    return random_checkpoint(TINY).arrays


@pytest.fixture
def records(arrays):
    """The arrays fused as CTranslate2 has them, and the counts of heads."""
    fused = {"encoder/num_heads": np.array(2, np.int16), "decoder/num_heads": np.array(4, np.int16)}
    parts = {}
    for name, slot in ctranslate2_slots(TINY).items():
        parts.setdefault(slot.key, [np.zeros(8, np.float32)] * slot.parts)[slot.part] = arrays[name]
    return fused | {key: np.concatenate(found) for key, found in parts.items()}


@pytest.fixture
def folder(records, tmp_path):
    (tmp_path / "model.bin").write_bytes(model_bin(records))
    (tmp_path / "config.json").write_text(json.dumps({"suppress_ids": [1], "lang_ids": []}))
    return tmp_path


def read_all(folder):
    checkpoint = open_checkpoint(folder)
    return {name: checkpoint.read(name) for name in checkpoint.names()}


def error_of(folder):
    with pytest.raises(CheckpointError) as caught:
        read_all(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_fused_matrices_are_split(folder, arrays):
    checkpoint = open_checkpoint(folder)
    assert TINY == checkpoint.geometry
    assert (1,) == checkpoint.generation.suppress_tokens
    for name, array in read_all(folder).items():
        assert array.shape == checkpoint.shape(name)
        np.testing.assert_array_equal(arrays[name], array)


def test_a_file_without_settings_opens_too(folder):
    (folder / "config.json").unlink()
    assert None is open_checkpoint(folder).generation.suppress_tokens


def test_without_head_counts_heads_are_64_wide(folder, records):
    del records["encoder/num_heads"]
    (folder / "model.bin").write_bytes(model_bin(records))
    assert 1 == open_checkpoint(folder).geometry.encoder_heads


def test_integers_come_with_the_scales_of_their_rows(folder, records):
    key = "encoder/layer_0/self_attention/linear_0/weight"
    name = "model.encoder.layers.0.self_attn.v_proj.weight"
    values = np.arange(24 * 8).reshape(24, 8).astype(np.int8)
    divisors = np.arange(1, 25, dtype=np.float32)
    (folder / "model.bin").write_bytes(model_bin(records | {key: values, f"{key}_scale": divisors}))
    checkpoint = open_checkpoint(folder)
    stored = checkpoint.read_int8(name)
    np.testing.assert_array_equal(values[16:], stored.values)
    np.testing.assert_allclose(1 / divisors[16:, None], stored.scales)
    np.testing.assert_allclose(values[16:] / divisors[16:, None], checkpoint.read(name), rtol=1e-6)
    assert None is checkpoint.read_int8("model.encoder.layers.0.fc1.weight")


@pytest.mark.parametrize("scales", [None, np.zeros(32, np.float32), np.ones(3, np.float32)])
def test_integers_without_fitting_scales_are_an_error(folder, records, scales):
    key = "encoder/layer_0/ffn/linear_0/weight"
    changed = records | {key: np.zeros((32, 8), np.int8)}
    if scales is not None:
        changed[f"{key}_scale"] = scales
    (folder / "model.bin").write_bytes(model_bin(changed))
    assert key in error_of(folder)


def test_an_alias_stands_for_its_array_and_scales(folder, records, arrays):
    first, second = "decoder/layer_norm/gamma", "encoder/layer_norm/gamma"
    del records[second]
    (folder / "model.bin").write_bytes(model_bin(records, [(second, first)]))
    read = open_checkpoint(folder).read("model.encoder.layer_norm.weight")
    np.testing.assert_array_equal(arrays["model.decoder.layer_norm.weight"], read)
    (folder / "model.bin").write_bytes(model_bin(records, [(second, "nothing")]))
    assert "not there" in error_of(folder)


def test_an_alias_of_integers_shares_their_scales(folder, records):
    fc1, taken = "encoder/layer_0/ffn/linear_0/weight", "decoder/layer_0/ffn/linear_0/weight"
    del records[fc1]
    records |= {taken: np.full((32, 8), 3, np.int8), f"{taken}_scale": np.full(32, 2, np.float32)}
    (folder / "model.bin").write_bytes(model_bin(records, [(fc1, taken)]))
    read = open_checkpoint(folder).read("model.encoder.layers.0.fc1.weight")
    np.testing.assert_array_equal(np.full((32, 8), 1.5), read)


def test_other_models_and_versions_are_named(folder, records):
    (folder / "model.bin").write_bytes(model_bin(records, name="TransformerSpec"))
    assert "kind 'TransformerSpec', not a Whisper" in error_of(folder)
    (folder / "model.bin").write_bytes(model_bin(records, version=3))
    assert "version 3" in error_of(folder)


def test_a_missing_array_is_named(folder, records):
    del records["decoder/layer_0/attention/linear_2/bias"]
    (folder / "model.bin").write_bytes(model_bin(records))
    assert "decoder/layer_0/attention/linear_2/bias missing" in error_of(folder)


@pytest.mark.parametrize("heads", [np.array(0, np.int16), np.array(3, np.int16)])
def test_head_counts_that_do_not_fit_are_an_error(folder, records, heads):
    (folder / "model.bin").write_bytes(model_bin(records | {"encoder/num_heads": heads}))
    assert "encoder_heads" in error_of(folder)


def test_cut_and_flipped_files_raise_our_errors_only(folder, records):
    whole = model_bin(records)
    rng = random.Random(3)
    for size in [*range(0, 120, 3), *(rng.randrange(len(whole)) for _ in range(60))]:
        (folder / "model.bin").write_bytes(whole[:size])
        error_of(folder)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(whole))] = rng.randrange(256)
        (folder / "model.bin").write_bytes(damaged)
        with contextlib.suppress(CheckpointError):
            read_all(folder)
