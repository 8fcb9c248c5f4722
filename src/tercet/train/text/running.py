"""A recipe from labels to a model's folder: hear the windows once, train, write what came out.

The run's folder gets `encoded/` (states), the loop's own files, `model/` (Hugging Face's layout),
`report.json` and `report.md`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tercet.checkpoint import Checkpoint, open_checkpoint
from tercet.convert.fingerprint import are_alike
from tercet.dataset.encoded import EncodedReader
from tercet.errors import DataError, EngineError, FingerprintError, OptionError
from tercet.hub import find_model
from tercet.loading import tokenizer_of
from tercet.text.tokenizer import Tokenizer
from tercet.train.compiling import check_compiling
from tercet.train.devices import is_first_process
from tercet.train.loop import RunResult, fit
from tercet.train.recipe import load_recipe
from tercet.train.run_folder import RunFolder
from tercet.train.sets import root_of
from tercet.train.sharding import check_sharding
from tercet.train.task import TrainData
from tercet.train.text.encoding import heard_once
from tercet.train.text.held_out import HeldOut
from tercet.train.text.lessons import Lessons
from tercet.train.text.material import Split, check_recordings, splits
from tercet.train.text.publishing import ADAPTER, MODEL, publish_run
from tercet.train.text.recipe import TextRecipe
from tercet.train.text.report import closing_notes, mix_notes, write_report
from tercet.train.text.task import Networks, TextTask
from tercet.train.watch import Unwatched, Watcher

ENCODED = "encoded"


def run(
    recipe: Path | str,
    folder: Path | str,
    *,
    resume: bool = False,
    overrides: Sequence[str] = (),
    watcher: Watcher | None = None,
) -> RunResult:
    """Train the decoder of a recipe.

    Args:
        recipe: A TOML file (`train.text.recipe.TextRecipe`).
        folder: The run's.
        resume: Go on from the folder's last checkpoint.
        overrides: `section.key=value`.
        watcher: Is told of progress.

    Raises:
        OptionError: the recipe is faulty, or another one than the folder's.
        DataError: labels or kept states are damaged, recordings are missing, or a split is empty.
        FingerprintError: student and teacher were not made for each other.
        TrainingError: the loss is not finite any more.
        OutputError: the disk is full.
    """
    folder = Path(folder)
    loaded = load_recipe(recipe, TextRecipe, overrides)
    RunFolder(folder).check(loaded.settings(), resume=resume)  # before anything is heard
    values = loaded.values
    # Known before hours of hearing, and not only where `fit` asks.
    check_compiling(values.loop.compile, has_parts=TextTask.has_compiled_parts)
    check_sharding(values.loop, has_parts=TextTask.has_sharded_parts)
    pair = _opened(values)
    tokenizer = tokenizer_of(pair.student)
    notes = watcher if watcher is not None and is_first_process() else Unwatched()
    root = root_of(values.data.root, loaded.path)
    divided = splits(values.data, root, tokenizer, notes.on_note)
    held_out = HeldOut(divided, values.valid_words)
    if not held_out.lessons:
        raise DataError("no window is held out; give field and held_out to a set")
    for line in mix_notes(divided):
        notes.on_note(line)
    data = _data(values, pair, divided, tokenizer, folder, notes)
    task = TextTask(_networks(values, pair), values, tokenizer, pair.student.geometry, held_out)
    result = fit(task, data, loaded, folder, resume=resume, watcher=watcher)
    if result.is_finished and is_first_process():
        publish_run(task, pair.student, folder, values, held_out.lessons, data.valid, notes)
        write_report(folder, values.name, _facts(values, pair), result, held_out, divided)
        for line in closing_notes(held_out, result):
            notes.on_note(line)
    return result


@dataclass(frozen=True, slots=True)
class _Pair:
    student: Checkpoint
    teacher: Checkpoint | None  # None: there is no divergence
    share_encoder: bool  # both were made with the same


def _opened(values: TextRecipe) -> _Pair:
    """Student and teacher, if they fit each other and the recipe."""
    if values.valid_words and find_spec("jiwer") is None:
        raise EngineError("valid_words needs jiwer: pip install 'tercet[eval]', or valid_words = 0")
    student = open_checkpoint(find_model(values.student))
    if not values.loss.divergence:
        return _Pair(student, None, share_encoder=True)
    teacher = open_checkpoint(find_model(values.teacher))
    check_pair(values, student, teacher)
    _check_lengths(values, student, teacher)
    share = are_alike(student, teacher)
    if values.data.cached and not share and not values.hears:
        raise FingerprintError(
            f"{values.student} and {values.teacher} have different encoders, so their states cannot be kept "
            "together; give data.cached = false"
        )
    return _Pair(student, teacher, share)


def _check_lengths(values: TextRecipe, student: Checkpoint, teacher: Checkpoint) -> None:
    """Whether what is heard is what both were made for."""
    if teacher.generation.true_length:
        raise OptionError(
            f"{values.teacher} hears windows as long as they are, and a teacher hears 30 s; give the model "
            "it was made of"
        )
    if student.generation.true_length and values.data.length != "sound":
        raise OptionError(
            f'{values.student} hears windows as long as they are; give data.length = "sound"'
        )


def check_pair(values: TextRecipe, student: Checkpoint, teacher: Checkpoint) -> None:
    """Whether a teacher can teach a student.

    Raises:
        FingerprintError: their vocabularies or their mel bins differ.
        OptionError: the recipe compares states of different widths.
    """
    ours, theirs = student.geometry, teacher.geometry
    for what, mine, other in (
        ("a vocabulary", ours.vocab_size, theirs.vocab_size),
        ("mel bins", ours.n_mels, theirs.n_mels),
        ("text positions", ours.n_text_ctx, theirs.n_text_ctx),
    ):
        if mine != other:
            raise FingerprintError(
                f"{values.student}: has {what} of {mine}, its teacher {values.teacher} of {other}; "
                "choose a student that was made from this teacher"
            )
    if values.loss.states and ours.width != theirs.width:
        raise OptionError(
            f"loss.states compares blocks of width {ours.width} with those of {theirs.width}; give 0"
        )


def _data(
    values: TextRecipe,
    pair: _Pair,
    divided: Sequence[Split],
    tokenizer: Tokenizer,
    folder: Path,
    watcher: Watcher,
) -> TrainData:
    geometry = pair.student.geometry
    lessons = Lessons(divided, tokenizer, values.data, room=geometry.n_text_ctx)
    live = lessons.heard(geometry.n_mels)
    if not values.keeps_states:
        check_recordings([*lessons.train, *lessons.held_out])
        return lessons.data(live, seed=values.loop.seed)
    encoded = Path(values.data.encoded) if values.data.encoded else folder / ENCODED
    readers = _encoded(values, pair, divided, encoded, watcher)
    kept = lessons.kept(readers, live if values.hears else None)
    return lessons.data(kept, seed=values.loop.seed)


def _encoded(
    values: TextRecipe, pair: _Pair, divided: Sequence[Split], folder: Path, watcher: Watcher
) -> dict[str, EncodedReader]:
    """Hear all that is not heard yet: with the teacher's encoder, where the student has another one."""
    ear, name = pair.student, values.student
    if values.hears and pair.teacher is not None:
        ear, name = pair.teacher, values.teacher
    return heard_once(ear, name, divided, folder, watcher)


def _networks(values: TextRecipe, pair: _Pair) -> Networks:
    from tercet.model import load_torch

    encoder, decoder = load_torch(pair.student, dtype="float32", taps=False)
    teacher = teacher_encoder = None
    is_same = pair.share_encoder and not values.changes_encoder and values.data.length == "30s"
    if pair.teacher is not None:
        its_encoder, its_decoder = load_torch(pair.teacher, dtype="float32", taps=False)
        teacher = its_decoder.module
        teacher_encoder = None if values.keeps_states or is_same else its_encoder.module
    return Networks(
        student=decoder.module,
        teacher=teacher,
        teacher_geometry=None if pair.teacher is None else pair.teacher.geometry,
        encoder=encoder.module if values.hears else None,
        teacher_encoder=teacher_encoder,
    )


def _facts(values: TextRecipe, pair: _Pair) -> dict[str, Any]:
    """What a report says besides figures."""
    return {
        "model": ADAPTER if values.adapter.rank else MODEL,
        "teacher": values.teacher if pair.teacher is not None else None,
        "decoder_layers": pair.student.geometry.decoder_layers,
    }
