"""Labelled clips as Whisper-AT was trained on them (AudioSet, ESC-50): one window each, no onsets."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tercet.audio.load import load
from tercet.dataset.manifests import Row
from tercet.errors import DataError
from tercet.train.sets import Tell, is_held_out, rows_of, untold
from tercet.train.tags.material import labels_of_row
from tercet.train.tags.recipe import DataRecipe
from tercet.train.tags.scene import Scene
from tercet.train.waveforms import RATE_HZ

Clips = list[tuple[str, Callable[[], Scene]]]  # key, and how it is heard
_LONGEST_S = 30.0


def clips_of(
    data: DataRecipe, labels: Sequence[str], root: Path, tell: Tell = untold
) -> dict[str, Clips]:
    """The clips to be trained on ("train") and those to be judged by ("valid").

    Raises:
        DataError: a manifest is faulty, a clip has a label that the head does not learn, or a side is empty.
    """
    rows = _rows(root / data.train, data, root, tell)
    if data.held_out_field:
        sides = {
            "train": [row for row in rows if not _is_out(row, data)],
            "valid": [row for row in rows if _is_out(row, data)],
        }
    elif data.valid:
        sides = {"train": rows, "valid": _rows(root / data.valid, data, root, tell)}
    else:
        raise DataError(f"{data.train}: nothing to judge by; give valid, or held_out_field")
    for name, side in sides.items():
        if not side:
            raise DataError(f"{data.train}: the split {name!r} is empty; check held_out")
    longest_s = data.clip_s or _LONGEST_S
    return {
        name: [
            (f"{number:07d}-{row.audio.stem}", partial(_hear, row, labels, longest_s))
            for number, row in enumerate(side)
        ]
        for name, side in sides.items()
    }


def _rows(path: Path, data: DataRecipe, root: Path, tell: Tell) -> list[Row]:
    class_list = root / data.class_list if data.class_list else None
    return list(rows_of(path, skip_broken=data.skip_broken, tell=tell, class_list=class_list))


def _is_out(row: Row, data: DataRecipe) -> bool:
    return is_held_out(row, data.held_out_field, data.held_out)


def _hear(row: Row, labels: Sequence[str], longest_s: float) -> Scene:
    told = labels_of_row(row)
    unknown = [each for each in told if each not in labels]
    if unknown or not told:
        raise DataError(
            f"{row.audio}: has the label {unknown[0]!r}, which the recipe does not name"
            if unknown
            else f"{row.audio}: has no label; leave it out of the manifest"
        )
    first = int(row.start_s * RATE_HZ)
    length_s = longest_s if row.duration_s is None else min(longest_s, row.duration_s)
    samples = load(row.audio).read()[first : first + int(length_s * RATE_HZ)]
    return Scene(samples, (), {"kind": "clip", "labels": list(told), "label": told[0]})
