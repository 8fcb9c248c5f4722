"""Whatever a manifest holds, packing loses nothing, doubles nothing and mixes nobody."""

from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tercet.dataset.manifests import Row
from tercet.labelling.jobs import jobs_of

rows_of_corpora = st.lists(
    st.builds(
        Row,
        audio=st.sampled_from([Path(f"/data/{name}.wav") for name in "abcd"]),
        start_s=st.integers(0, 50).map(float),
        duration_s=st.one_of(st.none(), st.floats(0.1, 40)),
        speaker=st.sampled_from([None, "x", "y"]),
        language=st.sampled_from([None, "en"]),
    ),
    max_size=40,
)


def place(row: Row) -> tuple[object, ...]:
    return row.audio, row.start_s, row.duration_s, row.speaker


@given(
    rows=rows_of_corpora,
    pack_s=st.sampled_from([0.0, 10.0, 30.0]),
    gap_s=st.sampled_from([0.0, 0.2, 5.0]),
)
def test_every_row_is_in_one_job_with_its_own_speaker(
    rows: list[Row], pack_s: float, gap_s: float
) -> None:
    jobs = jobs_of(
        rows, root=Path("/data"), pack_s=pack_s, gap_s=gap_s, length_of=lambda path: None
    )
    packed = [place(row) for job in jobs for row in job.rows]
    assert {place(row) for row in rows} == set(packed)
    assert len(packed) == len(set(packed))  # what is there twice counts once
    assert len(jobs) == len({job.id for job in jobs})
    for job in jobs:
        assert {job.speaker} == {row.speaker for row in job.rows}
        if job.speaker is None:
            assert 1 == len({row.audio for row in job.rows})
        lengths_s = [row.duration_s or 0.0 for row in job.rows]
        if len(job.rows) > 1:
            assert sum(lengths_s) + gap_s * (len(lengths_s) - 1) <= pack_s + 1e-5
        starts = [(str(row.audio), row.start_s) for row in job.rows]
        assert all(left <= right for left, right in pairwise(starts))
    by_id = {job.id: job for job in jobs}
    for job in jobs:
        if job.previous is not None:
            assert by_id[job.previous].speaker == job.speaker
