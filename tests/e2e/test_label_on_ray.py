"""`tercet label --ray` with two workers: the shards are one machine's, also when a worker is killed.

The first tests have a teacher that says a window's name, the last one the shipped weights.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tercet import telemetry
from tercet.audio.vad import VadOptions
from tercet.dataset.label_table import Label, read_labels
from tercet.dataset.manifests import Manifest, read_manifest
from tercet.errors import DataError, EngineError, ModelNotFoundError, OptionError
from tercet.labelling.many_machines import label_on_many_machines
from tercet.labelling.running import LabelProgress, label
from tercet.labelling.settings import LabelSettings
from tercet.labelling.teacher import HeardWindow
from tercet.labelling.windows import LabelWindow

SETTINGS = LabelSettings(language="en", pack_s=0)
GOOD = Label(
    id="",
    recording="",
    is_last=True,
    spans=(),
    duration_s=0.25,
    speech_s=0.25,
    cut="end",
    speaker=None,
    previous=None,
    language="en",
    language_probability=None,
    text="",
    text_ids=(),
    segments=(),
    avg_logprob=-0.2,
    compression_ratio=1.1,
    no_speech_prob=0.01,
    temperature=0.0,
    is_cut_off=False,
    fault=None,
    reference=None,
    reference_of=None,
    extra={},
    teacher="base",
    encoder="0" * 64,
    settings="1" * 16,
)


@dataclass
class Namer:
    """Stands where a `LabelTeacher` does; notes in a folder which process heard what."""

    notes: Path
    pause_s: float = 0.0
    decoder: str = "d"
    deadly: str = ""  # who hears this recording dies
    vad: VadOptions = field(default_factory=VadOptions)

    def __call__(self, settings: LabelSettings, *, threads: int | None) -> "Namer":
        self.settings = settings
        return self

    @property
    def told(self) -> dict[str, Any]:
        return self.settings.told(encoder="e", decoder=self.decoder.format(os.getpid()))

    def hear(self, window: LabelWindow) -> HeardWindow:
        name = window.job.rows[0].audio.stem
        (self.notes / f"{name}-{os.getpid()}-{time.monotonic_ns()}").touch()
        if name == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.pause_s)
        return HeardWindow(window, np.zeros(1))

    def write(self, heard: Sequence[HeardWindow], *, batch_size: int) -> list[Label]:
        return [
            replace(
                GOOD,
                id=each.window.id,
                recording=each.window.job.id,
                is_last=each.window.is_last,
                text=f"says {each.window.id}",
                spans=each.window.spans,
            )
            for each in heard
        ]

    def knows(self, recording: str, language: str) -> None:
        pass


class NoModel(Namer):
    def __call__(self, settings: LabelSettings, *, threads: int | None) -> "Namer":
        raise ModelNotFoundError("nowhere: no such model; check the name")


class Dying(Namer):
    def __call__(self, settings: LabelSettings, *, threads: int | None) -> "Namer":
        os.kill(os.getpid(), signal.SIGKILL)
        return self


@pytest.fixture(scope="module")
def ray(peer: Callable[[str], ModuleType]) -> Iterator[ModuleType]:
    """Two processors of this machine, however many it has, as a cluster."""
    module = peer("ray")
    telemetry.switch_off()
    module.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers lack this file
    module.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield module
    module.shutdown()


@pytest.fixture
def namer(tmp_path: Path) -> Namer:
    (tmp_path / "notes").mkdir()
    return Namer(tmp_path / "notes")


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Twenty recordings of a quarter of a second each."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(20):
        with wave.open(str(folder / f"{number:02d}.wav"), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(np.full(4000, 3000, "<i2").tobytes())
    return read_manifest(folder)


def ids(folder: Path) -> list[str]:
    return [each.id for each in read_labels(folder)]


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("labels-*.parquet"))}


def pids(namer: Namer) -> set[int]:
    return {int(path.name.split("-")[1]) for path in namer.notes.iterdir()}


OPTIONS: dict[str, Any] = {"batch_size": 2, "rows_per_shard": 6}


@pytest.mark.usefixtures("ray")
def test_the_shards_are_those_of_one_machine(
    manifest: Manifest, tmp_path: Path, namer: Namer
) -> None:
    label(manifest, tmp_path / "one", SETTINGS, open_teacher=namer, **OPTIONS)
    namer.pause_s = 0.2
    seen: list[LabelProgress] = []
    result = label_on_many_machines(
        manifest,
        tmp_path / "many",
        SETTINGS,
        workers=2,
        threads=1,
        on_progress=seen.append,
        open_teacher=namer,
        **OPTIONS,
    )
    assert (20, 0, 20, [], 0) == (
        result.jobs,
        result.earlier,
        result.windows,
        result.failures,
        result.lost,
    )
    assert (20, 20) == (seen[-1].done, seen[-1].total)
    expected = shards(tmp_path / "one")
    assert 3 == len(expected)
    assert expected == shards(tmp_path / "many")
    assert 2 == len(pids(namer) - {os.getpid()})


@pytest.mark.usefixtures("ray")
def test_what_a_killed_worker_had_in_hand_is_done_by_another(
    manifest: Manifest, tmp_path: Path, namer: Namer
) -> None:
    label(manifest, tmp_path / "one", SETTINGS, open_teacher=namer, **OPTIONS)
    for path in namer.notes.iterdir():
        path.unlink()
    namer.pause_s = 0.2
    killed: list[tuple[int, str]] = []

    def kill_one() -> None:
        """Whoever heard the fifth recording, while it does."""
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            noted = sorted(namer.notes.iterdir(), key=lambda path: path.name.split("-")[2])
            if len(noted) >= 5:
                name, pid, _ = noted[-1].name.split("-")
                os.kill(int(pid), signal.SIGKILL)
                killed.append((int(pid), name))
                return
            time.sleep(0.005)

    killer = threading.Thread(target=kill_one)
    killer.start()
    result = label_on_many_machines(
        manifest, tmp_path / "many", SETTINGS, workers=2, threads=1, open_teacher=namer, **OPTIONS
    )
    killer.join()
    [(pid, name)] = killed
    assert 1 == result.lost
    assert {pid} < {int(each.name.split("-")[1]) for each in namer.notes.glob(f"{name}-*")}
    assert shards(tmp_path / "one") == shards(tmp_path / "many")
    assert 20 == len(set(ids(tmp_path / "many")))


@pytest.mark.usefixtures("ray")
def test_either_goes_on_where_the_other_stopped(
    manifest: Manifest, tmp_path: Path, namer: Namer
) -> None:
    out = tmp_path / "out"
    many = {"workers": 2, "threads": 1, "open_teacher": namer, **OPTIONS}
    label(Manifest(manifest.path, manifest.rows[:5]), out, SETTINGS, open_teacher=namer, **OPTIONS)
    result = label_on_many_machines(
        Manifest(manifest.path, manifest.rows[:12]), out, SETTINGS, **many
    )
    assert (12, 5, 7) == (result.jobs, result.earlier, result.windows)
    result = label(manifest, out, SETTINGS, open_teacher=namer, **OPTIONS)
    assert (20, 12, 8) == (result.jobs, result.earlier, result.windows)
    result = label_on_many_machines(manifest, out, SETTINGS, **many)
    assert (20, 20, 0) == (result.jobs, result.earlier, result.windows)
    assert [f"{number:02d}" for number in range(20)] == [each[:2] for each in ids(out)]
    for rows in (manifest, Manifest(manifest.path, manifest.rows[:12])):
        with pytest.raises(DataError, match=r"holds labels made with language 'en', not 'de'"):
            label_on_many_machines(rows, out, replace(SETTINGS, language="de"), **many)


@pytest.mark.usefixtures("ray")
def test_a_recording_that_fails_is_told_and_the_others_are_labelled(
    manifest: Manifest, tmp_path: Path, namer: Namer
) -> None:
    manifest.rows[3].audio.write_bytes(b"no sound")
    result = label_on_many_machines(
        manifest, tmp_path / "out", SETTINGS, workers=1, threads=1, open_teacher=namer
    )
    assert ["03.wav"] == [Path(str(error).partition(": ")[0]).name for error in result.failures]
    assert 19 == len(ids(tmp_path / "out"))


@pytest.mark.usefixtures("ray")
def test_a_recording_that_kills_every_worker_is_named_and_what_was_before_it_is_kept(
    manifest: Manifest, tmp_path: Path, namer: Namer
) -> None:
    namer.deadly = "19"
    told = r"15\.wav: 3 workers died over this recording or the 4 behind it"
    with pytest.raises(EngineError, match=told):
        label_on_many_machines(
            manifest,
            tmp_path / "out",
            SETTINGS,
            workers=1,
            threads=1,
            open_teacher=namer,
            **OPTIONS,
        )
    assert 12 <= len(ids(tmp_path / "out")) == len(set(ids(tmp_path / "out")))


@pytest.mark.usefixtures("ray")
def test_a_teacher_that_cannot_be_opened_there_is_told_as_it_would_be_here(
    manifest: Manifest, tmp_path: Path, namer: Namer
) -> None:
    for kind, error, told in (
        (NoModel, ModelNotFoundError, r"^nowhere: no such model; check the name$"),
        (Dying, EngineError, r"3 workers died while they opened the teacher"),
    ):
        with pytest.raises(error, match=told):
            label_on_many_machines(
                manifest,
                tmp_path / "out",
                SETTINGS,
                workers=1,
                threads=1,
                open_teacher=kind(namer.notes),
            )
    assert not list((tmp_path).glob("out/labels-*"))


@pytest.mark.usefixtures("ray")
def test_other_weights_on_another_machine_are_told(
    manifest: Manifest, tmp_path: Path, namer: Namer
) -> None:
    namer.decoder, namer.pause_s = "{}", 0.5
    with pytest.raises(EngineError, match=r"base: is not the same model on all machines"):
        label_on_many_machines(
            manifest, tmp_path / "out", SETTINGS, workers=2, threads=1, open_teacher=namer
        )


@pytest.mark.usefixtures("ray")
def test_more_threads_than_any_machine_has_are_refused(
    manifest: Manifest, tmp_path: Path, namer: Namer
) -> None:
    with pytest.raises(
        OptionError, match=r"threads is 3; no machine of the cluster has more than 2"
    ):
        label_on_many_machines(manifest, tmp_path / "out", SETTINGS, threads=3, open_teacher=namer)


def workers_of(pid: int) -> list[int]:
    """Processes below a run that are hearing a portion."""
    parents, found = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "cmdline").read_bytes()
            parents[int(folder.name)] = int(
                (folder / "stat").read_text().rpartition(")")[2].split()[1]
            )
        except (OSError, ValueError):
            continue  # it has ended
        if name.startswith(b"ray::Worker.label"):
            found.append(int(folder.name))

    def is_below(child: int) -> bool:
        return child == pid or (child in parents and is_below(parents[child]))

    return [each for each in found if is_below(each)]


@pytest.fixture
def begin(
    clips_dir: Path, base_model: Path, tmp_path: Path, peer: Callable[[str], ModuleType]
) -> Callable[..., "subprocess.Popen[str]"]:
    """`begin("out", "--ray", "local")`: label the six shortest clips of LibriSpeech, one by one."""
    peer("ray")
    rows = [json.loads(line) for line in (clips_dir / "manifest.jsonl").read_text().splitlines()]
    chosen = [each for each in rows if each["path"].startswith("librispeech-")]
    chosen = sorted(chosen, key=lambda each: each["duration_s"])[:6]
    (tmp_path / "in").mkdir()
    for row in chosen:
        shutil.copy(clips_dir / row["path"], tmp_path / "in")
    lines = "".join(json.dumps(row) + "\n" for row in chosen)
    (tmp_path / "in" / "manifest.jsonl").write_text(lines)

    def run(out: str, *words: str) -> "subprocess.Popen[str]":
        options = ["--language", "en", "--pack_s", "0", "--batch_size", "1", "--threads", "1"]
        command = [sys.executable, "-m", "tercet.cli.main", "label", "in", out, *options, *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True)

    return run


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="needs /proc")
@pytest.mark.option("--ray")
@pytest.mark.option("--workers")
def test_with_real_weights_kill_9_of_a_worker_changes_no_label(
    begin: Callable[..., "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    process = begin("many", "--ray", "local", "--workers", "2")
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and not (hearing := workers_of(process.pid)):
        time.sleep(0.02)
    os.kill(hearing[0], signal.SIGKILL)
    printed, told = process.communicate(timeout=150)
    assert 0 == process.returncode, told
    assert printed.startswith("Kept ")  # and nothing of Ray's
    assert "raylet" not in printed + told
    assert "1 workers were lost; what they had in hand was heard by others" in told
    one = begin("one")
    printed_by_one, told = one.communicate(timeout=150)
    assert 0 == one.returncode, told
    assert printed_by_one == printed
    assert 6 == len(ids(tmp_path / "one"))
    # Sums of floats depend on how many threads a worker has; what is written down does not.
    alone, many = (list(read_labels(tmp_path / name)) for name in ("one", "many"))
    assert [(each.id, each.text, each.text_ids) for each in alone] == [
        (each.id, each.text, each.text_ids) for each in many
    ]
    for mine, other in zip(alone, many, strict=True):
        assert pytest.approx(mine.avg_logprob, abs=1e-2) == other.avg_logprob


def test_sigterm_keeps_what_has_arrived(
    begin: Callable[..., "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    process = begin("out", "--ray", "local", "--workers", "1")
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and not list((tmp_path / "out").glob(".labels-*.part")):
        time.sleep(0.02)
    process.terminate()
    printed, told = process.communicate(timeout=60)
    assert (143, "") == (process.returncode, printed), told
    assert ["labels-00000.parquet"] == [each.name for each in (tmp_path / "out").iterdir()]
    assert 0 == begin("out").wait(100)
    assert 6 == len(ids(tmp_path / "out")) == len(set(ids(tmp_path / "out")))
