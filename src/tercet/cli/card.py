"""`tercet card`: README.md for the hub, from what is known of a model or head.

The page's path (with `--dry_run`, the page) goes to standard output, everything else to standard error.
"""

import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tercet.cli.chosen import Program, carried_out
from tercet.errors import OptionError

if TYPE_CHECKING:
    from tercet.publish.facts import Facts

_PROGRAM = "tercet card"
# One paragraph per string: typer keeps line ends inside a paragraph as they are.
_HELP = "\n\n".join(
    (
        "Write a model's page for the hub, README.md, from what is known of it.",
        "SOURCE is what tercet push takes: a folder with a model or heads, or a head's file. Sizes come from "
        "the files; recipe, figures and data from the training run, its labels and their filter, and from "
        "reports of tercet eval text. What nobody knows is left out. Text outside of the generated block is "
        "kept, and so are keys of the front matter that the card does not write.",
        "  tercet card runs/student/model --eval student.json --eval teacher.json --repo me/whisper-base-2",
    )
)
_EPILOG = "Exit code: 0, 1 (a file is missing or damaged; no page was changed), 2 (usage)."
_Source = Annotated[Path, typer.Argument(metavar="SOURCE", show_default=False)]
_Run = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="The training run; the one that SOURCE lies in if left out.",
        show_default=False,
    ),
]
_Labels = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FOLDER",
        help="What tercet label wrote; may be repeated. The recipe's if left out.",
        show_default=False,
    ),
]
_Eval = Annotated[
    list[Path] | None,
    typer.Option(
        "--eval",
        metavar="FILE",
        help="JSON of tercet eval text, of the student or its teacher; may be repeated.",
        show_default=False,
    ),
]
_Repo = Annotated[
    str | None,
    typer.Option(metavar="REPOSITORY", help="Its name on the hub, owner/name.", show_default=False),
]
_Licence = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="As SPDX writes it; the recipe's or the head's if left out.",
        show_default=False,
    ),
]
_Languages = Annotated[
    str | None,
    typer.Option(
        metavar="LIST", help="As in de,fr; those of the labels if left out.", show_default=False
    ),
]
_Dataset = Annotated[
    list[str] | None,
    typer.Option(
        metavar="REPOSITORY",
        help="A data set of the hub that it learnt from; may be repeated.",
        show_default=False,
    ),
]
_DryRun = Annotated[bool, typer.Option("--dry_run", help="Print the page; write nothing.")]
_Quiet = Annotated[bool, typer.Option("--quiet", help="No notes: errors only.")]


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code. Errors go to stderr, one line each.

    Raises:
        KeyboardInterrupt: Ctrl-C, with the line to show.
    """
    return carried_out(Program(name=_PROGRAM, app=app), argv)


def app() -> typer.Typer:
    """The words of the command line -> what is to be done, which `run` then does."""
    made = typer.Typer(add_completion=False, rich_markup_mode="rich")

    @made.command(
        help=_HELP, epilog=_EPILOG, context_settings={"help_option_names": ["--help", "-h"]}
    )
    def _(
        source: _Source,
        *,
        run: _Run = None,
        labels: _Labels = None,
        reports: _Eval = None,
        repo: _Repo = None,
        licence: _Licence = None,
        languages: _Languages = None,
        dataset: _Dataset = None,
        dry_run: _DryRun = False,
        quiet: _Quiet = False,
    ) -> Callable[[], None]:
        known: dict[str, Any] = {
            "run": run,
            "labels": labels or (),
            "reports": reports or (),
            "repository": repo,
            "licence": licence,
            "languages": _codes(languages),
            "datasets": dataset or (),
        }
        return partial(_card, source, known, dry_run, quiet)

    return made


def _codes(languages: str | None) -> list[str]:
    codes = [] if languages is None else [code.strip() for code in languages.split(",")]
    if wrong := [code for code in codes if not re.fullmatch(r"[a-z]{2,3}", code)]:
        raise OptionError(f"--languages {wrong[0]!r}: give codes, as in de,fr")
    return codes


def _card(source: Path, known: dict[str, Any], dry_run: bool, quiet: bool) -> None:
    from tercet.hub.push import check_repository
    from tercet.publish.card import card_text, write_card
    from tercet.publish.facts import gather

    for name in (known["repository"], *known["datasets"]):
        if name is not None:
            check_repository(name)
    facts = gather(source, **known)
    if not quiet:
        for line in _notes(facts):
            print(f"note: {line}", file=sys.stderr)
    if dry_run:
        print(card_text(facts), end="")
    else:
        print(write_card(facts))


def _notes(facts: "Facts") -> list[str]:
    """What people look for on such a page, and will not find; what other programs will not do."""
    from tercet.publish.elsewhere import whisper_cpp_note

    note = None if facts.model is None else whisper_cpp_note(facts.model.geometry)
    lines = [note] if note else []
    if facts.repository is None:
        lines.append("what readers are to type needs the name on the hub; give --repo owner/name")
    if not facts.licence:
        lines.append("nothing says the licence, without which nobody may use it; give --licence")
    if facts.model is not None and not facts.reports:
        lines.append("there are no word error rates; give --eval FILE (tercet eval text, as JSON)")
    if facts.model is not None and not facts.languages:
        lines.append("nothing says the languages; give --languages")
    return lines
