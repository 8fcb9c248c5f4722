"""The labelling job: rows in, shards out, going on where a run ended.

One thread reads and encodes ahead of the one that decodes. Labels are written in the order of their windows,
so that a recording whose last window is there is there as a whole.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tercet.audio.load import load
from tercet.dataset.label_table import Finished, Label, finished, settings_in
from tercet.dataset.label_writing import LabelWriter
from tercet.dataset.manifests import Manifest
from tercet.errors import AudioError, DataError
from tercet.labelling.jobs import Job, jobs_of
from tercet.labelling.settings import LabelSettings, settings_hash
from tercet.labelling.teacher import HeardWindow, LabelTeacher
from tercet.labelling.windows import windows_of
from tercet.longform.ahead import Ahead

_BATCHES_TOGETHER = 2  # among so many, windows of similar length are decoded together


@dataclass(frozen=True, slots=True)
class LabelProgress:
    """How far a job is."""

    done: int  # recordings and packs
    total: int
    heard_s: float  # of sound, in this run


@dataclass(slots=True)
class LabelResult:
    """What a run did."""

    jobs: int
    earlier: int  # of them, labelled by an earlier run
    windows: int = 0  # written by this one
    heard_s: float = 0.0
    failures: list[AudioError] = field(default_factory=list)
    lost: int = 0  # workers that died; what they had in hand was heard by others


OnProgress = Callable[[LabelProgress], object]


@dataclass(slots=True)
class Plan:
    """What is to be labelled, and what is there already."""

    out: Path
    settings: LabelSettings
    left: Sequence[Job]  # jobs of which something is not labelled yet
    known: Mapping[str, Finished]
    before: Mapping[str, Any] | None  # how the labels that are there were made
    result: LabelResult

    @classmethod
    def of(cls, manifest: Manifest, out: Path, settings: LabelSettings) -> "Plan":
        """Compare a manifest with a folder.

        Raises:
            DataError: all is labelled, but otherwise.
        """
        jobs = jobs_of(
            manifest.rows,
            root=manifest.folder,
            pack_s=settings.pack_s,
            gap_s=settings.gap_s,
            length_of=header_length_s,
        )
        known = finished(out)
        left = [job for job in jobs if not (job.id in known and known[job.id].is_whole)]
        before = settings_in(out)
        if not left and before is not None:
            check_settings(out, before, settings.told(encoder="", decoder=""), weights=False)
        return cls(
            out, settings, left, known, before, LabelResult(len(jobs), len(jobs) - len(left))
        )

    @property
    def is_done(self) -> bool:
        """Whether nothing is left."""
        return not self.left and self.before is not None

    def write(
        self,
        groups: Iterable[Sequence[Label]],
        told: Mapping[str, Any],
        *,
        rows_per_shard: int,
        on_progress: OnProgress | None,
    ) -> None:
        """Write labels as they come; each group goes into one shard.

        Raises:
            DataError: the folder holds labels that were made otherwise than `told`.
            OutputError: it cannot be written.
        """
        if self.before is not None:
            check_settings(self.out, self.before, told)
        result = self.result
        places = {job.id: number for number, job in enumerate(self.left)}
        with LabelWriter(self.out, told, rows_per_shard=rows_per_shard) as writer:
            for labels in groups:
                writer.add(labels)
                result.windows += len(labels)
                result.heard_s += sum(each.duration_s for each in labels)
                if on_progress is not None:
                    done = places[labels[-1].recording] + labels[-1].is_last
                    on_progress(LabelProgress(result.earlier + done, result.jobs, result.heard_s))


def label(
    manifest: Manifest,
    out: Path,
    settings: LabelSettings,
    *,
    threads: int | None = None,
    batch_size: int = 8,
    rows_per_shard: int = 500,
    on_progress: OnProgress | None = None,
    open_teacher: Callable[..., LabelTeacher] = LabelTeacher,
) -> LabelResult:
    """Label the rows of a manifest that are not labelled yet.

    A recording that cannot be heard is told in the result; the others are labelled. After a kill, windows of
    finished shards stay, and all others are heard.

    Args:
        manifest: What to hear.
        out: The folder of shards.
        settings: How.
        threads: None: one per core.
        batch_size: Windows decoded together.
        rows_per_shard: Windows of a shard.
        on_progress: Called after each batch.
        open_teacher: Makes the teacher from `settings` and `threads`.

    Raises:
        DataError: the folder holds labels that were made otherwise.
        ModelError: the teacher cannot be opened.
        OutputError: the folder cannot be written.
    """
    plan = Plan.of(manifest, out, settings)
    if plan.is_done:
        return plan.result
    teacher = open_teacher(settings, threads=threads)
    if plan.before is not None:
        check_settings(out, plan.before, teacher.told)
    heard = hear(teacher, plan.left, settings.gap_s, plan.known, plan.result.failures.append)
    labels = written(teacher, heard, batch_size)
    plan.write(labels, teacher.told, rows_per_shard=rows_per_shard, on_progress=on_progress)
    return plan.result


def written(
    teacher: LabelTeacher, heard: Iterator[HeardWindow], batch_size: int
) -> Iterator[list[Label]]:
    """The labels of windows in groups of `group_size`, in order; another thread hears the next ones."""
    for group in _groups_ahead(heard, group_size(batch_size)):
        yield teacher.write(group, batch_size=batch_size)


def group_size(batch_size: int) -> int:
    """How many labels are written at once: it decides where shards end."""
    return batch_size * _BATCHES_TOGETHER


def hear(
    teacher: LabelTeacher,
    jobs: Sequence[Job],
    gap_s: float,
    known: Mapping[str, Finished],
    on_failure: Callable[[AudioError], None],
) -> Iterator[HeardWindow]:
    """Windows of some jobs, encoded, in order; those that are labelled already are left out."""
    for job in jobs:
        done: Collection[str] = ()
        if job.id in known:
            done = known[job.id].ids
            if (language := known[job.id].language) is not None:
                teacher.knows(job.id, language)
        for window in windows_of(
            job, gap_s=gap_s, vad=teacher.vad, done=done, on_failure=on_failure
        ):
            yield teacher.hear(window)


def check_settings(
    out: Path, before: Mapping[str, Any], now: Mapping[str, Any], *, weights: bool = True
) -> None:
    """Refuse to add labels to a folder whose labels were made otherwise.

    Raises:
        DataError: they were; the line says in what they differ.
    """
    skipped = {"model"} if weights else {"encoder", "decoder"}
    if weights and settings_hash(dict(before)) == settings_hash(dict(now)):
        return
    for key in sorted((set(before) | set(now)) - skipped):
        if before.get(key) != now.get(key):
            raise DataError(
                f"{out}: holds labels made with {key} {before.get(key)!r}, not {now.get(key)!r}; "
                "choose another folder, or the settings of before"
            )


def header_length_s(path: Path) -> float | None:
    """A recording's length, as its header says; None where it does not, or cannot be opened."""
    with suppress(AudioError), load(path) as recording:
        return recording.duration_s
    return None


def _groups_ahead(items: Iterator[HeardWindow], size: int) -> Iterator[list[HeardWindow]]:
    """Items in groups; another thread makes the next ones meanwhile."""
    group: list[HeardWindow] = []
    with closing(Ahead(items, limit=size)) as ahead:
        for item in ahead:
            group.append(item)
            if len(group) == size:
                yield group
                group = []
        if group:
            yield group
