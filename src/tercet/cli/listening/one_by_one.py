"""A model's calls for single recordings, made for many: each gets its results or its error."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from tercet.cli.inputs import Input
from tercet.cli.listening.results import Result, results_of
from tercet.cli.listening.work import Finished, OnProgress
from tercet.errors import AudioError, SourceOptionError, TercetError
from tercet.results import Progress


def one_by_one(
    call: Callable[..., object],
    inputs: Sequence[Input],
    on_progress: OnProgress,
    given: Mapping[str, Any],
) -> Iterator[Finished]:
    """`call(source, on_progress=, **given)` for each input. What is no input's fault is raised."""
    for index, entry in enumerate(inputs):
        report = partial(_report, on_progress, index)
        outcome: Sequence[Result] | TercetError
        try:
            outcome = results_of(call(entry.source, on_progress=report, **given))
        except (AudioError, SourceOptionError) as error:
            outcome = error
        yield index, outcome


def _report(on_progress: OnProgress, index: int, progress: Progress) -> None:
    on_progress(replace(progress, source_index=index))
