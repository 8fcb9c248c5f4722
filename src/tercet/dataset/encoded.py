"""Encoder outputs on disk, one item for each window: float16, in shards that are read through memory maps.

A folder holds `about.json` (whose outputs these are) and pairs `encoded-00000.safetensors` (the arrays)
and `encoded-00000.jsonl` (a line of key and facts for each). A pair counts when both are there; nothing
half-written has these names. What the facts mean is the business of whoever writes them.
"""

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tercet.errors import DataError, FingerprintError

KINDS = ("taps", "states")
ABOUT = "about.json"
SCHEMA = "tercet-encoded-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Whose outputs a folder holds. All of it must agree with what reads or adds."""

    encoder: str  # `Fingerprint.digest`, SHA-256 of the encoder's original arrays
    convention: Mapping[str, Any] = field(default_factory=dict)  # `InputConvention.to_json()`
    model: str = ""  # for people: "base"

    def to_json(self, kinds: Sequence[str]) -> dict[str, Any]:
        """A form for `about.json`."""
        return {
            "schema": SCHEMA,
            "model": self.model,
            "encoder": self.encoder,
            "convention": dict(self.convention),
            "kinds": list(kinds),
        }


@dataclass(frozen=True, slots=True)
class EncodedItem:
    """One window. Arrays are read-only views of the file, float16."""

    key: str
    facts: dict[str, Any]
    taps: np.ndarray | None  # [layers, frames, width], 2.5 frames per second
    states: np.ndarray | None  # [positions, width], 50 per second


class EncodedReader:
    """A folder's windows, by number or key. May be handed to worker processes."""

    def __init__(self, folder: str | Path, *, about: About | None = None) -> None:
        """Read what there is; arrays are touched when they are asked for.

        Args:
            folder: What an `EncodedWriter` filled.
            about: What it must hold; None: whatever it is.

        Raises:
            DataError: there is no such folder, or it is damaged.
            FingerprintError: it holds another encoder's outputs, or another convention's.
        """
        self.folder = Path(folder)
        self.about, self.kinds = read_about(self.folder)
        if about is not None:
            check_about(self.folder, self.about, about)
        self._paths = shard_paths(self.folder)
        self._lines: list[bytes] = []
        self._places: list[tuple[int, int]] = []  # shard, number in it
        for shard, path in enumerate(self._paths):
            lines = index_of(path).read_bytes().splitlines()
            self._lines += lines
            self._places += [(shard, number) for number in range(len(lines))]
        self.keys = tuple(str(parsed_line(line, self.folder)["key"]) for line in self._lines)
        self._numbers = {key: number for number, key in enumerate(self.keys)}
        self._open: dict[int, _Shard] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, number: int) -> EncodedItem:
        """One window.

        Raises:
            IndexError: there are fewer.
            DataError: its shard is damaged.
        """
        shard, inner = self._places[number]
        opened = self._open.get(shard)
        if opened is None:
            opened = self._open[shard] = _Shard(self._paths[shard])
        line = parsed_line(self._lines[number], self.folder)
        arrays = {kind: opened.array(f"{inner:06d}.{kind}") for kind in KINDS}
        return EncodedItem(line["key"], line["facts"], arrays["taps"], arrays["states"])

    def __iter__(self) -> Iterator[EncodedItem]:
        return (self[number] for number in range(len(self)))

    def __contains__(self, key: str) -> bool:
        return key in self._numbers

    def number_of(self, key: str) -> int:
        """Where a key is.

        Raises:
            DataError: nowhere.
        """
        if key not in self._numbers:
            raise DataError(f"{self.folder}: has no window {key!r}; encode it first")
        return self._numbers[key]

    def check(self) -> None:
        """Open every shard once, so that damage is told before hours of work and not in them.

        Raises:
            DataError: one is damaged.
        """
        for shard, path in enumerate(self._paths):
            if shard not in self._open:
                self._open[shard] = _Shard(path)

    def facts(self, number: int) -> dict[str, Any]:
        """A window's facts alone, without its arrays."""
        facts: dict[str, Any] = parsed_line(self._lines[number], self.folder)["facts"]
        return facts

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}  # maps are opened anew in each process


class _Shard:
    """One open file of arrays."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with path.open("rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                size = path.stat().st_size
                if length > size:
                    raise ValueError("its header is longer than the file")
                self._entries: dict[str, Any] = json.loads(file.read(length))
            self._start = 8 + length
            ends = [
                entry["data_offsets"][1] for name, entry in self._entries.items() if name[0] != "_"
            ]
            if self._start + max(ends, default=0) > size:
                raise ValueError("it is cut short")
            self._bytes = np.memmap(path, np.uint8, mode="r")
        except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
            reason = " ".join(str(error).split())
            raise DataError(
                f"{path}: damaged ({reason}); remove it: its windows are then encoded again"
            ) from None

    def array(self, name: str) -> np.ndarray | None:
        """A view of one array, or None where there is none."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        first, last = entry["data_offsets"]
        part = self._bytes[self._start + first : self._start + last]
        return np.asarray(part).view(np.float16).reshape(entry["shape"])


def read_about(folder: Path) -> tuple[About, tuple[str, ...]]:
    """What a folder says about itself, and the kinds of arrays it holds.

    Raises:
        DataError: it is no folder of encoded windows.
    """
    path = folder / ABOUT
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["schema"] != SCHEMA:
            raise ValueError(f"schema {told['schema']!r}")
        about = About(encoder=told["encoder"], convention=told["convention"], model=told["model"])
        return about, tuple(told["kinds"])
    except FileNotFoundError:
        raise DataError(
            f"{folder}: holds no encoded windows (there is no {ABOUT}); encode the data first"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be used ({error}); encode into a new folder") from None


def check_about(folder: Path, found: About, expected: About) -> None:
    """Make sure that a folder's windows are of one encoder and convention.

    Raises:
        FingerprintError: they are not.
    """
    if found.encoder != expected.encoder:
        raise FingerprintError(
            f"{folder}: holds outputs of encoder {found.encoder[:12]} ({found.model or 'unnamed'}), not "
            f"of {expected.encoder[:12]} ({expected.model or 'unnamed'}); choose another folder"
        )
    differing = [
        name
        for name in sorted({*found.convention, *expected.convention})
        if found.convention.get(name) != expected.convention.get(name)
    ]
    if differing:
        name = differing[0]
        raise FingerprintError(
            f"{folder}: was encoded with {name} {found.convention.get(name)!r}, not "
            f"{expected.convention.get(name)!r}; choose another folder"
        )


def shard_paths(folder: Path) -> list[Path]:
    """The complete shards of a folder, in order."""
    return [
        path for path in sorted(folder.glob("encoded-*.safetensors")) if index_of(path).is_file()
    ]


def index_of(shard: Path) -> Path:
    """Where a shard's keys and facts are."""
    return shard.with_suffix(".jsonl")


def parsed_line(line: bytes, folder: Path) -> dict[str, Any]:
    """A line of an index: key and facts.

    Raises:
        DataError: it is damaged.
    """
    try:
        parsed: dict[str, Any] = json.loads(line)
        return {"key": parsed["key"], "facts": parsed["facts"]}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder}: a line of its index is damaged ({error}); remove the folder, and encode again"
        ) from None
