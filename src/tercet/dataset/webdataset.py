"""WebDataset shards as a manifest: tar archives in which `a.flac`, `a.txt` and `a.json` are one sample.

Recordings stay in their archives (`audio.archives` reads them there); texts and facts are read here.
"""

import json
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from tercet.audio.archives import Index, index_of
from tercet.dataset.manifest_files import AUDIO_SUFFIXES, Written
from tercet.dataset.manifest_rows import beside_sound
from tercet.errors import AudioError, DataError

_ARCHIVES = re.compile(r"\.(tar|tgz|tar\.(gz|bz2|xz|zst))$", re.IGNORECASE)
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MOST_TEXT_BYTES = 1 << 20


def is_shards(path: Path) -> bool:
    """Whether a name is one archive's, or the pattern of several: `{000..003}.tar`."""
    return _ARCHIVES.search(path.name) is not None


def base_of(path: Path) -> Path:
    """The folder that a manifest's rows are relative to: itself, or where it lies; no part with braces."""
    if path.is_dir():
        return path
    if not is_shards(path):
        return path.parent
    parts = path.parent.parts
    whole = next((n for n, part in enumerate(parts) if "{" in part), len(parts))
    return Path(*parts[:whole])


def shard_rows(path: Path) -> Iterator[Written]:
    """Every recording in one archive, in all that a pattern names, or in a folder's.

    A recording's text is in the `.txt` of its name, or in the `.json`, whose further keys are those of any
    manifest. Names are alike up to the last dot, or up to the first one, as WebDataset has it.

    Raises:
        DataError: the pattern's braces cannot be read.
    """
    base = base_of(path)
    for shard in _shards(path):
        place = str(shard.relative_to(base)) if shard.is_relative_to(base) else str(shard)
        try:
            index = index_of(shard)
        except AudioError as error:
            yield Written(place, {}, str(error).removeprefix(f"{shard}: ").rstrip("."))
            continue
        for name, why in index.refused.items():
            if Path(name).suffix.lower() in AUDIO_SUFFIXES:
                yield Written(f"{place}::{name}", {}, why)
        with shard.open("rb") as file:
            for name in index.places:
                if Path(name).suffix.lower() in AUDIO_SUFFIXES:
                    yield _sample(f"{place}::{name}", name, index, file)


def _shards(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(each for each in path.rglob("*") if is_shards(each) and each.is_file())
        return
    text = str(path)
    choices = [_choices(path, body) for body in _BRACES.findall(text)]
    form = _BRACES.sub("\0", text).split("\0")
    for chosen in product(*choices):
        yield Path("".join(part + word for part, word in zip(form, [*chosen, ""], strict=True)))


def _choices(path: Path, body: str) -> list[str]:
    """`000..003` -> 000, 001, 002, 003; `dev,test` -> dev, test."""
    if (bounds := _RANGE.fullmatch(body)) is not None:
        width = len(bounds[1])
        found = [f"{number:0{width}d}" for number in range(int(bounds[1]), int(bounds[2]) + 1)]
    else:
        found = body.split(",") if "," in body else []
    if not found:
        raise DataError(
            f"{path}: {{{body}}} names no shards; write {{000..012}} or {{dev,test}}, in quotation marks"
        )
    return found


def _sample(place: str, name: str, index: Index, file: Any) -> Written:
    stems = dict.fromkeys((name.rpartition(".")[0], _key(name)))
    values: dict[str, Any] = {"audio": place}
    try:
        for stem in stems:
            if (text := _content(f"{stem}.txt", index, file)) is not None:
                values.setdefault("text", text.strip())
        for stem in stems:
            if (text := _content(f"{stem}.json", index, file)) is not None:
                facts = json.loads(text)
                if not isinstance(facts, dict):
                    return Written(place, {}, f"{stem}.json is no JSON object")
                more = beside_sound(facts)
                values |= {key: more[key] for key in more if key not in values}
    except UnicodeDecodeError as error:
        return Written(place, {}, f"its text is not UTF-8 ({error.reason}); convert it")
    except ValueError as error:
        return Written(place, {}, f"its text cannot be read ({error})")
    return Written(place, values)


def _key(name: str) -> str:
    """WebDataset's own: the name up to the first dot behind the last slash."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0]


def _content(name: str, index: Index, file: Any) -> str | None:
    """A member as text; None where there is none."""
    if name not in index.places:
        return None
    first, size = index.places[name]
    if size > _MOST_TEXT_BYTES:
        raise ValueError(f"{name} has {size} bytes")
    file.seek(first)
    return str(file.read(size), "utf-8-sig")
