"""`tercet label`: a teacher's text for recordings, as shards to train on, and which of it is good enough.

The table of what was kept goes to standard output, everything else to standard error.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tercet.cli import eval_options as given
from tercet.cli import exit_codes
from tercet.cli import label_options as own
from tercet.cli.chosen import Program, carried_out, underscored
from tercet.cli.ending import ending_in_order
from tercet.cli.eval_progress import EvalScreen
from tercet.cli.licences import licence_notes
from tercet.cli.wording import as_said_here
from tercet.errors import DataError, ModelNotFoundError, OptionError

if TYPE_CHECKING:
    from tercet.dataset.manifests import Manifest
    from tercet.labelling.filtering import FilterRule
    from tercet.labelling.running import LabelResult
    from tercet.labelling.settings import LabelSettings

_PROGRAM = "tercet label"
_USAGE_ERRORS = (OptionError, ModelNotFoundError)
# One paragraph per string: typer keeps line ends inside a paragraph as they are.
_HELP = "\n\n".join(
    (
        "Write down recordings with a teacher, for a student to learn from.",
        "MANIFEST is a .csv, .tsv, .jsonl or .parquet file, a folder of recordings, WebDataset's .tar (one, "
        "'shards/{000..255}.tar', or a folder of them), a data set saved by datasets, or one of the hub's, "
        "hf://owner/name:config; texts in it are references to judge the teacher by, and need not be there. "
        "FOLDER gets shards of labels (labels-00000.parquet), verdicts (filter.parquet) and a report "
        "(filter.md, .json, .png). What is labelled is not labelled again: the same command goes on after a "
        "stop, and with other limits it only judges anew. docs/label.md says what is in the files.",
        "  tercet label talks/ labels/ --language en\n"
        "  tercet label train.jsonl labels/ --model large-v3 --most_wer 0.1\n"
        "  tercet label train.jsonl labels/ --ray head:6379",
    )
)
_EPILOG = (
    "Exit code: 0, 1 (a recording or a file failed; the others are labelled), 2 (usage), 130 (Ctrl-C) and "
    "143 (SIGTERM): saved, the same command goes on."
)


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code. Errors go to stderr, one line each.

    Raises:
        KeyboardInterrupt: Ctrl-C, with the line to show.
    """
    program = Program(
        name=_PROGRAM,
        app=app,
        usage_errors=_USAGE_ERRORS,
        stopped="stopped; what is labelled is kept, the same command goes on",
    )
    return carried_out(program, _with_address([underscored(word) for word in argv]))


def app() -> typer.Typer:
    """The words of the command line -> what is to be done, which `run` then does."""
    settings = {"help_option_names": ["--help", "-h"]}
    made = typer.Typer(add_completion=False, rich_markup_mode="rich", context_settings=settings)
    made.command(help=_HELP, epilog=_EPILOG, context_settings=settings)(_command)
    return made


def _command(
    manifest: own.Manifest,
    out: own.Out,
    *,
    model: given.Name = "base",
    adapter: given.Adapter = None,
    language: own.Language = None,
    task: own.Task = "transcribe",
    without_timestamps: own.WithoutTimestamps = False,
    no_fallback: own.NoFallback = False,
    pack_s: own.PackS = 30.0,
    gap_s: own.GapS = 0.2,
    compute_type: given.ComputeType = "auto",
    threads: given.Threads = None,
    batch_size: own.BatchSize = 8,
    rows_per_shard: own.RowsPerShard = 500,
    root: given.Root = None,
    skip_broken: given.SkipBroken = False,
    split: own.Split = None,
    text_column: own.TextColumn = None,
    most_wer: own.MostWer = 0.2,
    most_cer: own.MostCer = None,
    least_logprob: own.LeastLogprob = -1.0,
    most_compression: own.MostCompression = 2.4,
    least_speech_s: own.LeastSpeech = 0.3,
    languages: own.Languages = None,
    keep_seams: own.KeepSeams = False,
    ray: own.Ray = None,
    workers: own.Workers = None,
    quiet: given.Quiet = False,
) -> Callable[[], int]:
    """What is to be done, from the words of the command line."""
    from tercet.labelling.filtering import FilterRule
    from tercet.labelling.settings import LabelSettings

    counts = {"threads": threads, "batch_size": batch_size, "rows_per_shard": rows_per_shard}
    run_time = _run_time(counts, ray, workers)
    settings = LabelSettings(
        model=model,
        adapter=adapter,
        compute_type=compute_type,
        language=language,
        task=task,
        without_timestamps=without_timestamps,
        pack_s=pack_s,
        gap_s=gap_s,
        **({"temperatures": (0.0,)} if no_fallback else {}),
    )
    rule = FilterRule(
        most_wer=most_wer,
        most_cer=most_cer,
        least_logprob=least_logprob,
        most_compression=most_compression,
        least_speech_s=least_speech_s,
        languages=tuple(filter(None, (languages or "").split(","))),
        keep_seams=keep_seams,
    )
    reading = {"root": root, "skip_broken": skip_broken, "text_column": text_column}
    return partial(_label, manifest, split, out, settings, rule, run_time, reading, quiet)


def _run_time(
    counts: dict[str, int | None], ray: str | None, workers: int | None
) -> dict[str, Any]:
    """What does not change a label."""
    given.check_counts(**counts, workers=workers)
    if ray is not None:
        return {**counts, "address": ray or None, "workers": workers}
    if workers is not None:
        raise OptionError("--workers is for --ray; give that, too")
    return dict(counts)


def _label(
    source: str,
    split: str | None,
    out: Path,
    settings: "LabelSettings",
    rule: "FilterRule",
    run_time: dict[str, Any],
    reading: dict[str, Any],
    quiet: bool,
) -> int:
    from tercet.labelling.filter_report import lines, write_report
    from tercet.labelling.filtering import filter_labels
    from tercet.labelling.many_machines import label_on_many_machines
    from tercet.labelling.running import LabelProgress, label

    screen = EvalScreen(quiet=quiet)
    manifest = _manifest(source, split, out, reading, screen)
    if manifest.faults:
        screen.note(f"{source}: {len(manifest.faults)} faults; those rows are left out")
    if any(row.text is not None for row in manifest):
        given.need_word_errors()

    def tell(progress: LabelProgress) -> None:
        on_progress(progress.done, progress.total)

    with (
        ending_in_order(),
        screen.stage("recordings and packs") as on_progress,
        licence_notes(quiet=quiet),
        ExitStack() as stack,
    ):
        if "address" in run_time:
            stack.enter_context(_silent_output())
            result = label_on_many_machines(manifest, out, settings, on_progress=tell, **run_time)
        else:
            result = label(manifest, out, settings, on_progress=tell, **run_time)
    _tell_failures(result, source)
    if result.lost:
        screen.note(f"{result.lost} workers were lost; what they had in hand was heard by others")
    filtered = filter_labels(out, rule)
    write_report(out, filtered)
    if result.earlier:
        screen.note(f"{result.earlier} of {result.jobs} recordings and packs were labelled already")
    print("\n".join(lines(filtered)))
    if not filtered.kept:
        raise DataError(
            f"{out}: nothing is left to learn from; raise the limits (see filter.md there)"
        )
    return exit_codes.FAILED if result.failures else exit_codes.OK


def _manifest(
    source: str, split: str | None, out: Path, reading: dict[str, Any], screen: EvalScreen
) -> "Manifest":
    """The rows; recordings inside tables are written to `out` first."""
    from tercet.dataset.embedded import embedded_in
    from tercet.dataset.hub_sets import SCHEME, hub_set
    from tercet.dataset.manifests import read_manifest
    from tercet.dataset.unpacking import unpack

    is_on_hub = source.startswith(SCHEME)
    found = hub_set(source, split) if is_on_hub else embedded_in(Path(source), split)
    if found is None:
        manifest = read_manifest(Path(source), **reading)
        return manifest if split is None else manifest.split(split)
    if reading["root"] is not None:
        raise OptionError(f"--root is for paths; {source} holds its recordings itself")
    with screen.stage("recordings written as files") as on_progress:
        path = unpack(found, out, on_progress=on_progress)
    return read_manifest(path, **reading)


def _tell_failures(result: "LabelResult", source: str) -> None:
    for error in result.failures:
        print(f"{_PROGRAM}: {' '.join(as_said_here(error).split())}", file=sys.stderr)
    if result.failures and not result.windows and not result.earlier:
        raise DataError(f"{source}: no recording of it could be heard")


def _with_address(words: list[str]) -> list[str]:
    """`--ray` may stand alone; typer wants a value."""
    from tercet.labelling.ray_cluster import is_address

    found = list(words)
    for number, (word, behind) in enumerate(zip(words, [*words[1:], ""], strict=True)):
        if word == "--ray" and not is_address(behind):
            found[number] = "--ray="
    return found


@contextmanager
def _silent_output() -> Iterator[None]:
    """Ray tells of lost workers on standard output, where the table goes; we tell of them ourselves."""
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        yield
