"""Which labels are learnt from and which are held out, and what was said before each."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tercet.dataset.label_table import Label, read_labels, settings_in
from tercet.dataset.verdicts import read_verdicts
from tercet.errors import DataError
from tercet.train.text.recipe import DataRecipe, SetRecipe


@dataclass(frozen=True, slots=True)
class Lesson:
    """One label to learn from, with the ids of what the same speaker said before."""

    label: Label
    before: tuple[int, ...]  # (): nothing, or nobody knows
    task: str


@dataclass(frozen=True, slots=True)
class Split:
    """One set."""

    name: str
    weight: float
    train: tuple[Lesson, ...]
    held_out: tuple[Lesson, ...]


def splits(data: DataRecipe, root: Path) -> tuple[Split, ...]:
    """The sets of a recipe.

    Raises:
        DataError: a folder has no labels, or none is left to train on.
    """
    return tuple(_split(each, data, root / each.labels) for each in data.sets)


def _split(of: SetRecipe, data: DataRecipe, folder: Path) -> Split:
    labels = {each.id: each for each in read_labels(folder)}
    task = str((settings_in(folder) or {}).get("task", "transcribe"))
    good = _good(labels.values(), of, data, folder)
    lessons = [Lesson(each, _before(each, labels), task) for each in good]
    train = [each for each in lessons if not _is_held_out(each.label, of)]
    held_out = [each for each in lessons if _is_held_out(each.label, of)]
    if not train:
        raise DataError(
            f"{folder}: none of its {len(labels)} windows is left to train on; check held_out, languages, "
            "and the limits of tercet label"
        )
    if of.field and not held_out:
        raise DataError(
            f"{folder}: no window's {of.field} ends in {' or '.join(of.held_out)}; check held_out"
        )
    return Split(of.name, of.weight or len(train), tuple(train), tuple(held_out[: of.development]))


def _good(labels: Iterable[Label], of: SetRecipe, data: DataRecipe, folder: Path) -> list[Label]:
    verdicts = read_verdicts(folder) if of.kept else {}
    chosen = [
        each
        for each in labels
        if each.text_ids
        and (not of.kept or (each.id in verdicts and verdicts[each.id].kept))
        and (not data.languages or each.language in data.languages)
    ]
    return chosen[:: of.every]


def _before(label: Label, labels: dict[str, Label]) -> tuple[int, ...]:
    """Text ids of the window before it, its timestamps and all."""
    previous = labels.get(label.previous or "")
    if previous is None or previous.speaker != label.speaker or previous.is_cut_off:
        return ()
    return previous.text_ids


def _is_held_out(label: Label, of: SetRecipe) -> bool:
    if not of.field:
        return False
    own = {"speaker": label.speaker, "language": label.language, "recording": label.recording}
    value = str(own.get(of.field) or label.extra.get(of.field) or "")
    return any(value.endswith(ending) for ending in of.held_out)
