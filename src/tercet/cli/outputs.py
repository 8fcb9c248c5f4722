"""Where results go: standard output, or files in a folder. Renders nothing itself (`captions`).

A file appears under its name when it is complete: all formats of a recording are written beside
their places first and renamed together. So a full disk leaves nothing half-written.
"""

import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tercet.cli.naming import output_name
from tercet.cli.presence import Presence
from tercet.errors import OutputError
from tercet.results import Transcript
from tercet.text import captions

# Of several recordings, these can still be told apart when they follow each other on stdout.
JOINABLE_FORMATS = ("txt", "json", "jsonl")


def open_folder(name: str) -> tuple[Path, Presence]:
    """Make the output folder, and the ones above it, and leave this run's mark in it.

    Raises:
        OutputError: it cannot be made, or nothing can be written in it.
    """
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Finds out now, before hours of work, that nothing can be written here.
        return folder, Presence(folder)
    except OSError as error:
        raise OutputError(
            f"--output_dir {name}: {reason_of(error)}; choose another folder"
        ) from None


def write_files(
    folder: Path,
    base: str,
    transcripts: Sequence[Transcript],
    formats: Sequence[str],
    temporary: Callable[[str], Path],
) -> dict[str, list[str]]:
    """Write a recording's transcripts, one for each channel, in every format: all of it or none.

    `temporary` names unfinished files in the folder.

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
    _write_all(folder, texts, temporary)
    return names


def _write_all(
    folder: Path, texts: Mapping[str, str], temporary_name: Callable[[str], Path]
) -> None:
    waiting: list[tuple[Path, Path]] = []
    name = ""
    try:
        for name, text in texts.items():
            temporary = temporary_name(str(len(waiting)))
            waiting.append((temporary, folder / name))
            if (folder / name).is_dir():  # found out before the first of them is renamed
                raise IsADirectoryError(errno.EISDIR, "a folder has this name")
            with temporary.open("w", encoding="utf-8", newline="") as file:
                file.write(text)
        for temporary, final in waiting:
            name = final.name
            temporary.replace(final)
    except OSError as error:
        raise OutputError(f"{folder / name}: not written: {reason_of(error)}") from None
    finally:
        for temporary, _ in waiting:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def text_for_stdout(transcripts: Sequence[Transcript], format_name: str, source: str | None) -> str:
    """What is printed of a recording. JSON says which `file` it is from, where `source` is given."""
    extra = {} if source is None else {"file": source}
    texts = []
    for transcript in transcripts:
        if format_name == "json":
            texts.append(captions.json_object(transcript, extra) + "\n")
        elif format_name == "jsonl":
            texts.append(captions.json_lines(transcript, extra))
        else:
            texts.append(captions.render(transcript, format_name))
    return "".join(texts)


def print_text(text: str) -> None:
    """Write to standard output, at once.

    Raises:
        OutputError: it takes no more (BrokenPipeError where its reader has gone).
    """
    encoding = sys.stdout.encoding or "utf-8"
    # A terminal that knows no umlauts shows question marks, as openai-whisper's does.
    shown = text.encode(encoding, errors="replace").decode(encoding)
    try:
        sys.stdout.write(shown)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output: not written: {reason_of(error)}") from None


def close_stdout() -> None:
    """Let go of a standard output that takes no more, so that the exit does not try it again."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def reason_of(error: OSError) -> str:
    """Why, in the system's words."""
    return (error.strerror or str(error)).lower()
