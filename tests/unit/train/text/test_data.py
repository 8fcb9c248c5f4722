"""What a draw gives: sound and text that belong together."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from tercet.dataset.label_table import Span
from tercet.train.sampling import Draw
from tercet.train.text.data import Chooser, HeardLessons, collate, unpacked
from tercet.train.text.material import Lesson
from tercet.train.text.recipe import DataRecipe, SetRecipe, SoundRecipe

TIME = 50364
Lessons = Callable[..., HeardLessons]


@pytest.fixture
def lessons(
    tmp_path: Path, label_of: Any, write_wav: Any, byte_tokenizer: Callable[[int], Any]
) -> Lessons:
    """Windows of 2 s and 1 s of one recording, the first with timestamps at 0 and 2 s."""
    write_wav(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 32000))

    def make(*, is_changed: bool = True, **settings: Any) -> HeardLessons:
        recipe = DataRecipe(
            sets=(SetRecipe(labels="x"),), cached=False, timestamps_share=1.0, **settings
        )
        labels = [
            label_of(
                number,
                duration_s=seconds,
                spans=(Span(str(tmp_path / "a.wav"), 0.0, seconds, 0.0),),
            )
            for number, seconds in enumerate((2.0, 1.0))
        ]
        chooser = Chooser(byte_tokenizer(51865), recipe, room=448, is_random=is_changed)
        taught = [Lesson(label, label.text_ids, (), "transcribe") for label in labels]
        return HeardLessons(taught, chooser, n_mels=80, is_changed=is_changed)

    return make


FAST = {"length": "sound", "sound": SoundRecipe(speed=(2.0, 2.0))}


def test_a_faster_window_is_shorter_and_so_are_its_times(lessons: Lessons) -> None:
    item = lessons(**FAST)[Draw(0, 5)]
    assert item.mel is not None
    assert 100 == item.mel.shape[1]
    assert TIME + 50 == item.text.inputs[-1]


def test_validation_hears_and_asks_for_what_is_there(lessons: Lessons) -> None:
    item = lessons(is_changed=False, **FAST)[Draw(0, 5)]
    assert item.mel is not None
    assert 200 == item.mel.shape[1]
    assert TIME + 100 == item.text.inputs[-1]


def test_windows_are_padded_to_30_s_or_to_the_longest(lessons: Lessons) -> None:
    for settings, columns, lengths in (
        ({}, 3000, [3000, 3000]),
        ({"length": "sound"}, 200, [200, 100]),
    ):
        drawn = lessons(**settings)
        batch = unpacked(collate([drawn[Draw(number, 1)] for number in (0, 1)]))
        assert (2, 80, columns) == tuple(batch.mel.shape)
        assert lengths == batch.lengths.tolist()
        assert 0 == batch.states.numel()
        assert not batch.mel[1, :, lengths[1] :].any()
