"""Kernels that clip sums of two products at 16 bits are told from those that do not."""

import numpy as np
import pytest

from tercet.engine.saturation import (
    check_int8_kernel,
    hard_values,
    is_exact,
    wrong_int8_kernels,
)
from tercet.errors import EngineError

KINDS = ("rows", "tensor")


def clipped(activations: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`vpmaddubsw`: products of neighbours are added into 16 bits, and the sum is clipped."""
    products = activations[:, None, :] * weights[None]
    pairs = products[..., 0::2] + products[..., 1::2]
    return pairs.clip(-32768, 32767).sum(axis=-1).astype(np.float32)


def shifted(activations: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The same with the weights as unsigned bytes around 128, as MatMulNBits stores them."""
    offset = 128 * activations.sum(axis=1, keepdims=True)
    return clipped(activations, weights + 128) - offset


@pytest.fixture(autouse=True)
def _asked_again():
    wrong_int8_kernels.cache_clear()
    yield
    wrong_int8_kernels.cache_clear()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("kernel", [clipped, shifted])
def test_a_kernel_that_clips_is_caught(kind, rows, kernel):
    activations, weights = hard_values(kind, rows)
    got = kernel(activations, weights)
    if kind == "rows" and kernel is clipped:  # 2 x 127 x 127 fits: such a kernel is right
        assert is_exact(got, activations, weights)
    else:
        assert not is_exact(got, activations, weights)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kernel_that_rounds_activations_is_none_that_clips(kind):
    activations, weights = hard_values(kind, 5)
    scale = activations.max() / 63  # seven bits, coarser than any kernel
    rounded = np.rint(activations / scale) * scale
    assert is_exact((rounded @ weights.T).astype(np.float32), activations, weights)


def test_nan_is_not_exact():
    activations, weights = hard_values("rows", 2)
    got = (activations @ weights.T).astype(np.float32)
    assert is_exact(got, activations, weights)
    got[1, 7] = np.nan
    assert not is_exact(got, activations, weights)


@pytest.mark.parametrize("kind", KINDS)
def test_sums_are_whole_numbers_that_float32_holds(kind):
    activations, weights = hard_values(kind, 5)
    assert (np.abs(activations) @ np.abs(weights).T).max() < 2**24
    assert 127 == np.abs(weights).max()
    # The largest of all, so that the kernel's scale is 1 and nothing is rounded.
    assert {"rows": 127, "tensor": 255}[kind] == np.abs(activations).max()


class Simulated:
    """An open graph of one kind, computed by a function."""

    def __init__(self, kind, kernel):
        self.kind, self.kernel = kind, kernel

    def run(self, _, inputs):
        weights = hard_values(self.kind, 1)[1]
        return [self.kernel(inputs["x"][0].astype(np.int64), weights)[None]]


def test_each_kind_is_judged_by_itself(monkeypatch):
    def exact(activations, weights):
        return activations @ weights.T

    kernels = iter([("rows", exact), ("tensor", clipped)])
    monkeypatch.setattr(
        "tercet.engine.onnx.open_graph", lambda graph, threads: Simulated(*next(kernels))
    )
    assert {"tensor"} == wrong_int8_kernels()
    assert not check_int8_kernel()  # and nothing is opened a second time


def test_a_kernel_that_is_right_for_one_row_alone_is_wrong(monkeypatch):
    def exact_alone(activations, weights):
        return activations @ weights.T if len(activations) == 1 else shifted(activations, weights)

    kernels = iter([("rows", exact_alone), ("tensor", exact_alone)])
    monkeypatch.setattr(
        "tercet.engine.onnx.open_graph", lambda graph, threads: Simulated(*next(kernels))
    )
    assert {"rows", "tensor"} == wrong_int8_kernels()


def test_a_kernel_that_cannot_be_opened_is_wrong(monkeypatch):
    def refuse(graph, threads):
        raise EngineError("no such operator")

    monkeypatch.setattr("tercet.engine.onnx.open_graph", refuse)
    assert {"rows", "tensor"} == wrong_int8_kernels()


def test_onnx_runtimes_own_kernels_of_rows_are_right_everywhere():
    """Those of `tensor` are wrong on processors that have AVX2 and no VNNI."""
    assert wrong_int8_kernels() <= {"tensor"}
