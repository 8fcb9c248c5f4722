"""Results as files in a folder, one recording after the other, with the journal for --resume."""

import time
from collections.abc import Sequence
from typing import NamedTuple

from tercet.cli.inputs import Input, Stamp, check_unchanged
from tercet.cli.listening.naming import base_names
from tercet.cli.listening.outputs import open_folder, reason_of, write_files
from tercet.cli.listening.progress import Screen
from tercet.cli.listening.results import Result
from tercet.cli.listening.resume import Identity, Journal, key_of
from tercet.cli.listening.work import Work
from tercet.errors import OutputError

_LOOK_AGAIN_S = 2.0  # while another run is waited for


class _Job(NamedTuple):
    entry: Input
    base: str  # of its output files' names
    stamp: Stamp | None  # as it was before it was heard


class Filed:
    """A folder. Each recording's files appear when it is finished, and the journal says so."""

    goes_on = True
    is_live = False

    def __init__(self, work: Work, folder: str, inputs: Sequence[Input], screen: Screen) -> None:
        self._folder, self._presence = open_folder(folder)
        self._form = work.form
        self._formats = work.common.output_format
        self._resumes = work.common.resume
        self._screen = screen
        self._journal = Journal(self._folder, work.settings(), self._presence.temporary)
        # Named before the finished ones are set aside, so that names do not change on the way.
        extensions = [self._form.extension(name) for name in self._formats]
        names = base_names(inputs, folder, extensions)
        self._left = [
            _Job(entry, base, entry.stamp()) for entry, base in zip(inputs, names, strict=True)
        ]
        self._jobs: list[_Job] = []  # those that `todo` gave last
        self._given = len(inputs)
        self._filed = 0
        self._is_first = True

    def todo(self) -> list[Input]:
        """All of them; with --resume those that nobody has finished, and nobody else hears.

        What another run hears is waited for, and heard here if that run leaves it.
        """
        self._presence.claim(())  # who waits holds nothing: two runs cannot wait for each other
        self._jobs = []
        is_told = False
        while self._left:
            others = self._share()
            if self._is_first and self._filed:
                self._screen.note(f"{self._filed} of {self._given} files were finished before")
            self._is_first = False
            if self._jobs or not others:
                return [job.entry for job in self._jobs]
            if not is_told:
                self._screen.note(f"{others} files are being heard by another run; waiting for it")
                is_told = True
            time.sleep(_LOOK_AGAIN_S)
        return []

    def take(self, index: int, results: Sequence[Result]) -> None:
        """Write its files and note it in the journal."""
        job = self._jobs[index]
        outputs = write_files(
            self._folder,
            job.base,
            results,
            self._formats,
            self._form,
            self._presence.temporary,
        )
        self._filed += 1
        self._screen.detail(f"written: {self._folder / job.base}.*")
        try:
            self._journal.add(self._identity(job), outputs)
        except OSError as error:
            raise OutputError(
                f"{self._folder}: the file is written, but --resume will not know: "
                f"{reason_of(error)}"
            ) from None

    def finish(self, index: int) -> None:
        """Say so if it changed; the journal knows the state from before, so --resume hears it."""
        check_unchanged(self._jobs[index].entry, self._jobs[index].stamp)

    def give_up(self, index: int) -> None:
        """Nothing to do: nobody waits."""

    def stop(self) -> str:
        """Everything finished is in its place already."""
        return (
            f"{self._filed} of {self._given} files are finished in {self._folder}; "
            "the same command with --resume goes on from there"
        )

    def close(self) -> None:
        """Take this run's mark out of the folder."""
        self._journal.close()
        self._presence.close()

    def _share(self) -> int:
        """Choose what this run hears of what is left; returns how many others are at."""
        kept: list[_Job] = []
        # Two runs that start together choose one after the other.
        with self._journal.held() as finished:
            claimed = self._presence.claimed_by_others() if self._resumes else set()
            self._jobs = []
            for job in self._left:
                identity = self._identity(job)
                if self._resumes and finished.holds(identity, self._formats):
                    self._filed += 1
                elif identity is not None and self._claim(identity) in claimed:
                    kept.append(job)
                else:
                    self._jobs.append(job)
            self._left = kept
            identities = map(self._identity, self._jobs)
            self._presence.claim([self._claim(i) for i in identities if i is not None])
        return len(kept)

    def _identity(self, job: _Job) -> Identity | None:
        return self._journal.identify(job.entry, job.base, job.stamp)

    def _claim(self, identity: Identity) -> str:
        # Another run's result is worth waiting for only if it is in these formats.
        return f"{key_of(identity)}.{'.'.join(sorted(self._formats))}"
