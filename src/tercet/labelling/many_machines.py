"""The labelling job on many machines: workers of Ray hold a teacher each, one process here writes.

A worker is given portions of the jobs, one at a time. Its labels count when all have arrived here, so that a
worker that dies leaves nothing behind, and another does its portion again. They are written in the order of
the jobs: the shards are those of a run on one machine, and either goes on where the other stopped.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

from tercet.dataset.label_table import Finished, Label
from tercet.dataset.manifests import Manifest
from tercet.errors import AudioError, EngineError, OptionError, TercetError
from tercet.labelling.jobs import Job
from tercet.labelling.ray_cluster import cluster
from tercet.labelling.running import LabelResult, OnProgress, Plan, group_size, hear, written
from tercet.labelling.settings import LabelSettings, settings_hash
from tercet.labelling.teacher import LabelTeacher

_THREADS = 4  # of a worker, where a machine has so many: two teachers of 4 do more than one of 8
_BATCHES_PER_PORTION = 8  # at most: what is lost with a worker
_PORTIONS_PER_WORKER = 4  # at least, so that all end at about the same time
_AHEAD = 64  # portions per worker that may be done before an earlier one is
_LOSSES = 3  # of a portion, or of workers that never began: then it is not the machine's fault


@dataclass(frozen=True, slots=True)
class Portion:
    """Neighbouring jobs, and what is labelled of them already."""

    number: int
    jobs: tuple[Job, ...]
    known: Mapping[str, Finished]
    losses: int = 0  # workers that died over it


@dataclass(frozen=True, slots=True)
class Done:
    """What a worker made of a portion."""

    labels: Sequence[Label]
    failures: Sequence[AudioError]


class Worker:
    """Runs in a process of its own, which Ray starts."""

    def __init__(
        self,
        folder: str,
        settings: LabelSettings,
        threads: int,
        open_teacher: Callable[..., LabelTeacher],
    ) -> None:
        """Nothing is opened yet: an error here would count as the death of the process."""
        self._folder = folder
        self._settings = settings
        self._threads = threads
        self._open_teacher = open_teacher

    def open(self) -> dict[str, Any]:
        """Open the teacher, and say what it is."""
        with suppress(OSError):  # names of models and recordings may be relative
            os.chdir(self._folder)
        self._teacher = self._open_teacher(self._settings, threads=self._threads)
        return self._teacher.told

    def label(self, portion: Portion, batch_size: int) -> Done:
        """Hear a portion and write it down."""
        failures: list[AudioError] = []
        heard = hear(
            self._teacher, portion.jobs, self._settings.gap_s, portion.known, failures.append
        )
        labels = [each for group in written(self._teacher, heard, batch_size) for each in group]
        return Done(labels, failures)


def label_on_many_machines(
    manifest: Manifest,
    out: Path,
    settings: LabelSettings,
    *,
    address: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    batch_size: int = 8,
    rows_per_shard: int = 500,
    on_progress: OnProgress | None = None,
    open_teacher: Callable[..., LabelTeacher] = LabelTeacher,
) -> LabelResult:
    """As `running.label`, by the workers of a Ray cluster, who all must find the recordings by their paths.

    Args:
        manifest: What to hear.
        out: The folder of shards, on this machine.
        settings: How.
        address: Of the cluster, as for `ray_cluster.cluster`.
        workers: How many; None: as many as there are processors for.
        threads: Of each; None: 4, or as many as the smallest machine has.
        batch_size: Windows decoded together.
        rows_per_shard: Windows of a shard.
        on_progress: Called as labels are written.
        open_teacher: Makes a teacher in a worker, from `settings` and `threads`.

    Raises:
        DataError: the folder holds labels that were made otherwise.
        EngineError: Ray is missing or does not answer; workers die again and again, or hold other weights.
        ModelError: the teacher cannot be opened.
        OptionError: no machine has so many threads.
        OutputError: the folder cannot be written.
    """
    plan = Plan.of(manifest, out, settings)
    if plan.is_done:
        return plan.result
    with cluster(address) as ray:
        threads, workers = _shape(ray, threads, workers)
        arguments = (str(Path.cwd()), settings, threads, open_teacher)
        crew = Crew(ray, arguments, threads=threads, batch_size=batch_size, result=plan.result)
        portions = portions_of(plan.left, plan.known, workers=workers, batch_size=batch_size)
        try:
            told = crew.open(min(workers, max(1, len(portions))))
            groups = regrouped(crew.labels(portions), group_size(batch_size))
            plan.write(groups, told, rows_per_shard=rows_per_shard, on_progress=on_progress)
        finally:
            crew.close()
    return plan.result


def portions_of(
    jobs: Sequence[Job], known: Mapping[str, Finished], *, workers: int, batch_size: int
) -> list[Portion]:
    """Neighbouring jobs together, as many as make some batches; fewer where there is little to share out."""
    sizes = [_windows_of(job) for job in jobs]
    share = ceil(sum(sizes) / (workers * _PORTIONS_PER_WORKER))
    most = max(1, min(share, batch_size * _BATCHES_PER_PORTION))
    found: list[Portion] = []
    gathered: list[Job] = []
    size = 0
    for job, windows in zip(jobs, sizes, strict=True):
        if gathered and size + windows > most:
            found.append(_portion(len(found), gathered, known))
            gathered, size = [], 0
        gathered.append(job)
        size += windows
    if gathered:
        found.append(_portion(len(found), gathered, known))
    return found


def regrouped(parts: Iterable[Sequence[Label]], size: int) -> Iterator[list[Label]]:
    """The same labels in groups of `size`, as one machine writes them."""
    group: list[Label] = []
    for part in parts:
        group += part
        while len(group) >= size:
            yield group[:size]
            group = group[size:]
    if group:
        yield group


class Crew:
    """The workers, and who has which portion."""

    def __init__(
        self,
        ray: Any,
        arguments: tuple[Any, ...],
        *,
        threads: int,
        batch_size: int,
        result: LabelResult,
    ) -> None:
        """Start nobody yet.

        Args:
            ray: The module, connected.
            arguments: Of `Worker`.
            threads: Processors that each takes of the cluster.
            batch_size: Windows decoded together.
            result: Told of lost workers and of recordings that cannot be heard.
        """
        self._ray = ray
        self._arguments = arguments
        self._batch_size = batch_size
        self._result = result
        # Whether a portion is done again is decided here: Ray shall start nobody by itself.
        self._kind = ray.remote(Worker).options(
            num_cpus=threads, max_restarts=0, max_task_retries=0
        )
        self._busy: dict[Any, tuple[Any, Portion | None]] = {}  # what is awaited; None: opening
        self._idle: list[Any] = []
        self._waiting: deque[Portion] = deque()
        self._done: dict[int, Done] = {}
        self._told: dict[str, Any] | None = None
        self._bad_starts = 0

    def open(self, workers: int) -> dict[str, Any]:
        """Start workers, and say what the first one's teacher is.

        Raises:
            TercetError: the teacher cannot be opened there.
        """
        for _ in range(workers):
            self._start()
        while self._told is None:
            self._await_one()
        return self._told

    def labels(self, portions: Sequence[Portion]) -> Iterator[Sequence[Label]]:
        """The labels of each portion, in order.

        Raises:
            TercetError: a worker's own; EngineError where workers die of a portion.
        """
        self._waiting.extend(portions)
        ahead = _AHEAD * max(1, len(self._busy) + len(self._idle))
        for number in range(len(portions)):
            while number not in self._done:
                while self._idle and self._waiting and self._waiting[0].number < number + ahead:
                    worker, portion = self._idle.pop(), self._waiting.popleft()
                    self._busy[worker.label.remote(portion, self._batch_size)] = (worker, portion)
                self._await_one()
            done = self._done.pop(number)
            self._result.failures.extend(done.failures)
            yield done.labels

    def close(self) -> None:
        """Let all go, whatever they are at."""
        for worker in [*self._idle, *(worker for worker, _ in self._busy.values())]:
            self._kill(worker)
        self._idle, self._busy = [], {}

    def _start(self) -> None:
        worker = self._kind.remote(*self._arguments)
        self._busy[worker.open.remote()] = (worker, None)

    def _await_one(self) -> None:
        """Take in what arrives next."""
        [arrived], _ = self._ray.wait(list(self._busy), num_returns=1)
        worker, portion = self._busy.pop(arrived)
        try:
            value = self._ray.get(arrived)
        except self._ray.exceptions.RayTaskError as error:
            self._kill(worker)
            raise _fault(error) from None
        except self._ray.exceptions.RayError:
            self._lose(worker, portion)
            return
        self._idle.append(worker)
        if portion is not None:
            self._done[portion.number] = value
            return
        self._bad_starts = 0
        if self._told is None:
            self._told = value
        elif settings_hash(value) != settings_hash(self._told):
            raise EngineError(
                f"{self._told['model']}: is not the same model on all machines of the cluster; "
                "give each the same weights"
            )

    def _lose(self, worker: Any, portion: Portion | None) -> None:
        """A process died: another is started, and its portion is the next to be given out."""
        self._kill(worker)
        self._result.lost += 1
        if portion is None:
            self._bad_starts += 1
            if self._bad_starts == _LOSSES:
                raise EngineError(
                    f"{_LOSSES} workers died while they opened the teacher; is there memory for it? "
                    "Ray's logs say more"
                )
        else:
            portion = replace(portion, losses=portion.losses + 1)
            if portion.losses == _LOSSES:
                raise EngineError(
                    f"{portion.jobs[0].rows[0].audio}: {_LOSSES} workers died over this recording or the "
                    f"{len(portion.jobs) - 1} behind it; leave it out, or give workers more memory"
                )
            self._waiting.appendleft(portion)
        self._start()

    def _kill(self, worker: Any) -> None:
        with suppress(Exception):  # it may be dead, or its cluster gone
            self._ray.kill(worker)


def _shape(ray: Any, threads: int | None, workers: int | None) -> tuple[int, int]:
    """Threads of a worker, and how many workers."""
    sizes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    sizes = [size for size in sizes if size] or [1]
    if threads is None:
        threads = min(_THREADS, min(sizes))
    elif threads > max(sizes):
        raise OptionError(
            f"threads is {threads}; no machine of the cluster has more than {max(sizes)}"
        )
    return threads, workers or max(1, sum(size // threads for size in sizes))


def _windows_of(job: Job) -> int:
    if job.is_one_window:
        return 1
    return max(1, ceil((job.rows[0].duration_s or 0.0) / 30.0))


def _portion(number: int, jobs: Sequence[Job], known: Mapping[str, Finished]) -> Portion:
    """With paths that hold on another machine, in another folder."""
    found = tuple(
        replace(job, rows=tuple(replace(row, audio=row.audio.absolute()) for row in job.rows))
        for job in jobs
    )
    return Portion(number, found, {job.id: known[job.id] for job in jobs if job.id in known})


def _fault(error: Any) -> Exception:
    cause = error.cause
    if isinstance(cause, TercetError):
        return cause
    reason = " ".join(f"{type(cause).__name__}: {cause}".split())[:200]
    return EngineError(f"a worker failed ({reason})")
