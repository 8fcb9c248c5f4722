"""What folders of labels say of themselves: teacher and languages from shards, counts from the filter."""

import json
from pathlib import Path

import pytest

from tercet.dataset.shard_files import arrow
from tercet.errors import DataError
from tercet.publish.label_facts import read_labels_folder


def write_shard(folder: Path, languages: list[str], number: int = 0) -> None:
    """A shard's language column and settings, as pyarrow sees them in those of `tercet label`."""
    pa = arrow(DataError, "pyarrow")
    told = {b"tercet_settings": json.dumps({"model": "large-v2", "task": "transcribe"}).encode()}
    table = pa.table({"language": languages}).replace_schema_metadata(told)
    pa.parquet.write_table(table, folder / f"labels-{number:05d}.parquet")


def test_teacher_and_languages_are_read_from_all_shards(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    write_shard(tmp_path, ["en", "vi", "und"])
    write_shard(tmp_path, ["en"], 1)
    facts = read_labels_folder(tmp_path)
    assert {"en": 2, "vi": 1} == facts.languages
    assert "large-v2" == facts.settings["model"]
    assert ({}, None) == (facts.dropped, facts.counted("kept"))


def test_a_damaged_shard_and_no_labels_are_one_line(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(DataError, match=r"no folder of labels"):
        read_labels_folder(tmp_path)
    (tmp_path / "labels-00000.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"labels-00000\.parquet"):
        read_labels_folder(tmp_path)


def test_counts_come_from_the_filters_report(label_folder: Path) -> None:
    facts = read_labels_folder(label_folder)
    assert ("read-speech", 900.0) == (facts.name, facts.counted("kept"))
    assert {"far from the reference": (100, 36000.0)} == facts.dropped
