"""A file of text is whole, or as it was."""

from pathlib import Path

import pytest

from tercet.compat.text_files import check_writable, whole_file
from tercet.errors import OutputError


def test_a_file_gets_its_name_once_it_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    with whole_file(path) as file:
        file.write("Grüße\n")
        assert not path.exists()
    assert b"Gr\xc3\xbc\xc3\x9fe\n" == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_what_was_there_stays_where_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("before")

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match="no space left"), whole_file(path) as file:
        file.write("after")
    assert ["before"] == [each.read_text() for each in tmp_path.iterdir()]


def test_places_that_cannot_be_written_are_known_beforehand(tmp_path):
    assert check_writable(tmp_path / "a.txt") is None
    for path in (tmp_path, tmp_path / "nowhere" / "a.txt"):
        with pytest.raises(OutputError, match=str(path)):
            check_writable(path)
