"""Which labels are learnt from and which are held out, their texts, and what was said before each."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tercet.audio.archives import is_recording
from tercet.dataset.label_table import Label, read_labels, settings_in
from tercet.dataset.verdicts import read_verdicts
from tercet.errors import DataError
from tercet.text.normalizer import is_unspaced
from tercet.text.tokenizer import Tokenizer
from tercet.train.sets import Tell, untold
from tercet.train.text.recipe import DataRecipe, SetRecipe


@dataclass(frozen=True, slots=True)
class Lesson:
    """One label to learn from, with the ids of what the same speaker said before."""

    label: Label
    text_ids: tuple[int, ...]  # what is asked for: the teacher's text, or the reference
    before: tuple[int, ...]  # (): nothing, or nobody knows
    task: str


@dataclass(frozen=True, slots=True)
class Split:
    """One set."""

    name: str
    weight: float
    train: tuple[Lesson, ...]
    held_out: tuple[Lesson, ...]


def splits(
    data: DataRecipe, root: Path, tokenizer: Tokenizer, tell: Tell = untold
) -> tuple[Split, ...]:
    """The sets of a recipe.

    Args:
        data: Which.
        root: Folder of relative labels.
        tokenizer: Of references, which labels hold as plain text.
        tell: Told how many windows are left out because they have no reference.

    Raises:
        DataError: a folder has no labels, or none is left to train on.
    """
    return tuple(_split(each, data, root / each.labels, tokenizer, tell) for each in data.sets)


def check_recordings(lessons: Sequence[Lesson]) -> None:
    """Whether the recordings of some lessons are still where they were labelled.

    Raises:
        DataError: some are not; `faults` names all of them.
    """
    paths = dict.fromkeys(span.path for each in lessons for span in each.label.spans)
    gone = [path for path in paths if not is_recording(Path(path))]
    if gone:
        raise DataError.of_faults(
            f"{len(gone)} of {len(paths)} recordings are not where they were labelled",
            [f"no such file: {path}" for path in gone],
            "put them back, or label them anew where they are",
        )


def _split(
    of: SetRecipe, data: DataRecipe, folder: Path, tokenizer: Tokenizer, tell: Tell
) -> Split:
    labels = {each.id: each for each in read_labels(folder)}
    task = str((settings_in(folder) or {}).get("task", "transcribe"))
    texts = _texts(labels, of, tokenizer)
    good = _good(labels, texts, of, data, folder, tell)
    lessons = [
        Lesson(each, texts[each.id], _before(each, of, labels, texts), task) for each in good
    ]
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
    heard = evenly([each.label.language for each in held_out], of.development)
    return Split(
        of.name, of.weight or len(train), tuple(train), tuple(held_out[number] for number in heard)
    )


def evenly(kinds: Sequence[Hashable], n: int) -> list[int]:
    """Choose `n` of some items so that all kinds are there as often as they can; of a kind, the first.

    Args:
        kinds: Of each item.
        n: How many; all where there are fewer.

    Returns:
        Their numbers, in order.
    """
    seen: Counter[Hashable] = Counter()
    turns = []
    for number, kind in enumerate(kinds):
        turns.append((seen[kind], number))
        seen[kind] += 1
    return sorted(number for _, number in sorted(turns)[:n])


def own_reference(label: Label) -> str | None:
    """What was said in just this window, as its manifest has it; None: nobody says.

    A pack has one where each of its recordings has. A long recording's reference is of all its windows
    together, and of none of them.
    """
    return label.reference if label.reference_of == "window" else None


def _texts(
    labels: Mapping[str, Label], of: SetRecipe, tokenizer: Tokenizer
) -> dict[str, tuple[int, ...]]:
    """What each window may ask for; (): it has no such text, or an empty one."""
    if of.text == "teacher":
        return {name: each.text_ids for name, each in labels.items()}
    return {name: _reference_ids(each, tokenizer) for name, each in labels.items()}


def _reference_ids(label: Label, tokenizer: Tokenizer) -> tuple[int, ...]:
    """A reference as Whisper writes: behind a space, where the language has any; no timestamps."""
    words = " ".join((own_reference(label) or "").split())
    space = "" if is_unspaced(label.language) else " "
    return tuple(tokenizer.encode(space + words)) if words else ()


def _good(
    labels: Mapping[str, Label],
    texts: Mapping[str, tuple[int, ...]],
    of: SetRecipe,
    data: DataRecipe,
    folder: Path,
    tell: Tell,
) -> list[Label]:
    verdicts = read_verdicts(folder) if of.kept else {}
    allowed = [
        each
        for each in labels.values()
        if (not of.kept or (each.id in verdicts and verdicts[each.id].kept))
        and (not data.languages or each.language in data.languages)
    ]
    chosen = [each for each in allowed if texts[each.id]]
    if of.text == "reference":
        if allowed and not chosen:
            raise DataError(
                f"{folder}: none of its {len(allowed)} windows has a reference of its own; label a "
                'manifest with texts, or give text = "teacher"'
            )
        if len(chosen) < len(allowed):
            n = len(allowed) - len(chosen)
            tell(
                f"{of.name}: left out {n} of {len(allowed)} windows, which have no reference of their own"
            )
    return chosen[:: of.every]


def _before(
    label: Label,
    of: SetRecipe,
    labels: Mapping[str, Label],
    texts: Mapping[str, tuple[int, ...]],
) -> tuple[int, ...]:
    """Text ids of the window before it, its timestamps and all."""
    previous = labels.get(label.previous or "")
    if previous is None or previous.speaker != label.speaker:
        return ()
    is_torn = previous.is_cut_off and of.text == "teacher"
    return () if is_torn else texts[previous.id]


def _is_held_out(label: Label, of: SetRecipe) -> bool:
    if not of.field:
        return False
    own = {"speaker": label.speaker, "language": label.language, "recording": label.recording}
    value = str(own.get(of.field) or label.extra.get(of.field) or "")
    return any(value.endswith(ending) for ending in of.held_out)
