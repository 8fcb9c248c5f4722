"""The stored form: what is rounded, what is kept, and the file."""

import json

import numpy as np
import pytest

from tercet.checkpoint.arrays import MemoryCheckpoint
from tercet.convert.fingerprint import Fingerprint
from tercet.convert.quantize import quantize
from tercet.convert.smooth import fold
from tercet.convert.store import (
    StoredForm,
    is_matrix,
    stored_arrays,
    write_arrays,
    write_stored,
)
from tercet.errors import CheckpointError, OutputError


@pytest.fixture(scope="module")
def checkpoint(random_checkpoint, small_geometry):
    made = random_checkpoint(small_geometry)
    made.arrays["model.encoder.conv1.weight"] = np.float16(
        made.arrays["model.encoder.conv1.weight"]
    )
    return made


@pytest.fixture
def statistics():
    rng = np.random.default_rng(1)
    return {
        f"layers.{layer}.{group}": np.exp(rng.normal(0, 2, 64)).astype(np.float32)
        for layer in range(2)
        for group in ("self_attn", "out_proj", "fc1")
    }


def test_block_matrices_and_the_embedding_are_rounded_and_nothing_else(checkpoint):
    arrays = stored_arrays(checkpoint, None)
    rounded = {name for name, array in arrays.items() if array.dtype == np.int8}
    assert {name for name in checkpoint.names() if is_matrix(name)} == rounded
    assert 2 * 6 + 10 + 1 == len(rounded)
    assert all(checkpoint.shape(name)[1] in (64, 256) for name in rounded)
    assert {f"{name}_scale" for name in rounded} == set(arrays) - set(checkpoint.names())
    for name in rounded:
        expected = quantize(checkpoint.read(name))
        np.testing.assert_array_equal(expected.values, arrays[name])
        np.testing.assert_array_equal(expected.scales, arrays[f"{name}_scale"])


def test_half_precision_holds_what_it_holds_exactly(checkpoint):
    arrays = stored_arrays(checkpoint, None)
    assert np.float16 == arrays["model.encoder.conv1.weight"].dtype
    assert np.float32 == arrays["model.encoder.conv2.weight"].dtype
    for name in checkpoint.names():
        if not is_matrix(name):
            np.testing.assert_array_equal(checkpoint.read(name), arrays[name])


def test_values_beyond_half_precision_stay_in_float32(checkpoint, random_checkpoint):
    huge = random_checkpoint(checkpoint.geometry)
    huge.arrays["model.encoder.conv1.bias"] = np.full(64, 1e6, np.float32)
    arrays = stored_arrays(huge, None)
    np.testing.assert_array_equal(1e6, arrays["model.encoder.conv1.bias"])


def test_a_folded_encoder_comes_with_its_exponents_and_statistics(checkpoint, statistics):
    arrays = stored_arrays(checkpoint, statistics)
    folded, exponents = fold(checkpoint, statistics)
    for name, values in exponents.items():
        np.testing.assert_array_equal(values, arrays[f"smooth.{name}"])
        np.testing.assert_array_equal(np.float16(statistics[name]), arrays[f"calibration.{name}"])
    name = "model.encoder.layers.0.fc1.weight"
    np.testing.assert_array_equal(quantize(folded.read(name)).values, arrays[name])


def test_metadata_name_the_original_and_the_callers_facts(checkpoint, statistics):
    metadata = StoredForm(checkpoint, statistics).metadata({"name": "tiny", "licence": "MIT"})
    assert ["tercet"] == list(metadata)
    stored = json.loads(metadata["tercet"])
    assert (1, "tiny", "MIT") == (stored["format"], stored["name"], stored["licence"])
    mark = Fingerprint.from_json(stored["encoder"], None)
    assert sorted(mark.sketch) == sorted(stored["rounding"])
    assert all(0 < value < 3 for value in stored["rounding"].values())


def test_the_same_input_gives_the_same_bytes(checkpoint, statistics, tmp_path):
    for name in ("a", "b"):
        arrays = stored_arrays(checkpoint, statistics)
        order = sorted(arrays, reverse=name == "b")
        metadata = StoredForm(checkpoint, statistics).metadata({})
        write_arrays(tmp_path / name, {key: arrays[key] for key in order}, metadata)
    write_stored(tmp_path / "c", StoredForm(checkpoint, statistics), {})
    expected = (tmp_path / "a").read_bytes()
    assert expected == (tmp_path / "b").read_bytes()
    assert expected == (tmp_path / "c").read_bytes()


def test_the_file_is_the_one_that_the_safetensors_library_writes(checkpoint, statistics, tmp_path):
    save = pytest.importorskip("safetensors.numpy").save
    form = StoredForm(checkpoint, statistics)
    write_stored(tmp_path / "ours", form, {"name": "ä"})
    expected = save(stored_arrays(checkpoint, statistics), form.metadata({"name": "ä"}))
    assert expected == (tmp_path / "ours").read_bytes()


def test_rounding_a_few_rows_at_a_time_changes_nothing(checkpoint, monkeypatch):
    expected = stored_arrays(checkpoint, None)
    monkeypatch.setattr("tercet.convert.quantize._ITEMS_AT_ONCE", 1000)
    for name, array in stored_arrays(checkpoint, None).items():
        np.testing.assert_array_equal(expected[name], array)


def test_progress_ends_with_all_numbers_of_the_model(checkpoint, tmp_path):
    seen = []
    form = StoredForm(checkpoint)
    write_stored(tmp_path / "a", form, {}, on_progress=lambda *pair: seen.append(pair))
    numbers = sum(array.size for array in checkpoint.arrays.values())
    assert (numbers, numbers) == seen[-1]
    assert sorted(seen) == seen


class Rows(MemoryCheckpoint):
    """In 8 bits with a scale per row, as CTranslate2 keeps them."""

    def read_int8(self, name):
        return quantize(self.arrays[name], block=None) if is_matrix(name) else None


def test_what_is_in_8_bits_is_not_rounded_again(checkpoint):
    rows = Rows(checkpoint.geometry, checkpoint.arrays)
    form = StoredForm(rows)
    arrays = dict(form.arrays())
    name = "model.decoder.embed_tokens.weight"
    np.testing.assert_array_equal(rows.read_int8(name).values, arrays[name])
    assert (len(arrays[name]), 1) == arrays[f"{name}_scale"].shape
    assert 64 == form.columns_per_scale
    assert {} == json.loads(form.metadata({})["tercet"])["rounding"]


def test_statistics_of_another_model_name_the_layer(checkpoint, statistics):
    del statistics["layers.1.fc1"]
    with pytest.raises(CheckpointError, match=r"no 64 numbers for layers\.1\.fc1"):
        StoredForm(checkpoint, statistics)


def test_a_matrix_that_is_not_finite_is_named_and_leaves_nothing(checkpoint, tmp_path):
    arrays = dict(checkpoint.arrays)
    name = "model.decoder.layers.0.fc1.weight"
    arrays[name] = np.full_like(arrays[name], np.nan)
    form = StoredForm(MemoryCheckpoint(checkpoint.geometry, arrays))
    with pytest.raises(CheckpointError, match=name):
        write_stored(tmp_path / "a", form, {})
    assert [] == list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    write_arrays(path, {"a": np.zeros(3)}, {})
    before = path.read_bytes()

    def full(self, name, array):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tercet.convert.store.SafetensorsWriter.put", full)
    with pytest.raises(OutputError, match="No space left") as caught:
        write_arrays(path, {"a": np.ones(3)}, {})
    assert "\n" not in str(caught.value)
    assert [path] == list(tmp_path.iterdir())
    assert before == path.read_bytes()


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        write_arrays(tmp_path / "absent" / "a", {"a": np.ones(3)}, {})
