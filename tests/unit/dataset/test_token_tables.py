"""Corpora of speech tokens: shards appear when complete, and other software reads them."""

import os
import signal
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from tercet.dataset.token_files import read_tokens
from tercet.dataset.token_shards import TokenTableWriter
from tercet.dataset.token_tables import finished_ids, read_table, settings_in
from tercet.errors import OptionError, OutputError, TokensError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_recordings_come_back_as_they_were(tokens, fields, tmp_path):
    recordings = {
        "a": tokens([1, 2, 2560], window_starts=(0, 2), start_s=0.4, mask_code=None),
        "b/ü.wav": tokens([], duration_s=0.02, mask_code=None),
    }
    with TokenTableWriter(tmp_path / "new" / "folder") as writer:
        for audio_id, one in recordings.items():
            writer.add(audio_id, one)
    assert ["codes-00000.parquet"] == names(tmp_path / "new" / "folder")
    expected = {audio_id: fields(one) for audio_id, one in recordings.items()}
    assert expected == {i: fields(one) for i, one in read_tokens(tmp_path / "new" / "folder")}
    file = tmp_path / "new" / "folder" / "codes-00000.parquet"
    assert expected == {i: fields(one) for i, one in read_tokens(file)}


def test_levels_of_a_residual_quantizer_come_back(tokens, fields, tmp_path):
    source = tokens([[1, 2], [3, 4], [5, 6]], window_starts=(0, 2))
    empty = tokens(source.ids[:0])
    with TokenTableWriter(tmp_path) as writer:
        writer.add("a", source)
        writer.add("b", empty)
    assert [fields(source), fields(empty)] == [fields(one) for _, one in read_table(tmp_path)]


def test_shards_are_finished_by_rows_and_numbers_go_on(tokens, tmp_path):
    for start in (0, 5):
        with TokenTableWriter(tmp_path, rows_per_shard=2) as writer:
            for n in range(start, start + 5):
                writer.add(f"{n}", tokens([n]))
                assert (n - start + 1) // 2 + start // 5 * 3 == len(
                    list(tmp_path.glob("codes-*.parquet"))
                )
    assert [f"codes-{n:05d}.parquet" for n in range(6)] == names(tmp_path)
    assert [f"{n}" for n in range(10)] == [audio_id for audio_id, _ in read_table(tmp_path)]


def test_an_old_shard_is_finished_at_the_next_recording(tokens, tmp_path):
    with TokenTableWriter(tmp_path, max_age_s=0) as writer:
        writer.add("a", tokens([1]))
        assert ["codes-00000.parquet"] == names(tmp_path)


def test_a_shard_under_way_is_hidden_and_not_finished(tokens, tmp_path):
    writer = TokenTableWriter(tmp_path)
    writer.add("a", tokens([1]))
    assert set() == finished_ids(tmp_path)
    assert [True] == [name.startswith(".") for name in names(tmp_path)]
    writer.finish()
    assert {"a"} == finished_ids(tmp_path)
    assert ["codes-00000.parquet"] == names(tmp_path)


def test_what_was_added_before_an_error_is_kept(tokens, tmp_path):
    with pytest.raises(KeyboardInterrupt), TokenTableWriter(tmp_path) as writer:  # noqa: PT012
        writer.add("a", tokens([1]))
        raise KeyboardInterrupt
    assert {"a"} == finished_ids(tmp_path)


def test_all_channels_of_a_recording_are_in_one_shard(tokens, tmp_path):
    with TokenTableWriter(tmp_path, rows_per_shard=1) as writer:
        writer.add("a", tokens([1], channel=0), tokens([2], channel=1))
    assert ["codes-00000.parquet"] == names(tmp_path)
    assert [("a", 0), ("a", 1)] == [(i, one.channel) for i, one in read_table(tmp_path)]


def test_nothing_added_leaves_no_file(tmp_path):
    with TokenTableWriter(tmp_path):
        pass
    assert [] == names(tmp_path)
    assert set() == finished_ids(tmp_path)
    assert set() == finished_ids(tmp_path / "missing")


def test_two_writers_share_a_folder(tokens, tmp_path):
    one, other = TokenTableWriter(tmp_path), TokenTableWriter(tmp_path)
    one.add("a", tokens([1]))
    other.add("b", tokens([2]))
    third = TokenTableWriter(tmp_path)  # takes neither for a leftover
    third.add("c", tokens([3]))
    for writer in (other, third, one):
        writer.finish()
    assert ["b", "c", "a"] == [audio_id for audio_id, _ in read_table(tmp_path)]


def test_a_folder_without_hard_links_works_too(tokens, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("pathlib.Path.hardlink_to", refuse)
    for audio_id in "ab":
        with TokenTableWriter(tmp_path) as writer:
            writer.add(audio_id, tokens([1]))
    assert ["codes-00000.parquet", "codes-00001.parquet"] == names(tmp_path)


def test_a_killed_writer_loses_the_shard_under_way_only(tmp_path):
    script = (
        "import sys, numpy as np\n"
        "from tercet.dataset.token_shards import TokenTableWriter\n"
        "from tercet.results import SpeechTokens\n"
        "writer = TokenTableWriter(sys.argv[1], rows_per_shard=2)\n"
        "for n in range(5):\n"
        "    ids = np.full(4, n, np.int32)\n"
        "    writer.add(str(n), SpeechTokens(ids=ids, codebook_size=9, codebook='', duration_s=1.0))\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert b"ready\n" == process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert 3 == len(names(tmp_path))
    assert {"0", "1", "2", "3"} == finished_ids(tmp_path)
    TokenTableWriter(tmp_path)
    assert ["codes-00000.parquet", "codes-00001.parquet"] == names(tmp_path)


@pytest.mark.parametrize(
    "other",
    [
        {"codebook": "fedcba9876543210"},
        {"codebook_size": 513, "mask_code": None},
        {"mask_code": 5},
        {"rate_hz": 12.5},
    ],
)
def test_another_codebook_does_not_get_into_a_folder(tokens, tmp_path, other):
    with TokenTableWriter(tmp_path, rows_per_shard=1) as writer:
        writer.add("a", tokens([1]))
        with pytest.raises(TokensError, match=r"b: has codes of .*; choose another folder"):
            writer.add("b", tokens([1], **other))
    with (
        TokenTableWriter(tmp_path) as writer,
        pytest.raises(TokensError, match="0123456789abcdef"),
    ):
        writer.add("b", tokens([1], **other))
    assert {"a"} == finished_ids(tmp_path)


def test_a_name_that_is_no_text_is_refused(tokens, tmp_path):
    with (
        TokenTableWriter(tmp_path) as writer,
        pytest.raises(TokensError, match="is no name in UTF-8"),
    ):
        writer.add(os.fsdecode(b"\xff.wav"), tokens([1]))
    assert [] == names(tmp_path)


def test_a_full_disk_leaves_finished_shards_and_nothing_else(tokens, tmp_path, monkeypatch):
    writer = TokenTableWriter(tmp_path, rows_per_shard=1)
    writer.add("a", tokens([1]))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="no space left on device"):
        writer.add("b", tokens([1]))
    assert ["codes-00000.parquet"] == names(tmp_path)
    monkeypatch.undo()
    writer.add("b", tokens([1]))
    assert {"a", "b"} == finished_ids(tmp_path)


def test_a_folder_that_cannot_be_one_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        TokenTableWriter(tmp_path / "file")
    with pytest.raises(OptionError, match="rows_per_shard is 0"):
        TokenTableWriter(tmp_path, rows_per_shard=0)


def test_without_pyarrow_the_way_to_it_is_said(tokens, tmp_path, monkeypatch):
    (tmp_path / "codes-00000.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(OutputError, match=r'pip install "tercet\[data\]"$'):
        TokenTableWriter(tmp_path)
    with pytest.raises(TokensError, match=r'pip install "tercet\[data\]"$'):
        finished_ids(tmp_path)


def test_other_software_reads_the_folder_while_it_is_written(tokens, tmp_path):
    with TokenTableWriter(tmp_path, rows_per_shard=1) as writer:
        writer.add("a", tokens([7, 8], window_starts=(0, 1)))
        writer.add("b", tokens([9]))
        writer = TokenTableWriter(tmp_path)
        writer.add("c", tokens([1]))
        table = pyarrow.dataset.dataset(tmp_path).to_table()
    assert ["a", "b"] == table.column("audio_id").to_pylist()
    assert [[7, 8], [9]] == table.column("ids").to_pylist()
    assert [[0, 1], [0]] == table.column("window_starts").to_pylist()
    assert pa.list_(pa.int32()) == table.schema.field("ids").type
    metadata = pq.read_schema(tmp_path / "codes-00000.parquet").metadata
    assert b"tercet/1" == metadata[b"tercet_schema"]


def test_a_table_that_other_software_wrote_again_is_read(tokens, fields, tmp_path):
    source = tokens([7, 8], window_starts=(0, 1), channel=1)
    with TokenTableWriter(tmp_path) as writer:
        writer.add("a", source)
    rows = pq.read_table(tmp_path / "codes-00000.parquet").to_pylist()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "again.parquet")  # int64, no metadata
    assert [("a", fields(source))] == [
        (audio_id, fields(one)) for audio_id, one in read_table(tmp_path / "again.parquet")
    ]


def test_finished_ids_reads_one_column(tokens, tmp_path):
    pq.write_table(pa.table({"audio_id": ["a", "b"]}), tmp_path / "codes-00004.parquet")
    assert {"a", "b"} == finished_ids(tmp_path)
    with TokenTableWriter(tmp_path / "other") as writer:
        writer.add("a", tokens([1]))
    assert {"a"} == finished_ids(tmp_path / "other")


def rows(**change):
    return [
        {
            "audio_id": "a",
            "channel": None,
            "start_s": 0.0,
            "duration_s": 1.0,
            "rate_hz": 25.0,
            "depth": 1,
            "n_codes": 3,
            "ids": [1, 2, 3],
            "window_starts": [0, 2],
            "codebook": "",
            "codebook_size": 9,
            "mask_code": None,
        }
        | change
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ids": [1, 9, 3]}, r"row 1: code 2 \(of 3\) is 9; this codebook has 0..8"),
        ({"ids": [1, None, 3]}, "'ids' has gaps"),
        ({"ids": [2**40]}, "not readable as a table"),
        ({"ids": "abc"}, "not readable as a table"),
        ({"n_codes": 4}, "row 1: has 3 ids, but 'n_codes' is 4"),
        ({"depth": 2}, "row 1: has 3 ids, but 'n_codes' is 3"),
        ({"window_starts": [0, 3]}, r"windows begin at \[0, 3\] of 3 codes"),
        ({"window_starts": [1, 2]}, "windows begin at"),
        ({"window_starts": [0, 2, 1]}, "windows begin at"),
        ({"window_starts": []}, "not readable|windows begin at"),
        ({"audio_id": None}, "not readable|'audio_id' is missing"),
        ({"rate_hz": float("nan")}, "'rate_hz'"),
        ({"mask_code": 9}, "'mask_code'"),
    ],
)
def test_rows_that_make_no_sense_are_refused(tmp_path, change, said):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(rows(**change)), path)
    with pytest.raises(TokensError, match=said) as caught:
        list(read_table(path))
    assert str(caught.value).startswith(str(path))


def test_a_row_that_makes_sense_is_taken(tmp_path):
    pq.write_table(pa.Table.from_pylist(rows()), tmp_path / "a.parquet")
    ((audio_id, found),) = read_table(tmp_path / "a.parquet")
    assert ("a", [1, 2, 3], (0, 2)) == (audio_id, found.ids.tolist(), found.window_starts)
    assert np.int32 == found.ids.dtype


def test_a_name_that_is_no_utf_8_is_refused(tmp_path):
    wrong = pa.array([b"\xff"], pa.binary())
    text = pa.StringArray.from_buffers(1, wrong.buffers()[1], wrong.buffers()[2])
    table = pa.Table.from_pylist(rows())
    pq.write_table(table.set_column(0, "audio_id", text), tmp_path / "codes-00000.parquet")
    with pytest.raises(TokensError, match="not readable as a table"):
        list(read_table(tmp_path))
    with pytest.raises(TokensError, match="not readable as a table"):
        finished_ids(tmp_path)


READ_FLIPPED = """
import pathlib, sys
from tercet.dataset.token_tables import read_table
from tercet.errors import TokensError

path = pathlib.Path(sys.argv[1])
content, refused = path.read_bytes(), 0
((_, whole),) = read_table(path)
for place in range(4, len(content) // 2, 7):
    path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
    try:
        found = [one.ids.tolist() for _, one in read_table(path)]
    except TokensError:
        refused += 1
    else:
        assert [whole.ids.tolist()] == found, place
assert refused > 50, refused
print("read")
"""


def test_a_flipped_byte_never_becomes_another_code(tokens, tmp_path):
    """In a process of its own: what damage does to Arrow's reader, which is C++, must not stay."""
    with TokenTableWriter(tmp_path) as writer:
        writer.add("a", tokens(np.random.default_rng(3).integers(0, 2561, 400)))
    command = [sys.executable, "-c", READ_FLIPPED, str(tmp_path / "codes-00000.parquet")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (0, "read\n", "") == (run.returncode, run.stdout, run.stderr)


def test_another_table_is_named(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["hi"]}), path)
    with pytest.raises(TokensError, match=r"a\.parquet: has no column 'audio_id'"):
        list(read_table(path))
    newer = pa.Table.from_pylist(rows()).replace_schema_metadata({"tercet_schema": "tercet/2"})
    pq.write_table(newer, path)
    with pytest.raises(TokensError, match="schema 'tercet/2'"):
        list(read_table(path))
    with pytest.raises(TokensError, match=r"holds no codes-00000\.parquet"):
        list(read_table(tmp_path))


def test_shards_say_how_their_codes_were_made_each_way_once(tokens, tmp_path):
    ways = [{"match": None, "channel": 1}, None, {"match": "ichigo"}, {"match": None, "channel": 1}]
    for n, way in enumerate(ways):
        with TokenTableWriter(tmp_path, settings=way) as writer:
            writer.add(f"{n}", tokens([n]))
    assert [ways[0], ways[2]] == settings_in(tmp_path)
    assert ["0", "1", "2", "3"] == [audio_id for audio_id, _ in read_table(tmp_path)]


def test_settings_of_a_damaged_shard_are_one_line(tokens, tmp_path):
    (tmp_path / "codes-00000.parquet").write_bytes(b"PAR1 is all there is")
    with pytest.raises(TokensError, match=r"codes-00000\.parquet: not readable") as caught:
        settings_in(tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(TokensError, match="cannot be read"):
        settings_in(tmp_path / "absent")
