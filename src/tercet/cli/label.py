"""`tercet label`: a teacher's text for recordings, as shards to train on, and which of it is good enough.

The table of what was kept goes to standard output, everything else to standard error.
"""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tercet.cli import eval_options as given
from tercet.cli import exit_codes
from tercet.cli.chosen import chosen, underscored
from tercet.cli.eval_progress import EvalScreen
from tercet.cli.licences import licence_notes
from tercet.cli.wording import as_said_here
from tercet.errors import DataError, ModelNotFoundError, OptionError, TercetError

if TYPE_CHECKING:
    from tercet.labelling.filtering import FilterRule
    from tercet.labelling.running import LabelResult
    from tercet.labelling.settings import LabelSettings

_PROGRAM = "tercet label"
_USAGE_ERRORS = (OptionError, ModelNotFoundError)
_TERMINATED = 143  # 128 + SIGTERM, as shells have it
# One paragraph per string: typer keeps line ends inside a paragraph as they are.
_HELP = "\n\n".join(
    (
        "Write down recordings with a teacher, for a student to learn from.",
        "MANIFEST is a .csv, .tsv, .jsonl or .parquet file, a folder of recordings, or WebDataset's .tar "
        "(one, 'shards/{000..255}.tar', or a folder of them); texts in it are "
        "references to judge the teacher by, and need not be there. FOLDER gets shards of labels "
        "(labels-00000.parquet), verdicts (filter.parquet) and a report (filter.md, .json, .png). What is "
        "labelled is not labelled again: the same command goes on after a stop, and with other limits it "
        "only judges anew. docs/label.md says what is in the files.",
        "  tercet label talks/ labels/ --language en\n"
        "  tercet label train.jsonl labels/ --model large-v3 --most_wer 0.1",
    )
)
_EPILOG = (
    "Exit code: 0, 1 (a recording or a file failed; the others are labelled), 2 (usage), 130 (Ctrl-C) and "
    "143 (SIGTERM): saved, the same command goes on."
)
_LABELS, _LIMITS = "How labels are made", "Which are kept"
_Manifest = Annotated[Path, typer.Argument(metavar="MANIFEST", show_default=False)]
_Out = Annotated[Path, typer.Argument(metavar="FOLDER", show_default=False)]
_Language = Annotated[
    str | None,
    typer.Option(
        metavar="CODE",
        help="Of rows that do not say theirs; heard if left out.",
        show_default=False,
        rich_help_panel=_LABELS,
    ),
]
_Task = Annotated[
    str,
    typer.Option(metavar="TASK", help="transcribe, or translate.", rich_help_panel=_LABELS),
]
_WithoutTimestamps = Annotated[
    bool,
    typer.Option("--without_timestamps", help="Text alone.", rich_help_panel=_LABELS),
]
_NoFallback = Annotated[
    bool,
    typer.Option(
        "--no_fallback",
        help="Keep doubtful text as it is, instead of decoding again at higher temperatures.",
        rich_help_panel=_LABELS,
    ),
]
_PackS = Annotated[
    float,
    typer.Option(
        "--pack_s",
        metavar="S",
        help="Join a speaker's short recordings up to this; 0: never.",
        rich_help_panel=_LABELS,
    ),
]
_GapS = Annotated[
    float,
    typer.Option(
        "--gap_s", metavar="S", help="Silence between joined ones.", rich_help_panel=_LABELS
    ),
]
_BatchSize = Annotated[
    int, typer.Option("--batch_size", metavar="N", help="Windows decoded together.")
]
_RowsPerShard = Annotated[
    int, typer.Option("--rows_per_shard", metavar="N", help="Windows of a shard.")
]
_MostWer = Annotated[
    float,
    typer.Option(
        "--most_wer",
        metavar="SHARE",
        help="Word errors against the reference (letters, in languages without spaces).",
        rich_help_panel=_LIMITS,
    ),
]
_MostCer = Annotated[
    float | None,
    typer.Option(
        "--most_cer",
        metavar="SHARE",
        help="Letter errors, too.",
        show_default=False,
        rich_help_panel=_LIMITS,
    ),
]
_LeastLogprob = Annotated[
    float,
    typer.Option(
        "--least_logprob",
        metavar="X",
        help="Mean log-probability of a token.",
        rich_help_panel=_LIMITS,
    ),
]
_MostCompression = Annotated[
    float,
    typer.Option(
        "--most_compression",
        metavar="X",
        help="Compression ratio: a sign of repetition.",
        rich_help_panel=_LIMITS,
    ),
]
_LeastSpeech = Annotated[
    float,
    typer.Option(
        "--least_speech_s", metavar="S", help="Speech in a window.", rich_help_panel=_LIMITS
    ),
]
_Languages = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help="Windows in these alone, as in de,fr.",
        show_default=False,
        rich_help_panel=_LIMITS,
    ),
]
_KeepSeams = Annotated[
    bool,
    typer.Option(
        "--keep_seams",
        help="Also windows that had to be cut while somebody spoke.",
        rich_help_panel=_LIMITS,
    ),
]


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code. Errors go to stderr, one line each.

    Raises:
        KeyboardInterrupt: Ctrl-C, with the line to show.
    """
    try:
        words = [underscored(word) for word in argv] or ["--help"]
        action = chosen(app(), words, program=_PROGRAM)
        if not callable(action):  # it asked for help
            return exit_codes.OK
        return int(action())
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "stopped; what is labelled is kept, the same command goes on"
        ) from None
    except TercetError as error:
        for fault in getattr(error, "faults", ()):  # a manifest's: all of them, not the first few
            print(fault, file=sys.stderr)
        print(f"{_PROGRAM}: {' '.join(as_said_here(error).split())}", file=sys.stderr)
        return exit_codes.USAGE if isinstance(error, _USAGE_ERRORS) else exit_codes.FAILED


def app() -> typer.Typer:
    """The words of the command line -> what is to be done, which `run` then does."""
    settings = {"help_option_names": ["--help", "-h"]}
    made = typer.Typer(add_completion=False, rich_markup_mode="rich", context_settings=settings)
    made.command(help=_HELP, epilog=_EPILOG, context_settings=settings)(_command)
    return made


def _command(
    manifest: _Manifest,
    out: _Out,
    *,
    model: given.Name = "base",
    language: _Language = None,
    task: _Task = "transcribe",
    without_timestamps: _WithoutTimestamps = False,
    no_fallback: _NoFallback = False,
    pack_s: _PackS = 30.0,
    gap_s: _GapS = 0.2,
    compute_type: given.ComputeType = "auto",
    threads: given.Threads = None,
    batch_size: _BatchSize = 8,
    rows_per_shard: _RowsPerShard = 500,
    root: given.Root = None,
    skip_broken: given.SkipBroken = False,
    most_wer: _MostWer = 0.2,
    most_cer: _MostCer = None,
    least_logprob: _LeastLogprob = -1.0,
    most_compression: _MostCompression = 2.4,
    least_speech_s: _LeastSpeech = 0.3,
    languages: _Languages = None,
    keep_seams: _KeepSeams = False,
    quiet: given.Quiet = False,
) -> Callable[[], int]:
    """What is to be done, from the words of the command line."""
    from tercet.labelling.filtering import FilterRule
    from tercet.labelling.settings import LabelSettings

    given.check_counts(threads=threads, batch_size=batch_size, rows_per_shard=rows_per_shard)
    further = {"temperatures": (0.0,)} if no_fallback else {}
    settings = LabelSettings(
        model=model,
        compute_type=compute_type,
        language=language,
        task=task,
        without_timestamps=without_timestamps,
        pack_s=pack_s,
        gap_s=gap_s,
        **further,
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
    run_time = {"threads": threads, "batch_size": batch_size, "rows_per_shard": rows_per_shard}
    reading = {"root": root, "skip_broken": skip_broken}
    return partial(_label, manifest, out, settings, rule, run_time, reading, quiet)


def _label(
    path: Path,
    out: Path,
    settings: "LabelSettings",
    rule: "FilterRule",
    run_time: dict[str, Any],
    reading: dict[str, Any],
    quiet: bool,
) -> int:
    from tercet.dataset.manifests import read_manifest
    from tercet.labelling.filter_report import lines, write_report
    from tercet.labelling.filtering import filter_labels
    from tercet.labelling.running import LabelProgress, label

    manifest = read_manifest(path, **reading)
    screen = EvalScreen(quiet=quiet)
    if manifest.faults:
        screen.note(f"{path}: {len(manifest.faults)} faults; those rows are left out")
    if any(row.text is not None for row in manifest):
        given.need_word_errors()

    def tell(progress: LabelProgress) -> None:
        on_progress(progress.done, progress.total)

    with (
        _ending_in_order(),
        screen.stage("recordings and packs") as on_progress,
        licence_notes(quiet=quiet),
    ):
        result = label(manifest, out, settings, on_progress=tell, **run_time)
    _tell_failures(result, path)
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


def _tell_failures(result: "LabelResult", path: Path) -> None:
    for error in result.failures:
        print(f"{_PROGRAM}: {' '.join(as_said_here(error).split())}", file=sys.stderr)
    if result.failures and not result.windows and not result.earlier:
        raise DataError(f"{path}: no recording of it could be heard")


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """SIGTERM unwinds, so that the shard under way is completed."""

    def terminate(*_: object) -> None:
        raise SystemExit(_TERMINATED)

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
