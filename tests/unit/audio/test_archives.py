"""Recordings inside tar archives are heard where they lie; bad archives give one line."""

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tercet.audio.archives import index_of, is_recording, open_member, split_member
from tercet.audio.load import load
from tercet.errors import AudioNotFoundError, AudioUnreadableError

Pack = Callable[..., Path]


@pytest.fixture
def sound() -> np.ndarray:
    return np.sin(np.arange(24000) / 9).astype(np.float32) * 0.5


@pytest.fixture
def wav(tmp_path: Path, sound: np.ndarray, write_wav: Callable[..., None]) -> Path:
    write_wav(tmp_path / "own.wav", sound)
    return tmp_path / "own.wav"


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """`pack({"a.wav": path})`: a tar archive with these files."""

    def make(files: dict[str, Path | bytes], name: str = "s.tar", mode: str = "w") -> Path:
        with tarfile.open(tmp_path / name, mode) as tar:
            for member, content in files.items():
                data = content if isinstance(content, bytes) else content.read_bytes()
                told = tarfile.TarInfo(member)
                told.size = len(data)
                tar.addfile(told, io.BytesIO(data))
        return tmp_path / name

    return make


@pytest.mark.parametrize("member", ["a.wav", "deep/er/a.b.wav", "ü" * 120 + ".wav"])
def test_a_recording_in_an_archive_is_the_same_as_beside_it(
    wav: Path, pack: Pack, member: str
) -> None:
    archive = pack({"first.txt": b"x" * 700, member: wav, "last.txt": b"y"})
    expected = load(wav).read()
    with load(f"{archive}::{member}") as recording:
        assert np.array_equal(expected, recording.read())
        assert np.array_equal(expected, recording.read())  # it can be heard again
        assert (1.5, f"{archive}::{member}") == (recording.duration_s, recording.name)
    assert is_recording(Path(f"{archive}::{member}"))


def test_a_section_reads_and_seeks_like_a_file_of_its_own(pack: Pack) -> None:
    content = bytes(range(256)) * 9
    archive = pack({"before": b"b" * 513, "it": content, "behind": b"c"})
    with open_member(archive, "it") as file:
        assert content == file.read()
        assert b"" == file.read(5)
        assert 2 == file.seek(2)
        assert content[2:7] == file.read(5)
        assert len(content) - 3 == file.seek(-3, os.SEEK_END)
        assert content[-3:] == file.read()
        file.seek(-1, os.SEEK_CUR)
        assert content[-1:] == file.read(9)
        with pytest.raises(ValueError, match="seek to -1"):
            file.seek(-1)


def test_a_file_whose_name_looks_like_a_place_in_an_archive_is_that_file(
    tmp_path: Path, wav: Path
) -> None:
    wav.rename(tmp_path / "s.tar::a.wav")
    assert 1.5 == load(tmp_path / "s.tar::a.wav").duration_s
    assert is_recording(tmp_path / "s.tar::a.wav")


def test_paths_of_files_are_no_places() -> None:
    assert (Path("x/s.tar"), "a/b.wav") == split_member("x/s.tar::a/b.wav")
    for path in ("x/s.tar", "x/s.tar::", "a::b.wav", ".tara::b"):
        assert split_member(path) is None


def test_an_archive_that_was_written_anew_is_looked_through_anew(wav: Path, pack: Pack) -> None:
    archive = pack({"a.wav": wav})
    assert {"a.wav"} == set(index_of(archive).places)
    pack({"b.wav": wav, "c.wav": wav})
    assert {"b.wav", "c.wav"} == set(index_of(archive).places)


def test_what_is_not_there_is_told(wav: Path, pack: Pack, tmp_path: Path) -> None:
    archive = pack({"a.wav": wav})
    with pytest.raises(AudioNotFoundError, match=r"s\.tar::b\.wav: the archive has no such file"):
        load(f"{archive}::b.wav")
    with pytest.raises(AudioNotFoundError, match=r"no\.tar: there is no such archive"):
        load(tmp_path / "no.tar::a.wav")
    assert not is_recording(Path(f"{archive}::b.wav"))
    assert not is_recording(tmp_path / "no.tar::a.wav")


@pytest.mark.parametrize(("mode", "kind"), [("w:gz", "gzip"), ("w:bz2", "bzip2"), ("w:xz", "xz")])
def test_compressed_archives_are_refused(wav: Path, pack: Pack, mode: str, kind: str) -> None:
    archive = pack({"a.wav": wav}, mode=mode)
    with pytest.raises(AudioUnreadableError, match=rf"s\.tar: is compressed \({kind}\)"):
        load(f"{archive}::a.wav")


@pytest.mark.parametrize("kept", [300, 700, 1700, 2500])
def test_an_archive_that_is_cut_off_is_told(pack: Pack, kept: int) -> None:
    archive = pack({"a.wav": b"a" * 1000, "b.wav": b"b" * 1000})
    archive.write_bytes(archive.read_bytes()[:kept])
    with pytest.raises(AudioUnreadableError, match=r"s\.tar: .*; get a whole copy"):
        index_of(archive)


def test_a_damaged_header_is_not_taken_for_the_end(pack: Pack) -> None:
    archive = pack({"a.wav": b"a" * 600, "b.wav": b"b" * 600})
    content = bytearray(archive.read_bytes())
    content[512 + 1024 + 150] ^= 1  # in the checksum of b.wav's header
    archive.write_bytes(content)
    with pytest.raises(AudioUnreadableError, match=r"damaged or cut off behind a\.wav"):
        index_of(archive)


def test_links_and_doubled_names_are_refused_by_name(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for content in (b"one", b"two"):
            told = tarfile.TarInfo("twice.wav")
            told.size = 3
            tar.addfile(told, io.BytesIO(content))
        link = tarfile.TarInfo("link.wav")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(AudioUnreadableError, match=r"twice\.wav: is in the archive twice"):
        load(tmp_path / "s.tar::twice.wav")
    with pytest.raises(AudioUnreadableError, match=r"link\.wav: is a link or a device"):
        load(tmp_path / "s.tar::link.wav")
