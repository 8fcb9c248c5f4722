"""The streaming writer: the library's bytes, whatever the order in which arrays arrive."""

import numpy as np
import pytest
from safetensors.numpy import load, save

from tercet.checkpoint.safetensors_writer import ArrayPlan, SafetensorsWriter, file_bytes

ARRAYS = {
    "z": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.arange(5, dtype=np.int8),
    "a": np.arange(4, dtype=np.int8).reshape(2, 2),
    "h": np.arange(3, dtype=np.float16),
    "d": np.arange(2, dtype=np.float64),
    "empty": np.zeros((0, 4), np.float32),
    "one": np.array(3.5, np.float32),
}


def plans_of(arrays):
    return {name: ArrayPlan(str(array.dtype), array.shape) for name, array in arrays.items()}


def written(path, arrays, plans=None, metadata=None):
    with path.open("wb") as file:
        writer = SafetensorsWriter(file, plans or plans_of(arrays), metadata or {})
        for name, array in arrays.items():
            writer.put(name, array)
        writer.finish()
    return path.read_bytes()


@pytest.mark.parametrize("metadata", [{}, {"tercet": '{"a": "ä\\u0000\\"/"}'}])
def test_the_bytes_are_those_of_the_library(tmp_path, metadata):
    expected = save(ARRAYS, metadata or None)
    assert expected == written(tmp_path / "a", ARRAYS, metadata=metadata)
    backwards = dict(reversed(ARRAYS.items()))
    assert expected == written(tmp_path / "b", backwards, metadata=metadata)


def test_arrays_are_converted_to_their_planned_type(tmp_path, monkeypatch):
    monkeypatch.setattr("tercet.checkpoint.safetensors_writer._ITEMS_AT_ONCE", 7)
    values = np.linspace(-3, 3, 100, dtype=np.float32).reshape(20, 5).T
    raw = written(tmp_path / "a", {"x": values}, {"x": ArrayPlan("float16", (5, 20))})
    np.testing.assert_array_equal(values.astype(np.float16), load(raw)["x"])


def test_bfloat16_is_the_upper_half_of_float32(tmp_path):
    values = np.array([1.0, -2.5, 3e38], np.float32)
    raw = written(tmp_path / "a", {"x": values}, {"x": ArrayPlan("bfloat16", (3,))})
    bits = np.frombuffer(raw[-6:], "<u2").astype(np.uint32) << 16
    np.testing.assert_allclose(bits.view(np.float32), values, rtol=2**-8)


def test_the_size_is_known_beforehand():
    assert 24 + 5 + 4 + 6 + 16 + 4 == file_bytes(plans_of(ARRAYS))


def test_a_forgotten_array_is_our_mistake(tmp_path):
    with pytest.raises(AssertionError, match="'z'"), (tmp_path / "a").open("wb") as file:
        SafetensorsWriter(file, plans_of({"z": ARRAYS["z"]}), {}).finish()
