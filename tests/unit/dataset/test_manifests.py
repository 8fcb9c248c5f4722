"""Manifests: every layout gives the same rows; everything that is wrong is told at once."""

import json
from pathlib import Path

import numpy as np
import pytest

from tercet.dataset.audioset_layout import balanced_weights, class_names
from tercet.dataset.manifests import Row, read_manifest
from tercet.errors import DataError

EXPECTED = (
    Row(
        audio=Path("a.wav"),
        text="hello",
        labels=("Speech", "Male speech, man speaking"),
        speaker="s1",
        language="en",
        split="train",
        extra={"fold": "1"},
    ),
    Row(
        audio=Path("sub/b.wav"),
        start_s=1.5,
        duration_s=2.5,
        labels=("Dog",),
        events=((0.5, 1.0, "Bark"),),
        split="valid",
        extra={"fold": "2"},
    ),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.wav", "sub/b.wav"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"RIFF")
    return tmp_path


def relative(rows: tuple[Row, ...], root: Path) -> tuple[Row, ...]:
    from dataclasses import replace

    return tuple(replace(row, audio=row.audio.relative_to(root)) for row in rows)


def write_csv(path: Path, delimiter: str = ",") -> None:
    lines = [
        ["audio", "start_s", "end_s", "text", "labels", "events", "speaker", "lang", "split", "fold"],
        ["a.wav", "", "", "hello", '"Speech;Male speech, man speaking"', "", "s1", "en", "train", "1"],
        ["sub/b.wav", "1.5", "4", "", "Dog", '"[[0.5, 1.0, ""Bark""]]"', "", "", "valid", "2"],
    ]  # fmt: skip
    path.write_text("".join(delimiter.join(line) + "\n" for line in lines))


OBJECTS = (
    {
        "path": "a.wav",
        "text": "hello",
        "labels": ["Speech", "Male speech, man speaking"],
        "speaker": "s1",
        "language": "en",
        "split": "train",
        "fold": "1",
    },
    {
        "path": "sub/b.wav",
        "start_s": 1.5,
        "duration_s": 2.5,
        "labels": ["Dog"],
        "events": [{"start_s": 0.5, "end_s": 1.0, "label": "Bark"}],
        "split": "valid",
        "fold": "2",
        "text": None,
    },
)


def write_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps(each) + "\n" for each in OBJECTS) + "\n")


def write_parquet(path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    names = {name for each in OBJECTS for name in each}
    rows = [{name: each.get(name) for name in sorted(names)} for each in OBJECTS]
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("m.csv", write_csv),
        ("m.tsv", lambda path: write_csv(path, "\t")),
        ("m.jsonl", write_jsonl),
        ("m.parquet", write_parquet),
    ],
)
def test_every_layout_gives_the_same_rows(folder: Path, name: str, write) -> None:
    write(folder / name)
    manifest = read_manifest(folder / name)
    assert EXPECTED == relative(manifest.rows, folder)
    assert ("train", "valid") == manifest.splits
    assert ("Bark", "Dog", "Male speech, man speaking", "Speech") == manifest.labels
    assert EXPECTED[1:] == relative(manifest.split("valid").rows, folder)


def test_paths_start_at_the_root_that_is_given(folder: Path, tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    write_jsonl(lists / "m.jsonl")
    assert EXPECTED == relative(read_manifest(lists / "m.jsonl", root=folder).rows, folder)
    with pytest.raises(DataError, match="2 faults: line 1: no such file"):
        read_manifest(lists / "m.jsonl")


def test_a_folder_is_its_recordings_and_the_texts_beside_them(folder: Path) -> None:
    (folder / "a.txt").write_text("hello\n")
    (folder / "notes.md").write_text("")
    rows = relative(read_manifest(folder).rows, folder)
    assert (Row(audio=Path("a.wav"), text="hello"), Row(audio=Path("sub/b.wav"))) == rows


def test_a_folder_with_a_manifest_is_that_manifest(folder: Path) -> None:
    write_jsonl(folder / "manifest.jsonl")
    assert EXPECTED == relative(read_manifest(folder).rows, folder)


def test_audiosets_own_layout_has_names_for_identifiers(folder: Path) -> None:
    data = [{"wav": "a.wav", "labels": "/m/09x0r,/m/05zppz"}, {"wav": "sub/b.wav", "labels": ""}]
    (folder / "train.json").write_text(json.dumps({"data": data}))
    rows = read_manifest(folder / "train.json").rows
    assert [("Speech", "Male speech, man speaking"), ()] == [row.labels for row in rows]


def test_a_class_list_beside_the_layout_is_used(folder: Path) -> None:
    (folder / "class_labels_indices.csv").write_text(
        'index,mid,display_name\n1,/m/1,"Two, twice"\n0,/m/0,One\n'
    )
    (folder / "d.json").write_text(json.dumps({"data": [{"wav": "a.wav", "labels": "/m/1"}]}))
    assert ("Two, twice",) == read_manifest(folder / "d.json").rows[0].labels
    names = class_names(folder / "class_labels_indices.csv")
    assert [("/m/0", "One"), ("/m/1", "Two, twice")] == list(names.items())
    (folder / "d.json").write_text(json.dumps({"data": [{"wav": "a.wav", "labels": "/m/9"}]}))
    with pytest.raises(DataError, match="entry 1: unknown label '/m/9'"):
        read_manifest(folder / "d.json")


def test_audiosets_527_are_known_without_a_file() -> None:
    names = class_names(None)
    assert 527 == len(names)
    assert ("Speech", "Music") == (names["/m/09x0r"], names["/m/04rlf"])


FAULTY = (
    {"path": "a.wav"},
    {"path": "gone.wav"},
    {"text": "no file"},
    {"path": "a.wav", "labels": ["Dgo"], "start_s": -1},
    {"path": "a.wav", "start_s": "x", "duration_s": 0},
    {"path": "a.wav", "events": [[1, 0.5, "Dog"], [0, 1]]},
    {"path": "a.wav", "labels": 3, "text": ["a"]},
)
TOLD = [
    "line 2: no such file",
    "line 3: names no audio file",
    "line 4: starts at -1 s",
    "line 4: unknown label 'Dgo'; did you mean 'Dog'?",
    "line 5: start_s is 'x', not a number of seconds",
    "line 5: lasts 0 s",
    "line 6: event [1, 0.5, 'Dog'] has no start before its end",
    "line 6: event [0, 1] is not [start_s, end_s, label]",
    "line 7: labels are 3, not names",
    "line 7: text is ['a'], not a text",
    "line 8: is not JSON",
    "line 9: is no JSON object",
]


@pytest.fixture
def faulty(folder: Path) -> Path:
    path = folder / "faulty.jsonl"
    text = "".join(json.dumps(each) + "\n" for each in FAULTY)
    path.write_text(text + '{"path": \n[1]\n')
    return path


def test_every_fault_of_every_row_is_told_at_once(faulty: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_manifest(faulty, labels=["Dog", "Cat"])
    faults = caught.value.faults
    assert [True] * len(TOLD) == [a.startswith(b) for a, b in zip(faults, TOLD, strict=True)]
    line = str(caught.value)
    assert "\n" not in line
    assert f"{faulty}: 12 faults: line 2: no such file" in line
    assert "and 7 more; mend them, or leave these rows out" in line


def test_rows_with_faults_are_left_out_if_asked_and_told_all_the_same(faulty: Path) -> None:
    manifest = read_manifest(faulty, labels=["Dog", "Cat"], skip_broken=True)
    assert ["a.wav"] == [row.audio.name for row in manifest]
    assert len(TOLD) == len(manifest.faults)


def test_nothing_left_is_an_error_also_then(folder: Path) -> None:
    (folder / "m.jsonl").write_text('{"path": "gone.wav"}\n')
    with pytest.raises(DataError, match="has no rows that can be used"):
        read_manifest(folder / "m.jsonl", skip_broken=True)


def test_rows_of_a_table_with_other_numbers_of_cells_are_faults(folder: Path) -> None:
    (folder / "m.csv").write_text("audio,text\na.wav,x,y\na.wav\nsub/b.wav,z\n")
    with pytest.raises(DataError) as caught:
        read_manifest(folder / "m.csv")
    assert (
        "line 2: has more cells than the header",
        "line 3: has fewer cells than the header",
    ) == caught.value.faults


def test_an_empty_split_is_told_with_the_rest(folder: Path) -> None:
    write_jsonl(folder / "m.jsonl")
    with pytest.raises(DataError, match=r"split 'test' is empty \(there are train, valid\)"):
        read_manifest(folder / "m.jsonl", splits=("train", "test"))
    with pytest.raises(DataError, match="split 'test' is empty"):
        read_manifest(folder / "m.jsonl").split("test")
    (folder / "n.jsonl").write_text('{"path": "a.wav"}\n{"path": "gone.wav"}\n')
    with pytest.raises(DataError) as caught:
        read_manifest(folder / "n.jsonl", splits=("train",))
    assert "split 'train' is empty (no row names a split)" == caught.value.faults[0]
    assert 2 == len(caught.value.faults)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("m.txt", b"", "is no manifest; give .csv, .tsv, .jsonl, .parquet"),
        ("m.csv", b"\xff\xfe", "is not UTF-8"),
        ("m.csv", b'audio\n"a', "is no table"),
        ("m.json", b"[]", "is not AudioSet's layout"),
        ("m.json", b"{", "is not AudioSet's layout"),
        ("m.parquet", b"PAR1", "damaged"),
        ("m.csv", b"", "has no rows"),
    ],
)
def test_a_file_that_is_no_manifest_is_one_line(
    folder: Path, name: str, content: bytes, told: str
) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=told) as caught:
        read_manifest(folder / name)
    assert str(caught.value).startswith(f"{folder / name}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl", "m.json", "m.parquet"])
def test_a_manifest_that_is_not_there_is_one_line(folder: Path, name: str) -> None:
    with pytest.raises(DataError, match="no such manifest; check the path"):
        read_manifest(folder / name)


def test_recordings_need_not_be_there_if_nobody_looks(folder: Path) -> None:
    (folder / "m.jsonl").write_text('{"path": "gone.wav"}\n')
    assert 1 == len(read_manifest(folder / "m.jsonl", check_files=False))


def test_rare_labels_weigh_more_as_in_whisper_at() -> None:
    weights = balanced_weights([("a",), ("a", "b"), ("a",), ()])
    assert [1000 / 3.01, 1000 / 3.01 + 1000 / 1.01, 1000 / 3.01, 0.0] == pytest.approx(weights)
    assert np.float64 == weights.dtype


def test_the_shared_recordings_are_read(data_dir: Path) -> None:
    counts = {
        folder.name: len(read_manifest(folder))
        for folder in (data_dir / "sounds/esc10", data_dir / "speech_en/librispeech")
    }
    assert {"esc10": 320, "librispeech": 2960} == counts


def test_the_column_of_texts_can_be_named(folder: Path) -> None:
    rows = [{"path": "a.wav", "text": "raw", "said": "hello"}, {"path": "a.wav", "text": "x"}]
    (folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_manifest(folder / "m.jsonl", text_column="said").rows
    assert ["hello", None] == [row.text for row in found]
    assert {"original_text": "raw"} == dict(found[0].extra)
    with pytest.raises(
        DataError, match=r"no row has a column 'sung' \(there are path, text, said\)"
    ):
        read_manifest(folder / "m.jsonl", text_column="sung")
