"""The stored form: what is rounded, what is kept, and the file."""

import json

import numpy as np
import pytest

from tercet.convert.fingerprint import Fingerprint
from tercet.convert.quantize import quantize
from tercet.convert.smooth import fold
from tercet.convert.store import is_matrix, metadata_of, stored_arrays, write_arrays
from tercet.errors import OutputError


@pytest.fixture(scope="module")
def checkpoint(random_checkpoint, small_geometry):
    made = random_checkpoint(small_geometry)
    made.arrays["model.encoder.conv1.weight"] = np.float16(
        made.arrays["model.encoder.conv1.weight"]
    )
    return made


@pytest.fixture(scope="module")
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
    arrays = stored_arrays(checkpoint, statistics)
    metadata = metadata_of(checkpoint, arrays, {"name": "tiny", "licence": "MIT"})
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
        metadata = metadata_of(checkpoint, arrays, {})
        write_arrays(tmp_path / name, {key: arrays[key] for key in order}, metadata)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    write_arrays(path, {"a": np.zeros(3)}, {})
    before = path.read_bytes()

    def full(self, data):
        with self.open("wb") as file:
            file.write(data[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(path), "write_bytes", full)
    with pytest.raises(OutputError, match="No space left") as caught:
        write_arrays(path, {"a": np.ones(3)}, {})
    assert "\n" not in str(caught.value)
    assert [path] == list(tmp_path.iterdir())
    assert before == path.read_bytes()


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        write_arrays(tmp_path / "absent" / "a", {"a": np.ones(3)}, {})
