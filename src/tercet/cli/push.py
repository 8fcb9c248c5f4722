"""`tercet push`: a model, its heads or an adapter to the hub, in one commit.

The address goes to standard output (with `--dry_run`, the table), everything else to standard error.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tercet.cli.chosen import Program, carried_out
from tercet.cli.download_bar import download_bar
from tercet.cli.licences import licence_notes

if TYPE_CHECKING:
    from tercet.hub.contents import Contents
    from tercet.hub.push import Pushed

_PROGRAM = "tercet push"
# One paragraph per string: typer keeps line ends inside a paragraph as they are.
_HELP = "\n\n".join(
    (
        "Publish a model, heads or an adapter on the hub, in one commit.",
        "SOURCE is a folder (weights, settings, tokenizer, heads, cards, licence are sent; logs and whatever "
        "else lies there are not), or a head's file. REPOSITORY is owner/name; it is made if it is not "
        "there. What the hub has already is not sent again. Write the page first: tercet card SOURCE.",
        "  tercet push runs/student/model me/whisper-base-2 --dry_run\n"
        "  tercet push runs/student/model me/whisper-base-2 --private\n"
        "  tercet push runs/tags/tags.safetensors me/street-sounds",
    )
)
_EPILOG = (
    "The token is the environment's HF_TOKEN, or the one of hf auth login; the hub is HF_ENDPOINT's. "
    "Exit code: 0, 1 (nothing was published, or not as it is here), 2 (usage), 130 (Ctrl-C)."
)
_Source = Annotated[Path, typer.Argument(metavar="SOURCE", show_default=False)]
_Repository = Annotated[str, typer.Argument(metavar="REPOSITORY", show_default=False)]
_Revision = Annotated[
    str | None,
    typer.Option(
        metavar="BRANCH",
        help="Instead of the main one; made from it if it is not there.",
        show_default=False,
    ),
]
_Message = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Of the commit.", show_default=False)
]
_Private = Annotated[
    bool,
    typer.Option("--private", help="Nobody else sees a new repository; an old one must be so."),
]
_Include = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Further files of the folder, as in plots/*.png; may be repeated.",
        show_default=False,
    ),
]
_DryRun = Annotated[
    bool, typer.Option("--dry_run", help="Check and list what would go; the hub is not asked.")
]
_Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no notes: errors only.")]


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code. Errors go to stderr, one line each.

    Raises:
        KeyboardInterrupt: Ctrl-C, with the line to show.
    """
    stopped = "stopped; the same command goes on, and finds what is there"
    return carried_out(Program(name=_PROGRAM, app=app, stopped=stopped), argv)


def app() -> typer.Typer:
    """The words of the command line -> what is to be done, which `run` then does."""
    made = typer.Typer(add_completion=False, rich_markup_mode="rich")

    @made.command(
        help=_HELP, epilog=_EPILOG, context_settings={"help_option_names": ["--help", "-h"]}
    )
    def _(
        source: _Source,
        repository: _Repository,
        *,
        revision: _Revision = None,
        message: _Message = None,
        private: _Private = False,
        include: _Include = None,
        dry_run: _DryRun = False,
        quiet: _Quiet = False,
    ) -> Callable[[], None]:
        how = {"revision": revision, "message": message, "private": private}
        return partial(_push, source, repository, include or [], how, dry_run, quiet)

    return made


def _push(
    source: Path,
    repository: str,
    include: Sequence[str],
    how: dict[str, str | bool | None],
    dry_run: bool,
    quiet: bool,
) -> None:
    from tercet.hub.contents import contents_of
    from tercet.hub.heads import warn_about_licence
    from tercet.hub.push import check_repository, push

    check_repository(repository)  # before gigabytes are looked at
    contents = contents_of(source, include=include)
    with licence_notes(quiet=quiet):
        for head in contents.heads:
            warn_about_licence(head)
    if not contents.has_card and not quiet:
        print(f"note: no README.md; this writes one: tercet card {source}", file=sys.stderr)
    if dry_run:
        print("\n".join(_table(contents)))
        return
    with download_bar(repository, quiet=quiet) as on_progress:
        pushed = push(contents, repository, on_progress=on_progress, **how)  # type: ignore[arg-type]
    if not quiet:
        print("\n".join(_told(repository, pushed)), file=sys.stderr)
    print(pushed.address)


def _table(contents: "Contents") -> list[str]:
    """What would go, and what would stay."""
    rows = [(each.name, each.size_bytes) for each in contents.files]
    rows.append(("in all", contents.size_bytes))
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {size / 1e6:>10.3f} MB" for name, size in rows]
    return [*lines, *([f"stays: {', '.join(contents.stays)}"] if contents.stays else [])]


def _told(repository: str, pushed: "Pushed") -> list[str]:
    at = f"commit {pushed.commit[:8]}"
    if not pushed.sent:
        lines = [f"{repository} has all of it already ({at}); nothing to do"]
    else:
        lines = [
            f"{len(pushed.sent)} files sent, {pushed.sent_bytes / 1e6:.1f} MB, checksums compared: "
            f"{', '.join(pushed.sent)} ({at})"
        ]
    if pushed.only_there:
        lines.append(f"note: left alone in {repository}: {', '.join(pushed.only_there)}")
    return lines
