"""What the commands below `tercet eval` share: options, the manifest's rows, the model, the printing."""

import json
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tercet.cli.download_bar import download_bar
from tercet.cli.eval_progress import EvalScreen
from tercet.cli.licences import licence_notes
from tercet.errors import OptionError
from tercet.results import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tercet.dataset.manifests import Manifest
    from tercet.listener import Model

Form = Literal["text", "json"]
ManifestPath = Annotated[
    Path,
    typer.Argument(metavar="MANIFEST", show_default=False),
]
Name = Annotated[str, typer.Option(metavar="MODEL", help="Name, folder, file or hub id.")]
Adapter = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="A PEFT adapter (LoRA) merged into it: a folder, its weights' file, or a hub id.",
        show_default=False,
    ),
]
ComputeType = Annotated[
    str, typer.Option("--compute_type", metavar="TYPE", help="auto, int8 or float32.")
]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="cpu, cuda, or auto: the CPU.")]
Engine = Annotated[
    str, typer.Option(metavar="ENGINE", help="onnx, openvino, torch, or auto: the fastest here.")
]
Threads = Annotated[
    int | None,
    typer.Option(metavar="N", help="CPU threads; all cores if left out.", show_default=False),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD=VALUE",
        help="Rows whose field is so, as in fold=4 or speaker=*9; may be repeated.",
        show_default=False,
    ),
]
Every = Annotated[int, typer.Option(metavar="N", help="Of those rows only each Nth.")]
Root = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Relative paths start here; in the manifest's folder if left out.",
        show_default=False,
    ),
]
SkipBroken = Annotated[
    bool, typer.Option("--skip_broken", help="Leave rows with faults out, and tell how many.")
]
Fallback = Annotated[
    bool,
    typer.Option(
        "--fallback",
        help="Decode doubtful text again at higher temperatures, as tercet listen does.",
    ),
]
Format = Annotated[
    Form,
    typer.Option("--format", "-f", metavar="text|json", help="A table, or one JSON object."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no notes: errors only.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What every command below `tercet eval` is told."""

    model: str
    adapter: str | None
    device: str
    compute_type: str
    engine: str
    threads: int | None
    where: Sequence[str] | None
    every: int
    root: Path | None
    skip_broken: bool
    form: Form
    quiet: bool
    text_column: str | None = None  # of commands that read references

    def __post_init__(self) -> None:
        check_counts(threads=self.threads, every=self.every)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Choice":
        """From a command's arguments by name, among its own."""
        return cls(**{each.name: told[each.name] for each in fields(cls) if each.name in told})

    def rows(self, path: Path, screen: EvalScreen) -> "Manifest":
        """The manifest's rows that are looked at.

        Raises:
            DataError: rows have faults, or none is left.
            OptionError: --where has no field or no value.
        """
        return rows_of(path, self.where or (), self, screen, every=self.every)

    @contextmanager
    def opening(self) -> "Iterator[dict[str, Any]]":
        """What a model is opened with; licences and bytes that arrive are told meanwhile."""
        with (
            download_bar(self.model, quiet=self.quiet) as on_fetched,
            licence_notes(quiet=self.quiet),
        ):
            arguments: dict[str, Any] = {
                "device": self.device,
                "compute_type": self.compute_type,
                "engine": self.engine,
                "threads": self.threads,
            }
            if self.adapter is not None:
                arguments["adapter"] = self.adapter
            yield arguments | ({} if on_fetched is None else {"on_progress": on_fetched})

    def open(self, *, tags: str | None = None, tokens: str | None = None) -> "Model":
        """The model with its heads; None: those that came with it.

        Raises:
            ModelError: it cannot be opened, or a head does not fit.
        """
        import tercet

        with self.opening() as arguments:
            return tercet.load_model(self.model, tags=tags, tokens=tokens, **arguments)

    def show(self, report: Any, told: Mapping[str, Any] | None = None) -> None:
        """Print a report that has `lines()` and `to_json()`; `told` joins its JSON."""
        if self.form == "json":
            named = {} if self.adapter is None else {"adapter": self.adapter}
            print(json.dumps({"schema": SCHEMA, **(told or {}), **named, **report.to_json()}))
            return
        print("\n".join(report.lines()))


def rows_of(
    path: Path, where: Sequence[str], choice: Choice, screen: EvalScreen, *, every: int = 1
) -> "Manifest":
    """Read a manifest and choose its rows; as `Choice.rows`."""
    from tercet.dataset.manifests import read_manifest
    from tercet.evaluate.recordings import chosen

    patterns = dict(_pair(each) for each in where)
    manifest = read_manifest(
        path, root=choice.root, skip_broken=choice.skip_broken, text_column=choice.text_column
    )
    if manifest.faults:
        screen.note(f"{path}: {len(manifest.faults)} faults; those rows are left out")
    return chosen(manifest, patterns, every)


def check_counts(**counts: int | None) -> None:
    """Options that count something; None was left out.

    Raises:
        OptionError: one is less than 1.
    """
    for name, count in counts.items():
        if count is not None and count < 1:
            raise OptionError(f"--{name} {count}: give 1 or more")


def numbers(text: str, option: str) -> tuple[float, ...]:
    """`20,10,5`: decibels, each once.

    Raises:
        OptionError: one is no number.
    """
    try:
        found = tuple(dict.fromkeys(float(word) for word in text.split(",")))
    except ValueError:
        found = (float("nan"),)
    if any(not -200 <= number <= 200 for number in found):
        raise OptionError(
            f"{option} {text!r}: give numbers from -200 to 200 with commas between them"
        )
    return found


def need_word_errors() -> None:
    """Found out before an hour of listening.

    Raises:
        OptionError: the packages that compare texts are not installed.
    """
    missing = [name for name in ("jiwer", "whisper_normalizer") if find_spec(name) is None]
    if missing:
        raise OptionError(f"word error rates need {', '.join(missing)}: pip install 'tercet[eval]'")


def _pair(text: str) -> tuple[str, str]:
    field, equals, value = text.partition("=")
    if not (field and equals and value):
        raise OptionError(f"--where {text!r}: write FIELD=VALUE, as in fold=4")
    return field, value
