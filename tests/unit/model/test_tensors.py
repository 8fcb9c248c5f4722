"""Arrays become tensors where torch is installed."""

import numpy as np

from tercet.model.tensors import as_tensor_if_possible


def test_numbers_shape_and_format_stay(peer):
    torch = peer("torch")
    for kind, expected in ((np.float32, torch.float32), (np.int64, torch.int64)):
        array = np.arange(6, dtype=kind).reshape(2, 3)
        array.setflags(write=False)
        tensor = as_tensor_if_possible(array)
        assert (expected, array.tolist()) == (tensor.dtype, tensor.tolist())


def test_without_torch_the_array_is_given_back(monkeypatch):
    monkeypatch.setattr("tercet.model.tensors.find_spec", lambda name: None)
    array = np.zeros(3)
    assert array is as_tensor_if_possible(array)
