"""Encoder outputs on disk: what is written comes back, and what does not fit is refused."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tercet.dataset.encoded import About, EncodedReader
from tercet.dataset.encoded_writing import EncodedWriter
from tercet.errors import DataError, FingerprintError, OutputError

ABOUT = About(encoder="ab" * 32, convention={"padding": 0.0, "length": "30s"}, model="base")


def window(number: int, frames: int = 75) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(number)
    return {
        "taps": rng.normal(size=(3, frames, 8)).astype(np.float32),
        "states": rng.normal(size=(frames * 20, 8)).astype(np.float32),
    }


def fill(folder: Path, numbers, **options) -> list[bool]:
    with EncodedWriter(folder, about=ABOUT, windows_per_shard=4, **options) as writer:
        return [writer.add(f"clip {n}", {"labels": ["a", n]}, **window(n)) for n in numbers]


def shards(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("encoded-*.safetensors"))


def test_what_is_written_comes_back_in_float16(tmp_path: Path) -> None:
    assert [True] * 10 == fill(tmp_path, range(10))
    reader = EncodedReader(tmp_path, about=ABOUT)
    assert 10 == len(reader)
    assert [f"clip {n}" for n in range(10)] == list(reader.keys)
    for number, item in enumerate(reader):
        expected = window(number)
        assert (f"clip {number}", {"labels": ["a", number]}) == (item.key, item.facts)
        assert np.array_equal(expected["taps"].astype(np.float16), item.taps)
        assert np.array_equal(expected["states"].astype(np.float16), item.states)
        assert item.taps.dtype == item.states.dtype == np.float16
    assert ["encoded-00000", "encoded-00001", "encoded-00002"] == [
        name.removesuffix(".safetensors") for name in shards(tmp_path)
    ]


def test_a_shard_is_a_safetensors_file(tmp_path: Path) -> None:
    fill(tmp_path, range(2))
    arrays = load_file(tmp_path / "encoded-00000.safetensors")
    assert {"000000.taps", "000000.states", "000001.taps", "000001.states"} == set(arrays)
    assert np.array_equal(window(1)["taps"].astype(np.float16), arrays["000001.taps"])


def test_keys_that_are_there_are_skipped_also_by_the_next_writer(tmp_path: Path) -> None:
    assert [True, True, False] == fill(tmp_path, [0, 1, 0])
    assert [False, True] == fill(tmp_path, [1, 5])
    reader = EncodedReader(tmp_path)
    assert ("clip 0", "clip 1", "clip 5") == reader.keys
    assert 2 == reader.number_of("clip 5")
    assert {"labels": ["a", 5]} == reader.facts(2)
    assert "clip 5" in reader
    assert "clip 2" not in reader


def test_a_key_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    fill(tmp_path, [0])
    with pytest.raises(DataError, match="has no window 'clip 9'"):
        EncodedReader(tmp_path).number_of("clip 9")


def test_windows_may_have_different_lengths_and_one_kind_of_array(tmp_path: Path) -> None:
    with EncodedWriter(tmp_path, about=ABOUT, kinds=("taps",)) as writer:
        for frames in (75, 13):
            writer.add(str(frames), {}, taps=window(0, frames)["taps"])
    items = list(EncodedReader(tmp_path))
    assert [(3, 75, 8), (3, 13, 8)] == [item.taps.shape for item in items]
    assert [None, None] == [item.states for item in items]


def test_arrays_are_views_of_the_file_that_cannot_be_written(tmp_path: Path) -> None:
    fill(tmp_path, [0])
    taps = EncodedReader(tmp_path)[0].taps
    assert not taps.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        taps[0, 0, 0] = 1


def test_a_reader_goes_to_another_process(tmp_path: Path) -> None:
    fill(tmp_path, range(5))
    reader = EncodedReader(tmp_path)
    assert reader[0].key == "clip 0"  # its shard is open
    copy = pickle.loads(pickle.dumps(reader))
    assert np.array_equal(reader[4].states, copy[4].states)


def test_a_writer_that_fails_in_between_keeps_what_was_added(tmp_path: Path) -> None:
    def failing() -> None:
        with EncodedWriter(tmp_path, about=ABOUT, windows_per_shard=4) as writer:
            writer.add("a", {}, **window(0))
            raise RuntimeError("elsewhere")

    with pytest.raises(RuntimeError, match="elsewhere"):
        failing()
    assert ("a",) == EncodedReader(tmp_path).keys


def test_a_killed_writer_loses_one_shard_and_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    program = f"""
import os, numpy as np
from tercet.dataset.encoded import About
from tercet.dataset.encoded_writing import EncodedWriter
about = About(encoder={ABOUT.encoder!r}, convention={ABOUT.convention!r}, model="base")
writer = EncodedWriter({str(tmp_path)!r}, about=about, kinds=("taps",), windows_per_shard=4)
for n in range(6):
    writer.add(f"clip {{n}}", {{}}, taps=np.zeros((3, 75, 8)))
os.kill(os.getpid(), 9)
"""
    assert -9 == subprocess.run([sys.executable, "-c", program], check=False).returncode
    assert tuple(f"clip {n}" for n in range(4)) == EncodedReader(tmp_path).keys
    assert 1 == len(list(tmp_path.glob(".encoded-*.part")))
    with EncodedWriter(tmp_path, about=ABOUT, kinds=("taps",)) as writer:
        assert "clip 3" in writer
        assert "clip 4" not in writer
        writer.add("clip 4", {}, taps=window(4)["taps"])
    assert 5 == len(EncodedReader(tmp_path))
    assert [] == list(tmp_path.glob(".encoded-*.part"))


def test_arrays_without_their_index_do_not_count(tmp_path: Path) -> None:
    fill(tmp_path, range(8))
    (tmp_path / "encoded-00001.jsonl").unlink()  # killed between the two names
    assert 4 == len(EncodedReader(tmp_path))
    assert [True] * 4 == fill(tmp_path, range(4, 8))
    assert 8 == len(EncodedReader(tmp_path))
    assert 2 == len(shards(tmp_path))


def test_a_second_writer_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    with (
        EncodedWriter(tmp_path, about=ABOUT),
        pytest.raises(DataError, match="another process is adding windows"),
    ):
        EncodedWriter(tmp_path, about=ABOUT)
    with EncodedWriter(tmp_path, about=ABOUT):
        pass


@pytest.mark.parametrize("use", ["read", "write"])
@pytest.mark.parametrize(
    ("other", "told"),
    [
        (
            About(encoder="cd" * 32, convention=ABOUT.convention, model="small"),
            r"encoder abababababab \(base\), not of cdcdcdcdcdcd \(small\)",
        ),
        (
            About(encoder=ABOUT.encoder, convention={"padding": 0.0, "length": "sound"}),
            "encoded with length '30s', not 'sound'",
        ),
    ],
)
def test_windows_of_another_encoder_or_convention_are_refused(
    tmp_path: Path, use: str, other: About, told: str
) -> None:
    fill(tmp_path, [0])
    open_it = EncodedReader if use == "read" else EncodedWriter
    with pytest.raises(FingerprintError, match=told):
        open_it(tmp_path, about=other)


def test_the_name_of_the_model_is_for_people(tmp_path: Path) -> None:
    fill(tmp_path, [0])
    EncodedReader(tmp_path, about=About(encoder=ABOUT.encoder, convention=ABOUT.convention))


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"taps": window(0)["taps"]}, "give taps and states"),
        ({**window(0), "taps": np.full((3, 75, 8), np.nan)}, "taps hold NaN or infinity"),
        ({**window(0), "states": np.full((1500, 8), 7e4)}, "states reach 70000, beyond float16"),
    ],
)
def test_arrays_that_cannot_be_kept_are_refused(tmp_path: Path, arrays: dict, told: str) -> None:
    with (
        EncodedWriter(tmp_path, about=ABOUT) as writer,
        pytest.raises(DataError, match=told) as caught,
    ):
        writer.add("x", {}, **arrays)
    assert str(caught.value).startswith("x: ")
    assert 0 == len(EncodedReader(tmp_path))


def test_other_kinds_need_another_folder(tmp_path: Path) -> None:
    fill(tmp_path, [0])
    with pytest.raises(DataError, match="holds taps and states; choose another folder for taps"):
        EncodedWriter(tmp_path, about=ABOUT, kinds=("taps",))
    with pytest.raises(DataError, match="give some of taps, states"):
        EncodedWriter(tmp_path / "new", about=ABOUT, kinds=("mel",))


def test_a_folder_without_windows_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no about\.json"):
        EncodedReader(tmp_path)
    (tmp_path / "about.json").write_text('{"schema": "other"}')
    with pytest.raises(DataError, match=r"about\.json: cannot be used"):
        EncodedReader(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "header", "empty"])
def test_a_damaged_shard_is_one_line(tmp_path: Path, damage: str) -> None:
    fill(tmp_path, range(2))
    path = tmp_path / "encoded-00000.safetensors"
    content = path.read_bytes()
    path.write_bytes({"cut": content[:-10], "header": b"\xff" * len(content), "empty": b""}[damage])
    with pytest.raises(DataError, match=r"encoded-00000\.safetensors: damaged") as caught:
        EncodedReader(tmp_path)[1]
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="remove it: its windows are then encoded again"):
        EncodedReader(tmp_path).check()  # before anything is asked for
    path.unlink()
    fill(tmp_path, range(2))
    EncodedReader(tmp_path).check()


@pytest.mark.parametrize("line", ['{"key": "clip 0"', '{"kee": "clip 0"}', "7"])
def test_a_damaged_index_is_one_line(tmp_path: Path, line: str) -> None:
    fill(tmp_path, range(2))
    (tmp_path / "encoded-00000.jsonl").write_text(line)
    with pytest.raises(DataError, match="a line of its index is damaged"):
        EncodedReader(tmp_path)
    with pytest.raises(DataError, match="a line of its index is damaged"):
        EncodedWriter(tmp_path, about=ABOUT)


def test_a_full_disk_loses_the_shard_under_way_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = EncodedWriter(tmp_path, about=ABOUT, windows_per_shard=4)
    for n in range(6):
        writer.add(f"clip {n}", {}, **window(n))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="no space left on device\\); what was fin") as e:
            writer.finish()
    assert "\n" not in str(e.value)
    assert 4 == len(EncodedReader(tmp_path))
    assert [] == list(tmp_path.glob(".encoded-*.part"))
    assert writer.add("clip 4", {}, **window(4))  # there is room again
    writer.finish()
    assert 5 == len(EncodedReader(tmp_path))


def test_the_folder_says_whose_outputs_it_holds(tmp_path: Path) -> None:
    fill(tmp_path, [0])
    told = json.loads((tmp_path / "about.json").read_text())
    assert ("base", "ab" * 32, {"padding": 0.0, "length": "30s"}, ["taps", "states"]) == (
        told["model"],
        told["encoder"],
        told["convention"],
        told["kinds"],
    )
    reader = EncodedReader(tmp_path)
    assert (ABOUT, ("taps", "states")) == (reader.about, reader.kinds)
