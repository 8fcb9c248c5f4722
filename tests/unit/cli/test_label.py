"""`tercet label` in this process: every option changes what the job or the filter is told."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet.cli.main import main
from tercet.dataset import hub_sets
from tercet.dataset.label_table import Label, Span
from tercet.dataset.label_writing import LabelWriter
from tercet.dataset.verdicts import read_verdicts
from tercet.errors import DataError, UndecodableAudioError
from tercet.labelling import filter_report, many_machines, running
from tercet.labelling.running import LabelProgress, LabelResult

Run = Callable[..., int]


def label_of(name: str, **changes: Any) -> Label:
    told: dict[str, Any] = {
        "id": name,
        "recording": name,
        "is_last": True,
        "spans": (Span(f"{name}.wav", 0.0, 4.0, 0.0),),
        "duration_s": 4.0,
        "speech_s": 4.0,
        "cut": "end",
        "speaker": None,
        "previous": None,
        "language": "en",
        "language_probability": None,
        "text": "hello there my old friend",
        "text_ids": (1, 2),
        "segments": (),
        "avg_logprob": -0.5,
        "compression_ratio": 1.2,
        "no_speech_prob": 0.0,
        "temperature": 0.0,
        "is_cut_off": False,
        "fault": None,
        "reference": "hello there my old friends",
        "reference_of": "window",
        "extra": {},
        "teacher": "base",
        "encoder": "e",
        "settings": "s",
    }
    return Label(**(told | changes))


class Job:
    """Stands where `labelling.running.label` does: writes what it is given, notes what it was told."""

    def __init__(self) -> None:
        self.labels = [label_of("a")]
        self.failures: list[Any] = []
        self.told: dict[str, Any] = {}

    def __call__(self, manifest: Any, out: Path, settings: Any, **told: Any) -> LabelResult:
        self.told = {"manifest": manifest, "settings": settings, **told}
        told["on_progress"](LabelProgress(1, 2, 4.0))
        with LabelWriter(out, {}) as writer:
            writer.add(self.labels)
        n = len(self.labels)
        return LabelResult(n + 3, 3 if n else 0, windows=n, failures=self.failures)


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Job:
    made = Job()
    monkeypatch.setattr(running, "label", made)
    monkeypatch.setattr(filter_report, "_draw", lambda *_: None)  # a picture takes its time
    return made


@pytest.fixture
def manifest(tmp_path: Path, write_wav: Callable[[Path, np.ndarray], None]) -> Path:
    write_wav(tmp_path / "a.wav", np.full(1600, 0.1))
    row = {"path": "a.wav", "duration_s": 0.1}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    return tmp_path / "rows.jsonl"


@pytest.fixture
def run(job: Job, manifest: Path, tmp_path: Path) -> Run:
    return lambda *words: main(["label", str(manifest), str(tmp_path / "out"), *words])


def test_the_table_goes_to_standard_output_and_files_beside_the_labels(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == run()
    told = capsys.readouterr()
    assert told.out.startswith("Kept 1 of 1 windows")
    assert "note: 3 of 4 recordings and packs were labelled already" in told.err
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"labels-00000.parquet", "filter.parquet", "filter.md", "filter.json"} <= names


@pytest.mark.option("--language")
@pytest.mark.option("--task")
@pytest.mark.option("--without_timestamps")
@pytest.mark.option("--pack_s")
@pytest.mark.option("--gap_s")
@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (("--model", "small"), "model", "small"),
        (("--adapter", "lora"), "adapter", "lora"),
        (("--compute-type", "float32"), "compute_type", "float32"),
        (("--language", "de"), "language", "de"),
        (("--task", "translate"), "task", "translate"),
        (("--without-timestamps",), "without_timestamps", True),
        (("--no_fallback",), "temperatures", (0.0,)),
        (("--pack_s", "0"), "pack_s", 0.0),
        (("--gap_s", "0.5"), "gap_s", 0.5),
    ],
)
@pytest.mark.option("--no_fallback")
def test_how_labels_are_made(
    run: Run, job: Job, words: tuple[str, ...], name: str, value: object
) -> None:
    run()
    before = getattr(job.told["settings"], name)
    run(*words)
    assert value == getattr(job.told["settings"], name) != before


@pytest.mark.option("--rows_per_shard")
@pytest.mark.option("--batch_size")
@pytest.mark.parametrize("name", ["threads", "batch_size", "rows_per_shard"])
def test_run_time(run: Run, job: Job, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(f"--{name}", "3")
    assert 3 == job.told[name]
    assert 2 == run(f"--{name}", "0")
    assert (
        f"tercet label: --{name} 0: give 1 or more\n"
        == capsys.readouterr().err.splitlines(True)[-1]
    )


@pytest.mark.option("--split")
def test_rows_of_one_split(
    job: Job, tmp_path: Path, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"path": "a.wav", "split": name, "fold": name} for name in ("train", "dev")]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert 0 == main(["label", str(manifest), str(tmp_path / "out"), "--split", "dev"])
    assert [{"fold": "dev"}] == [dict(row.extra) for row in job.told["manifest"]]
    assert 1 == main(["label", str(manifest), str(tmp_path / "out"), "--split", "test"])
    assert "split 'test' is empty (there are dev, train)" in capsys.readouterr().err


@pytest.mark.option("--text_column")
def test_the_column_of_references(job: Job, tmp_path: Path, manifest: Path) -> None:
    manifest.write_text(json.dumps({"path": "a.wav", "text": "raw", "said": "hello"}) + "\n")
    for more, text in ((), "raw"), (("--text_column", "said"), "hello"):
        assert 0 == main(["label", str(manifest), str(tmp_path / text), *more])
        assert [text] == [row.text for row in job.told["manifest"]]


def test_recordings_inside_tables_are_written_beside_the_labels(
    job: Job, tmp_path: Path, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    content = (tmp_path / "a.wav").read_bytes()
    rows = [{"audio": {"bytes": content, "path": "a.wav"}, "said": "hello"}]
    for split in ("train", "test"):
        path = tmp_path / "set" / "data" / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    words = ["label", str(tmp_path / "set"), str(tmp_path / "out"), "--text_column", "said"]
    assert 1 == main(words)
    assert "has several splits (test, train); choose one: --split test" in capsys.readouterr().err
    assert 0 == main([*words, "--split", "train"])
    [row] = job.told["manifest"]
    assert ("hello", content) == (row.text, row.audio.read_bytes())
    assert tmp_path / "out" == job.told["manifest"].folder == row.audio.parents[2]
    assert 2 == main([*words, "--split", "train", "--root", str(tmp_path)])
    assert "--root is for paths; " in capsys.readouterr().err


def test_names_of_the_hub_are_no_paths(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None]] = []

    def refuse(source: str, split: str | None) -> None:
        asked.append((source, split))
        raise DataError(f"{source}: the hub cannot be reached")

    monkeypatch.setattr(hub_sets, "hub_set", refuse)
    assert 1 == main(["label", "hf://o/n:c", str(tmp_path / "out"), "--split", "train"])
    assert [("hf://o/n:c", "train")] == asked


@pytest.mark.option("--ray")
@pytest.mark.option("--workers")
@pytest.mark.parametrize(
    ("words", "address", "workers"),
    [
        (("--ray",), None, None),
        (("--ray", "--workers", "3"), None, 3),
        (("--ray", "auto"), "auto", None),
        (("--ray", "head:6379"), "head:6379", None),
        (("--ray=ray://head:10001",), "ray://head:10001", None),
    ],
)
def test_on_many_machines(
    run: Run,
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    address: str | None,
    workers: int | None,
) -> None:
    def lose_one(*arguments: Any, **told: Any) -> LabelResult:
        sys.stdout.write(
            "(raylet) A worker died or was killed\n"
        )  # as Ray does, where the table goes
        return replace(job(*arguments, **told), lost=1)

    monkeypatch.setattr(many_machines, "label_on_many_machines", lose_one)
    assert 0 == run(*words)
    assert (address, workers) == (job.told["address"], job.told["workers"])
    printed = capsys.readouterr()
    assert printed.out.startswith("Kept 1 of 1 windows")
    assert "note: 1 workers were lost; what they had in hand was heard by others" in printed.err


def test_ray_may_stand_before_the_manifest(
    job: Job, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many_machines, "label_on_many_machines", job)
    assert 0 == main(["label", "--ray", str(manifest), str(tmp_path / "out")])
    assert None is job.told["address"]


def test_workers_are_rays(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == run("--workers", "2")
    assert "tercet label: --workers is for --ray; give that, too\n" == capsys.readouterr().err
    assert 2 == run("--ray", "--workers", "0")
    assert "--workers 0: give 1 or more" in capsys.readouterr().err


@pytest.mark.option("--most_wer")
@pytest.mark.option("--most_cer")
@pytest.mark.option("--least_logprob")
@pytest.mark.option("--most_compression")
@pytest.mark.option("--least_speech_s")
@pytest.mark.option("--languages")
@pytest.mark.option("--keep_seams")
@pytest.mark.parametrize(
    ("changes", "words", "kept"),
    [
        ({}, ("--most_wer", "0.1"), (True, False)),
        ({}, ("--most_cer", "0.01"), (True, False)),
        ({}, ("--least_logprob", "-0.4"), (True, False)),
        ({}, ("--most_compression", "1.1"), (True, False)),
        ({}, ("--least_speech_s", "5"), (True, False)),
        ({}, ("--languages", "de,fr"), (True, False)),
        ({}, ("--languages", "de,en"), (True, True)),
        ({"cut": "seam"}, ("--keep_seams",), (False, True)),
    ],
)  # fmt: skip
def test_which_are_kept(
    run: Run,
    job: Job,
    tmp_path: Path,
    changes: dict[str, Any],
    words: tuple[str, ...],
    kept: tuple[bool, bool],
) -> None:
    job.labels = [label_of("a", **changes), label_of("b")]
    run()
    before = read_verdicts(tmp_path / "out")["a"].kept
    job.labels = []
    run(*words)
    assert kept == (before, read_verdicts(tmp_path / "out")["a"].kept)


def test_where_rows_are_and_which_are_left_out(
    run: Run, job: Job, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest.write_text('{"path": "a.wav"}\n{"path": "gone.wav"}\n{"path": "lost.wav"}\n')
    assert 1 == run()
    told = capsys.readouterr().err
    assert "line 2: " in told
    assert "line 3: " in told
    assert 0 == run("--skip_broken")
    job.labels = []
    assert 1 == len(job.told["manifest"])
    assert "2 faults; those rows are left out" in capsys.readouterr().err
    assert 0 == run("--skip_broken", "--quiet")
    assert "" == capsys.readouterr().err
    (tmp_path / "audio").mkdir()
    (tmp_path / "a.wav").rename(tmp_path / "audio" / "a.wav")
    manifest.write_text('{"path": "a.wav"}\n')
    assert 1 == run()
    assert 0 == run("--root", str(tmp_path / "audio"))


def test_recordings_that_fail_are_told_and_make_the_exit_code(
    run: Run, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.failures = [UndecodableAudioError("b.wav: no sound in it; give a recording")]
    assert 1 == run()
    told = capsys.readouterr()
    assert "tercet label: b.wav: no sound in it; give a recording" in told.err
    assert told.out.startswith("Kept 1 of 1")


def test_nothing_heard_and_nothing_kept_are_errors(
    run: Run, job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 1 == run("--least_logprob", "-0.1")
    told = capsys.readouterr()
    assert "Kept 0 of 1" in told.out
    last = told.err.splitlines()[-1]
    assert (
        f"tercet label: {tmp_path / 'out'}: nothing is left to learn from; raise the limits" in last
    )
    job.labels, job.failures = [], [UndecodableAudioError("a.wav: no sound")]
    assert 1 == run()
    assert "no recording of it could be heard" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--task", "sing"), "task is 'sing'; give 'transcribe' or 'translate'"),
        (("--pack_s", "31"), "pack_s is 31.0; give 0 to 30 seconds"),
        (("--gap_s", "-1"), "gap_s is -1.0; give 0 to 5 seconds"),
        (("--most_wer", "-1"), "most_wer is -1.0; give 0 or more"),
        (("--most_wer", "much"), "Invalid value for '--most_wer'"),
        (("--nonsense",), "No such option"),
    ],
)
def test_wrong_options_are_one_line(
    run: Run, words: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == run(*words)
    [told] = capsys.readouterr().err.splitlines()
    assert told.startswith("tercet label: ")
    assert line in told


def test_no_manifest_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == main(["label", str(tmp_path / "nix"), str(tmp_path / "out")])
    assert (
        f"tercet label: {tmp_path / 'nix'}: no such manifest; check the path\n"
        == capsys.readouterr().err
    )


def test_ctrl_c_says_how_to_go_on(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "label", interrupted)
    assert 130 == run()
    assert (
        "tercet: stopped; what is labelled is kept, the same command goes on\n"
        == capsys.readouterr().err
    )
