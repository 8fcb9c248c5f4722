"""Telling encoders apart, on random weights (which have no outliers; tests/parity has real ones)."""

import copy
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tercet.checkpoint import open_checkpoint, save_hugging_face
from tercet.checkpoint.arrays import MemoryCheckpoint
from tercet.convert.fingerprint import Fingerprint, Storage, deviation, fingerprint, matches
from tercet.convert.quantize import quantize
from tercet.errors import CheckpointError

HERE = Path("model.safetensors")


class Rounded(MemoryCheckpoint):
    """A copy whose block matrices are in 8 bits."""

    def read_int8(self, name):
        is_matrix = ".layers." in name and self.arrays[name].ndim == 2
        return quantize(self.arrays[name]) if is_matrix else None


@pytest.fixture(scope="module")
def original(random_checkpoint, small_geometry):
    return random_checkpoint(small_geometry)


@pytest.fixture(scope="module")
def mark(original):
    return fingerprint(original)


def changed(checkpoint, change, kind=MemoryCheckpoint):
    """A copy with `change(name, array)` for every array."""
    arrays = {name: change(name, checkpoint.read(name)) for name in checkpoint.names()}
    return kind(checkpoint.geometry, arrays)


def adapted(checkpoint, size, kind=MemoryCheckpoint):
    """With a merged adapter of rank 4 on queries and values, of this size relative to the weights."""
    rng = np.random.default_rng(5)

    def change(name, array):
        if not name.endswith(("self_attn.q_proj.weight", "self_attn.v_proj.weight")):
            return array
        low = rng.normal(size=(64, 4)) @ rng.normal(size=(4, 64))
        low *= size * np.linalg.norm(array) / np.linalg.norm(low)
        return (array + low).astype(np.float32)

    return changed(checkpoint, change, kind)


def test_the_original_matches_itself(original, mark):
    assert matches(original, mark)
    assert mark.digest == fingerprint(original).digest
    assert 2 * 6 == len(mark.sketch)
    assert all("encoder.layers" in name for name in mark.sketch)


def test_a_copy_in_8_bits_matches_and_errs_as_rounding_explains(original, mark):
    copied = changed(original, lambda name, array: array, Rounded)
    assert matches(copied, mark)
    assert 0.8 <= np.mean(list(deviation(copied, mark).values())) <= 1.2


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_copies_in_other_float_types_match(original, mark, tmp_path, dtype):
    save_hugging_face(original, tmp_path, dtype=dtype)
    copied = open_checkpoint(tmp_path)
    assert matches(copied, mark)
    assert (dtype == "float32") == (fingerprint(copied).digest == mark.digest)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_merged_adapter_does_not_match_in_other_float_types(original, mark, tmp_path, dtype):
    save_hugging_face(adapted(original, 0.01), tmp_path, dtype=dtype)
    assert not matches(open_checkpoint(tmp_path), mark)


@pytest.mark.parametrize("kind", [MemoryCheckpoint, Rounded])
def test_a_merged_adapter_does_not_match(original, mark, kind):
    assert matches(adapted(original, 0.0, kind), mark)
    assert not matches(adapted(original, 0.02, kind), mark)


def test_a_single_changed_matrix_does_not_match(original, mark):
    name = "model.encoder.layers.1.fc2.weight"
    other = changed(original, lambda n, a: a * np.float32(1.05) if n == name else a, Rounded)
    found = deviation(other, mark)
    assert name == max(found, key=found.get)
    assert not matches(other, mark)


def test_another_model_does_not_match(random_checkpoint, small_geometry, mark):
    assert not matches(random_checkpoint(small_geometry, seed=1), mark)
    for sizes in ({"encoder_layers": 1}, {"encoder_layers": 3}, {"width": 32, "mlp_width": 128}):
        other = random_checkpoint(dataclasses.replace(small_geometry, **sizes))
        assert not matches(other, mark)
    narrow = random_checkpoint(dataclasses.replace(small_geometry, width=32, mlp_width=96))
    assert np.inf == deviation(narrow, mark)["model.encoder.layers.0.fc1.weight"]
    shallow = random_checkpoint(dataclasses.replace(small_geometry, encoder_layers=1))
    assert np.inf == deviation(shallow, mark)["model.encoder.layers.1.fc1.weight"]


def test_any_bit_of_the_encoder_changes_the_hash_and_none_of_the_decoder(original, mark):
    def nudge(prefix):
        return lambda name, array: np.nextafter(array, 9) if name.startswith(prefix) else array

    one = "model.encoder.conv2.bias"
    assert mark.digest != fingerprint(changed(original, nudge(one))).digest
    assert mark.digest == fingerprint(changed(original, nudge("model.decoder."))).digest
    position = "model.encoder.embed_positions"
    assert mark.digest == fingerprint(changed(original, nudge(position))).digest


def test_what_rounding_did_to_a_copy_is_its_unit(original, mark):
    copied = changed(original, lambda name, array: array, Rounded)
    measured = deviation(copied, mark)
    units = deviation(copied, mark, Storage(rounding=measured))
    np.testing.assert_allclose(1, list(units.values()), rtol=1e-6)


def test_json_brings_back_what_went_in(original, mark):
    stored = json.loads(json.dumps(mark.to_json()))
    again = Fingerprint.from_json(stored, HERE)
    assert mark.digest == again.digest
    assert sorted(mark.sketch) == sorted(again.sketch)
    for name, sketch in mark.sketch.items():
        np.testing.assert_allclose(sketch, again.sketch[name], rtol=2**-10, atol=1e-7)
    assert matches(original, again)
    assert stored == again.to_json()
    assert not matches(adapted(original, 0.02, Rounded), again)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("sha256"), "'sha256' is missing"),
        (lambda s: s.pop("matrices"), "'matrices' is missing"),
        (lambda s: s.pop("sketch"), "'sketch' is missing"),
        (lambda s: s.update(matrices=[1]), "'matrices' no object"),
        (lambda s: s.update(sha256=None), "'sha256' is no text"),
        (lambda s: s.update(matrices={}), "another length"),
        (lambda s: s["matrices"].update(more=5), "another length"),
        (lambda s: s["matrices"].update(more=-5), "row counts"),
        (lambda s: s["matrices"].update(more="5"), "row counts"),
        (lambda s: s["matrices"].update(more=10**12), "row counts"),
        (lambda s: s.update(sketch=s["sketch"][:-4]), "another length"),
        (lambda s: s.update(sketch="%%%"), "damaged fingerprint"),
        (lambda s: s.update(sketch="ünsinn"), "damaged fingerprint"),
        (lambda s: s.update(sketch=None), "damaged fingerprint"),
    ],
)
def test_damaged_json_is_one_error(mark, change, said):
    stored = copy.deepcopy(mark.to_json())
    change(stored)
    with pytest.raises(CheckpointError, match=said) as caught:
        Fingerprint.from_json(stored, HERE)
    assert str(caught.value).startswith("model.safetensors: damaged fingerprint")
    assert "\n" not in str(caught.value)
