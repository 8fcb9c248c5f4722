"""Errors in the words of the command line: the library's name Python's arguments. Changes nothing else."""

import re

from tercet.errors import TercetError

# "load_model(..., tags=FILE), --tags FILE" is said to both: the second half is ours.
_TO_BOTH = re.compile(r"load_model\(\.\.\., (tags|tokens|draft)=FILE\), (?=--\1 FILE)")
_WITH_VALUE = re.compile(r"(?<![\w./-])(tags|tokens|draft)=FILE\b")
_ALONE = re.compile(r"(?<![\w./-])(tags|tokens|draft)=(?=[\s,;.:)]|$)")
_CHOSEN = re.compile(r"(?<![\w./-])(channel|longform|match|mel_floor)[= ]'([\w-]+)'")
_RENAMED = {"chunk_length_s": "--chunk_length", "stride_length_s": "--stride"}


def as_said_here(error: TercetError) -> str:
    """The error's line with `--tokens FILE` for `tokens=FILE`, `--channel each` for `channel='each'`."""
    line = _TO_BOTH.sub("", str(error))
    line = _WITH_VALUE.sub(r"--\1 FILE", line)
    line = _ALONE.sub(r"--\1", line)
    for name, option in _RENAMED.items():
        line = re.sub(rf"(?<![\w./-]){name}\b", option, line)
    return _CHOSEN.sub(r"--\1 \2", line)
