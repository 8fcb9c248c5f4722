"""What a command does with its inputs, apart from where they come from and where results go."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tercet.cli.inputs import Input
from tercet.cli.listening.heads import adapter_by_content, heads_by_content
from tercet.cli.listening.results import Form, Result
from tercet.cli.options.groups import CommandOptions
from tercet.errors import TercetError
from tercet.results import Progress

if TYPE_CHECKING:
    from tercet.listener import Model

OnProgress = Callable[[Progress], None]
Finished = tuple[int, Sequence[Result] | TercetError]


class Work(ABC):
    """One run of one command. `begin` comes before anything is heard."""

    form: Form
    model: "Model"

    def __init__(self, options: CommandOptions) -> None:
        """`options` are the command's own; subclasses know them by their class."""
        self.common = options

    def begin(self, model: "Model") -> None:
        """Take the model.

        Raises:
            HeadError: it lacks what the command reads.
        """
        self.model = model

    def model_settings(self) -> dict[str, Any]:
        """What of the model a result depends on; heads and an adapter are known by their content."""
        return {
            **self.common.model_settings(),
            **heads_by_content(self.common),
            **adapter_by_content(self.common),
        }

    @property
    def is_split(self) -> bool:
        """Whether an input may have several results, one per channel."""
        return getattr(self.common, "channel", None) == "each"

    @property
    def is_streamed(self) -> bool:
        """Whether parts of an input are known before its end."""
        return True

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything that a result depends on, for --resume."""

    @abstractmethod
    def many(self, inputs: Sequence[Input], on_progress: OnProgress) -> Iterator[Finished]:
        """Each input's results or its error, by its place among the inputs, as they are finished.

        Raises:
            OptionError: an option's value is not allowed.
        """

    @abstractmethod
    def live(self, entry: Input, on_progress: OnProgress) -> Iterator[Result]:
        """One input's results part by part, as soon as they are known.

        Raises:
            AudioError, TokensError: the input cannot be read (any further).
            OptionError: an option's value is not allowed.
        """
