"""AudioSet's own layout, as AST and Whisper-AT use it: `{"data": [{"wav": .., "labels": "/m/..,/m/.."}]}`.

Names come from a `class_labels_indices.csv` (index, mid, display_name). And the sampling weights that go
with it, for any manifest.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from tercet.dataset.manifest_files import Written
from tercet.errors import DataError
from tercet.text.labels import audioset_ids, audioset_labels

CLASS_LIST = "class_labels_indices.csv"


def audioset_rows(path: Path) -> Iterator[Written]:
    """The entries of a JSON file in this layout.

    Raises:
        DataError: it is none.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["data"]
    except FileNotFoundError:
        raise DataError(f"{path}: no such manifest; check the path") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: is not AudioSet's layout, a JSON object with a list 'data' ({error})"
        ) from None
    for number, entry in enumerate(entries, start=1):
        place = f"entry {number}"
        if not isinstance(entry, dict):
            yield Written(place, {}, "is no JSON object")
            continue
        labels = entry.get("labels")
        if isinstance(labels, str):
            entry = {
                **entry,
                "labels": [each.strip() for each in labels.split(",") if each.strip()],
            }
        yield Written(place, entry)


def class_names(path: Path | None) -> dict[str, str]:
    """Identifiers and their display names, in the order of the columns.

    Args:
        path: A class list; None: AudioSet's 527.

    Raises:
        DataError: the file is no class list.
    """
    if path is None:
        return dict(zip(audioset_ids(), audioset_labels(), strict=True))
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = sorted(csv.DictReader(file), key=lambda row: int(row["index"]))
            return {row["mid"]: row["display_name"] for row in rows}
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"{path}: is no class list; give the columns index, mid, display_name ({error})"
        ) from None


def balanced_weights(labels: Sequence[Sequence[str]]) -> np.ndarray:
    """How often each clip is drawn, so that rare sounds are heard: float64 [clips].

    A clip weighs the sum over its labels of 1000 / (clips with that label + 0.01), as in Whisper-AT's and
    AST's recipes. A clip without labels weighs nothing.
    """
    counts: Mapping[str, int] = Counter(name for names in labels for name in names)
    return np.array(
        [sum(1000 / (counts[name] + 0.01) for name in names) for names in labels], np.float64
    )
