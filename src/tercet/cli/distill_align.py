"""`tercet distill align`: which heads of a decoder follow the sound, measured, and told in its settings."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tercet.cli.eval_progress import EvalScreen
from tercet.errors import DataError, OptionError

if TYPE_CHECKING:
    from tercet.train.text.alignment import HeadShare

HELP = "\n\n".join(
    (
        "Measure which cross-attention heads of MODEL follow the sound, and write them into its "
        "generation_config.json, where readers look for heads that time words.",
        "MODEL is a folder in Hugging Face's layout, LABELS one of tercet label, whose texts have "
        "timestamps. tercet train text does the same for what it trains.",
        "  tercet distill align runs/student/model labels/",
    )
)
EPILOG = "Exit code: 0, 1 (nothing was written), 2 (usage), 130 (Ctrl-C)."
_SHOWN = 12

_Model = Annotated[Path, typer.Argument(metavar="MODEL", show_default=False)]
_Labels = Annotated[Path, typer.Argument(metavar="LABELS", show_default=False)]
_Windows = Annotated[int, typer.Option(metavar="N", help="So many of the labels' windows.")]
_DryRun = Annotated[bool, typer.Option("--dry_run", help="Print the table, and write nothing.")]
_Json = Annotated[bool, typer.Option("--json", help="All heads for machines: one JSON object.")]
_Quiet = Annotated[bool, typer.Option("--quiet", help="No table and no notes: errors only.")]


def command(
    model: _Model,
    labels: _Labels,
    *,
    windows: _Windows = 40,
    dry_run: _DryRun = False,
    json: _Json = False,
    quiet: _Quiet = False,
) -> Callable[[], None]:
    """What is to be done, from the words of the command line."""
    return partial(_align, model, labels, windows, is_dry=dry_run, as_json=json, quiet=quiet)


def _align(
    folder: Path, labels: Path, windows: int, *, is_dry: bool, as_json: bool, quiet: bool
) -> None:
    # Late: --help and wrong command lines need none of it.
    from tercet.checkpoint.save import write_alignment_heads
    from tercet.dataset.label_table import read_labels, settings_in
    from tercet.train.text.alignment import best_heads, measure_folder

    if windows < 1:
        raise OptionError(f"--windows {windows}: give 1 or more")
    screen = EvalScreen(quiet=quiet)
    found = list(read_labels(labels))
    task = str((settings_in(labels) or {}).get("task", "transcribe"))
    with screen.stage("windows") as on_progress:
        try:
            shares = measure_folder(folder, found, most=windows, task=task, on_progress=on_progress)
        except DataError as error:
            raise DataError(f"{labels}: {error}") from None
    heads = best_heads(shares)
    if not is_dry:
        write_alignment_heads(folder, heads)
    if as_json:
        told = {"alignment_heads": [list(pair) for pair in heads]}
        print(json.dumps(told | {"shares": [list(each) for each in shares]}))
    elif not quiet:
        print("\n".join(_lines(shares, heads)))
        if not is_dry:
            print(f"{folder / 'generation_config.json'}: {len(heads)} alignment heads.")


def _lines(shares: "tuple[HeadShare, ...]", heads: tuple[tuple[int, int], ...]) -> list[str]:
    rows = [
        f"| {each.layer} | {each.head} | {100 * each.share:.0f} % | "
        f"{'yes' if (each.layer, each.head) in heads else ''} |"
        for each in shares[:_SHOWN]
    ]
    table = [
        "| layer | head | looks where the word is | taken |",
        "| --- | --- | --- | --- |",
        *rows,
    ]
    if len(shares) > _SHOWN:
        table.append(f"| .. | {len(shares) - _SHOWN} more | | |")
    return table
