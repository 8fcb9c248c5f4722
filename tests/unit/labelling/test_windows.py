"""The sound of jobs: what lies where in a pack, and what is left of a recording."""

import tarfile
import wave
from pathlib import Path

import numpy as np
import pytest

from tercet.audio.load import load
from tercet.audio.vad import VadOptions
from tercet.dataset.manifests import Row
from tercet.errors import AudioError
from tercet.labelling.jobs import Job
from tercet.labelling.windows import LabelWindow, windows_of


def write(path: Path, levels: list[tuple[float, float]]) -> Path:
    """A file of stretches of constant value: (value, seconds)."""
    samples = np.concatenate([np.full(round(16000 * s), value) for value, s in levels])
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((samples * 32768).astype("<i2").tobytes())
    return path


def heard(
    job: Job, *, gap_s: float = 0.5, done: frozenset[str] = frozenset()
) -> tuple[list[LabelWindow], list[AudioError]]:
    failures: list[AudioError] = []
    found = windows_of(job, gap_s=gap_s, vad=VadOptions(), done=done, on_failure=failures.append)
    return list(found), failures


def pack_of(*rows: Row) -> Job:
    return Job("pack", rows, is_one_window=True, speaker="s", previous="before")


def test_a_pack_lays_its_rows_end_to_end_with_gaps(tmp_path: Path) -> None:
    first = Row(audio=write(tmp_path / "a.wav", [(0.25, 1.0)]), text="one")
    second = Row(
        audio=write(tmp_path / "b.wav", [(0.0, 2.0), (0.5, 3.0)]),
        start_s=2.0,
        duration_s=1.5,
        text="two",
    )
    [[window], failures] = heard(pack_of(first, second))
    assert not failures
    assert [(0.0, 1.0, 0.0), (2.0, 1.5, 1.5)] == [
        (span.start_s, span.duration_s, span.at_s) for span in window.spans
    ]
    samples = window.window.samples
    assert 3.0 * 16000 == samples.size
    assert [0.25, 0.0, 0.5] == [float(samples[round(16000 * at)]) for at in (0.5, 1.25, 2.5)]
    assert ("pack", "before", True, "one two", "window") == (
        window.id,
        window.previous,
        window.is_last,
        window.reference,
        window.reference_of,
    )


def test_no_reference_where_one_row_has_none(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", [(0.1, 1.0)])
    [[window], _] = heard(pack_of(Row(audio=path, text="one"), Row(audio=path)))
    assert (None, None) == (window.reference, window.reference_of)


def test_a_row_that_cannot_be_heard_is_told_and_the_rest_of_its_pack_kept(tmp_path: Path) -> None:
    good = Row(audio=write(tmp_path / "a.wav", [(0.25, 1.0)]), text="one")
    (tmp_path / "b.wav").write_bytes(b"no sound")
    [[window], failures] = heard(pack_of(Row(audio=tmp_path / "b.wav", text="two"), good))
    assert [str(tmp_path / "a.wav")] == [span.path for span in window.spans]
    assert "one" == window.reference
    assert 1 == len(failures)
    assert "b.wav" in str(failures[0])
    assert ([], 1) == (heard(pack_of(Row(audio=tmp_path / "b.wav")))[0], 1)


def test_a_part_behind_the_end_is_told(tmp_path: Path) -> None:
    row = Row(audio=write(tmp_path / "a.wav", [(0.25, 1.0)]), start_s=2.0, duration_s=1.0)
    found, failures = heard(pack_of(row))
    assert not found
    assert "a.wav: ends at 1.00 s, before its part at 2 s; check the manifest" in str(failures[0])


@pytest.fixture
def recording(tmp_path: Path) -> Job:
    """70 s of a tone with pauses at 25 s and 50 s, of which the part from 2 s on is wanted."""
    parts = [(0.3, 24.0), (0.0, 2.0), (0.3, 23.0), (0.0, 2.0), (0.3, 19.0)]
    row = Row(audio=write(tmp_path / "long.wav", parts), start_s=2.0, text="all of it")
    return Job("long", (row,), is_one_window=False, speaker=None)


def test_a_recording_is_cut_into_windows_that_follow_each_other(recording: Job) -> None:
    windows, failures = heard(recording)
    assert not failures
    assert 3 == len(windows)
    ids = [each.id for each in windows]
    assert [None, *ids[:-1]] == [each.previous for each in windows]
    assert [False, False, True] == [each.is_last for each in windows]
    assert [None, None, "all of it"] == [each.reference for each in windows]
    assert "recording" == windows[-1].reference_of
    spans = [each.spans[0] for each in windows]
    assert 2.0 == spans[0].start_s  # the file's clock, not the part's
    ends = [span.start_s + span.duration_s for span in spans]
    assert pytest.approx([*(span.start_s for span in spans[1:]), 70.0]) == ends


def test_windows_that_are_done_are_left_out_and_the_others_stay_as_they_were(
    recording: Job,
) -> None:
    everything, _ = heard(recording)
    left, _ = heard(recording, done=frozenset({everything[0].id, everything[1].id}))
    assert [everything[2].id] == [each.id for each in left]
    assert everything[2].previous == left[0].previous
    np.testing.assert_array_equal(everything[2].window.samples, left[0].window.samples)
    assert [] == heard(pack_of(*recording.rows), done=frozenset({"pack"}))[0]


def test_a_pack_that_is_longer_than_its_manifest_says_is_cut(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", [(0.3, 24.0), (0.0, 2.0), (0.3, 20.0)])
    windows, _ = heard(pack_of(Row(audio=path, text="much")))
    assert 2 == len(windows)
    assert ("pack", "recording", True) == (
        windows[-1].id,
        windows[-1].reference_of,
        windows[-1].is_last,
    )
    assert windows[0].reference is None
    span = windows[1].spans[0]
    assert pytest.approx(46.0) == span.start_s + span.duration_s
    assert 0.0 == span.at_s


def test_a_recording_in_an_archive_is_named_so_that_it_is_heard_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with tarfile.open("s.tar", "w") as tar:
        tar.add(write(tmp_path / "a.wav", [(0.25, 1.0)]), "a.wav")
    [[window], failures] = heard(pack_of(Row(audio=Path("s.tar::a.wav"))))
    assert not failures
    [span] = window.spans
    assert f"{tmp_path}/s.tar::a.wav" == span.path
    assert np.array_equal(window.window.samples, load(span.path).read())
