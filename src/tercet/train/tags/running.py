"""A recipe from its manifests to a head's file: hear everything once, train, set thresholds, report.

The run's folder gets `encoded/` (taps), the loop's own files, `tags.safetensors`, and the report.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tercet.audio.convention import SHARED, WHISPER_AT_TRAINING, InputConvention
from tercet.checkpoint import Checkpoint, open_checkpoint
from tercet.checkpoint.heads import Origin
from tercet.convert.head_fit import bound_to
from tercet.convert.head_store import write_head
from tercet.dataset.encoded import EncodedReader
from tercet.errors import DataError
from tercet.hub import find_model
from tercet.model.tag_scorer import TorchTagScorer
from tercet.train.loop import RunResult, fit
from tercet.train.recipe import Recipe, load_recipe
from tercet.train.run_folder import RunFolder
from tercet.train.sets import root_of
from tercet.train.tags.clips import clips_of
from tercet.train.tags.data import TapWindows, collate
from tercet.train.tags.encoding import Ears, about_taps, encode_clips, encode_scenes, open_ears
from tercet.train.tags.figures import Figures, figures_of
from tercet.train.tags.listening import listened, with_speech_threshold, with_thresholds
from tercet.train.tags.material import Split, label_names, split
from tercet.train.tags.mixtures import SceneMaker, orders, utterances
from tercet.train.tags.recipe import TAP_FRAMES, TagsRecipe
from tercet.train.tags.report import write_report
from tercet.train.tags.scene import Kind
from tercet.train.tags.task import TagTask
from tercet.train.task import TrainData
from tercet.train.watch import Unwatched, Watcher, hearing_notes

HEAD_FILE = "tags.safetensors"
ENCODED = "encoded"
_UTTERANCE_SEED = 2
_DEVELOPMENT = ("clips", "quiet", "spoken", "nothing", "speech")


def run(
    recipe: Path | str,
    folder: Path | str,
    *,
    resume: bool = False,
    overrides: Sequence[str] = (),
    watcher: Watcher | None = None,
) -> RunResult:
    """Train the head of a recipe.

    What is encoded already is not encoded again, whether the run is resumed or not.

    Args:
        recipe: A TOML file (`train.tags.recipe.TagsRecipe`).
        folder: The run's.
        resume: Go on from the folder's last checkpoint.
        overrides: `section.key=value`.
        watcher: Is told of progress.

    Raises:
        OptionError: the recipe is faulty, or another one than the folder's.
        DataError: a manifest is faulty, or a split is empty.
        TrainingError: the loss is not finite any more.
        OutputError: the disk is full.
    """
    folder = Path(folder)
    loaded = load_recipe(recipe, TagsRecipe, overrides)
    RunFolder(folder).check(loaded.settings(), resume=resume)  # before anything is heard
    values = loaded.values
    labels = _labels(loaded)
    checkpoint = open_checkpoint(find_model(values.model))
    prepared = _prepare(loaded, labels, checkpoint, folder, watcher or Unwatched())
    geometry = checkpoint.geometry
    task = TagTask(
        values.head,
        labels,
        n_layers=geometry.encoder_layers,
        width=geometry.width,
        dropout=values.augment.dropout,
        seed=values.loop.seed,
    )
    result = fit(task, prepared.data, loaded, folder, resume=resume, watcher=watcher)
    if result.is_finished:
        _publish(loaded, task, prepared, checkpoint, folder, result.metrics)
    return result


def _labels(loaded: Recipe[TagsRecipe]) -> tuple[str, ...]:
    data = loaded.values.data
    class_list = root_of(data.root, loaded.path) / data.class_list if data.class_list else None
    return label_names(loaded.values.labels, class_list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """What was encoded."""

    data: TrainData
    convention: InputConvention
    development: Mapping[str, EncodedReader]  # by set; empty where clips are trained on


def _prepare(
    loaded: Recipe[TagsRecipe],
    labels: Sequence[str],
    checkpoint: Checkpoint,
    folder: Path,
    watcher: Watcher,
) -> _Prepared:
    values = loaded.values
    data, head = values.data, values.head
    convention = WHISPER_AT_TRAINING if data.clip_s else SHARED
    encoded = Path(data.encoded) if data.encoded else folder / ENCODED
    shape: dict[str, Any] = {"name": values.model, "tap_frames": data.tap_frames}
    about = about_taps(checkpoint, convention, **shape)
    if not data.only_encoded:
        root = root_of(data.root, loaded.path)
        _encode(values, labels, root, open_ears(checkpoint, convention, **shape), encoded, watcher)
    names = _DEVELOPMENT if data.sets else ()
    development = {name: EncodedReader(encoded / name, about=about) for name in names}
    train = TapWindows(
        EncodedReader(encoded / "train", about=about),
        labels,
        window_frames=head.window_frames,
        augment=values.augment,
        whole=not data.sets,
    )
    valid = TapWindows(
        development["spoken"] if data.sets else EncodedReader(encoded / "valid", about=about),
        labels,
        window_frames=head.window_frames,
        step_frames=head.window_frames,
        whole=not data.sets,
    )
    weights = train.weights() if values.augment.balance else None
    return _Prepared(
        data=TrainData(
            train=train, valid=valid, collate=collate, weights=weights, name_of=train.name_of
        ),
        convention=convention,
        development=development,
    )


def _encode(
    values: TagsRecipe,
    labels: Sequence[str],
    root: Path,
    ears: Ears,
    encoded: Path,
    watcher: Watcher,
) -> None:
    """Hear all that is not heard yet."""
    if values.data.sets:
        divided = split(values.data, labels, root, watcher.on_note)
        _encode_training(values, divided, ears, encoded, watcher)
        _encode_development(values, divided, ears, encoded, watcher)
        return
    for name, clips in clips_of(values.data, labels, root, watcher.on_note).items():
        encode_clips(encoded / name, ears, clips, on_done=hearing_notes(watcher, name, len(clips)))


def _encode_training(
    values: TagsRecipe, divided: Split, ears: Ears, encoded: Path, watcher: Watcher
) -> None:
    scenes = values.scenes
    wanted = [
        order
        for number in range(scenes.rounds)
        for order in orders(divided.train, scenes.kinds(number), seed=scenes.seed + number)
    ]
    maker = SceneMaker(divided.train, scenes.options)
    tell = hearing_notes(watcher, "training scenes", len(wanted))
    encode_scenes(encoded / "train", ears, maker, wanted, on_done=tell)


def _encode_development(
    values: TagsRecipe, divided: Split, ears: Ears, encoded: Path, watcher: Watcher
) -> None:
    """Held-out clips and utterances as they are, and scenes of them without noise or rooms."""
    recipe, material = values.development, divided.held_out
    if not material.groups:
        raise DataError("no sound is held out; give field and held_out to a set of sounds")
    even = (recipe.speech_over_sound_db, recipe.speech_over_sound_db)
    plain = replace(values.scenes.options, noise_share=0.0, room_share=0.0, full_length_share=1.0)
    quiet = replace(plain, sounds=(1, 4))
    spoken = replace(plain, sounds=(1, 3), speech_over_sound_db=even)
    sets: dict[str, tuple[Kind, int, Any]] = {
        "clips": ("clip", 1, plain),
        "quiet": ("quiet", recipe.quiet, quiet),
        "spoken": ("spoken", recipe.spoken, spoken),
        "nothing": ("nothing", recipe.nothing, values.scenes.options),
    }
    for number, (name, (kind, count, options)) in enumerate(sets.items()):
        wanted = orders(material, {kind: count}, seed=recipe.seed + number)
        tell = hearing_notes(watcher, f"development: {name}", len(wanted))
        encode_scenes(encoded / name, ears, SceneMaker(material, options), wanted, on_done=tell)
    each = -(-recipe.speech_clips // max(1, len(divided.held_out_speech)))
    clips = [
        clip
        for number, paths in enumerate(divided.held_out_speech)
        for clip in utterances(paths, each, seed=_UTTERANCE_SEED + number)
    ]
    encode_clips(
        encoded / "speech", ears, clips, on_done=hearing_notes(watcher, "speech", len(clips))
    )


def _publish(
    loaded: Recipe[TagsRecipe],
    task: TagTask,
    prepared: _Prepared,
    checkpoint: Checkpoint,
    folder: Path,
    metrics: Mapping[str, float],
) -> None:
    """Thresholds, the file, the report."""
    values = loaded.values
    origin = Origin(
        name=values.name, licence=values.licence, source=values.source or loaded.path.name
    )
    head = task.head(
        thresholds=[values.default_threshold],
        convention=prepared.convention,
        origin=origin,
        left_out=values.left_out,
    )
    figures: Figures | None = None
    if prepared.development:
        scorer = TorchTagScorer(head)
        heard = {
            name: listened(head, scorer, reader) for name, reader in prepared.development.items()
        }
        scenes = [*heard["quiet"], *heard["spoken"], *heard["nothing"]]
        recipe = values.development
        head = with_thresholds(
            head, scenes, beta=recipe.beta, least_precision=recipe.least_precision
        )
        head = with_speech_threshold(head, heard["speech"], [*heard["clips"], *heard["nothing"]])
        figures = figures_of(head, heard)
    if values.data.tap_frames == TAP_FRAMES:  # others would be fed taps that they never heard
        bound = bound_to(head, checkpoint, values.model)
        write_head(folder / HEAD_FILE, bound, compute_type=values.head.stored)
    of_file = {name: told for name, told in task.by_label().items() if name not in values.left_out}
    write_report(folder, head, of_file, metrics, figures)
