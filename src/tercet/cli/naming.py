"""What a recording's output files are called: `talk.mp3` -> `talk.srt`. Writes nothing.

openai-whisper names by the stem alone, so that `a/talk.mp3` and `b/talk.wav` overwrite each
other. Here the names of those that would clash grow until they differ: `talk.wav.srt`, then
`b-talk.wav.srt`, then a number.
"""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tercet.cli.inputs import Input


def base_names(inputs: Sequence[Input], folder: str, formats: Sequence[str]) -> list[str]:
    """A name for each recording, without extension; no two are equal, in any case of letters.

    No name leads to an output file in `folder` that is one of the recordings itself.
    """
    recordings = {os.path.realpath(i.source) for i in inputs if not i.is_stdin}
    levels = [0] * len(inputs)
    deepest = [1 + _depth(i) for i in inputs]
    while True:
        names = [_name(i, level) for i, level in zip(inputs, levels, strict=True)]
        counts = Counter(name.casefold() for name in names)
        growing = [
            n
            for n, name in enumerate(names)
            if levels[n] < deepest[n]
            and (counts[name.casefold()] > 1 or _hits(name, folder, formats, recordings))
        ]
        if not growing:
            return _numbered(names)
        for n in growing:
            levels[n] += 1


def output_name(base: str, format_name: str, channel: int | None) -> str:
    """The file's name; the channel stands in it where each has a transcript of its own."""
    return f"{base}.{format_name}" if channel is None else f"{base}.ch{channel}.{format_name}"


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


def _hits(name: str, folder: str, formats: Sequence[str], recordings: set[str]) -> bool:
    outputs = (os.path.realpath(Path(folder) / output_name(name, f, None)) for f in formats)
    return any(output in recordings for output in outputs)


def _numbered(names: Sequence[str]) -> list[str]:
    taken: set[str] = set()
    result = []
    for name in names:
        candidate, n = name, 1
        while candidate.casefold() in taken:
            n += 1
            candidate = f"{name}-{n}"
        taken.add(candidate.casefold())
        result.append(candidate)
    return result
