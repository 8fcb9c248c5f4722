"""Where finished results go: what a place has to be able to do, and which one is meant."""

from collections.abc import Sequence
from typing import Protocol

from tercet.cli.inputs import Input
from tercet.cli.listening.filed import Filed
from tercet.cli.listening.printed import Printed
from tercet.cli.listening.progress import Screen
from tercet.cli.listening.results import Result
from tercet.cli.listening.work import Work
from tercet.errors import OptionError


class Delivery(Protocol):
    """Where results go. Inputs are known by their place among those that `todo` gave last."""

    goes_on: bool  # whether the next result may fare better after one could not be written
    is_live: bool  # the one recording's parts are wanted as soon as they are heard

    def todo(self) -> list[Input]:
        """What is to be heard next; nothing once everything is through. May wait for other runs."""

    def take(self, index: int, results: Sequence[Result]) -> None:
        """An input's results, one for each channel; or a live one's next part.

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


def choose(work: Work, inputs: Sequence[Input], screen: Screen) -> Delivery:
    """Print, or file with --output_dir.

    Raises:
        OptionError: several results cannot be told apart on standard output, or one shown there.
        OutputError: the folder cannot be used.
    """
    options = work.common
    if options.output_dir is not None:
        return Filed(work, options.output_dir, inputs, screen)
    if options.output_format[0] in work.form.filed_only:
        raise OptionError(f"{options.output_format[0]} cannot be printed; give --output_dir")
    return Printed(work, inputs, screen)
