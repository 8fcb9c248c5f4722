"""Recordings that are inside a data set's tables, written once as files, with a manifest of them.

A file is named for its row and its content, and takes its name when it is whole: names keep the order of the
rows, in which a speaker's sentences follow each other, and none is written twice. The manifest grows by a
line per row; after a stop it goes on behind the last one.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tercet.dataset.embedded import Embedded, Sound
from tercet.dataset.manifest_files import AUDIO_SUFFIXES
from tercet.dataset.manifest_rows import beside_sound
from tercet.dataset.shard_files import write_fault
from tercet.dataset.whole_file import whole_file
from tercet.errors import DataError, OutputError

MANIFEST = "source.jsonl"
_ABOUT = "source.json"
_PART = ".source.jsonl.part"
_FOLDER = "audio"
_FILES_PER_FOLDER = 1000
_HEADS = {b"fLaC": ".flac", b"RIFF": ".wav", b"OggS": ".ogg", b"ID3": ".mp3", b"\xff\xfb": ".mp3"}

OnProgress = Callable[[int, int], object]


def unpack(source: Embedded, out: Path, *, on_progress: OnProgress | None = None) -> Path:
    """Write a data set's recordings to `out/audio/`, and a manifest of all rows, `out/source.jsonl`.

    A row of the manifest has the other columns, too, and under `source` where it is from: data set, split and
    row. What is there already is not written again.

    Args:
        source: The data set.
        out: The folder; made where it is missing.
        on_progress: Called with rows done and rows in all (those done where that is not known).

    Returns:
        The manifest.

    Raises:
        DataError: the folder holds recordings of another data set; the data set cannot be read.
        OutputError: the folder cannot be written.
    """
    told = {"dataset": source.name, "split": source.split, "state": source.state}
    try:
        before = _told_in(out)
        if before is not None and any(before.get(key) != told[key] for key in ("dataset", "split")):
            raise DataError(
                f"{out}: holds recordings of {before.get('dataset')} {before.get('split') or ''}".rstrip()
                + "; choose another folder"
            )
        if before == told and (out / MANIFEST).is_file():
            return out / MANIFEST
        out.mkdir(parents=True, exist_ok=True)
        if before != told:
            (out / _PART).unlink(missing_ok=True)
            (out / MANIFEST).unlink(missing_ok=True)
            with whole_file(out / _ABOUT) as temporary:
                temporary.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        _write_rows(source, out, on_progress)
        (out / _PART).replace(out / MANIFEST)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise write_fault(out, error) from None
    return out / MANIFEST


def _told_in(out: Path) -> dict[str, Any] | None:
    try:
        told = json.loads((out / _ABOUT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        raise DataError(
            f"{out / _ABOUT}: is damaged; remove it, or choose another folder"
        ) from None
    return told if isinstance(told, dict) else {}


def _write_rows(source: Embedded, out: Path, on_progress: OnProgress | None) -> None:
    with (out / _PART).open("a+b") as part:
        part.seek(0)
        whole = part.read().rpartition(b"\n")
        part.truncate(len(whole[0]) + len(whole[1]))  # a kill may have torn the last line
        number = whole[0].count(b"\n") + bool(whole[1])
        for sound, facts in source.rows_from(number):
            row = {
                "audio": _path_of(sound, number, source, out),
                **beside_sound(facts),
                "source": {"dataset": source.name, "split": source.split, "row": number},
            }
            part.write(json.dumps(row, default=str, ensure_ascii=False).encode() + b"\n")
            part.flush()
            number += 1
            if on_progress is not None:
                on_progress(number, max(number, source.total or 0))


def _path_of(sound: Sound, number: int, source: Embedded, out: Path) -> str | None:
    """Where the recording is, relative to `out` if it is ours; None where the row has none."""
    if sound.content is None:
        if sound.path is None:
            return None
        return str((source.base or Path()).absolute() / sound.path)
    digest = hashlib.sha256(sound.content).hexdigest()[:16]
    place = number // _FILES_PER_FOLDER
    name = f"{_FOLDER}/{place:06d}/{number:09d}-{digest}{_suffix(sound)}"
    path = out / name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            temporary.write_bytes(sound.content)
    return name


def _suffix(sound: Sound) -> str:
    told = Path(sound.path or "").suffix.lower()
    if told in AUDIO_SUFFIXES:
        return told
    content = sound.content or b""
    return next((suffix for head, suffix in _HEADS.items() if content.startswith(head)), ".audio")
