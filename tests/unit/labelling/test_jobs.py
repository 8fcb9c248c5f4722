"""Packs of a speaker's short recordings, and long ones alone."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tercet.dataset.manifests import Row
from tercet.labelling.jobs import Job, jobs_of

RowOf = Callable[..., Row]


def packed(
    rows: Sequence[Row], *, pack_s: float = 30.0, gap_s: float = 0.0, root: str = "/data"
) -> list[Job]:
    return jobs_of(rows, root=Path(root), pack_s=pack_s, gap_s=gap_s, length_of=lambda path: None)


def names(jobs: Sequence[Job]) -> list[list[str]]:
    return [[row.audio.stem for row in job.rows] for job in jobs]


def test_neighbours_of_a_speaker_fill_a_window_in_order(row_of: RowOf) -> None:
    rows = [row_of(f"{name}.wav", 12.0, speaker="s") for name in "cadbe"]
    assert [["a", "b"], ["c", "d"], ["e"]] == names(packed(rows))


def test_thirty_seconds_to_the_sample_fit(row_of: RowOf) -> None:
    assert [["a"]] == names(packed([row_of("a.wav", 30.0, speaker="s")]))
    assert packed([row_of("a.wav", 30.0)])[0].is_one_window
    both = [row_of("a.wav", 14.9, speaker="s"), row_of("b.wav", 14.9, speaker="s")]
    assert [["a", "b"]] == names(packed(both, gap_s=0.2))
    assert [["a"], ["b"]] == names(packed(both, gap_s=0.21))


def test_speakers_are_never_mixed(row_of: RowOf) -> None:
    rows = [row_of("a.wav", 5.0, speaker="x"), row_of("b.wav", 5.0, speaker="y")]
    assert [["a"], ["b"]] == names(packed(rows))


def test_who_speaks_in_another_recording_is_not_known(row_of: RowOf) -> None:
    rows = [
        row_of("a.wav", 5.0, start_s=0.0),
        row_of("a.wav", 5.0, start_s=6.0),
        row_of("b.wav", 5.0),
    ]
    assert [["a", "a"], ["b"]] == names(packed(rows))


def test_languages_are_never_mixed(row_of: RowOf) -> None:
    rows = [row_of(f"{code}.wav", 5.0, speaker="s", language=code) for code in ("de", "en")]
    assert [["de"], ["en"]] == names(packed(rows))


def test_nothing_is_packed_if_that_is_asked_for(row_of: RowOf) -> None:
    rows = [row_of(f"{name}.wav", 2.0, speaker="s") for name in "abc"]
    jobs = packed(rows, pack_s=0)
    assert [["a"], ["b"], ["c"]] == names(jobs)
    assert [None, jobs[0].id, jobs[1].id] == [job.previous for job in jobs]


def test_long_recordings_and_those_of_unknown_length_stand_alone(row_of: RowOf) -> None:
    rows = [
        row_of("a.wav", 5.0, speaker="s"),
        row_of("b.wav", 31.0, speaker="s"),
        row_of("c.wav", None, speaker="s"),
        row_of("d.wav", 5.0, speaker="s"),
    ]
    jobs = packed(rows)
    assert [["a"], ["b"], ["c"], ["d"]] == names(jobs)
    assert [True, False, False, True] == [job.is_one_window for job in jobs]
    assert [None] * 4 == [
        job.previous for job in jobs
    ]  # d follows c, whose last window has no id yet


def test_a_file_is_asked_for_its_length_where_the_row_says_none(row_of: RowOf) -> None:
    lengths = {"a.wav": 8.0, "b.wav": 40.0}
    jobs = jobs_of(
        [row_of("a.wav", None, start_s=3.0), row_of("b.wav", None)],
        root=Path("/data"),
        pack_s=30.0,
        gap_s=0.0,
        length_of=lambda path: lengths[path.name],
    )
    assert [(True, 5.0), (False, 40.0)] == [
        (job.is_one_window, job.rows[0].duration_s) for job in jobs
    ]


def test_a_pack_follows_the_one_before_it_of_the_same_speaker_alone(row_of: RowOf) -> None:
    rows = [row_of(f"x{n}.wav", 20.0, speaker="x") for n in range(3)]
    rows += [row_of(f"y{n}.wav", 20.0, speaker="y") for n in range(2)]
    jobs = packed(rows)
    ids = [job.id for job in jobs]
    assert [None, ids[0], ids[1], None, ids[3]] == [job.previous for job in jobs]


def test_ids_are_distinct_and_those_of_a_moved_corpus_stay(row_of: RowOf) -> None:
    rows = [row_of(f"{name}/same.wav", 5.0) for name in "ab"]
    first, second = packed(rows)
    assert first.id != second.id
    assert first.id.startswith("same-")
    moved = [Row(audio=Path("/elsewhere") / f"{name}/same.wav", duration_s=5.0) for name in "ab"]
    assert [first.id, second.id] == [job.id for job in packed(moved, root="/elsewhere")]


@pytest.mark.parametrize("change", [{"duration_s": 4.0}, {"start_s": 1.0}])
def test_another_part_has_another_id(row_of: RowOf, change: dict[str, float]) -> None:
    [before] = packed([row_of("a.wav", 5.0)])
    told = {"duration_s": 5.0, **change}
    [after] = packed([row_of("a.wav", told.pop("duration_s"), **told)])
    assert before.id != after.id
