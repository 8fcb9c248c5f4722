"""Rounding to 8 bits."""

import numpy as np
import pytest

from tercet.convert.quantize import BLOCK, quantize
from tercet.errors import CheckpointError


@pytest.fixture
def matrix():
    rows = np.random.default_rng(0).standard_t(3, (40, 5 * BLOCK)).astype(np.float32)
    return rows * np.logspace(-3, 2, 40, dtype=np.float32)[:, None]


@pytest.mark.parametrize(("block", "blocks"), [(BLOCK, 5), (None, 1), (7, 1)])
def test_no_value_moves_by_more_than_half_a_scale(matrix, block, blocks):
    rounded = quantize(matrix, block=block)
    error = np.abs(rounded.to_float() - matrix)
    assert (40, blocks) == rounded.scales.shape
    assert (error <= rounded.steps() * 0.5001).all()
    assert error.max(axis=1).min() > 0


def test_each_block_has_the_scale_that_its_own_largest_value_needs(matrix):
    rounded = quantize(matrix)
    for number in range(5):
        part = slice(number * BLOCK, (number + 1) * BLOCK)
        needed = np.abs(matrix[:, part]).max(axis=1) / 127
        assert (rounded.scales[:, number] >= needed * 0.999999).all()
        assert (rounded.scales[:, number] <= needed * 1.002).all()
    assert (
        np.abs(quantize(matrix).to_float() - matrix).mean()
        < np.abs(quantize(matrix, block=None).to_float() - matrix).mean()
    )


def test_half_precision_holds_the_scales(matrix):
    scales = quantize(matrix * np.float32(1e-3)).scales
    np.testing.assert_array_equal(scales.astype(np.float16).astype(np.float32), scales)


def test_opposite_matrices_are_rounded_to_opposite_values(matrix):
    rounded = quantize(np.concatenate([matrix, -matrix]))
    np.testing.assert_array_equal(rounded.values[:40], -rounded.values[40:])
    np.testing.assert_array_equal(rounded.scales[:40], rounded.scales[40:])
    assert (np.int8, np.float32) == (rounded.values.dtype, rounded.scales.dtype)


@pytest.mark.parametrize("value", [0.0, 1e-44, -1e-40])
def test_empty_and_vanishing_rows_become_zero(value):
    rounded = quantize(np.array([[value, value], [1, -2]], np.float32))
    assert [[0, 0], [63, -127]] == rounded.values.tolist()
    np.testing.assert_allclose([0, 2 / 127], rounded.to_float()[:, 1] * [1, -1 / 127], atol=1e-4)


def test_a_matrix_without_columns_or_rows_is_left_so():
    assert [[1.0], [1.0]] == quantize(np.zeros((2, 0), np.float32)).scales.tolist()
    assert (0, 3) == quantize(np.zeros((0, 3), np.float32)).values.shape


def test_half_precision_is_rounded_as_its_float32_twin(matrix):
    half = matrix.astype(np.float16)
    expected, got = quantize(half.astype(np.float32)), quantize(half)
    np.testing.assert_array_equal(expected.values, got.values)
    np.testing.assert_array_equal(expected.scales, got.scales)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_weights_that_are_not_finite_are_an_error_that_names_the_matrix(value):
    with pytest.raises(CheckpointError, match=r"^fc1\.weight holds NaN or infinity"):
        quantize(np.array([[1.0, value]], np.float32), "fc1.weight")
