"""Labels in Parquet: what was written comes back, and only whole shards count."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tercet.dataset import shard_files
from tercet.dataset.label_table import (
    Finished,
    Label,
    Span,
    TimedText,
    finished,
    read_labels,
    settings_in,
)
from tercet.dataset.label_writing import LabelWriter
from tercet.errors import DataError, OptionError, OutputError

pyarrow = pytest.importorskip("pyarrow")

LABEL = Label(
    id="ä-1",
    recording="r",
    is_last=True,
    spans=(Span("a.wav", 1.5, 2.0, 0.0), Span("b.wav", 0.0, 2.5, 2.2)),
    duration_s=4.7,
    speech_s=4.0,
    cut="seam",
    speaker=None,
    previous="ä-0",
    language="de",
    language_probability=None,
    text="Grüß Gott",
    text_ids=(50364, 1, 2, 50464),
    segments=(TimedText(0.0, 2.0, "Grüß Gott"),),
    avg_logprob=-0.25,
    compression_ratio=1.5,
    no_speech_prob=0.125,
    temperature=0.5,
    is_cut_off=False,
    fault="repetitive",
    reference="grüß gott",
    reference_of="window",
    extra={"domain": "radio", "take": 3},
    teacher="base",
    encoder="e",
    settings="s",
)
BARE = replace(
    LABEL,
    id="bare",
    recording="bare",
    speaker="s",
    previous=None,
    fault=None,
    reference=None,
    reference_of=None,
    text="",
    text_ids=(),
    segments=(),
    language="und",
    language_probability=0.5,
    extra={},
)


def shards(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name[0] != ".")


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    with LabelWriter(tmp_path / "new", {"language": "de"}) as writer:
        writer.add([LABEL])
        writer.add([BARE])
    assert [LABEL, BARE] == list(read_labels(tmp_path / "new"))
    assert ["labels-00000.parquet"] == shards(tmp_path / "new")
    assert {"language": "de"} == settings_in(tmp_path / "new")


def test_a_shard_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    writer = LabelWriter(tmp_path, {}, rows_per_shard=2)
    writer.add([LABEL])
    assert [] == shards(tmp_path)
    writer.add([BARE])
    assert ["labels-00000.parquet"] == shards(tmp_path)
    writer.add([LABEL, BARE, LABEL])  # together, whatever the limit
    assert ["labels-00000.parquet", "labels-00001.parquet"] == shards(tmp_path)
    assert 5 == len(list(read_labels(tmp_path)))


def test_an_old_shard_is_finished_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = LabelWriter(tmp_path, {}, max_age_s=60)
    writer.add([LABEL])
    now = shard_files.time.monotonic()
    monkeypatch.setattr(shard_files.time, "monotonic", lambda: now + 61)
    writer.add([BARE])
    assert ["labels-00000.parquet"] == shards(tmp_path)


def test_numbers_go_on_beside_another_writer(tmp_path: Path) -> None:
    first, second = LabelWriter(tmp_path, {}), LabelWriter(tmp_path, {})
    first.add([LABEL])
    second.add([BARE])
    second.finish()
    first.finish()
    assert ["labels-00000.parquet", "labels-00001.parquet"] == shards(tmp_path)
    assert {"ä-1", "bare"} == {each.id for each in read_labels(tmp_path)}


def test_what_is_finished_is_known_by_recording(tmp_path: Path) -> None:
    assert {} == finished(tmp_path / "nowhere")
    with LabelWriter(tmp_path, {}) as writer:
        writer.add([replace(LABEL, id="r-0", is_last=False), BARE])
    found = finished(tmp_path)
    assert Finished({"r-0"}, is_whole=False, language="de") == found["r"]
    assert Finished({"bare"}, is_whole=True, language=None) == found["bare"]  # it says nothing
    with LabelWriter(tmp_path, {}) as writer:
        writer.add([LABEL])
    assert Finished({"r-0", "ä-1"}, is_whole=True, language="de") == finished(tmp_path)["r"]


@pytest.mark.parametrize("cut", [10, 400, -20])
def test_a_damaged_shard_is_named_in_one_line(tmp_path: Path, cut: int) -> None:
    with LabelWriter(tmp_path, {}) as writer:
        writer.add([LABEL] * 50)
    path = tmp_path / "labels-00000.parquet"
    path.write_bytes(path.read_bytes()[:cut])
    for read in (lambda: list(read_labels(tmp_path)), lambda: finished(tmp_path)):
        with pytest.raises(DataError, match=r"labels-00000\.parquet: not readable") as caught:
            read()
        assert "\n" not in str(caught.value)


def test_another_table_is_told(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"id": ["a"]}), tmp_path / "labels-00000.parquet")
    with pytest.raises(DataError, match=r"has no column 'recording'; is it another table?"):
        list(read_labels(tmp_path))


def test_no_folder_and_no_room_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="no folder of labels"):
        list(read_labels(tmp_path / "nowhere"))
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=r"file: cannot be written \("):
        LabelWriter(tmp_path / "file", {})
    with pytest.raises(OptionError, match="rows_per_shard is 0; give at least 1"):
        LabelWriter(tmp_path, {}, rows_per_shard=0)
    writer = LabelWriter(tmp_path / "out", {})

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    writer.add([LABEL])
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="no space left on device"):
        writer.finish()
    assert [] == list((tmp_path / "out").iterdir())


def test_a_crash_leaves_nothing_behind_for_long(tmp_path: Path) -> None:
    (tmp_path / ".labels-1-abcdef.part").write_bytes(b"half")
    writer: Callable[..., LabelWriter] = LabelWriter
    writer(tmp_path, {})
    assert [] == list(tmp_path.iterdir())
