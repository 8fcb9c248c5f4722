"""Tercet's stored layout: what was written reads back, and every damage is one line."""

import contextlib
import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tercet.checkpoint import Geometry, open_checkpoint
from tercet.checkpoint.adapter import open_adapter, with_adapter
from tercet.checkpoint.adapter_writing import AdapterFacts, save_adapter
from tercet.checkpoint.save import settings_files
from tercet.convert.store import StoredForm, stored_arrays, write_arrays
from tercet.errors import CheckpointError

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
FC1 = "model.encoder.layers.0.fc1.weight"
BIAS = "model.encoder.conv1.bias"


@pytest.fixture(scope="module")
def tiny(random_checkpoint):
    return random_checkpoint(TINY)


@pytest.fixture(scope="module")
def statistics():
    groups = ("self_attn", "out_proj", "fc1")
    names = [f"layers.{layer}.{group}" for layer in range(2) for group in groups]
    return {name: np.linspace(0.1, 9, 16, dtype=np.float32) for name in names}


@pytest.fixture(scope="module")
def written(tiny, statistics):
    metadata = StoredForm(tiny, statistics).metadata({"name": "tiny"})
    return stored_arrays(tiny, statistics), metadata


@pytest.fixture
def folder(tiny, written, tmp_path):
    write_arrays(tmp_path / "model.safetensors", *written)
    settings = settings_files(TINY, tiny.generation, None, "float16")
    settings["config.json"] |= {"tercet_format": 1, "quantization_config": {"num_bits": 8}}
    for name, values in settings.items():
        (tmp_path / name).write_text(json.dumps(values))
    return tmp_path


def read_all(folder):
    checkpoint = open_checkpoint(folder)
    return {name: checkpoint.read(name) for name in checkpoint.names()}


def error_of(folder):
    with pytest.raises(CheckpointError) as caught:
        read_all(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
    return str(caught.value)


def rewrite(folder, change, metadata=None):
    """Change the arrays (by name, in place), or the metadata's text."""
    path = folder / "model.safetensors"
    arrays = load_file(path)
    change(arrays)
    stored = dict(open_checkpoint(folder).source.metadata) if metadata is None else metadata
    save_file(arrays, path, stored)


def test_what_was_written_reads_back(tiny, written, statistics, folder):
    checkpoint = open_checkpoint(folder)
    arrays, _ = written
    assert ("native", TINY, None) == (
        checkpoint.layout,
        checkpoint.geometry,
        checkpoint.tokenizer_file,
    )
    assert tiny.names() == checkpoint.names()
    for name in tiny.names():
        assert tiny.shape(name) == checkpoint.shape(name)
        stored, read = checkpoint.read_int8(name), checkpoint.read(name)
        if arrays[name].dtype == np.int8:
            np.testing.assert_array_equal(arrays[name], stored.values)
            np.testing.assert_array_equal(arrays[f"{name}_scale"], stored.scales)
            np.testing.assert_array_equal(stored.to_float(), read)
        else:
            assert None is stored
            assert arrays[name].dtype == read.dtype
            np.testing.assert_array_equal(arrays[name], read)
    assert sorted(statistics) == sorted(checkpoint.smoothing) == sorted(checkpoint.calibration)
    assert {np.dtype(np.int8)} == {array.dtype for array in checkpoint.smoothing.values()}
    np.testing.assert_array_equal(
        np.float16(statistics["layers.1.fc1"]), checkpoint.calibration["layers.1.fc1"]
    )
    assert "tiny" == checkpoint.metadata["name"]


def test_a_tokenizer_in_the_folder_is_found(folder):
    (folder / "tokenizer.json").write_text("{}")
    assert folder / "tokenizer.json" == open_checkpoint(folder).tokenizer_file


def test_opening_reads_no_array(folder, monkeypatch):
    from tercet.checkpoint import safetensors_file

    def refuse(*arguments):
        raise AssertionError("an array was read")

    monkeypatch.setattr(safetensors_file, "decode", refuse)
    checkpoint = open_checkpoint(folder)
    assert (64, 16) == checkpoint.shape(FC1)
    with pytest.raises(AssertionError, match="was read"):
        checkpoint.read(FC1)


def test_arrays_that_are_read_can_be_changed(folder):
    checkpoint = open_checkpoint(folder)
    checkpoint.read(BIAS)[:] = 7
    checkpoint.read_int8(FC1).values[:] = 7
    assert 7 not in checkpoint.read(BIAS)
    assert len(np.unique(checkpoint.read_int8(FC1).values)) > 9


def test_an_unknown_array_is_an_error(folder):
    checkpoint = open_checkpoint(folder)
    for call in (checkpoint.read, checkpoint.shape):
        with pytest.raises(CheckpointError, match=r"no array 'model\.nonsense'"):
            call("model.nonsense")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: a.pop(BIAS), f"{BIAS} missing"),
        (lambda a: a.pop(FC1), f"{FC1} missing"),
        (lambda a: a.update({BIAS: np.zeros(15, np.float16)}), r"shape [15] instead of [16]"),
        (lambda a: a.update({FC1: a[FC1][:, :9].copy()}), "shape [64, 9] instead of [64, 16]"),
        (lambda a: a.pop(f"{FC1}_scale"), f"{FC1} needs a _scale"),
        (lambda a: a.update({FC1: a[FC1].astype(np.float16)}), "is no int8 matrix but has"),
        (
            lambda a: a.update({f"{FC1}_scale": np.ones(64, np.float32)}),
            "instead of float16 [64, blocks of 16 columns]",
        ),
        (
            lambda a: a.update({f"{FC1}_scale": np.ones((64, 1), np.float32)}),
            "float32 [64, 1] instead of float16",
        ),
        (lambda a: a.update({"model.encoder.layers.2.fc1.weight": a[FC1]}), "unknown"),
    ],
)
def test_arrays_that_do_not_fit_are_named(folder, change, said):
    rewrite(folder, change)
    assert said in error_of(folder)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({}, "has no 'tercet'"),
        ({"format": "pt"}, "has no 'tercet'"),
        ({"tercet": "{"}, "not JSON"),
        ({"tercet": "[" * 100_000}, "not JSON"),
        ({"tercet": "3"}, "format None is none of Tercet's"),
        ({"tercet": '{"format": "1"}'}, "format '1' is none of Tercet's"),
        ({"tercet": '{"format": true}'}, "format True is none of Tercet's"),
        ({"tercet": '{"format": 2}'}, "format 2, this release reads up to 1; upgrade tercet"),
    ],
)
def test_metadata_that_are_not_ours_are_named(folder, metadata, said):
    rewrite(folder, lambda arrays: None, metadata)
    assert said in error_of(folder)


@pytest.mark.parametrize(("number", "said"), [(2, "upgrade tercet"), ("x", "none of Tercet's")])
def test_another_format_in_the_settings_is_named(folder, number, said):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tercet_format": number}))
    assert said in error_of(folder)


def test_missing_weights_are_named(folder):
    (folder / "model.safetensors").unlink()
    assert "model.safetensors is missing; install or copy" in error_of(folder)


def test_cut_and_flipped_files_raise_our_errors_only(folder):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for size in (0, 4, 8, 100, 2000, len(whole) - 1):
        path.write_bytes(whole[:size])
        error_of(folder)
    rng = np.random.default_rng(0)
    for _ in range(100):
        damaged = bytearray(whole)
        damaged[rng.integers(0, 9000)] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with contextlib.suppress(CheckpointError):
            read_all(folder)


def test_an_adapter_is_merged_through_the_folded_factors(tiny, folder, tmp_path):
    """The stored encoder with an adapter hears what the original hears with it, to 8 bits."""
    pytest.importorskip("torch")
    from tercet.model import load_torch

    rng = np.random.default_rng(3)
    matrices = {
        name.removesuffix(".weight"): (
            rng.normal(size=(2, tiny.shape(name)[1])).astype(np.float32) / 4,
            rng.normal(size=(tiny.shape(name)[0], 2)).astype(np.float32) / 4,
        )
        for name in tiny.names()
        if name.startswith("model.encoder.layers") and len(tiny.shape(name)) == 2
    }
    facts = AdapterFacts(base="tiny", rank=2, alpha=2.0)
    save_adapter(tmp_path / "lora", matrices, facts, dtype="float32")
    adapter = open_adapter(tmp_path / "lora")
    stored = open_checkpoint(folder)
    assert stored.smoothing["layers.0.fc1"].any()  # else there is nothing to get wrong
    mel = rng.normal(size=(8, 40)).astype(np.float32)

    def states(checkpoint):
        return np.asarray(load_torch(checkpoint)[0].encode(mel).states)

    wanted = states(with_adapter(tiny, adapter))
    rounding = np.abs(states(tiny) - states(stored)).mean()
    assert np.abs(wanted - states(tiny)).mean() > 10 * rounding  # the adapter changes much
    assert np.abs(wanted - states(with_adapter(stored, adapter))).mean() < 4 * rounding
    with_it = with_adapter(stored, adapter)
    assert with_it.read_int8(FC1) is None
    assert with_it.read_int8("model.decoder.layers.0.fc1.weight") is not None
