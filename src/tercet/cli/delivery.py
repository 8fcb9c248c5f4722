"""Hands finished transcripts on: printed in the order of the arguments, or filed at once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tercet.cli.inputs import Input
from tercet.cli.naming import base_names
from tercet.cli.options import ListenOptions
from tercet.cli.outputs import JOINABLE_FORMATS, open_folder, write_files, write_stdout
from tercet.cli.progress import Screen
from tercet.cli.resume import Journal
from tercet.errors import OptionError, OutputError
from tercet.results import Transcript


class Delivery(Protocol):
    """Where results go. Inputs are known by their place among those that `todo` gave back."""

    goes_on: bool  # whether the next result may fare better after one could not be written

    def todo(self, inputs: Sequence[Input]) -> list[Input]:
        """Those that are still to be heard."""

    def take(self, index: int, transcripts: Sequence[Transcript]) -> None:
        """A recording's transcripts, one for each channel.

        Raises:
            OutputError: they cannot be written.
        """

    def give_up(self, index: int) -> None:
        """Nothing will come for this recording."""

    def stop(self) -> str:
        """Hand out what is finished; say in a few words where it is and how to go on."""


class Printed:
    """Standard output. What is finished early waits for its turn."""

    goes_on = False

    def __init__(self, options: ListenOptions, screen: Screen) -> None:
        self._format = options.output_format[0]
        self._screen = screen
        self._inputs: list[Input] = []
        self._waiting: dict[int, Sequence[Transcript]] = {}
        self._next = 0
        self._printed = 0

    def todo(self, inputs: Sequence[Input]) -> list[Input]:
        """All of them."""
        self._inputs = list(inputs)
        return self._inputs

    def take(self, index: int, transcripts: Sequence[Transcript]) -> None:
        """Print it as soon as all before it are through."""
        self._waiting[index] = transcripts
        self._print_ready()

    def give_up(self, index: int) -> None:
        """Those behind it need not wait any more."""
        self.take(index, ())

    def stop(self) -> str:
        """Print what waits, gaps or not."""
        for index in sorted(self._waiting):
            self._print(index)
        return f"{self._printed} of {len(self._inputs)} files were printed"

    def _print_ready(self) -> None:
        while self._next in self._waiting:
            self._next += 1
            self._print(self._next - 1)

    def _print(self, index: int) -> None:
        transcripts = self._waiting.pop(index)
        if not transcripts:
            return
        several = len(self._inputs) > 1
        name = self._inputs[index].shown
        if several and self._format == "txt":
            self._screen.note(f"==> {name}")
        with self._screen.paused():
            write_stdout(transcripts, self._format, name if several else None)
        self._printed += 1


class Filed:
    """A folder. Each recording's files appear when it is finished, and the journal says so."""

    goes_on = True

    def __init__(self, options: ListenOptions, folder: str, screen: Screen) -> None:
        self._folder: Path = open_folder(folder)
        self._options = options
        self._screen = screen
        self._journal = Journal(self._folder, options.result_settings())
        self._jobs: list[tuple[str, dict[str, str | int] | None]] = []
        self._filed = 0
        self._given = 0

    def todo(self, inputs: Sequence[Input]) -> list[Input]:
        """All of them, or with --resume those that the journal does not call finished."""
        formats = self._options.output_format
        left: list[Input] = []
        # Named before the finished ones are set aside, so that names do not change on the way.
        names = base_names(inputs, str(self._folder), formats)
        for entry, base in zip(inputs, names, strict=True):
            identity = self._journal.identify(entry, base)
            if self._options.resume and self._journal.is_finished(identity, formats):
                self._filed += 1
                continue
            left.append(entry)
            self._jobs.append((base, identity))
        self._given = len(inputs)
        if self._filed:
            self._screen.note(f"{self._filed} of {self._given} files were finished before")
        return left

    def take(self, index: int, transcripts: Sequence[Transcript]) -> None:
        """Write its files and note it in the journal."""
        base, identity = self._jobs[index]
        outputs = write_files(self._folder, base, transcripts, self._options.output_format)
        self._filed += 1
        self._screen.detail(f"written: {self._folder / base}.*")
        try:
            self._journal.add(identity, outputs)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise OutputError(
                f"{self._folder}: the file is written, but --resume will not know: {reason}"
            ) from None

    def give_up(self, index: int) -> None:
        """Nothing to do: nobody waits."""

    def stop(self) -> str:
        """Everything finished is in its place already."""
        return (
            f"{self._filed} of {self._given} files are finished in {self._folder}; "
            "the same command with --resume goes on from there"
        )


def choose(options: ListenOptions, inputs: Sequence[Input], screen: Screen) -> Delivery:
    """Print, or file with --output_dir.

    Raises:
        OptionError: several results cannot be told apart on standard output.
        OutputError: the folder cannot be used.
    """
    if options.output_dir is not None:
        return Filed(options, options.output_dir, screen)
    name = options.output_format[0]
    if name not in JOINABLE_FORMATS and (len(inputs) > 1 or options.channel == "each"):
        raise OptionError(
            f"several results as {name} need --output_dir; "
            f"only {', '.join(JOINABLE_FORMATS)} can be printed one after the other"
        )
    return Printed(options, screen)
