"""Speech tokens of a corpus as one table in a folder (Parquet); --resume goes by the ids that it holds."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from tercet.cli.inputs import Input, check_unchanged
from tercet.cli.listening.naming import audio_ids
from tercet.cli.listening.progress import Screen
from tercet.cli.listening.results import Result
from tercet.cli.listening.work import Work
from tercet.dataset.token_shards import TokenTableWriter
from tercet.dataset.token_tables import finished_ids, settings_in
from tercet.errors import OptionError, TercetError
from tercet.results import SpeechTokens


class Tabled:
    """A table of recordings. A row is safe once its shard is complete; the writer sees to that."""

    goes_on = False
    is_live = False

    def __init__(
        self,
        work: Work,
        folder: str,
        inputs: Sequence[Input],
        screen: Screen,
        *,
        tokens_of: Callable[[object], SpeechTokens],
    ) -> None:
        """Open the table.

        Raises:
            OutputError: the folder cannot be used.
            OptionError: its codes were made with other settings; without --resume, some of the recordings
                are in it already.
            TokensError: what is in it is damaged.
        """
        self._folder = folder
        self._screen = screen
        self._tokens_of = tokens_of
        settings = work.settings()
        self._writer = TokenTableWriter(folder, settings=settings)
        _check_settings(folder, settings)
        there = finished_ids(folder)
        ids = audio_ids(inputs)
        if not work.common.resume and (
            twice := next((each for each in ids if each in there), None)
        ):
            raise OptionError(
                f"{folder}: the table holds {twice} already; --resume skips what is there, "
                "or choose another folder"
            )
        self._jobs = [
            (entry, audio_id, entry.stamp())
            for entry, audio_id in zip(inputs, ids, strict=True)
            if audio_id not in there
        ]
        self._given = len(inputs)
        self._before = len(inputs) - len(self._jobs)
        self._added = 0
        self._is_given = False

    def todo(self) -> list[Input]:
        """All of them, once; with --resume those that are not in the table."""
        if self._is_given:
            return []
        self._is_given = True
        if self._before:
            self._screen.note(f"{self._before} of {self._given} files were finished before")
        return [entry for entry, _, _ in self._jobs]

    def take(self, index: int, results: Sequence[Result]) -> None:
        """Add its row, or one for each channel.

        Raises:
            AudioError: it changed meanwhile; it is not added.
            TokensError: the table is of another codebook.
        """
        entry, audio_id, stamp = self._jobs[index]
        # A row is never heard again, so it must not mix old and new.
        check_unchanged(entry, stamp)
        self._writer.add(audio_id, *(self._tokens_of(each.value) for each in results))
        self._added += 1
        self._screen.detail(f"added: {audio_id}")

    def finish(self, index: int) -> None:
        """Nothing to do: `take` saw whether it changed."""

    def give_up(self, index: int) -> None:
        """Nothing to do: nobody waits."""

    def stop(self) -> str:
        """Complete the shard; say where it is and how to go on."""
        with suppress(TercetError):
            self._writer.finish()
        return (
            f"{self._before + self._added} of {self._given} files are in the table in {self._folder}; "
            "the same command with --resume goes on from there"
        )

    def close(self) -> None:
        """Complete the last shard.

        Raises:
            OutputError: it cannot be written.
        """
        self._writer.finish()


def _check_settings(folder: str, settings: Mapping[str, Any]) -> None:
    """Rows of one table are made alike. Shards that do not say how they were made are let through."""
    for before in settings_in(folder):
        names = dict.fromkeys([*settings, *before])
        other = next((name for name in names if before.get(name) != settings.get(name)), None)
        if other is not None:
            raise OptionError(
                f"{folder}: the table was made with another --{other} ({before.get(other)} there, "
                f"{settings.get(other)} here); give the same, or choose another folder"
            )
