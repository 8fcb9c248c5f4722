"""Windows through a teacher: what is kept of them, what is left out, what is heard with noise."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("jiwer")

from tercet.dataset.encoded import About, EncodedReader
from tercet.train.tokens.encoding import Listener, encode_windows
from tercet.train.tokens.hearing import Spoken
from tercet.train.tokens.material import WindowOrder, splits
from tercet.train.tokens.recipe import DataRecipe, SetRecipe, WindowsRecipe

ABOUT = About(encoder="0" * 64)
POSITIONS = 40


class Teacher:
    """Writes what it is told to; a window's states are its samples' levels."""

    def __init__(self, words: str = "", *, is_repetitive: bool = False) -> None:
        self.words, self.is_repetitive = words, is_repetitive
        self.heard = 0
        self.with_timestamps: list[bool] = []

    def states(self, samples: np.ndarray) -> tuple[np.ndarray, int]:
        self.heard += 1
        return np.full((POSITIONS, 4), np.sqrt(np.mean(samples**2)), np.float32), 25

    def transcribe(
        self,
        states: Sequence[np.ndarray],
        *,
        languages: Sequence[str | None],
        with_timestamps: Sequence[bool],
    ) -> list[Spoken]:
        self.with_timestamps += with_timestamps
        return [
            Spoken((1, 2), (5, 6, 7), self.words, "en", is_repetitive=self.is_repetitive)
            for _ in states
        ]

    def expected(self, states: np.ndarray, spoken: Spoken, k: int) -> tuple[np.ndarray, np.ndarray]:
        self.level = float(states[0, 0])
        return np.ones((3, k), int), np.full((3, k), -0.123456)


@pytest.fixture
def orders(voices: Path) -> tuple[WindowOrder, ...]:
    """Sixteen windows of one utterance; the texts are "w300 w400", "w301 w401" .."""
    recipe = DataRecipe(
        sets=(SetRecipe(manifest="voices"),), windows=WindowsRecipe(single_share=1.0)
    )
    (split,) = splits(recipe, voices)
    return split.train


def listener(
    teacher: Teacher, *, windows: Any = None, whole: bool = False, **data: Any
) -> Listener:
    recipe = DataRecipe(
        sets=(SetRecipe(manifest="voices"),), windows=WindowsRecipe(**(windows or {})), **data
    )
    return Listener(teacher, recipe, whole=whole)  # type: ignore[arg-type]


def test_what_is_kept_of_a_window(orders: Any) -> None:
    (window,) = listener(Teacher("hm"), expected=2).hear(orders[:1])
    assert window is not None
    assert (25, 4) == window.states.shape
    facts = window.facts
    assert ([1, 2], [5, 6, 7], 25) == (facts["prompt"], facts["text"], facts["n_states"])
    assert [[-0.1235, -0.1235]] * 3 == facts["expected_log_p"]
    assert (orders[0].text, "hm", False) == (facts["reference"], facts["words"], facts["is_noisy"])


def test_padding_is_kept_only_if_asked(orders: Any) -> None:
    (window,) = listener(Teacher("hm"), whole=True).hear(orders[:1])
    assert window is not None
    assert (POSITIONS, 25) == (len(window.states), window.facts["n_states"])


def test_the_quantizer_hears_noise_and_the_teacher_does_not(orders: Any) -> None:
    teacher = Teacher("hm")
    loud = {"noise_share": 1.0, "snr_db": (-10.0, -10.0), "gain_db": (-20.0, -20.0)}
    (window,) = listener(teacher, windows=loud).hear(orders[:1])
    assert window is not None
    assert window.facts["is_noisy"]
    assert float(window.states[0, 0]) > 2 * teacher.level


@pytest.mark.parametrize(("most_wer", "kept"), [(0.0, 16), (0.6, 1), (0.4, 0)])
def test_texts_far_from_the_manifests_are_left_out(orders: Any, most_wer: float, kept: int) -> None:
    teacher = Teacher("w300 something")  # half of the first one's words, none of the others'
    heard = listener(teacher, most_wer=most_wer).hear(orders)
    assert kept == sum(window is not None for window in heard)


def test_repeated_texts_are_left_out(orders: Any) -> None:
    assert [None] == listener(Teacher("hm", is_repetitive=True)).hear(orders[:1])


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_the_texts_has_timestamps(orders: Any, share: float) -> None:
    teacher = Teacher("hm")
    listener(teacher, timestamps_share=share).hear(orders)
    assert [bool(share)] * 16 == teacher.with_timestamps


def test_a_window_is_heard_once_whether_it_is_fit_or_not(orders: Any, tmp_path: Path) -> None:
    teacher = Teacher("w300 w400")
    for _ in range(2):
        encode_windows(tmp_path / "e", listener(teacher, most_wer=0.1), ABOUT, orders)
    assert 16 == teacher.heard
    reader = EncodedReader(tmp_path / "e")
    assert ["w300 w400"] == [item.facts["reference"] for item in reader]
    assert 15 == len((tmp_path / "e" / "unfit.txt").read_text().split())
