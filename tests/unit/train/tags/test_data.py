from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet.dataset.encoded import About, EncodedReader
from tercet.dataset.encoded_writing import EncodedWriter
from tercet.errors import DataError
from tercet.train.sampling import Draw
from tercet.train.tags.data import TapWindows, collate
from tercet.train.tags.recipe import AugmentRecipe

LABELS = ("Dog", "Rain")
ABOUT = About(encoder="0" * 64)
Scenes = Sequence[tuple[int, dict[str, Any]]]


@pytest.fixture
def encoded(tmp_path: Path) -> Callable[[Scenes], EncodedReader]:
    """Scenes of (frames, facts), whose taps say which frame they are of."""

    def make(scenes: Scenes) -> EncodedReader:
        with EncodedWriter(tmp_path / "encoded", about=ABOUT, kinds=("taps",)) as writer:
            for number, (frames, facts) in enumerate(scenes):
                taps = np.zeros((2, frames, 4)) + np.arange(frames)[:, None] + 100 * number
                writer.add(f"scene{number}", {"frames": frames, **facts}, taps=taps)
        return EncodedReader(tmp_path / "encoded")

    return make


def test_every_place_of_a_scene_is_a_window(encoded: Callable[[Scenes], EncodedReader]) -> None:
    reader = encoded([(5, {"events": [[0.8, 1.2, "Dog"]]}), (3, {"events": []})])
    windows = TapWindows(reader, LABELS, window_frames=3)
    assert 4 == len(windows)
    places = [windows[Draw(i, 0)].taps[0, :, 0].tolist() for i in range(4)]
    assert [[0, 1, 2], [1, 2, 3], [2, 3, 4], [100, 101, 102]] == places
    assert pytest.approx([1 / 3, 1 / 3, 1 / 3, 0], abs=1e-3) == [
        windows[Draw(i, 0)].targets[0] for i in range(4)
    ]
    assert "scene0@2" == windows.name_of(2)


def test_a_scene_shorter_than_a_window_is_filled_with_zeros(
    encoded: Callable[[Scenes], EncodedReader],
) -> None:
    reader = encoded([(2, {"labels": ["Rain"]})])
    window = TapWindows(reader, LABELS, window_frames=4, whole=True)[Draw(0, 0)]
    assert [0, 1, 0, 0] == window.taps[0, :, 0].tolist()
    assert [0, 1] == window.targets.tolist()


def test_whole_clips_have_one_window_each(encoded: Callable[[Scenes], EncodedReader]) -> None:
    reader = encoded([(9, {"labels": ["Rain"]}), (9, {"labels": ["Dog"]})])
    assert 2 == len(TapWindows(reader, LABELS, window_frames=4, whole=True))


def test_groups_can_be_chosen(encoded: Callable[[Scenes], EncodedReader]) -> None:
    reader = encoded([(3, {"events": [], "group": "1"}), (4, {"events": [], "group": "2"})])
    assert 4 == len(TapWindows(reader, LABELS, window_frames=1, groups=["2"]))
    with pytest.raises(DataError, match="no window"):
        TapWindows(reader, LABELS, window_frames=1, groups=["3"])


def test_a_draw_gives_the_same_window_each_time(
    encoded: Callable[[Scenes], EncodedReader],
) -> None:
    reader = encoded([(9, {"events": [[0.0, 3.6, "Dog"]]}), (9, {"events": []})])
    augment = AugmentRecipe(mixup_share=1.0, mixup_beta=2.0, time_mask_frames=2)
    windows = TapWindows(reader, LABELS, window_frames=3, augment=augment)
    first, again = windows[Draw(2, 5)], windows[Draw(2, 5)]
    np.testing.assert_array_equal(first.taps, again.taps)
    np.testing.assert_array_equal(first.targets, again.targets)
    other = [windows[Draw(2, seed)].taps.tobytes() for seed in range(6, 10)]
    assert 5 == len({first.taps.tobytes(), *other})


def test_weights_are_whisper_ats_for_whole_clips(
    encoded: Callable[[Scenes], EncodedReader],
) -> None:
    reader = encoded([(3, {"labels": ["Dog"]})] * 3 + [(3, {"labels": ["Dog", "Rain"]})])
    windows = TapWindows(
        reader, LABELS, window_frames=3, whole=True, augment=AugmentRecipe(balance=1.0)
    )
    weights = windows.weights()
    theirs = [1000 / 4.01, 1000 / 4.01, 1000 / 4.01, 1000 / 4.01 + 1000 / 1.01]
    assert pytest.approx(np.array(theirs) / sum(theirs), rel=0.01) == weights / weights.sum()


def test_windows_of_nothing_are_drawn_by_the_floor(
    encoded: Callable[[Scenes], EncodedReader],
) -> None:
    reader = encoded([(2, {"events": [[0.0, 0.4, "Dog"]]})])
    windows = TapWindows(
        reader, LABELS, window_frames=1, augment=AugmentRecipe(balance=0.5, floor=0.25)
    )
    assert pytest.approx([1.25, 0.25]) == windows.weights()


def test_batches_are_float32_tensors(encoded: Callable[[Scenes], EncodedReader]) -> None:
    reader = encoded([(3, {"events": []})])
    windows = TapWindows(reader, LABELS, window_frames=1)
    taps, targets = collate([windows[Draw(i, 0)] for i in range(3)])
    assert ((3, 2, 1, 4), "torch.float32") == (tuple(taps.shape), str(taps.dtype))
    assert ((3, 2), "torch.float32") == (tuple(targets.shape), str(targets.dtype))
