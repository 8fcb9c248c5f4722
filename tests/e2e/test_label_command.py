"""`tercet label` with the shipped weights: what is written, and kill -9 in the middle of a shard."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from tercet.audio.load import load
from tercet.dataset.label_table import read_labels
from tercet.dataset.verdicts import read_verdicts
from tercet.text.normalizer import normalize

pytest.importorskip("pyarrow")
pytest.importorskip("jiwer")

N_CLIPS = 8


def begin(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tercet.cli.main", "label", "in", *words]
    return subprocess.Popen(command, cwd=folder, env=dict(os.environ))


@pytest.fixture
def clips(clips_dir: Path, base_model: Path, tmp_path: Path) -> Path:
    """A folder with `in`: short clips of LibriSpeech with their texts."""
    rows = [json.loads(line) for line in (clips_dir / "manifest.jsonl").read_text().splitlines()]
    chosen = [
        row for row in rows if row["path"].startswith("librispeech-") and row["duration_s"] < 30
    ]
    (tmp_path / "in").mkdir()
    for row in chosen[:N_CLIPS]:
        shutil.copy(clips_dir / row["path"], tmp_path / "in")
    lines = "".join(json.dumps(row) + "\n" for row in chosen[:N_CLIPS])
    (tmp_path / "in" / "manifest.jsonl").write_text(lines)
    return tmp_path


def told(folder: Path) -> dict[str, dict[str, object]]:
    """Every label by id; there is none twice."""
    labels = list(read_labels(folder))
    found = {each.id: asdict(each) for each in labels}
    assert len(labels) == len(found)
    return found


def test_speech_is_written_down_and_judged(clips: Path) -> None:
    assert 0 == begin(clips, "out", "--language", "en").wait(120)
    labels = list(read_labels(clips / "out"))
    heard_s = sum(span.duration_s for label in labels for span in label.spans)
    rows = [json.loads(line) for line in (clips / "in" / "manifest.jsonl").read_text().splitlines()]
    assert pytest.approx(sum(row["duration_s"] for row in rows), abs=0.1) == heard_s
    verdicts = read_verdicts(clips / "out")
    for label in labels:
        assert label.reference is not None
        said = set(normalize(label.reference, "en").split())
        written = set(normalize(label.text, "en").split())
        assert len(said & written) > 0.7 * len(said)
        assert "en" == label.language
        assert verdicts[label.id].wer is not None
    assert sum(each.kept for each in verdicts.values()) >= len(labels) - 1


def test_from_shards_the_labels_are_those_of_the_files(clips: Path) -> None:
    options = ("--language", "en", "--pack_s", "0", "--batch_size", "4")
    assert 0 == begin(clips, "files", *options).wait(120)
    (clips / "in" / "manifest.jsonl").rename(clips / "rows.jsonl")
    rows = [json.loads(line) for line in (clips / "rows.jsonl").read_text().splitlines()]
    for number, row in enumerate(rows):
        path = clips / "in" / row["path"]
        path.with_suffix(".json").write_text(json.dumps({"text": row["text"]}))
        with tarfile.open(clips / "in" / f"{number % 2}.tar", "a") as tar:
            for each in (path, path.with_suffix(".json")):
                tar.add(each, each.name)
                each.unlink()
    assert 0 == begin(clips, "shards", *options).wait(120)  # "in" holds nothing but two archives
    expected = {each.reference: each.text for each in read_labels(clips / "files")}
    assert N_CLIPS == len(expected)
    labels = list(read_labels(clips / "shards"))
    assert expected == {each.reference: each.text for each in labels}
    assert all(load(each.spans[0].path).duration_s for each in labels)
    assert sum(each.kept for each in read_verdicts(clips / "shards").values()) >= N_CLIPS - 1


def test_killed_in_the_middle_of_a_shard_nothing_is_lost_or_doubled(clips: Path) -> None:
    options = ["--language", "en", "--pack_s", "0", "--batch_size", "1", "--rows_per_shard", "3"]
    assert 0 == begin(clips, "right", *options).wait(120)
    right = told(clips / "right")
    assert N_CLIPS == len(right)
    out, n_killed = clips / "out", 0
    for _ in range(2):
        process = begin(clips, "out", *options)
        deadline = time.monotonic() + 60
        under_way = f".labels-{process.pid}-*.part"
        while time.monotonic() < deadline and not (
            list(out.glob("labels-*.parquet")) and list(out.glob(under_way))
        ):
            time.sleep(0.002)
            if process.poll() is not None:
                break
        process.kill()
        n_killed += -signal.SIGKILL == process.wait()
        assert told(out).items() <= right.items()
    assert 2 == n_killed
    assert len(told(out)) < N_CLIPS
    assert 0 == begin(clips, "out", *options).wait(120)
    assert right == told(out)
    assert [] == list(out.glob(".*"))


def test_sigterm_completes_the_shard_under_way(clips: Path) -> None:
    options = ["--language", "en", "--pack_s", "0", "--batch_size", "1", "--rows_per_shard", "3"]
    out = clips / "out"
    process = begin(clips, "out", *options)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (
        list(out.glob("labels-*.parquet")) and list(out.glob(".labels-*.part"))
    ):
        time.sleep(0.005)
    time.sleep(0.3)  # its first rows are in it
    process.terminate()
    assert 143 == process.wait(60)
    assert [] == list(out.glob(".labels-*.part"))
    assert 4 <= len(told(out)) <= N_CLIPS  # batches of two: the first shard has four
    assert 0 == begin(clips, "out", *options).wait(120)
    assert N_CLIPS == len(told(out))
