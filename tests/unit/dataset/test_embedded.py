"""Recordings inside tables: found, written as files once, and read as a manifest like any other."""

import io
import json
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import huggingface_hub
import numpy as np
import pytest

from tercet.audio.load import load
from tercet.dataset import unpacking
from tercet.dataset.embedded import Embedded, Sound, embedded_in
from tercet.dataset.hub_sets import hub_set, library_set
from tercet.dataset.manifests import read_manifest
from tercet.dataset.unpacking import unpack
from tercet.errors import DataError, OutputError

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def wav(level: float) -> bytes:
    """Half a second of a constant value."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(np.full(8000, round(level * 32767), "<i2").tobytes())
    return content.getvalue()


def rows_like_the_hubs() -> list[dict[str, Any]]:
    """As LibriSpeech and Common Voice have them."""
    return [
        {
            "path": f"/somebody/else/{n}.wav",
            "audio": {"bytes": wav(n / 10), "path": f"{n}.wav"},
            "sentence": f"number {n}",
            "client_id": f"s{n % 2}",
            "label": n,
            "image": b"\x89PNG",
            "up_votes": n,
        }
        for n in range(5)
    ]


def write_parquet(path: Path, rows: list[dict[str, Any]], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), path, **options)
    return path


@pytest.fixture
def hub_folder(tmp_path: Path) -> Path:
    """The hub's layout: `data/train-00000-of-00002.parquet`, two files and a second split."""
    rows = rows_like_the_hubs()
    data = tmp_path / "set" / "data"
    write_parquet(data / "train-00000-of-00002.parquet", rows[:3], row_group_size=2)
    write_parquet(data / "train-00001-of-00002.parquet", rows[3:])
    write_parquet(data / "test-00000-of-00001.parquet", rows[:1])
    return tmp_path / "set"


def unpacked(source: Embedded | None, out: Path) -> Path:
    assert source is not None
    return unpack(source, out)


def check_rows(manifest: Path, n: int = 5) -> None:
    rows = read_manifest(manifest).rows
    assert [f"number {k}" for k in range(n)] == [row.text for row in rows]
    levels = [float(load(row.audio).read().max()) for row in rows]
    assert pytest.approx([k / 10 for k in range(n)], abs=1e-4) == levels


def test_the_hubs_layout_is_read_by_pyarrow_alone(
    hub_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    out = tmp_path / "out"
    path = unpacked(embedded_in(hub_folder, "train"), out)
    check_rows(path)
    row = read_manifest(path).rows[4]
    assert (".wav", "s0", out) == (row.audio.suffix, row.speaker, row.audio.parents[2])
    assert {
        "original_path": "/somebody/else/4.wav",
        "original_label": 4,
        "up_votes": 4,
        "source": {"dataset": str(hub_folder), "split": "train", "row": 4},
    } == dict(row.extra)


def test_a_split_is_chosen_where_there_are_several(hub_folder: Path) -> None:
    with pytest.raises(
        DataError, match=r"several splits \(test, train\); choose one: --split test"
    ):
        embedded_in(hub_folder)
    with pytest.raises(DataError, match=r"has no split 'dev' \(test, train\)"):
        embedded_in(hub_folder, "dev")
    found = embedded_in(hub_folder, "test")
    assert found is not None
    assert ("test", 1) == (found.split, found.total)


def test_one_file_and_one_column_of_bytes(tmp_path: Path) -> None:
    rows = [{"wav": wav(n / 10), "text": f"number {n}"} for n in range(3)]
    path = write_parquet(tmp_path / "all.parquet", rows)
    check_rows(unpacked(embedded_in(path), tmp_path / "out"), 3)


def test_tables_of_paths_are_no_such_data_sets(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "rows.parquet", [{"path": "a.wav", "text": "a"}])
    assert None is embedded_in(path)
    assert None is embedded_in(tmp_path)
    assert None is embedded_in(tmp_path / "nowhere.parquet")
    assert None is embedded_in(tmp_path / "rows.csv")


@pytest.mark.parametrize("name", ["clip.flac", "manifest.jsonl"])
def test_tables_beside_recordings_or_a_manifest_are_not_looked_into(
    hub_folder: Path, name: str
) -> None:
    (hub_folder / name).touch()
    (hub_folder / "data" / "train-00000-of-00002.parquet").write_bytes(b"no table")
    assert None is embedded_in(hub_folder)


def test_who_cannot_unpack_is_told_who_can(hub_folder: Path) -> None:
    path = hub_folder / "data" / "test-00000-of-00001.parquet"
    with pytest.raises(
        DataError, match=r"its recordings are inside it, without paths; tercet label"
    ):
        read_manifest(path)


def test_after_a_stop_nothing_is_written_twice_and_nothing_missing(
    hub_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    source = embedded_in(hub_folder, "train")
    assert source is not None

    def stop(done: int, total: int) -> None:
        assert 5 == total
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack(source, out, on_progress=stop)
    assert not (out / "source.jsonl").exists()
    part = out / ".source.jsonl.part"
    lines = part.read_bytes().splitlines(keepends=True)
    part.write_bytes(
        b"".join(lines[:2]) + lines[2][:20]
    )  # the third file is there, its line is torn
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.wav")}
    assert 3 == len(before)
    seen: list[int] = []
    path = unpack(source, out, on_progress=lambda done, _: seen.append(done))
    assert [3, 4, 5] == seen  # the first two rows were not read again
    check_rows(path)
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert [] == [path for path in out.rglob(".*") if path.is_file()]
    assert path == unpack(source, out, on_progress=lambda *_: pytest.fail("it was whole"))


def test_a_data_set_that_changed_is_gone_through_anew(hub_folder: Path, tmp_path: Path) -> None:
    path = unpacked(embedded_in(hub_folder, "train"), tmp_path / "out")
    rows = rows_like_the_hubs()
    write_parquet(hub_folder / "data" / "train-00001-of-00002.parquet", rows[3:4])
    assert path == unpacked(embedded_in(hub_folder, "train"), tmp_path / "out")
    check_rows(path, 4)


def test_a_folder_holds_recordings_of_one_data_set(hub_folder: Path, tmp_path: Path) -> None:
    unpacked(embedded_in(hub_folder, "train"), tmp_path / "out")
    with pytest.raises(DataError, match=r"out: holds recordings of .*/set train; choose another"):
        unpacked(embedded_in(hub_folder, "test"), tmp_path / "out")


def test_names_keep_the_order_of_the_rows(hub_folder: Path, tmp_path: Path) -> None:
    rows = read_manifest(unpacked(embedded_in(hub_folder, "train"), tmp_path / "out")).rows
    assert [row.audio for row in rows] == sorted(row.audio for row in rows)
    assert 5 == len({row.audio.stem.partition("-")[2] for row in rows})


def test_rows_without_a_recording_are_told(tmp_path: Path) -> None:
    same = {"bytes": wav(0.1), "path": None}
    rows = [
        {"audio": each, "text": "a"} for each in (same, same, {"bytes": None, "path": None}, None)
    ]
    path = unpacked(embedded_in(write_parquet(tmp_path / "m.parquet", rows)), tmp_path / "out")
    with pytest.raises(DataError, match=r"2 faults: line 3: names no audio file .*; line 4: names"):
        read_manifest(path)
    assert 2 == len(read_manifest(path, skip_broken=True))


def test_a_path_without_bytes_is_a_file_beside_the_data_set(
    tmp_path: Path, write_wav: Callable[[Path, np.ndarray], None]
) -> None:
    write_wav(tmp_path / "own.wav", np.full(1600, 0.1))
    rows = [{"audio": {"bytes": None, "path": "own.wav"}}, {"audio": {"bytes": b"x", "path": None}}]
    path = unpacked(embedded_in(write_parquet(tmp_path / "m.parquet", rows)), tmp_path / "out")
    assert [tmp_path / "own.wav", ".audio"] == [
        read_manifest(path).rows[0].audio,
        read_manifest(path).rows[1].audio.suffix,
    ]


def test_damaged_tables_are_told(hub_folder: Path, tmp_path: Path) -> None:
    path = hub_folder / "data" / "test-00000-of-00001.parquet"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"test-00000-of-00001\.parquet: cannot be read"):
        embedded_in(hub_folder, "test")


def test_a_full_disk_is_one_line_and_what_is_written_stays(
    hub_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = embedded_in(hub_folder, "train")
    assert source is not None
    real, n = unpacking.whole_file, 0

    def fill(path: Path) -> Any:
        nonlocal n
        n += 1
        if n == 4:
            raise OSError(28, "No space left on device")
        return real(path)

    monkeypatch.setattr(unpacking, "whole_file", fill)
    with pytest.raises(OutputError, match=r"out: cannot be written \(no space left on device\)"):
        unpack(source, tmp_path / "out")
    check_rows(unpack(source, tmp_path / "out"))


def test_two_columns_of_recordings_need_one_called_audio(tmp_path: Path) -> None:
    sound = {"bytes": wav(0.1), "path": "a.wav"}
    path = write_parquet(tmp_path / "m.parquet", [{"near": sound, "far": sound}])
    with pytest.raises(DataError, match=r"has recordings in near, far; call one of them audio"):
        embedded_in(path)


@pytest.fixture
def datasets(
    peer: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """The library, with a cache of its own."""
    library = peer("datasets")
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(library.config, "HF_HUB_OFFLINE", True)  # local folders need no network
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    library.disable_progress_bars()
    return library


def made_by(datasets: Any) -> Any:
    rows = [
        {"id": n, "audio": {"bytes": wav(n / 10), "path": f"{n}.wav"}, "text": f"number {n}"}
        for n in range(5)
    ]
    return datasets.Dataset.from_list(rows).cast_column(
        "audio", datasets.Audio(sampling_rate=16000)
    )


@pytest.mark.parametrize("form", ["saved", "splits", "parquet"])
def test_what_the_library_saved_is_read_without_it(
    datasets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    made, split = made_by(datasets), None
    if form == "saved":
        made.save_to_disk(tmp_path / "set", num_shards=2)
    elif form == "splits":
        datasets.DatasetDict(train=made, test=made.select([0])).save_to_disk(tmp_path / "set")
        split = "train"
    else:
        (tmp_path / "set" / "data").mkdir(parents=True)
        made.to_parquet(tmp_path / "set" / "data" / "train-00000-of-00001.parquet")
    monkeypatch.setitem(sys.modules, "datasets", None)
    check_rows(unpacked(embedded_in(tmp_path / "set", split), tmp_path / "out"))


@pytest.mark.parametrize("offline", ["", "1"])
def test_the_library_streams_recordings_undecoded(
    datasets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", offline)
    real, streaming = datasets.load_dataset, []
    monkeypatch.setattr(
        datasets,
        "load_dataset",
        lambda *told, **more: streaming.append(more["streaming"]) or real(*told, **more),
    )
    (tmp_path / "set" / "data").mkdir(parents=True)
    made = made_by(datasets)
    made.to_parquet(tmp_path / "set" / "data" / "train-00000-of-00001.parquet")
    found = library_set("hf://owner/set", str(tmp_path / "set"), state="c0ffee")
    assert [
        not offline
    ] == streaming  # what is not in the library's cache cannot be streamed offline
    assert ("hf://owner/set", "train", "c0ffee") == (found.name, found.split, found.state)
    assert [(Sound(wav(0.4), "4.wav"), {"id": 4, "text": "number 4"})] == list(found.rows_from(4))
    path = unpack(found, tmp_path / "out")
    check_rows(path)
    told = json.loads(path.read_text().splitlines()[2])["source"]
    assert {"dataset": "hf://owner/set", "split": "train", "row": 2} == told
    with pytest.raises(DataError, match=r"hf://owner/set: has no split 'dev' \(train\)"):
        library_set("hf://owner/set", str(tmp_path / "set"), split="dev")


def test_a_set_without_recordings_is_told(datasets: Any, tmp_path: Path) -> None:
    write_parquet(tmp_path / "set" / "data" / "train-00000-of-00001.parquet", [{"text": "a"}])
    with pytest.raises(
        DataError, match=r"hf://o/n: has no column audio with recordings \(it has text"
    ):
        library_set("hf://o/n", str(tmp_path / "set"))


@pytest.mark.parametrize("name", ["hf://", "hf://only", "hf://a/b/c", "hf://a/b:c:d", "hf://a b/c"])
def test_names_that_are_none_are_told(name: str) -> None:
    with pytest.raises(DataError, match=r"is no data set's name; write hf://owner/name"):
        hub_set(name)


def test_without_the_library_the_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match=r"hf://owner/name: .*pip install 'tercet\[datasets\]'"):
        hub_set("hf://owner/name")


def test_without_network_there_is_one_line(datasets: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network here")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", refuse)
    told = r"^hf://o/n:c: .*the hub cannot be reached \(OSError\); save it where the hub can be reached"
    with pytest.raises(DataError, match=told):
        hub_set("hf://o/n:c")
