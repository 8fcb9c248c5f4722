"""The functions that the array API lacks, in every library."""

import warnings

import numpy as np

from tercet.decoding.array_gaps import from_numpy, log_probabilities, log_sum_exp, to_numpy


def test_log_sum_exp_is_exact_at_any_size(to_library):
    values = np.array([[0.0, 0.0], [1000.0, -np.inf], [-1000.0, -1000.0]], dtype=np.float32)
    wanted = [np.log(2), 1000.0, -1000.0 + np.log(2)]
    np.testing.assert_allclose(wanted, to_numpy(log_sum_exp(to_library(values))), rtol=1e-6)


def test_nothing_but_impossible_values_sums_to_impossible(to_library):
    values = to_library(np.full((2, 3), -np.inf, dtype=np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [-np.inf, -np.inf] == to_numpy(log_sum_exp(values)).tolist()


def test_log_probabilities_are_those_of_one_token_per_row(to_library):
    logits = np.log(np.array([[0.2, 0.8], [0.5, 0.5]], dtype=np.float32)) + 7
    found = log_probabilities(to_library(logits), np.array([1, 0]))
    np.testing.assert_allclose(np.log([0.8, 0.5]), to_numpy(found), rtol=1e-5)


def test_arrays_go_to_the_other_library_and_back(to_library):
    like = to_library(np.zeros(1, dtype=np.float32))
    array = np.arange(3)
    assert type(like) is type(from_numpy(array, like))
    assert [0, 1, 2] == to_numpy(from_numpy(array, like)).tolist()
