"""Probes of layers that know what they were made to know."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet.dataset.manifests import Manifest, Row
from tercet.errors import DataError
from tercet.evaluate.layers import LayerFigures, Sounds, hear_sounds, mean_taps, probe_layers

NAMES = ("Bell", "Cat", "Dog")
MakeRow = Callable[..., Row]


def sounds_of(knows: list[set[int]], n: int = 24, folds: int = 3) -> Sounds:
    """Layer i tells the classes in `knows[i]` from all others; all others look the same to it."""
    classes = np.arange(n) % 3
    rng = np.random.default_rng(0)
    features = rng.normal(0, 0.05, (n, len(knows) + 1, 4))
    for layer, known in enumerate(knows):
        for row, number in enumerate(classes):
            if number in known:
                features[row, layer, number] += 1.0
    features[:, -1] = features[:, :-1].mean(axis=1)
    rows = tuple(Row(audio=Path(f"{n}.wav"), labels=(NAMES[c],)) for n, c in enumerate(classes))
    return Sounds(
        rows=rows, names=NAMES, classes=classes, features=features.astype(np.float32),
        groups=tuple(str(at // 3 % folds) for at in range(n)),
    )  # fmt: skip


def test_each_layer_names_what_it_knows_of_folds_it_has_not_seen() -> None:
    # Of three classes: a layer that knows all names all; one that knows one tells it from two others.
    figures = probe_layers(sounds_of([{0}, {0, 1, 2}, {2}]))
    assert ("0", "1", "2") == figures.held_out
    told = list[tuple[int, int]]()
    probe_layers(sounds_of([{0}], folds=2), on_progress=lambda n, of: told.append((n, of)))
    assert [(1, 4), (2, 4), (3, 4), (4, 4)] == told  # two layers (one of them the mean), two folds
    assert (24, (8, 8, 8)) == (figures.rows, figures.counts)
    assert 1.0 == figures.accuracies[1]
    assert all(0.4 < accuracy < 0.9 for accuracy in (figures.accuracies[0], figures.accuracies[2]))
    assert 2 == figures.best_layer
    assert [1.0, 1.0, 1.0] == figures.f1[:, 1].tolist()


def test_the_best_layer_of_a_class_is_the_first_with_the_highest_f1() -> None:
    figures = LayerFigures(
        names=NAMES, held_out=("1",), counts=(1, 1, 1), right=(1, 2, 2, 3), left_out=0, probes={},
        f1=np.array([[0.5, 0.9, 0.9, 1.0], [1.0, 0.2, 0.1, 1.0], [0.1, 0.2, 0.3, 1.0]]),
    )  # fmt: skip
    assert {"Bell": 2, "Cat": 1, "Dog": 3} == figures.best_by_class
    assert (1, 1, 1) == figures.histogram
    assert (2, 3) == (figures.best_layer, figures.n_layers)
    assert pytest.approx((1 / 3, 2 / 3, 2 / 3, 1.0)) == figures.accuracies


def test_held_out_folds_are_named_by_a_probe_of_all_others() -> None:
    sounds = sounds_of([{0, 1, 2}])
    figures = probe_layers(sounds, held_out=("1",))
    assert (("1",), 9, (3, 3, 3)) == (figures.held_out, figures.rows, figures.counts)
    assert ["1"] == list(figures.probes)
    both = probe_layers(sounds, held_out=("1", "2"))
    # Neither fold takes part in either probe.
    assert both.probes["1"][0].weight.tolist() == both.probes["2"][0].weight.tolist()


def test_stronger_weights_cost_more_with_a_larger_l2() -> None:
    loose, tight = (
        np.abs(probe_layers(sounds_of([{0, 1, 2}]), l2=l2).probes["0"][0].weight).max()
        for l2 in (0.001, 1.0)
    )
    assert tight < loose / 5


@pytest.mark.parametrize(
    ("words", "held_out"),
    [
        ("held out: no row in 7, 8; there are 0, 1, 2", ("7", "8", "0")),
        ("held out: 0; the other rows have fewer than two classes to learn", ("0", "1", "2")),
    ],
)
def test_folds_that_leave_nothing_to_learn_are_refused(
    words: str, held_out: tuple[str, ...]
) -> None:
    with pytest.raises(DataError, match=words):
        probe_layers(sounds_of([{0}]), held_out=held_out)


def taps_that_count(samples: np.ndarray) -> np.ndarray:
    """Two layers, a frame for each begun 6400 samples: the loudest sample, and its double."""
    frames = -(-samples.size // 6400)
    loudest = np.full((frames, 1), float(np.abs(samples).max()))
    return np.stack([loudest, 2 * loudest]).astype(np.float32)


def test_features_are_means_over_time_and_then_over_layers() -> None:
    samples = np.concatenate([np.full(480000, 1.0), np.full(240000, 4.0)]).astype(np.float32)
    # 75 frames of 1 and, heard in a window of their own, 38 of 4.
    expected = (75 * 1 + 38 * 4) / 113
    found = mean_taps(taps_that_count, samples)
    assert pytest.approx([expected, 2 * expected, 1.5 * expected]) == found.ravel().tolist()


def test_rows_with_one_label_and_a_fold_are_heard(sound_row: MakeRow) -> None:
    rows = (
        sound_row("a", labels=("Dog bark",), extra={"fold": 1, "audioset_labels": ["Dog"]}),
        sound_row("b", labels=("Cat",), extra={"fold": 2}),
        sound_row("c", labels=("Cat", "Dog"), extra={"fold": 2}),
        sound_row("d", labels=("Cat",)),
        sound_row("e", extra={"fold": 1}),
    )
    told = list[tuple[int, int]]()
    sounds = hear_sounds(
        taps_that_count, Manifest(Path("m.csv"), rows), by="fold",
        on_progress=lambda n, of: told.append((n, of)),
    )  # fmt: skip
    assert (("Cat", "Dog"), [1, 0], ("1", "2"), 3) == (
        sounds.names, sounds.classes.tolist(), sounds.groups, sounds.left_out,
    )  # fmt: skip
    assert ((2, 3, 1), 2) == (sounds.features.shape, sounds.n_layers)
    assert [(1, 2), (2, 2)] == told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (r"m\.csv: no row has a field 'fold'; name the one with --by", [{"labels": ("Dog",)}]),
        (
            r"m\.csv: 1 class among rows with one label; a probe needs two",
            [{"labels": ("Dog",), "extra": {"fold": 1}}],
        ),
        (r"m\.csv: 0 classes among rows with one label", [{"text": "hello"}]),
    ],
)
def test_a_manifest_without_classes_or_folds_is_refused(
    sound_row: MakeRow, words: str, told: list[dict[str, Any]]
) -> None:
    rows = tuple(sound_row(str(n), **each) for n, each in enumerate(told))
    with pytest.raises(DataError, match=words):
        hear_sounds(taps_that_count, Manifest(Path("m.csv"), rows), by="fold")
