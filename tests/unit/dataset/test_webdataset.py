"""WebDataset shards are manifests: one sample, one row; nothing in an archive is taken on trust."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tercet.audio.load import load
from tercet.dataset.manifests import Row, read_manifest
from tercet.errors import DataError

Shard = Callable[..., Path]


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    """`shard("000.tar", {"a.wav": b".."})`, below `shards/`."""

    def make(name: str, files: dict[str, bytes], mode: str = "w") -> Path:
        path = tmp_path / "shards" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, mode) as tar:
            for member, content in files.items():
                told = tarfile.TarInfo(member)
                told.size = len(content)
                tar.addfile(told, io.BytesIO(content))
        return path

    return make


def rows_of(path: Path) -> list[tuple[str, str | None]]:
    return [(row.audio.name, row.text) for row in read_manifest(path)]


def test_a_sample_is_a_row_with_its_text_and_its_facts(shard: Shard) -> None:
    facts = {"speaker": 7, "lang": "de", "duration": 2.5, "dnsmos": 3.1, "text": "not this one"}
    path = shard(
        "000.tar",
        {
            "a.flac": b"..",
            "a.txt": " hello \n".encode("utf-8-sig"),
            "a.json": json.dumps(facts).encode(),
            "b.MP3": b"..",
            "b.json": b'{"sentence": "good day"}',
            "c.opus": b"..",
        },
    )
    expected = (
        Row(
            audio=Path(f"{path}::a.flac"),
            text="hello",
            speaker="7",
            language="de",
            duration_s=2.5,
            extra={"dnsmos": 3.1},
        ),
        Row(audio=Path(f"{path}::b.MP3"), text="good day"),
        Row(audio=Path(f"{path}::c.opus")),
    )
    assert expected == read_manifest(path).rows


def test_the_text_file_is_the_text_whatever_the_facts_call_theirs(shard: Shard) -> None:
    files = {"a.wav": b"..", "a.json": b'{"sentence": "raw", "label": 3}', "a.txt": b"clean"}
    [row] = read_manifest(shard("000.tar", files)).rows
    assert ("clean", (), {"original_label": 3}) == (row.text, row.labels, dict(row.extra))


def test_where_a_sample_was_cut_from_is_kept_apart(shard: Shard) -> None:
    facts = b'{"path": "/whole.wav", "start": 70.0, "end": 72.5}'
    [row] = read_manifest(shard("000.tar", {"a.wav": b"..", "a.json": facts})).rows
    assert (0.0, None) == (row.start_s, row.duration_s)
    told = {"original_path": "/whole.wav", "original_start": 70.0, "original_end": 72.5}
    assert told == dict(row.extra)


def test_names_are_alike_up_to_the_last_dot_or_up_to_the_first(shard: Shard) -> None:
    files = {
        "x.1/a.5.wav": b"..",
        "x.1/a.5.txt": b"by the last",
        "x.1/b.mic.flac": b"..",
        "x.1/b.txt": b"by the first",
    }
    found = rows_of(shard("000.tar", files))
    assert [("a.5.wav", "by the last"), ("b.mic.flac", "by the first")] == found


def test_a_pattern_names_shards_and_a_missing_one_is_told(shard: Shard, tmp_path: Path) -> None:
    for number in (8, 9, 10):
        shard(f"s-{number:03d}.tar", {f"{number}.wav": b".."})
    found = rows_of(tmp_path / "shards" / "s-{008..010}.tar")
    assert ["s-008.tar::8.wav", "s-009.tar::9.wav", "s-010.tar::10.wav"] == [n for n, _ in found]
    found = rows_of(tmp_path / "{shards,shards}" / "s-{008,010}.tar")
    assert ["s-008.tar::8.wav", "s-010.tar::10.wav"] * 2 == [n for n, _ in found]
    with pytest.raises(DataError, match=r"s-011\.tar: there is no such archive; check the path"):
        read_manifest(tmp_path / "shards" / "s-{010..011}.tar")


@pytest.mark.parametrize("body", ["", "1...3", "a", "3..1", "a..c"])
def test_braces_that_name_nothing_are_told(tmp_path: Path, body: str) -> None:
    with pytest.raises(DataError, match=r"names no shards; write \{000\.\.012\}"):
        read_manifest(tmp_path / f"s-{{{body}}}.tar")


def test_a_folder_of_shards_is_read_whole_and_archives_beside_recordings_are_not(
    shard: Shard, tmp_path: Path
) -> None:
    shard("b/1.tar", {"b.wav": b".."})
    shard("a/0.tar", {"a.wav": b".."})
    manifest = read_manifest(tmp_path / "shards")
    assert ["a/0.tar::a.wav", "b/1.tar::b.wav"] == [
        str(row.audio.relative_to(manifest.folder)) for row in manifest
    ]
    (tmp_path / "shards" / "c.wav").write_bytes(b"..")
    assert [("c.wav", None)] == rows_of(tmp_path / "shards")


def test_rows_of_other_manifests_may_name_recordings_in_archives(
    shard: Shard, tmp_path: Path
) -> None:
    shard("000.tar", {"a.wav": b".."})
    rows = [{"path": f"shards/000.tar::{name}.wav"} for name in "ab"]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=r"1 faults: line 2: no such file: .*000\.tar::b\.wav"):
        read_manifest(tmp_path / "m.jsonl")
    assert 1 == len(read_manifest(tmp_path / "m.jsonl", skip_broken=True))


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"a.wav": b"..", "a.json": b"{"}, r"0\.tar::a\.wav: its text cannot be read"),
        ({"a.wav": b"..", "a.json": b"[1]"}, r"0\.tar::a\.wav: a\.json is no JSON object"),
        ({"a.wav": b"..", "a.txt": b"\xff"}, r"0\.tar::a\.wav: its text is not UTF-8"),
        ({"a.wav": b"..", "a.txt": b"x" * (1 << 21)}, r"a\.txt has 2097152 bytes"),
        ({"a.wav": b"..", "a.json": b'{"text": 3}'}, r"0\.tar::a\.wav: text is 3, not a text"),
        ({"a.txt": b"no sound"}, r"has no rows that can be used"),
        ({}, r"has no rows that can be used"),
    ],
)
def test_samples_that_cannot_be_used_are_told(
    shard: Shard, files: dict[str, bytes], told: str
) -> None:
    with pytest.raises(DataError, match=told):
        read_manifest(shard("0.tar", files))


def test_compressed_and_damaged_shards_are_told_together(shard: Shard, tmp_path: Path) -> None:
    shard("0.tar", {"a.wav": b".."})
    shard("1.tar.gz", {"a.wav": b".."}, mode="w:gz")
    (tmp_path / "shards" / "2.tar").write_bytes(b"no archive" * 99)
    with pytest.raises(DataError) as caught:
        read_manifest(tmp_path / "shards")
    gz, no_tar = caught.value.faults
    assert gz.startswith("1.tar.gz: is compressed (gzip)")
    assert no_tar.startswith("2.tar: cannot be read as a tar archive")
    assert 1 == len(read_manifest(tmp_path / "shards", skip_broken=True))


def test_names_that_lead_out_of_an_archive_lead_nowhere(shard: Shard, tmp_path: Path) -> None:
    shard("0.tar", {"../../evil.wav": b"..", "/abs.wav": b"..", "./here.wav": b".."})
    before = sorted(tmp_path.rglob("*"))
    names = [
        str(row.audio).partition("::")[2] for row in read_manifest(tmp_path / "shards" / "0.tar")
    ]
    assert ["../../evil.wav", "/abs.wav", "here.wav"] == names
    assert before == sorted(tmp_path.rglob("*"))


def test_what_is_read_can_be_heard(
    shard: Shard, tmp_path: Path, write_wav: Callable[[Path, np.ndarray], None]
) -> None:
    write_wav(tmp_path / "a.wav", np.full(8000, 0.25))
    files = {f"{name}.wav": (tmp_path / "a.wav").read_bytes() for name in ("a", "../b", "/c")}
    rows = read_manifest(shard("0.tar", files)).rows
    assert [0.5] * 3 == [load(row.audio).duration_s for row in rows]
