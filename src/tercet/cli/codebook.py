"""`tercet codebook`: make a quantizer's codebook larger, join two, drop the mask, count how codes are used.

Figures and summaries go to standard output, everything else to standard error.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tercet.cli.chosen import Program, carried_out
from tercet.cli.plots import check_free, check_plot
from tercet.errors import HeadError, OptionError

if TYPE_CHECKING:
    from tercet.checkpoint.heads import Quantizer

_PROGRAM = "tercet codebook"
# One paragraph per string: typer keeps line ends inside a paragraph as they are.
_HELP = "\n\n".join(
    (
        "Codebooks of quantizers: grow them, merge them, and see how they are used.",
        "HEAD is a quantizer's file: Tercet's .safetensors, Ichigo's .pth, WhisperSpeech's .model. "
        "OUT is a new .safetensors.",
        "  tercet codebook expand small.safetensors large.safetensors --size 2049\n"
        "  tercet codebook merge large.safetensors small.safetensors merged.safetensors\n"
        "  tercet codebook stats codes/*.jsonl --head merged.safetensors --plot use.svg",
    )
)
_EPILOG = (
    "Exit code: 0, 1 (nothing was written), 2 (usage), 130 (Ctrl-C). What init and expand "
    "write is meant to be trained further."
)
_COPIES = (
    "New rows are noisy copies of the old ones; the mask becomes the last row. All else is copied."
)
_INIT_HELP = f"Start a larger codebook from a small one: every row gets noise. {_COPIES}"
_EXPAND_HELP = f"Make a codebook larger; its old codes keep their numbers and rows. {_COPIES}"
_MERGE_HELP = (
    "Put B's codes behind A's codebook, without B's mask. All else is A's; nothing is trained."
)
_DROP_HELP = "Remove the mask's row. Codes behind it move down by one."
_STATS_HELP = (
    "Count how the codes in token files are used: utilisation, dead codes, entropy, perplexity. "
    "CODES are files that tercet tokenize wrote (.txt, .json, .jsonl, .parquet)."
)
_Head = Annotated[Path, typer.Argument(metavar="HEAD", show_default=False)]
_A = Annotated[Path, typer.Argument(metavar="A", show_default=False)]
_B = Annotated[Path, typer.Argument(metavar="B", show_default=False)]
_Out = Annotated[Path, typer.Argument(metavar="OUT", show_default=False)]
_Codes = Annotated[list[Path], typer.Argument(metavar="CODES", show_default=False)]
_Size = Annotated[
    int, typer.Option(metavar="N", help="Rows of OUT, the mask's included.", show_default=False)
]
_Noise = Annotated[
    float, typer.Option(metavar="X", help="Standard deviation of the noise; rows have length 1.")
]
_Seed = Annotated[int, typer.Option(metavar="N", help="Fixes the noise.")]
_Match = Annotated[
    str | None,
    typer.Option(
        metavar="ichigo",
        help="The original's rows: the mask is copied among the codes, and lost.",
        show_default=False,
    ),
]
_Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]
_OfHead = Annotated[
    Path | None,
    typer.Option(
        "--head", metavar="HEAD", help="Whose codes these are; checked.", show_default=False
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="For machines: one JSON object.")]
_Plot = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Draw the use of the codes: .svg or .png.", show_default=False
    ),
]


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code. Errors go to stderr, one line each.

    Raises:
        KeyboardInterrupt: Ctrl-C, with the line to show.
    """
    program = Program(name=_PROGRAM, app=_app, hint=f"{_PROGRAM} --help")
    return carried_out(program, argv)


def _app() -> typer.Typer:
    """The words of the command line -> what is to be done, which `run` then does."""
    settings = {"help_option_names": ["--help", "-h"]}
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode="rich",
        help=_HELP,
        epilog=_EPILOG,
        context_settings=settings,
    )

    def growing(name: str, text: str, *, keep_rows: bool) -> None:
        @app.command(name=name, help=text, context_settings=settings)
        def _(
            head: _Head,
            out: _Out,
            *,
            size: _Size,
            noise: _Noise = 0.01,
            seed: _Seed = 0,
            match: _Match = None,
            force: _Force = False,
        ) -> Callable[[], None]:
            options = {"noise": noise, "seed": seed, "match": match, "keep_rows": keep_rows}
            return partial(_grow, head, out, size, options, force)

    growing("init", _INIT_HELP, keep_rows=False)
    growing("expand", _EXPAND_HELP, keep_rows=True)

    @app.command(name="merge", help=_MERGE_HELP, context_settings=settings)
    def _(a: _A, b: _B, out: _Out, *, force: _Force = False) -> Callable[[], None]:
        return partial(_merge, a, b, out, force)

    @app.command(name="drop-mask", help=_DROP_HELP, context_settings=settings)
    def _(head: _Head, out: _Out, *, force: _Force = False) -> Callable[[], None]:
        return partial(_drop_mask, head, out, force)

    @app.command(name="stats", help=_STATS_HELP, context_settings=settings)
    def _(
        codes: _Codes,
        *,
        head: _OfHead = None,
        machine: _Json = False,
        plot: _Plot = None,
        force: _Force = False,
    ) -> Callable[[], None]:
        return partial(_stats, codes, head, machine, plot, force)

    return app


def _grow(
    head: Path, out: Path, size: int, options: dict[str, float | int | str | None], force: bool
) -> None:
    from tercet.convert.codebook import grown

    _check_out(out, force)
    _write(out, grown(_quantizer(head), size, **options))  # type: ignore[arg-type]


def _merge(a: Path, b: Path, out: Path, force: bool) -> None:
    from tercet.convert.codebook import merged

    _check_out(out, force)
    _write(out, merged(_quantizer(a), _quantizer(b)))


def _drop_mask(head: Path, out: Path, force: bool) -> None:
    from tercet.convert.codebook import without_mask

    _check_out(out, force)
    _write(out, without_mask(_quantizer(head)))


def _quantizer(path: Path) -> "Quantizer":
    """The quantizer in a file.

    Raises:
        HeadError: it is a tag head.
        ModelError: it cannot be opened.
    """
    from tercet.checkpoint.head_file import open_head
    from tercet.checkpoint.heads import Quantizer

    head = open_head(path)
    if not isinstance(head, Quantizer):
        raise HeadError(f"{path}: a tag head, which has no codebook; give a quantizer")
    return head


def _check_out(path: Path, force: bool) -> None:
    """What is written is a head of Tercet's, and is called so.

    Raises:
        OptionError: another ending.
        OutputError: a file is there.
    """
    if path.suffix != ".safetensors":
        raise OptionError(f"OUT is {path}; give a name that ends in .safetensors")
    check_free(path, force=force)


def _write(out: Path, head: "Quantizer") -> None:
    from tercet.convert.head_store import write_head

    stored = {array.dtype.name for array in head.arrays.values.values()}
    narrow = "float16" if "float16" in stored else "float32"
    write_head(out, head, compute_type="int8" if head.arrays.scales else narrow)
    mask = "no mask" if head.mask_code is None else f"the mask is {head.mask_code}"
    print(f"{out}: {head.codebook_size} rows, {mask}, {out.stat().st_size / 1e6:.1f} MB")


def _stats(
    codes: Sequence[Path], head: Path | None, machine: bool, plot: Path | None, force: bool
) -> None:
    from tercet.cli.codebook_stats import show_stats

    if plot is not None:
        check_plot(plot)
        check_free(plot, force=force)
    show_stats(codes, None if head is None else _quantizer(head), machine=machine, plot=plot)
