"""What a recording's output files are called: `talk.mp3` -> `talk.srt`. Writes nothing.

openai-whisper names by the stem alone, so that `a/talk.mp3` and `b/talk.wav` overwrite each
other. Here the names of those that would clash grow until they differ: `talk.wav.srt`, then
`b-talk.wav.srt`, then a number.
"""

import os
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tercet.cli.inputs import Input


def base_names(inputs: Sequence[Input], folder: str, extensions: Sequence[str]) -> list[str]:
    """A name for each recording, without extension; no two are equal, in any case of letters.

    No name leads to an output file in `folder` that is one of the recordings itself.
    """
    kept = _recordings_in(folder, inputs)
    names = [_name(entry, 0) for entry in inputs]
    levels = [0] * len(inputs)
    holders: dict[str, set[int]] = {}  # a name in small letters -> who has it
    for n, name in enumerate(names):
        holders.setdefault(name.casefold(), set()).add(n)
    changed = set(holders)
    while changed:
        growing = [
            n
            for key in changed
            if len(holders[key]) > 1 or any(output_name(key, e, None) in kept for e in extensions)
            for n in holders[key]
            if levels[n] <= _depth(inputs[n])
        ]
        changed = set()
        for n in growing:
            holders[names[n].casefold()].remove(n)
            levels[n] += 1
            names[n] = _name(inputs[n], levels[n])
            changed.add(names[n].casefold())
            holders.setdefault(names[n].casefold(), set()).add(n)
    return _numbered(names)


def output_name(base: str, extension: str, part: str | None) -> str:
    """The file's name; what tells an input's results apart (its channel, "ch0") stands in it."""
    return f"{base}.{extension}" if part is None else f"{base}.{part}.{extension}"


def audio_ids(inputs: Sequence[Input]) -> list[str]:
    """A name for each recording of a corpus: its path within the folder that was named, or as it was given.

    Paths that two folders have in common keep their folders.
    """
    short = [_path_in_folder(entry) for entry in inputs]
    counts = Counter(short)
    ids = [
        name if counts[name] == 1 else entry.shown
        for name, entry in zip(short, inputs, strict=True)
    ]
    # A file's name need not be valid Unicode; a table's text is.
    return [name.encode(errors="backslashreplace").decode() for name in ids]


def _path_in_folder(entry: Input) -> str:
    if entry.folder is None:
        return entry.shown
    return Path(entry.source).relative_to(entry.folder).as_posix()


def _depth(entry: Input) -> int:
    return 0 if entry.is_stdin else len(Path(os.path.realpath(entry.source)).parts) - 1


def _name(entry: Input, level: int) -> str:
    """Level 0: the stem; 1: the file's whole name; more: its folders' names before it."""
    if level == 0:
        return Path(entry.file_name).stem
    if level == 1 or entry.is_stdin:
        return entry.file_name
    parents = Path(os.path.realpath(entry.source)).parent.parts[-(level - 1) :]
    return "-".join([*(part.strip("/\\:") for part in parents), entry.file_name])


def _recordings_in(folder: str, inputs: Sequence[Input]) -> set[str]:
    """Names in small letters of the recordings that lie in the folder, by themselves or by a link."""
    home = os.path.realpath(folder)
    real = cache(os.path.realpath)
    found = set()
    for entry in inputs:
        if entry.is_stdin:
            continue
        paths = [entry.source]
        if Path(entry.source).is_symlink():
            paths.append(os.path.realpath(entry.source))
        for parent, name in map(os.path.split, paths):
            if real(parent) == home:
                found.add(name.casefold())
    return found


def _numbered(names: Sequence[str]) -> list[str]:
    taken: set[str] = set()
    last_number: dict[str, int] = {}
    result = []
    for name in names:
        candidate, n = name, last_number.get(name.casefold(), 1)
        while candidate.casefold() in taken:
            n += 1
            candidate = f"{name}-{n}"
        last_number[name.casefold()] = n
        taken.add(candidate.casefold())
        result.append(candidate)
    return result
