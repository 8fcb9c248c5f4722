"""Where finished transcripts go: what a place has to be able to do, and which one is meant."""

from collections.abc import Sequence
from typing import Protocol

from tercet.cli.filed import Filed
from tercet.cli.inputs import Input
from tercet.cli.options import ListenOptions
from tercet.cli.outputs import JOINABLE_FORMATS
from tercet.cli.printed import Printed
from tercet.cli.progress import Screen
from tercet.errors import OptionError
from tercet.results import Transcript


class Delivery(Protocol):
    """Where results go. Inputs are known by their place among those that `todo` gave last."""

    goes_on: bool  # whether the next result may fare better after one could not be written
    is_live: bool  # the one recording's parts are wanted as soon as they are heard

    def todo(self) -> list[Input]:
        """What is to be heard next; nothing once everything is through. May wait for other runs."""

    def take(self, index: int, transcripts: Sequence[Transcript]) -> None:
        """A recording's transcripts, one for each channel; or a live one's next part.

        Raises:
            OutputError: they cannot be written.
        """

    def finish(self, index: int) -> None:
        """Nothing more comes for this recording: it was heard to its end.

        Raises:
            AudioError: it changed meanwhile.
        """

    def give_up(self, index: int) -> None:
        """Nothing more comes for this recording: it failed."""

    def stop(self) -> str:
        """Hand out what is finished; say in a few words where it is and how to go on."""

    def close(self) -> None:
        """Leave nothing behind but results."""


def choose(options: ListenOptions, inputs: Sequence[Input], screen: Screen) -> Delivery:
    """Print, or file with --output_dir.

    Raises:
        OptionError: several results cannot be told apart on standard output.
        OutputError: the folder cannot be used.
    """
    if options.output_dir is not None:
        return Filed(options, options.output_dir, inputs, screen)
    name = options.output_format[0]
    if name not in JOINABLE_FORMATS and (len(inputs) > 1 or options.channel == "each"):
        raise OptionError(
            f"several results as {name} need --output_dir; "
            f"only {', '.join(JOINABLE_FORMATS)} can be printed one after the other"
        )
    return Printed(options, inputs, screen)
