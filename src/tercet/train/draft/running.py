"""A recipe from labels to a draft's file: hear the windows once, train, write what came out.

The run's folder gets `encoded/` (states), the loop's own files, and `draft.safetensors`.
"""

from collections.abc import Sequence
from pathlib import Path

from tercet.checkpoint import Checkpoint, open_checkpoint
from tercet.checkpoint.heads import Origin
from tercet.convert.head_fit import bound_to
from tercet.convert.head_store import write_head
from tercet.errors import DataError, OptionError
from tercet.hub import find_model
from tercet.loading import tokenizer_of
from tercet.model import load_torch
from tercet.train.devices import is_first_process
from tercet.train.draft.recipe import DraftRecipe
from tercet.train.draft.shortlist import shortlist
from tercet.train.draft.task import DraftTask
from tercet.train.loop import RunResult, fit
from tercet.train.recipe import Recipe, load_recipe
from tercet.train.run_folder import RunFolder
from tercet.train.sets import root_of
from tercet.train.text.encoding import heard_once
from tercet.train.text.lessons import Lessons
from tercet.train.text.material import splits
from tercet.train.watch import Unwatched, Watcher

HEAD_FILE = "draft.safetensors"
ENCODED = "encoded"


def run(
    recipe: Path | str,
    folder: Path | str,
    *,
    resume: bool = False,
    overrides: Sequence[str] = (),
    watcher: Watcher | None = None,
) -> RunResult:
    """Train the draft of a recipe.

    Args:
        recipe: A TOML file (`train.draft.recipe.DraftRecipe`).
        folder: The run's.
        resume: Go on from the folder's last checkpoint.
        overrides: `section.key=value`.
        watcher: Is told of progress.

    Raises:
        OptionError: the recipe is faulty, or another one than the folder's.
        DataError: labels, corpora or kept states are damaged, recordings are missing, or a split is empty.
        TrainingError: the loss is not finite any more.
        OutputError: the disk is full.
    """
    folder = Path(folder)
    loaded = load_recipe(recipe, DraftRecipe, overrides)
    RunFolder(folder).check(loaded.settings(), resume=resume)  # before anything is heard
    values = loaded.values
    teacher = open_checkpoint(find_model(values.teacher))
    layer = _layer(values, teacher)
    tokenizer = tokenizer_of(teacher)
    notes = watcher if watcher is not None and is_first_process() else Unwatched()
    root = root_of(values.data.root, loaded.path)
    divided = splits(values.data, root, tokenizer, notes.on_note)
    lessons = Lessons(divided, tokenizer, values.data, room=teacher.geometry.n_text_ctx)
    if not lessons.held_out:
        raise DataError("no window is held out; give field and held_out to a set")
    ids = shortlist(values.shortlist, lessons.train, root, tokenizer)
    encoded = Path(values.data.encoded) if values.data.encoded else folder / ENCODED
    readers = heard_once(teacher, values.teacher, divided, encoded, notes)
    data = lessons.data(lessons.kept(readers), seed=values.loop.seed)
    _, decoder = load_torch(teacher, dtype="float32", taps=False)
    task = DraftTask(decoder.module, ids, values, layer)
    result = fit(task, data, loaded, folder, resume=resume, watcher=watcher)
    if result.is_finished and is_first_process():
        _publish(loaded, task, teacher, folder)
    return result


def _layer(values: DraftRecipe, teacher: Checkpoint) -> int:
    layers = teacher.geometry.decoder_layers
    if not -layers <= values.layer < layers:
        raise OptionError(
            f"layer is {values.layer}; {values.teacher} has {layers} decoder layers: give {-layers} to "
            f"{layers - 1}"
        )
    return values.layer % layers


def _publish(
    loaded: Recipe[DraftRecipe], task: DraftTask, teacher: Checkpoint, folder: Path
) -> None:
    values = loaded.values
    origin = Origin(
        name=values.name, licence=values.licence, source=values.source or loaded.path.name
    )
    head = bound_to(task.head(origin), teacher, values.teacher)
    write_head(folder / HEAD_FILE, head, compute_type=values.stored)
