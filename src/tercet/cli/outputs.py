"""Where results go: standard output, or files in a folder. Renders nothing itself (`captions`).

A file appears under its name when it is complete: all formats of a recording are written beside
their places first and renamed together. So a full disk leaves nothing half-written.
"""

import errno
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tercet.cli.naming import output_name
from tercet.errors import OutputError
from tercet.results import Transcript
from tercet.text import captions

# Of several recordings, these can still be told apart when they follow each other on stdout.
JOINABLE_FORMATS = ("txt", "json", "jsonl")


def open_folder(name: str) -> Path:
    """Make the output folder, and the ones above it.

    Raises:
        OutputError: it cannot be made, or nothing can be written in it.
    """
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Finds out now, before hours of work, that nothing can be written here.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"--output_dir {name}: {_reason(error)}; choose another folder") from None
    return folder


def write_files(
    folder: Path, base: str, transcripts: Sequence[Transcript], formats: Sequence[str]
) -> dict[str, list[str]]:
    """Write a recording's transcripts, one for each channel, in every format: all of it or none.

    Returns:
        Each format's file names.

    Raises:
        OutputError: the folder is full or cannot be written.
    """
    names: dict[str, list[str]] = {}
    texts: dict[str, str] = {}
    for format_name in formats:
        for transcript in transcripts:
            name = output_name(base, format_name, transcript.channel)
            names.setdefault(format_name, []).append(name)
            texts[name] = captions.render(transcript, format_name)
    _write_all(folder, texts)
    return names


def _write_all(folder: Path, texts: Mapping[str, str]) -> None:
    waiting: list[tuple[Path, Path]] = []
    name = ""
    try:
        for name, text in texts.items():
            temporary = folder / f".{len(waiting)}-{os.getpid()}.tercet.tmp"
            waiting.append((temporary, folder / name))
            if (folder / name).is_dir():  # found out before the first of them is renamed
                raise IsADirectoryError(errno.EISDIR, "a folder has this name")
            with temporary.open("w", encoding="utf-8", newline="") as file:
                file.write(text)
        for temporary, final in waiting:
            name = final.name
            temporary.replace(final)
    except OSError as error:
        raise OutputError(f"{folder / name}: not written: {_reason(error)}") from None
    finally:
        for temporary, _ in waiting:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_stdout(transcripts: Sequence[Transcript], format_name: str, source: str | None) -> None:
    """Print a recording's transcripts. JSON says which `file` it is from, where `source` is given.

    Raises:
        OutputError: standard output takes no more (BrokenPipeError where its reader has gone).
    """
    extra = {} if source is None else {"file": source}
    for transcript in transcripts:
        if format_name == "json":
            text = captions.json_object(transcript, extra) + "\n"
        elif format_name == "jsonl":
            text = captions.json_lines(transcript, extra)
        else:
            text = captions.render(transcript, format_name)
        _print(text)


def _print(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    # A terminal that knows no umlauts shows question marks, as openai-whisper's does.
    shown = text.encode(encoding, errors="replace").decode(encoding)
    try:
        sys.stdout.write(shown)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output: not written: {_reason(error)}") from None


def close_stdout() -> None:
    """Let go of a standard output that takes no more, so that the exit does not try it again."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
