"""`tercet show`: a recording in, one picture of it out. How it looks is the business of `tercet.picture`."""

import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tercet.cli import exit_codes
from tercet.cli.download_bar import download_bar
from tercet.cli.inputs import AUDIO_EXTENSIONS, STDIN
from tercet.cli.licences import licence_notes
from tercet.cli.listening.outputs import reason_of
from tercet.cli.listening.progress import Screen
from tercet.cli.options import values
from tercet.cli.options.groups import MODEL, ModelOptions, TagHeadOptions, TokenHeadOptions
from tercet.cli.options.parser import CommandWords, parse
from tercet.cli.options.table import Options, switch, valued
from tercet.cli.wording import as_said_here
from tercet.errors import (
    AudioNotFoundError,
    FingerprintError,
    HeadError,
    ModelNotFoundError,
    OptionError,
    OutputError,
    TercetError,
)

if TYPE_CHECKING:
    from tercet.picture.excerpt import Excerpt
    from tercet.picture.scene import Scene
    from tercet.results import Hearing

PICTURE = "Picture"
PAGE_S = 120.0  # shown where nobody says how much
_FORMATS = {".png": "png", ".svg": "svg", ".html": "html", ".htm": "html"}
_LEAST_WIDTH, _MOST_WIDTH = 400, 4000
_USAGE_ERRORS = (OptionError, ModelNotFoundError, HeadError, FingerprintError)


def _moment(text: str) -> float:
    """Seconds, or `MINUTES:SECONDS`, or `HOURS:MINUTES:SECONDS`."""
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d*)?", text):
        raise ValueError("a time: seconds, 1:30 or 1:02:30")
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60.0 * seconds + float(part)
    return seconds


def _width(text: str) -> int:
    if not (text.isascii() and text.isdigit() and _LEAST_WIDTH <= int(text) <= _MOST_WIDTH):
        raise ValueError(f"a whole number from {_LEAST_WIDTH} to {_MOST_WIDTH}")
    return int(text)


@dataclass(frozen=True, kw_only=True)
class PictureOptions(Options):
    """What is drawn, and where it goes."""

    output: str | None = valued(
        PICTURE, "None", values.or_none(values.plain), "FILE",
        "Where it goes: .html (with the sound), .png or .svg; None: FILE's name with .html, here.",
        "-o",
    )  # fmt: skip
    from_s: float = valued(
        PICTURE,
        "0",
        _moment,
        "TIME",
        "Where the picture begins: seconds, 1:30 or 1:02:30.",
        "--from",
    )
    to_s: float | None = valued(
        PICTURE, "None", values.or_none(_moment), "TIME",
        "Where it ends; None: two minutes later, or at the recording's end.",
        "--to",
    )  # fmt: skip
    width: int = valued(
        PICTURE, "1200", _width, "PIXELS", "How wide a png or svg is; html fits its window."
    )
    title: str | None = valued(
        PICTURE, "None", values.or_none(values.plain), "TEXT", "The heading; None: FILE's name."
    )
    force: bool = switch(PICTURE, "False", "Replace a file that is there.")
    quiet: bool = switch(PICTURE, "False", "No progress and no notes: errors only.")


@dataclass(frozen=True, kw_only=True)
class ShowOptions(TokenHeadOptions, TagHeadOptions, ModelOptions, PictureOptions):
    """The options of `tercet show`, checked one by one and together."""

    @property
    def end_s(self) -> float:
        """Where the picture ends, unless the recording does earlier."""
        return self.from_s + PAGE_S if self.to_s is None else self.to_s

    def check(self) -> None:
        """A stretch has a length that can be drawn, and a page no width of its own."""
        super().check()
        from tercet.picture.excerpt import MOST_S

        if self.end_s <= self.from_s:
            raise OptionError(f"--to {self.to_s:g} is not behind --from {self.from_s:g}")
        if self.end_s - self.from_s > MOST_S:
            raise OptionError(
                f"a picture shows {MOST_S:g} s at most; choose them with --from and --to"
            )
        if self.output is not None and Path(self.output).suffix.lower() not in _FORMATS:
            raise OptionError(f"--output: {self.output!r} does not end in .html, .png or .svg")
        is_page = self.output is None or _FORMATS[Path(self.output).suffix.lower()] == "html"
        if is_page and "width" in self.changed(PICTURE):
            raise OptionError("--width has no effect on html, which fits its window; drop it")


@dataclass(frozen=True, slots=True)
class _Task:
    """What to show, and where it goes."""

    recording: str  # a path, or "-"
    heard: Path | None  # the result that is there already
    output: Path
    format_name: str


WORDS = CommandWords(
    program="tercet show",
    options=ShowOptions,
    help=(
        "Draw one picture of a recording: its sound, what is said, what else is heard, speech tokens.",
        "FILE is an audio or video file, or - for standard input; or a finished JSON of tercet listen, "
        "with its recording behind it or beside it under the same name. A page (.html) holds the sound: "
        "it plays what is clicked. png and svg need the extra eval.",
        "  tercet show talk.mp3\n"
        "  tercet show talk.mp3 --from 12:30 --to 14:00 -o talk.png\n"
        "  tercet show street.ogg --tags my-tags.safetensors --tokens my-codes.safetensors\n"
        "  tercet show out/street.json street.ogg",
        "In options' names - and _ are the same. The name of what was written is printed.",
    ),
    epilog="Exit code: 0, 1 (the input failed), 2 (usage), 130 (Ctrl-C). More: docs/show.md.",
    what="a recording, or a JSON of tercet listen",
)


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    try:
        options = parse(argv, WORDS)
    except OptionError as error:
        print(f"tercet show: {error} (see tercet show --help)", file=sys.stderr)
        return exit_codes.USAGE
    if options is None:
        return exit_codes.OK
    screen = Screen(quiet=options.quiet, verbose=False)
    try:
        task = _task(options)
        _show(task, options, screen)
    except TercetError as error:
        screen.error(as_said_here(error))
        is_usage = isinstance(error, _USAGE_ERRORS)
        return exit_codes.USAGE if is_usage else exit_codes.FAILED
    print(task.output)
    return exit_codes.OK


def _task(options: ShowOptions) -> _Task:
    """Find out everything that can go wrong before anything is heard."""
    recording, heard = _recording_and_result(options.files)
    if heard is not None and (idle := options.changed(MODEL)):
        raise OptionError(f"--{idle[0]} has no effect: {heard} was heard before; drop one of them")
    shown = "stdin" if recording == STDIN else recording
    output = Path(options.output or f"{Path(shown).stem}.html")
    format_name = _FORMATS[output.suffix.lower()]
    if format_name != "html":
        from tercet.picture.draw import check_installed

        check_installed(format_name)
    _check_place(output, [*options.files, recording], force=options.force)
    return _Task(recording, heard, output, format_name)


def _recording_and_result(files: Sequence[str]) -> tuple[str, Path | None]:
    results = [name for name in files if name != STDIN and Path(name).suffix.lower() == ".json"]
    recordings = [name for name in files if name not in results]
    if len(results) > 1 or len(recordings) > 1:
        raise OptionError("one picture shows one recording; name one FILE (or a JSON and its FILE)")
    if not results:
        return recordings[0], None
    return (recordings or [_beside(Path(results[0]))])[0], Path(results[0])


def _beside(result: Path) -> str:
    """The recording that lies beside its result: talk.json -> talk.mp3."""
    if not result.is_file():
        raise AudioNotFoundError(f"{result}: no such file; check the name")
    found = sorted(
        path
        for path in result.parent.iterdir()
        if path.suffix.lower() in AUDIO_EXTENSIONS and result.stem in (path.stem, path.name)
    )
    if len(found) != 1:
        what = f"{len(found)} recordings lie" if found else "no recording lies"
        raise AudioNotFoundError(
            f"{result}: {what} beside it under its name; name both: tercet show {result} RECORDING"
        )
    return str(found[0])


def _check_place(output: Path, inputs: Sequence[str], *, force: bool) -> None:
    if any(name != STDIN and os.path.realpath(name) == os.path.realpath(output) for name in inputs):
        raise OptionError(f"--output {output} is what is to be shown; choose another name")
    if output.is_dir():
        raise OutputError(f"{output}: not written: a folder has this name; choose another")
    if not output.absolute().parent.is_dir():
        raise OutputError(f"{output}: not written: there is no folder {output.parent}; make it")
    if os.path.lexists(output) and not force:
        raise OutputError(f"{output}: is there already; choose another --output, or add --force")


def _show(task: _Task, options: ShowOptions, screen: Screen) -> None:
    from tercet.picture.excerpt import read_excerpt
    from tercet.picture.heard_file import read_heard
    from tercet.picture.scene import scene_of

    heard = None if task.heard is None else read_heard(task.heard)
    excerpt = read_excerpt(task.recording, start_s=options.from_s, end_s=options.end_s)
    offset_s = 0.0
    if heard is None:
        heard, offset_s = _hear(excerpt, options, screen), excerpt.start_s
    shown = "stdin" if task.recording == STDIN else Path(task.recording).name
    scene = scene_of(heard, excerpt, title=options.title or shown, offset_s=offset_s)
    if options.to_s is None:
        _tell_what_is_left(shown, scene, options, screen)
    _write(task.output, _rendered(task, scene, excerpt, options, screen))


def _hear(excerpt: "Excerpt", options: ShowOptions, screen: Screen) -> "Hearing":
    """Hear the stretch that is shown, and nothing else of the recording."""
    import tercet
    from tercet.results import Hearing

    with (
        download_bar(options.shown_names, quiet=options.quiet) as on_fetched,
        licence_notes(quiet=options.quiet, show=screen.say),
    ):
        arguments = options.load_arguments() | {"on_progress": on_fetched}
        model = tercet.load_model(options.model, **arguments)
    with screen.progress(1):
        heard = model.listen(excerpt.samples, sampling_rate=16000, on_progress=screen.on_progress)
    assert isinstance(heard, Hearing)  # one channel
    return heard


def _tell_what_is_left(shown: str, scene: "Scene", options: ShowOptions, screen: Screen) -> None:
    from tercet.picture.wording import is_part, subtitle

    if is_part(scene) and not options.quiet:
        stretch = subtitle(scene).split("  ")[0]
        screen.say(f"note: {shown}: {stretch} is shown; --from and --to choose another part")


def _rendered(
    task: _Task, scene: "Scene", excerpt: "Excerpt", options: ShowOptions, screen: Screen
) -> bytes:
    if task.format_name == "html":
        from tercet.picture.page import page

        return page(scene, excerpt).encode()
    from tercet.picture.draw import draw

    content, is_complete = draw(scene, format_name=task.format_name, width=options.width)
    if not is_complete and not options.quiet:
        screen.say(
            "note: no font of this machine has all letters of the text; a browser has them for html"
        )
    return content


def _write(output: Path, content: bytes) -> None:
    """Under another name first: what is there stays whole until the new one is."""
    temporary = output.with_name(f".{output.name}-{os.getpid()}.tercet.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(output)
    except OSError as error:
        raise OutputError(f"{output}: not written: {reason_of(error)}") from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
