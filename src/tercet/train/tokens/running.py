"""A recipe from its manifests to a quantizer's file: hear everything once, start the codebook, train, report.

The run's folder gets `encoded/` (states), the loop's own files, `tokens.safetensors`, `report.json` and
`report.md`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tercet.audio.convention import ICHIGO, SHARED, InputConvention
from tercet.checkpoint import Checkpoint, open_checkpoint
from tercet.checkpoint.head_file import open_head
from tercet.checkpoint.heads import Origin, Quantizer
from tercet.convert.head_fit import bound_to, check_fits
from tercet.convert.head_store import codebook_fingerprint, write_head
from tercet.dataset.encoded import About, EncodedReader
from tercet.errors import DataError, HeadError
from tercet.hub import find_model
from tercet.train.loop import RunResult, fit
from tercet.train.recipe import Recipe, load_recipe
from tercet.train.run_folder import RunFolder
from tercet.train.sampling import order_of_sets
from tercet.train.sets import root_of
from tercet.train.task import TrainData
from tercet.train.tokens.bottleneck import Bottleneck, BottleneckSettings, settings_of
from tercet.train.tokens.data import CachedWindows, HeardWindows, collate
from tercet.train.tokens.encoding import Listener, about_states, encode_windows
from tercet.train.tokens.hearing import Teacher, decoder_network
from tercet.train.tokens.material import Split, noises, splits
from tercet.train.tokens.recipe import TokensRecipe
from tercet.train.tokens.start import start
from tercet.train.tokens.task import TokenTask
from tercet.train.watch import Unwatched, Watcher, hearing_notes

if TYPE_CHECKING:
    from tercet.model.decoder import TextDecoder

HEAD_FILE = "tokens.safetensors"
ENCODED = "encoded"
_START = "start"


def run(
    recipe: Path | str,
    folder: Path | str,
    *,
    resume: bool = False,
    overrides: Sequence[str] = (),
    watcher: Watcher | None = None,
) -> RunResult:
    """Train the quantizer of a recipe.

    What is encoded already is not encoded again, whether the run is resumed or not.

    Args:
        recipe: A TOML file (`train.tokens.recipe.TokensRecipe`).
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
    loaded = load_recipe(recipe, TokensRecipe, overrides)
    RunFolder(folder).check(loaded.settings(), resume=resume)  # before anything is heard
    values = loaded.values
    checkpoint = open_checkpoint(find_model(values.model))
    watcher = watcher or Unwatched()
    prepared = _prepare(loaded, checkpoint, folder, watcher)
    with torch.random.fork_rng(devices=()):  # the caller's own draws are no concern of ours
        torch.manual_seed(values.loop.seed)
        bottleneck = _bottleneck(values, checkpoint)
    if not resume:  # a checkpoint has all of it
        _begin(bottleneck, values, prepared, checkpoint, watcher)
    task = TokenTask(bottleneck, prepared.decoder, values)
    result = fit(task, prepared.data, loaded, folder, resume=resume, watcher=watcher)
    if result.is_finished:
        head = _publish(loaded, task, prepared, checkpoint, folder)
        _report(folder, head, result)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """What there is to learn from."""

    data: TrainData
    decoder: "TextDecoder"
    convention: InputConvention
    start_readers: Sequence[EncodedReader]


def _prepare(
    loaded: Recipe[TokensRecipe], checkpoint: Checkpoint, folder: Path, watcher: Watcher
) -> _Prepared:
    values = loaded.values
    data = values.data
    convention = ICHIGO if values.match else SHARED
    whole = bool(values.match)
    about = about_states(checkpoint, convention, name=values.model, whole=whole)
    encoded = Path(data.encoded) if data.encoded else folder / ENCODED
    root = root_of(data.root, loaded.path)
    divided = splits(data, root, watcher.on_note) if not data.only_encoded else ()
    listener: Listener | None = None
    if not data.only_encoded:
        teacher = Teacher(checkpoint, convention)
        listener = Listener(teacher, data, noises(data, root, watcher.on_note), whole=whole)
        _encode(values, divided, listener, encoded, about, watcher)
    names = [each.name for each in data.sets if each.role == "speech"]
    start_readers = _readers(encoded, names, "train" if data.cached else _START, about)
    train: CachedWindows | HeardWindows
    if data.cached:
        train = CachedWindows(start_readers)
    else:
        assert listener is not None
        train = HeardWindows(listener, [each.train for each in divided])
    weights = [each.weight for each in data.sets if each.role == "speech"]
    shares = [weight or size for weight, size in zip(weights, train.sizes, strict=True)]
    held_out = [reader for reader in _readers(encoded, names, "valid", about) if len(reader)]
    if not held_out:
        raise DataError("no speech is held out; give field and held_out to a set of speech")
    return _Prepared(
        data=TrainData(
            train=train,
            valid=CachedWindows(held_out),
            collate=collate,
            order=order_of_sets(train.sizes, shares, values.loop.seed),
            name_of=train.name_of,
        ),
        decoder=decoder_network(checkpoint),
        convention=convention,
        start_readers=start_readers,
    )


def _encode(
    values: TokensRecipe,
    divided: Sequence[Split],
    listener: Listener,
    encoded: Path,
    about: About,
    watcher: Watcher,
) -> None:
    """Hear all that is not heard yet; where nothing is cached, only what the start and validation need."""
    most = values.codebook.start_windows
    for each in divided:
        cached, part = (each.train, "train") if values.data.cached else (each.train[:most], _START)
        for name, orders in ((part, cached), ("valid", each.held_out)):
            tell = hearing_notes(watcher, f"{each.name}: {name}", len(orders))
            encode_windows(encoded / each.name / name, listener, about, orders, on_done=tell)


def _readers(
    encoded: Path, names: Sequence[str], part: str, about: About
) -> Sequence[EncodedReader]:
    return [EncodedReader(encoded / name / part, about=about) for name in names]


def _bottleneck(values: TokensRecipe, checkpoint: Checkpoint) -> Bottleneck:
    """An empty one of the recipe's sizes, or of those of the head to go on from."""
    codebook, head = values.codebook, values.head
    moves = {
        "decay": codebook.decay,
        "revive_below": codebook.revive_below,
        "rotation": codebook.rotation,
        "mask_is_code": bool(values.match),
    }
    if codebook.head:
        return Bottleneck(settings_of(_given(codebook.head), **moves))
    return Bottleneck(
        BottleneckSettings(
            width=checkpoint.geometry.width,
            positions=checkpoint.geometry.n_audio_ctx,
            heads=head.heads,
            mlp_width=head.mlp_width,
            code_width=head.code_width,
            codes=head.codes,
            depth=head.depth,
            blocks=head.blocks,
            downsample=head.downsample,
            downsampling=head.downsampling,
            has_state_mean=head.state_mean,
            kind=head.kind,
            levels=head.levels,
            **moves,  # type: ignore[arg-type]
        )
    )


def _begin(
    bottleneck: Bottleneck,
    values: TokensRecipe,
    prepared: _Prepared,
    checkpoint: Checkpoint,
    watcher: Watcher,
) -> None:
    """Give it the weights that the recipe starts from."""
    codebook = values.codebook
    if codebook.head:
        head = _given(codebook.head)
        check_fits(head, checkpoint, model_name=values.model)
        bottleneck.load(head)
    elif codebook.start == "kmeans":
        start(
            bottleneck,
            prepared.start_readers,
            windows=codebook.start_windows,
            seed=values.loop.seed,
        )
        watcher.on_note(f"codebook started from {len(prepared.start_readers)} sets' states")


def _given(path: str) -> Quantizer:
    head = open_head(Path(path))
    if not isinstance(head, Quantizer):
        raise HeadError(f"{path}: is a tag head; codebook.head needs a quantizer")
    return head


def _publish(
    loaded: Recipe[TokensRecipe],
    task: TokenTask,
    prepared: _Prepared,
    checkpoint: Checkpoint,
    folder: Path,
) -> Quantizer:
    values = loaded.values
    origin = Origin(
        name=values.name, licence=values.licence, source=values.source or loaded.path.name
    )
    head = task.head(convention=prepared.convention, origin=origin)
    bound = bound_to(head, checkpoint, values.model)
    assert isinstance(bound, Quantizer)
    write_head(folder / HEAD_FILE, bound, compute_type=values.head.stored)
    return bound


def _report(folder: Path, head: Quantizer, result: RunResult) -> None:
    """What validation says of the head that was written."""
    figures = {
        "head": HEAD_FILE,
        "codebook": codebook_fingerprint(head),
        "codes": head.codebook_size - 1,
        "rate_hz": head.rate_hz,
        "steps": result.step,
        "weights": result.weights,
        "validation": dict(result.metrics),
    }
    run_folder = RunFolder(folder)
    run_folder.write_text("report.json", json.dumps(figures, indent=1) + "\n")
    rows = "".join(f"| {name} | {value:.4g} |\n" for name, value in result.metrics.items())
    run_folder.write_text(
        "report.md",
        f"# {head.origin.name}\n\n{head.codebook_size - 1} codes, {head.rate_hz:g} a second; "
        f"{result.step} steps, {result.weights} weights; codebook {codebook_fingerprint(head)}.\n\n"
        f"| held out | |\n| --- | --- |\n{rows}\n"
        "`loss` is the divergence from the teacher per token; `agreement` the share of tokens on which both\n"
        "choose alike. Words: `tercet eval tokens MANIFEST --tokens tokens.safetensors`.\n",
    )
