"""Reading a file's bytes where they are asked for."""

import gc
import os
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tercet.checkpoint.file_bytes import FileBytes, decode
from tercet.errors import CheckpointError


@pytest.fixture
def numbers(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(np.arange(100_000, dtype="<u4").tobytes())
    return path


def test_slices_are_those_of_the_bytes(numbers):
    raw, data = numbers.read_bytes(), FileBytes(numbers)
    assert len(raw) == len(data)
    for part in (slice(0, 8), slice(7, 7), slice(5, 2), slice(399_999, 500_000), slice(-4, None)):
        assert raw[part] == data[part]


def test_arrays_have_memory_of_their_own(numbers):
    data = FileBytes(numbers)
    found = decode(data, "int32", 40, 3)
    found[:] = 7
    np.testing.assert_array_equal([10, 11, 12], decode(data, "int32", 40, 3))


@pytest.mark.parametrize("has_preadv", [True, False])
def test_threads_do_not_disturb_each_other(numbers, monkeypatch, has_preadv):
    if not has_preadv:
        monkeypatch.delattr(os, "preadv", raising=False)
    data = FileBytes(numbers)

    def first(at):
        return int(decode(data, "int32", 4 * at, 50)[0])

    places = list(range(0, 90_000, 37))
    with ThreadPoolExecutor(8) as pool:
        assert places == list(pool.map(first, places))


def test_a_file_that_is_cut_short_meanwhile_is_an_error(numbers):
    data = FileBytes(numbers)
    os.truncate(numbers, 100)
    with pytest.raises(CheckpointError, match="became shorter"):
        decode(data, "int32", 80, 30)


@pytest.mark.parametrize("kind", ["empty", "absent", "folder"])
def test_what_cannot_be_read_is_one_line(tmp_path, kind):
    path = tmp_path / kind
    if kind == "empty":
        path.touch()
    if kind == "folder":
        path.mkdir()
    with pytest.raises(CheckpointError, match=f"{kind}: cannot be read") as caught:
        FileBytes(path)
    assert "\n" not in str(caught.value)


def test_the_file_is_closed_with_its_last_holder(numbers):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        data = FileBytes(numbers)
        descriptor = data._file.fileno()
        del data
        gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
