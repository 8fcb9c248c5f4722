"""From manifests to what scenes are made of: which rows are trained on, which are held out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tercet.dataset.audioset_layout import class_names
from tercet.dataset.manifests import Row
from tercet.errors import DataError, LabelError
from tercet.text.labels import audioset_labels, find_labels
from tercet.train.sets import Tell, is_held_out, rows_of, untold, value_of
from tercet.train.tags.recipe import DataRecipe, SetRecipe
from tercet.train.tags.scene import Material, Source

_GROUPS = ("1", "2", "3")  # for sounds whose manifest names no fold
_FOLD = "fold"
_LABELS = "audioset_labels"  # display names, where `labels` are a corpus' own words


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """What is trained on, and what is held out."""

    train: Material
    held_out: Material
    held_out_speech: tuple[tuple[Path, ...], ...]  # by set


def split(data: DataRecipe, labels: Sequence[str], root: Path, tell: Tell = untold) -> Split:
    """Read the sets and divide them; rows that are left out as broken are told.

    Sounds are grouped by their fold (rows without one by turns), so that folds can be told apart later.

    Raises:
        DataError: a manifest is faulty, a sound has no label or one that is not trained, or a set is empty.
    """
    kept: dict[str, list[tuple[SetRecipe, Row, int]]] = {}
    out: dict[str, list[tuple[SetRecipe, Row, int]]] = {}
    for each in data.sets:
        rows = [
            row
            for row in rows_of(root / each.manifest, skip_broken=data.skip_broken, tell=tell)
            if not each.label or each.label in row.labels
        ][:: each.every]
        for number, row in enumerate(rows):
            side = out if is_held_out(row, each.field, each.held_out) else kept
            side.setdefault(each.role, []).append((each, row, number))
    names = [each.manifest for each in data.sets if each.role == "speech"]
    speech = [
        tuple(row.audio for each, row, _ in out.get("speech", ()) if each.manifest == name)
        for name in names
    ]
    if not kept.get("sounds") and not kept.get("speech"):
        raise DataError("no row is left to train on; check held_out in the recipe's sets")
    return Split(
        train=_material(kept, labels, rooms=kept.get("rooms", ())),
        held_out=_material(out, labels, rooms=kept.get("rooms", ())),
        held_out_speech=tuple(paths for paths in speech if paths),
    )


def labels_of_row(row: Row) -> tuple[str, ...]:
    """A row's display names: `audioset_labels` where it has them."""
    told = row.extra.get(_LABELS)
    if isinstance(told, str):
        return (told,)
    return tuple(str(each) for each in told) if isinstance(told, list | tuple) else row.labels


def label_names(names: Sequence[str], class_list: Path | None = None) -> tuple[str, ...]:
    """A recipe's labels as AudioSet spells them, in AudioSet's order; for none, all of the class list.

    Args:
        names: Display names; ().
        class_list: A file like AudioSet's `class_labels_indices.csv`; None: AudioSet's 527.

    Raises:
        DataError: one is none of AudioSet's, or the class list is damaged.
    """
    if not names:
        return tuple(class_names(class_list).values())
    known = audioset_labels()
    try:
        return tuple(known[column] for column in sorted(find_labels(list(names), known)))
    except LabelError as error:
        raise DataError(f"labels of the recipe: {error}") from None


def _material(
    rows: Mapping[str, Sequence[tuple[SetRecipe, Row, int]]],
    labels: Sequence[str],
    *,
    rooms: Iterable[tuple[SetRecipe, Row, int]],
) -> Material:
    groups: dict[str, list[Source]] = {}
    for _, row, number in rows.get("sounds", ()):
        group = str(value_of(row, _FOLD)) or _GROUPS[number % len(_GROUPS)]
        groups.setdefault(group, []).extend(_sources(row, labels))
    return Material(
        groups={name: tuple(sources) for name, sources in sorted(groups.items())},
        speech=tuple(row.audio for _, row, _ in rows.get("speech", ())),
        noises=tuple(row.audio for _, row, _ in rows.get("noises", ())),
        rooms=tuple(row.audio for _, row, _ in rooms),
    )


def _sources(row: Row, labels: Sequence[str]) -> Iterator[Source]:
    names = labels_of_row(row)
    if len(names) != 1 or names[0] not in labels:
        told = ", ".join(names) or "none"
        raise DataError(
            f"{row.audio}: a sound for scenes has one of the recipe's labels, not {told}; "
            "add the label to the recipe, or leave the row out"
        )
    yield Source(row.audio, names[0])
