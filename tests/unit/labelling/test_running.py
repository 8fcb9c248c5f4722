"""The job: every recording once, whatever happens in between. The teacher here says a window's name."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet.audio.vad import VadOptions
from tercet.dataset.label_table import Label, read_labels
from tercet.dataset.manifests import Manifest, read_manifest
from tercet.errors import DataError
from tercet.labelling.running import LabelProgress, label
from tercet.labelling.settings import LabelSettings
from tercet.labelling.teacher import HeardWindow
from tercet.labelling.windows import LabelWindow

SETTINGS = LabelSettings(language="en", pack_s=0)


@dataclass
class Namer:
    """Stands where a `LabelTeacher` does."""

    label_of: Callable[..., Label]
    settings: LabelSettings = SETTINGS
    stop_after: int = 10**9  # windows; then it is interrupted
    heard: list[str] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)
    threads: set[str] = field(default_factory=set)
    vad: VadOptions = field(default_factory=VadOptions)

    def __call__(self, settings: LabelSettings, *, threads: int | None) -> "Namer":
        self.settings = settings
        return self

    @property
    def told(self) -> dict[str, Any]:
        return self.settings.told(encoder="e", decoder="d")

    def hear(self, window: LabelWindow) -> HeardWindow:
        if len(self.heard) >= self.stop_after:
            raise KeyboardInterrupt
        self.heard.append(window.id)
        self.threads.add(threading.current_thread().name)
        return HeardWindow(window, np.zeros(1))

    def write(self, heard: Sequence[HeardWindow], *, batch_size: int) -> list[Label]:
        return [
            self.label_of(
                id=each.window.id,
                recording=each.window.job.id,
                is_last=each.window.is_last,
                text=f"says {each.window.id}",
                duration_s=each.window.window.samples.size / 16000,
            )
            for each in heard
        ]

    def knows(self, recording: str, language: str) -> None:
        self.known[recording] = language


@pytest.fixture
def namer(label_of: Callable[..., Label]) -> Namer:
    return Namer(label_of)


@pytest.fixture
def manifest(tmp_path: Path, write_wav: Callable[[Path, np.ndarray], None]) -> Manifest:
    """Ten recordings of a second each."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(10):
        write_wav(folder / f"{number}.wav", np.full(16000, 0.1))
    return read_manifest(folder)


def ids(folder: Path) -> list[str]:
    return [each.id for each in read_labels(folder)]


def test_all_are_labelled_in_order_and_a_second_run_hears_nothing(
    manifest: Manifest, tmp_path: Path, namer: Namer
) -> None:
    seen: list[LabelProgress] = []
    result = label(
        manifest, tmp_path / "out", SETTINGS, on_progress=seen.append, open_teacher=namer
    )
    assert (10, 0, 10, 10.0, []) == (
        result.jobs,
        result.earlier,
        result.windows,
        result.heard_s,
        result.failures,
    )
    assert [name[0] for name in ids(tmp_path / "out")] == list("0123456789")
    assert (10, 10, 10.0) == (seen[-1].done, seen[-1].total, seen[-1].heard_s)
    assert {"tercet-ahead"} == namer.threads  # reading and encoding go on while text is decoded
    before = list(namer.heard)
    result = label(manifest, tmp_path / "out", SETTINGS, open_teacher=namer)
    assert (10, 10, 0) == (result.jobs, result.earlier, result.windows)
    assert before == namer.heard


@pytest.mark.parametrize("rows_per_shard", [1, 3, 500])
def test_after_an_interruption_nothing_is_lost_or_doubled(
    manifest: Manifest, tmp_path: Path, namer: Namer, rows_per_shard: int
) -> None:
    out = tmp_path / "out"
    namer.stop_after = 7
    with pytest.raises(KeyboardInterrupt):
        label(
            manifest,
            out,
            SETTINGS,
            batch_size=2,
            rows_per_shard=rows_per_shard,
            open_teacher=namer,
        )
    done = ids(out)
    assert 4 == len(done)  # batches that were complete are kept
    namer.stop_after, namer.heard = 10**9, []
    result = label(manifest, out, SETTINGS, batch_size=2, open_teacher=namer)
    assert (4, 6) == (result.earlier, result.windows)
    assert 6 == len(namer.heard)
    assert sorted(ids(out)) == sorted(set(ids(out)))
    assert 10 == len(ids(out))


def test_shards_hold_as_many_windows_as_they_are_told(
    manifest: Manifest, tmp_path: Path, namer: Namer
) -> None:
    label(manifest, tmp_path / "out", SETTINGS, batch_size=1, rows_per_shard=4, open_teacher=namer)
    assert 3 == len(list((tmp_path / "out").glob("labels-*.parquet")))


def test_a_recording_that_fails_is_told_and_the_others_are_labelled(
    manifest: Manifest, tmp_path: Path, namer: Namer
) -> None:
    (manifest.rows[3].audio).write_bytes(b"no sound")
    result = label(manifest, tmp_path / "out", SETTINGS, open_teacher=namer)
    assert ["3.wav"] == [Path(str(error).partition(": ")[0]).name for error in result.failures]
    assert 9 == len(ids(tmp_path / "out"))


def test_a_folder_of_other_labels_is_left_alone(
    manifest: Manifest, tmp_path: Path, namer: Namer
) -> None:
    out = tmp_path / "out"
    half = Manifest(manifest.path, manifest.rows[:5])
    label(half, out, SETTINGS, open_teacher=namer)
    other = replace(SETTINGS, language="de")
    for rows in (half, manifest):  # whether there is something left to do, or not
        with pytest.raises(DataError, match="holds labels made with language 'en', not 'de'"):
            label(rows, out, other, open_teacher=namer)
    assert 5 == len(ids(out))


def test_other_weights_of_the_same_name_are_told(
    manifest: Manifest, tmp_path: Path, namer: Namer, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    label(Manifest(manifest.path, manifest.rows[:5]), out, SETTINGS, open_teacher=namer)
    monkeypatch.setattr(
        Namer, "told", property(lambda self: self.settings.told(encoder="e", decoder="x"))
    )
    with pytest.raises(DataError, match="holds labels made with decoder 'd', not 'x'"):
        label(manifest, out, SETTINGS, open_teacher=namer)


def test_the_models_name_does_not_count_its_weights_do(
    manifest: Manifest, tmp_path: Path, namer: Namer
) -> None:
    out = tmp_path / "out"
    label(Manifest(manifest.path, manifest.rows[:5]), out, SETTINGS, open_teacher=namer)
    result = label(manifest, out, replace(SETTINGS, model="/copies/base"), open_teacher=namer)
    assert 5 == result.windows


def test_a_recording_that_was_begun_keeps_its_language(
    tmp_path: Path, write_wav: Callable[[Path, np.ndarray], None], namer: Namer
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    tone = np.concatenate([np.full(16000 * 24, 0.3), np.zeros(32000)] * 3)
    write_wav(folder / "long.wav", tone)
    namer.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        label(read_manifest(folder), tmp_path / "out", SETTINGS, batch_size=1, open_teacher=namer)
    assert ({}, 2) == (namer.known, len(ids(tmp_path / "out")))
    namer.stop_after = 10**9
    label(read_manifest(folder), tmp_path / "out", SETTINGS, batch_size=1, open_teacher=namer)
    assert ["en"] == list(namer.known.values())
    assert [False, False, True] == [each.is_last for each in read_labels(tmp_path / "out")]
