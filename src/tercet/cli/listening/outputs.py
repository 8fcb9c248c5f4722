"""Where results go: standard output, or files in a folder. Renders nothing itself (`results.Form`).

A file appears under its name when it is complete: all formats of a recording are written beside
their places first and renamed together. So a full disk leaves nothing half-written.
"""

import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tercet.cli.listening.naming import output_name
from tercet.cli.listening.presence import Presence
from tercet.cli.listening.results import Form, Rendered, Result
from tercet.errors import OutputError


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
    results: Sequence[Result],
    formats: Sequence[str],
    form: Form,
    temporary: Callable[[str], Path],
) -> dict[str, list[str]]:
    """Write an input's results, one for each channel, in every format: all of it or none.

    `temporary` names unfinished files in the folder.

    Returns:
        Each format's file names.

    Raises:
        OutputError: the folder is full or cannot be written.
    """
    names: dict[str, list[str]] = {}
    contents: dict[str, Rendered] = {}
    for format_name in formats:
        for result in results:
            name = output_name(base, form.extension(format_name), result.part)
            names.setdefault(format_name, []).append(name)
            contents[name] = form.render(result.value, format_name, result.extra)
    _write_all(folder, contents, temporary)
    return names


def _write_all(
    folder: Path, contents: Mapping[str, Rendered], temporary_name: Callable[[str], Path]
) -> None:
    waiting: list[tuple[Path, Path]] = []
    name = ""
    try:
        for name, content in contents.items():
            temporary = temporary_name(str(len(waiting)))
            waiting.append((temporary, folder / name))
            if (folder / name).is_dir():  # found out before the first of them is renamed
                raise IsADirectoryError(errno.EISDIR, "a folder has this name")
            encoded = content.encode() if isinstance(content, str) else content
            with temporary.open("wb") as file:
                file.write(encoded)
        for temporary, final in waiting:
            name = final.name
            temporary.replace(final)
    except OSError as error:
        raise OutputError(f"{folder / name}: not written: {reason_of(error)}") from None
    finally:
        for temporary, _ in waiting:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def text_for_stdout(results: Sequence[Result], format_name: str, form: Form) -> str:
    """What is printed of an input."""
    texts = []
    for result in results:
        text = form.render(result.value, format_name, result.extra)
        assert isinstance(text, str)  # `delivery.choose` lets no other format come here
        # One object per line; a file holds nothing but the object.
        texts.append(text if text.endswith("\n") or format_name != "json" else f"{text}\n")
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
