"""Which windows are decoded together."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tercet.longform.batches import Row, choose, leaders
from tercet.longform.parts import Job, Part


def row_of(job: Job, start_s: float, speech_s: float) -> Row:
    start = round(start_s * 16000)
    part = Part(
        start=start,
        end=start + 30 * 16000,
        cut="pause",
        speech_end_s=start_s + speech_s,
        hear_until_s=speech_s,
    )
    return Row(job, part, None)


def job_of(language: str | None = None) -> Job:
    return Job(None, language)  # its track is not looked at


@st.composite
def waiting_rows(draw, languages: Sequence[str | None] = (None, "en")) -> list[Row]:
    """Windows of some recordings, read one after the other, mixed as channels and sources may be."""
    jobs = [job_of(draw(st.sampled_from(languages))) for _ in range(draw(st.integers(1, 4)))]
    owners = draw(st.lists(st.sampled_from(jobs), min_size=1, max_size=24))
    # Few different lengths, so that some are equal.
    lengths = st.sampled_from([0.5, 3.0, 7.25, 20.0, 29.0, 30.0])
    return [row_of(job, 30.0 * n, draw(lengths)) for n, job in enumerate(owners)]


def places(rows: Sequence[Row], among: Sequence[Row]) -> list[int]:
    return [next(i for i, other in enumerate(among) if other is row) for row in rows]


def spread(rows: Sequence[Row]) -> float:
    lengths = [row.speech_s for row in rows]
    return max(lengths) - min(lengths)


SIZES = st.integers(1, 9)


@settings(max_examples=200, deadline=None)
@given(waiting=waiting_rows(), size=SIZES)
def test_a_batch_is_as_large_as_can_be_and_the_oldest_is_in_it(waiting, size) -> None:
    before = list(waiting)
    chosen = places(choose(waiting, size), waiting)
    assert min(size, len(waiting)) == len(chosen) == len(set(chosen))
    assert 0 in chosen
    assert places(before, waiting) == list(range(len(before)))  # nothing is taken out or moved


@settings(max_examples=200, deadline=None)
@given(waiting=waiting_rows(), size=SIZES)
def test_every_window_is_chosen_in_the_end_and_first_ones_before_others(waiting, size) -> None:
    left, n_batches = list(waiting), 0
    while left:
        batch = choose(left, size)
        tells = leaders(batch)
        for row, leader in zip(batch, tells, strict=True):
            if row.job.language is None:
                first = next(each for each in waiting if each.job is row.job)
                assert batch[leader] is first
        for row in batch:  # as the loop does once a batch is decoded
            row.job.language = row.job.language or "de"
        left = [row for row in left if not any(row is each for each in batch)]
        n_batches += 1
    assert -(-len(waiting) // size) == n_batches


@settings(max_examples=200, deadline=None)
@given(waiting=waiting_rows(languages=("en",)), size=SIZES)
def test_no_other_slice_with_the_oldest_is_closer_together(waiting, size) -> None:
    chosen = choose(waiting, size)
    by_length = sorted(waiting, key=lambda row: row.speech_s)
    slices = [by_length[i : i + size] for i in range(max(1, len(by_length) - size + 1))]
    lengths = [[row.speech_s for row in rows] for rows in slices]
    oldest = waiting[0].speech_s
    assert min(spread(s) for s, of in zip(slices, lengths, strict=True) if oldest in of) == spread(
        chosen
    )


def test_windows_of_the_oldest_ones_length_are_chosen() -> None:
    job = job_of("en")
    waiting = [row_of(job, 30.0 * n, length) for n, length in enumerate([10, 29, 11, 28, 9, 30])]
    assert [0, 2, 4] == sorted(places(choose(waiting, 3), waiting))


def test_a_recordings_first_window_displaces_a_better_fitting_one() -> None:
    known, unknown = job_of("en"), job_of()
    waiting = [row_of(known, 0, 10), row_of(unknown, 0, 29), row_of(unknown, 30, 10)]
    assert [0, 1] == sorted(places(choose(waiting, 2), waiting))
    unknown.language = "de"
    assert [0, 2] == sorted(places(choose(waiting, 2), waiting))


def test_what_nobody_listened_for_is_as_long_as_its_window() -> None:
    part = Part(start=16000, end=5 * 16000, cut="end", speech_end_s=4.0, hear_until_s=None)
    assert 4.0 == Row(job_of(), part, None).speech_s


@settings(max_examples=100, deadline=None)
@given(waiting=waiting_rows(), seed=st.randoms(use_true_random=False))
def test_a_leader_is_the_first_of_its_recording_wherever_it_sits(waiting, seed) -> None:
    batch = list(waiting)
    seed.shuffle(batch)
    for row, leader in zip(batch, leaders(batch), strict=True):
        assert row.job is batch[leader].job
        assert min(r.part.start for r in batch if r.job is row.job) == batch[leader].part.start


def test_leaders_of_two_recordings_in_one_batch() -> None:
    one, other = job_of(), job_of()
    batch = [row_of(one, 30, 9), row_of(other, 0, 9), row_of(one, 0, 9), row_of(other, 60, 9)]
    assert [2, 1, 2, 1] == leaders(batch)


@pytest.mark.parametrize("size", [1, 2, 8])
def test_one_window_is_a_batch(size: int) -> None:
    waiting = [row_of(job_of(), 0, 5)]
    assert [0] == places(choose(waiting, size), waiting)
