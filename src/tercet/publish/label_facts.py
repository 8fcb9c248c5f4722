"""What a folder of labels says: how much a filter kept and why, who the teacher was, which languages."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tercet.dataset.label_table import STEM, settings_in
from tercet.dataset.shard_files import arrow, shard_paths
from tercet.errors import DataError
from tercet.publish.json_files import number, read_object

_UNHEARD = "und"  # ISO 639-2: undetermined


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFacts:
    """One folder."""

    name: str  # the folder's own, without those above it
    filtered: Mapping[str, Any]  # filter.json; empty where nothing was filtered
    settings: Mapping[str, Any]  # how the teacher wrote them down; empty where they cannot be read
    languages: Mapping[str, int]  # windows by code

    @property
    def dropped(self) -> dict[str, tuple[int, float]]:
        """Windows and seconds that each reason left out."""
        found = self.filtered.get("dropped")
        rows = found.items() if isinstance(found, dict) else ()
        return {
            reason: (int(number(row.get("windows")) or 0), number(row.get("seconds")) or 0.0)
            for reason, row in rows
            if isinstance(row, dict)
        }

    def counted(self, key: str) -> float | None:
        """A number of the filter's report."""
        return number(self.filtered.get(key))


def read_labels_folder(folder: Path) -> LabelFacts:
    """Read a folder of labels; of its shards, which need pyarrow, only if that is installed.

    Raises:
        DataError: it is none, or a file in it cannot be read.
    """
    shards = shard_paths(folder, STEM) if folder.is_dir() else []
    page = folder / "filter.json"
    if not shards and not page.is_file():
        raise DataError(f"{folder}: no folder of labels; give one that tercet label wrote")
    has_arrow = find_spec("pyarrow") is not None
    return LabelFacts(
        name=folder.resolve().name,
        filtered=read_object(page) if page.is_file() else {},
        settings=(settings_in(folder) or {}) if has_arrow else {},
        languages=_languages(shards) if has_arrow else {},
    )


def _languages(shards: list[Path]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for path in shards:
        pa = arrow(DataError, str(path))
        try:
            column = pa.parquet.read_table(path, columns=["language"]).column("language")
        except (OSError, ValueError, KeyError, pa.ArrowException):
            raise DataError(f"{path}: cannot be read; label again, or leave it out") from None
        counts.update(each for each in column.to_pylist() if each and each != _UNHEARD)
    return dict(counts.most_common())
