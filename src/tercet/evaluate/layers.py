"""What each of an encoder's layers knows of sounds: a linear probe on the mean over time of its output.

Whisper-AT's experiment (arXiv:2307.03183): which layer tells sounds apart best, and which is best for which
sound. A layer here is a block's output (1, 2, ...); the last row is the mean of all layers. The input of the
first block, which they call layer 0, is no tap and is left out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tercet.dataset.manifests import Manifest, Row
from tercet.errors import DataError
from tercet.evaluate.linear_probe import LinearProbe, fit_probe
from tercet.evaluate.recordings import samples_of
from tercet.train.sets import value_of
from tercet.train.tags.material import labels_of_row

L2 = 0.01
_WINDOW_SAMPLES = 480000
TapsOf = Callable[[np.ndarray], np.ndarray]  # samples, 30 s at most -> taps [layers, frames, width]
OnProgress = Callable[[int, int], None] | None  # steps done, all of them


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sounds:
    """Rows with one label, heard."""

    rows: tuple[Row, ...]
    names: tuple[str, ...]  # of the classes, sorted
    classes: np.ndarray  # int64 [rows]
    groups: tuple[str, ...]  # each row's fold
    features: np.ndarray  # float32 [rows, layers + 1, width]; the last "layer" is the mean of all
    left_out: int = 0  # rows without a label, or with several, or in no fold

    @property
    def n_layers(self) -> int:
        """Of the encoder."""
        return int(self.features.shape[1]) - 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerFigures:
    """How well each layer's probe names the sounds that it was not fitted on."""

    names: tuple[str, ...]
    held_out: tuple[str, ...]  # folds, each left out in turn
    counts: tuple[int, ...]  # rows of each class in them
    right: tuple[int, ...]  # of each layer, the mean of all at the end
    f1: np.ndarray  # float64 [classes, layers + 1]
    probes: Mapping[
        str, tuple[LinearProbe, ...]
    ]  # held-out fold -> each layer's probe, fitted on the others
    left_out: int

    @property
    def rows(self) -> int:
        """How many were named."""
        return sum(self.counts)

    @property
    def n_layers(self) -> int:
        """Of the encoder."""
        return len(self.right) - 1

    @property
    def accuracies(self) -> tuple[float, ...]:
        """Of each layer, the mean of all at the end."""
        return tuple(right / self.rows for right in self.right)

    @property
    def best_layer(self) -> int:
        """The layer that names most, from 1; of several the first."""
        return int(np.argmax(self.right[:-1])) + 1

    @property
    def best_by_class(self) -> dict[str, int]:
        """The layer with the highest F1 for each class, from 1; of several the first."""
        best = self.f1[:, :-1].argmax(axis=1) + 1
        return {name: int(layer) for name, layer in zip(self.names, best, strict=True)}

    @property
    def histogram(self) -> tuple[int, ...]:
        """For how many classes each layer is the best."""
        best = list(self.best_by_class.values())
        return tuple(best.count(layer) for layer in range(1, self.n_layers + 1))


def mean_taps(taps_of: TapsOf, samples: np.ndarray) -> np.ndarray:
    """Each layer's mean over time, and the mean of those: float32 [layers + 1, width].

    What is longer than 30 s is heard in windows of 30 s.
    """
    starts = range(0, samples.size, _WINDOW_SAMPLES)
    taps = [np.asarray(taps_of(samples[at : at + _WINDOW_SAMPLES])) for at in starts]
    means = np.concatenate(taps, axis=1).mean(axis=1, dtype=np.float64)
    return np.concatenate([means, means.mean(axis=0, keepdims=True)]).astype(np.float32)


def hear_sounds(
    taps_of: TapsOf, manifest: Manifest, *, by: str, on_progress: OnProgress = None
) -> Sounds:
    """Encode every row that has one label and a fold.

    Args:
        taps_of: An opened encoder.
        manifest: Rows with labels.
        by: The field that names a row's fold or split.
        on_progress: See `OnProgress`.

    Raises:
        DataError: fewer than two classes, or no row has that field.
        AudioError: a recording cannot be heard.
    """
    labelled = [(row, labels_of_row(row)) for row in manifest.rows]
    grouped = [
        (row, names[0], str(value_of(row, by))) for row, names in labelled if len(names) == 1
    ]
    kept = [each for each in grouped if each[2]]
    if grouped and not kept:
        raise DataError(f"{manifest.path}: no row has a field {by!r}; name the one with --by")
    names = tuple(sorted({name for _, name, _ in kept}))
    if len(names) < 2:
        told = f"{len(names)} class{'es' * (len(names) != 1)}"
        raise DataError(f"{manifest.path}: {told} among rows with one label; a probe needs two")
    features = []
    for number, (row, _, _) in enumerate(kept, start=1):
        features.append(mean_taps(taps_of, samples_of(row)))
        if on_progress is not None:
            on_progress(number, len(kept))
    return Sounds(
        rows=tuple(row for row, _, _ in kept),
        names=names,
        classes=np.array([names.index(name) for _, name, _ in kept]),
        groups=tuple(group for _, _, group in kept),
        features=np.stack(features),
        left_out=len(manifest.rows) - len(kept),
    )


def probe_layers(
    sounds: Sounds,
    *,
    held_out: Sequence[str] = (),
    l2: float = L2,
    on_progress: OnProgress = None,
) -> LayerFigures:
    """Fit a probe for each layer and fold, on the other folds, and let it name the fold's sounds.

    Args:
        sounds: See `hear_sounds`.
        held_out: The folds that are named; (): each in turn.
        l2: See `fit_probe`.
        on_progress: See `OnProgress`; a step is a probe.

    Raises:
        DataError: there is no such fold, or nothing to fit a probe on.
    """
    there = tuple(dict.fromkeys(sorted(sounds.groups)))
    missing = [each for each in held_out if each not in there]
    if missing:
        raise DataError(f"held out: no row in {', '.join(missing)}; there are {', '.join(there)}")
    groups = np.array(sounds.groups)
    n_layers = sounds.features.shape[1]
    named = np.full((len(sounds.rows), n_layers), -1)
    probes: dict[str, tuple[LinearProbe, ...]] = {}
    folds = tuple(dict.fromkeys(held_out)) or there
    for fold in folds:
        inside = groups == fold
        outside = ~np.isin(groups, held_out) if held_out else ~inside
        if len(set(sounds.classes[outside].tolist())) < 2:
            raise DataError(
                f"held out: {fold}; the other rows have fewer than two classes to learn"
            )
        fitted = []
        for layer in range(n_layers):
            heard = sounds.features[:, layer].astype(np.float64)
            probe = fit_probe(heard[outside], sounds.classes[outside], len(sounds.names), l2=l2)
            named[inside, layer] = probe.classes_of(heard[inside])
            fitted.append(probe)
            if on_progress is not None:
                on_progress(len(probes) * n_layers + len(fitted), len(folds) * n_layers)
        probes[fold] = tuple(fitted)
    return _figures(sounds, named, probes)


def _figures(
    sounds: Sounds, named: np.ndarray, probes: Mapping[str, tuple[LinearProbe, ...]]
) -> LayerFigures:
    """From the classes that were named, int64 [rows, layers + 1] (-1: not asked), to figures."""
    asked = named[:, 0] >= 0
    truth, named = sounds.classes[asked], named[asked]
    f1 = np.zeros((len(sounds.names), named.shape[1]))
    for number in range(len(sounds.names)):
        true, said = truth == number, named == number
        hits = (true[:, None] & said).sum(axis=0)
        f1[number] = 2 * hits / np.maximum(true.sum() + said.sum(axis=0), 1)
    return LayerFigures(
        names=sounds.names,
        held_out=tuple(probes),
        counts=tuple(int((truth == number).sum()) for number in range(len(sounds.names))),
        right=tuple((named == truth[:, None]).sum(axis=0).tolist()),
        f1=f1,
        probes=probes,
        left_out=sounds.left_out,
    )
