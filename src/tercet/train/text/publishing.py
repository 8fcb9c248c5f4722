"""What a run leaves: a model's folder or an adapter's, and which heads time words by now."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tercet.catalog import CATALOG
from tercet.checkpoint import Checkpoint
from tercet.checkpoint.adapter_writing import AdapterFacts, save_adapter
from tercet.checkpoint.arrays import MemoryCheckpoint
from tercet.checkpoint.save import save_hugging_face, write_alignment_heads
from tercet.dataset.label_table import Label
from tercet.errors import DataError, OutputError
from tercet.hub import find_tokenizer
from tercet.train.sampling import Draw
from tercet.train.task import Items
from tercet.train.text.alignment import best_heads, measure_folder
from tercet.train.text.material import Lesson
from tercet.train.text.recipe import TextRecipe
from tercet.train.text.task import TextTask
from tercet.train.watch import Watcher

MODEL = "model"
ADAPTER = "adapter"  # in its place, where one was trained


def publish_run(
    task: TextTask,
    student: Checkpoint,
    folder: Path,
    values: TextRecipe,
    held_out: Sequence[Lesson],
    items: Items | None,
    watcher: Watcher,
) -> None:
    """Write what was trained into the run's folder.

    Args:
        task: Has the weights.
        student: What it began as.
        folder: The run's.
        values: The recipe.
        held_out: Validation's windows, on which heads are measured.
        items: The same, as they are drawn.
        watcher: Is told about the heads.

    Raises:
        OutputError: it cannot be written; the line says what is kept.
    """
    try:
        if values.adapter.rank:
            publish_adapter(task, values, folder / ADAPTER)
            return
        publish(task, student, folder / MODEL, values)
        _align(folder / MODEL, held_out, items, values, watcher)
    except OutputError as error:
        raise OutputError(
            f"{error}; the trained weights are kept: make room, and go on with --resume"
        ) from None


def publish_adapter(task: TextTask, values: TextRecipe, folder: Path) -> None:
    """Write the adapter as it is now, in PEFT's layout.

    Raises:
        OutputError: the folder cannot be written.
    """
    known = CATALOG.get(values.student)
    recipe = values.adapter
    facts = AdapterFacts(
        base=values.student if known is None else known.repository,
        rank=recipe.rank,
        alpha=recipe.scaled_by,
        dropout=recipe.dropout,
        true_length=values.data.length == "sound",
    )
    arrays = {
        name: (a.float().cpu().numpy(), b.float().cpu().numpy())
        for name, (a, b) in task.adapters().items()
    }
    save_adapter(folder, arrays, facts, dtype=values.stored)


def publish(task: TextTask, student: Checkpoint, folder: Path, values: TextRecipe) -> None:
    """Write the student as it is now, in Hugging Face's layout; what did not learn is copied.

    Raises:
        OutputError: the folder cannot be written.
    """
    trained = {f"model.decoder.{name}": value for name, value in task.student.state_dict().items()}
    if task.encoder is not None and "encoder" not in task.frozen_parts:
        state = task.encoder.state_dict()
        trained |= {f"model.encoder.{name}": value for name, value in state.items()}
    arrays: dict[str, np.ndarray] = {}
    for name in student.names():
        value = trained.get(name)
        arrays[name] = student.read(name) if value is None else value.float().cpu().numpy()
    generation = replace(student.generation, true_length=values.data.length == "sound")
    whole = MemoryCheckpoint(student.geometry, arrays, generation=generation)
    tokenizer_file = student.tokenizer_file or find_tokenizer(student.geometry.vocab_size)
    save_hugging_face(whole, folder, dtype=values.stored, tokenizer_file=tokenizer_file)


def _align(
    folder: Path,
    held_out: Sequence[Lesson],
    items: Items | None,
    values: TextRecipe,
    watcher: Watcher,
) -> None:
    """Measure which heads time words, where labels have times; else the student's own stay."""
    if not values.alignment_windows:
        return
    labels = [each.label for each in held_out]
    numbers = {label.id: number for number, label in enumerate(labels)}

    def kept(label: Label) -> np.ndarray:
        assert items is not None
        return np.asarray(items[Draw(numbers[label.id], 0)].states)

    are_kept = values.keeps_states and not values.hears
    try:
        shares = measure_folder(
            folder,
            labels,
            most=values.alignment_windows,
            task=held_out[0].task,
            states_of=kept if are_kept else None,
        )
    except DataError as error:
        watcher.on_note(f"alignment heads are not measured: {error}")
        return
    heads = best_heads(shares)
    write_alignment_heads(folder, heads)
    watcher.on_note(f"alignment heads: {len(heads)}, measured on held-out windows")
