"""Results on standard output, in the order of the arguments."""

from collections.abc import Sequence

from tercet.cli.inputs import Input, check_unchanged
from tercet.cli.listening.aside import Aside
from tercet.cli.listening.outputs import print_text, text_for_stdout
from tercet.cli.listening.progress import Screen
from tercet.cli.listening.results import Result
from tercet.cli.listening.work import Work
from tercet.errors import OptionError


class Printed:
    """Standard output. What is finished early waits for its turn."""

    goes_on = False

    def __init__(self, work: Work, inputs: Sequence[Input], screen: Screen) -> None:
        """Raises `OptionError` where several results could not be told apart."""
        self._format = work.common.output_format[0]
        self._form = work.form
        if len(inputs) > 1 or work.is_split:
            self._check_joinable()
        self._screen = screen
        self._inputs = list(inputs)
        self._stamps = [entry.stamp() for entry in inputs]
        self._is_given = False
        self._waiting = Aside()
        self._failed: set[int] = set()  # of those whose turn has not come
        self._next = 0
        self._printed = 0
        is_single = len(inputs) == 1 and not work.is_split
        self.is_live = is_single and work.is_streamed and self._format in self._form.live

    def todo(self) -> list[Input]:
        """All of them, once."""
        given, self._is_given = self._is_given, True
        return [] if given else self._inputs

    def take(self, index: int, results: Sequence[Result]) -> None:
        """Print it as soon as all before it are through; a live one at once."""
        if len(results) > 1:
            self._check_joinable()
        if len(self._inputs) > 1:
            results = [each.beside({"file": self._inputs[index].shown}) for each in results]
        text = text_for_stdout(results, self._format, self._form)
        if self.is_live:
            self._print(text)
        else:
            self._waiting.put(index, text)
            self._print_ready()

    def finish(self, index: int) -> None:
        """Say so if it changed; its text is printed all the same."""
        self._printed += self.is_live
        check_unchanged(self._inputs[index], self._stamps[index])

    def give_up(self, index: int) -> None:
        """Those behind it need not wait any more."""
        self._failed.add(index)
        self._print_ready()

    def stop(self) -> str:
        """Print what waits, gaps or not."""
        for index in self._waiting.waiting():
            self._print_waiting(index)
        if self.is_live and not self._printed:
            return "the text so far was printed"
        return f"{self._printed} of {len(self._inputs)} files were printed"

    def close(self) -> None:
        """Let go of what still waits."""
        self._waiting.close()

    def _print_ready(self) -> None:
        while True:
            if self._next in self._waiting:
                self._print_waiting(self._next)
            elif self._next in self._failed:
                self._failed.remove(self._next)
            else:
                return
            self._next += 1

    def _print_waiting(self, index: int) -> None:
        if len(self._inputs) > 1 and self._format in ("txt", "timeline"):
            self._screen.note(f"==> {self._inputs[index].shown}")
        self._print(self._waiting.take(index))
        self._printed += 1

    def _print(self, text: str) -> None:
        with self._screen.paused():
            print_text(text)

    def _check_joinable(self) -> None:
        if self._format not in self._form.joinable:
            raise OptionError(
                f"several results as {self._format} need --output_dir; "
                f"only {', '.join(self._form.joinable)} can be printed one after the other"
            )
