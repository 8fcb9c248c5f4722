"""Ids that go in, and those that are asked for."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tercet.dataset.label_table import Label
from tercet.text.tokenizer import Tokenizer
from tercet.train.text.material import Lesson
from tercet.train.text.recipe import DataRecipe, SetRecipe
from tercet.train.text.texts import Text, text_of

pytest.importorskip("torch")
SOT, EN, TRANSCRIBE, NO_TIMES, PREV, EOT = 50258, 50259, 50359, 50363, 50361, 50257
TIME = 50364
START = (SOT, EN, TRANSCRIBE)
SETS = (SetRecipe(labels="speech"),)


@pytest.fixture
def choose(
    byte_tokenizer: Callable[[int], Any], label_of: Callable[..., Label]
) -> Callable[..., Text]:
    def of(
        *,
        seed: int | None = 0,
        times: float = 0.0,
        prompts: float = 0.0,
        before: tuple[int, ...] = (),
        room: int = 448,
        prompt_tokens: int = 223,
        task: str = "transcribe",
        speed: float = 1.0,
        bpe_dropout: float = 0.0,
        **changes: Any,
    ) -> Text:
        recipe = DataRecipe(
            sets=SETS,
            timestamps_share=times,
            prompts_share=prompts,
            prompt_tokens=prompt_tokens,
            bpe_dropout=bpe_dropout,
        )
        label = label_of(0, **changes)
        lesson = Lesson(label, label.text_ids, before, task)
        rng = None if seed is None else np.random.default_rng(seed)
        return text_of(lesson, byte_tokenizer(51865), recipe, rng, room=room, speed=speed)

    return of


def test_without_timestamps_it_says_so(choose: Callable[..., Text]) -> None:
    text = choose()
    assert (*START, NO_TIMES, 300, 400) == text.inputs
    assert (EN, TRANSCRIBE, NO_TIMES, 300, 400, EOT) == text.targets


def test_with_timestamps_they_are_asked_for(choose: Callable[..., Text]) -> None:
    text = choose(times=1.0)
    assert (*START, TIME, 300, 400, TIME + 100) == text.inputs
    assert (EN, TRANSCRIBE, TIME, 300, 400, TIME + 100, EOT) == text.targets


def test_a_label_without_timestamps_has_none_to_ask_for(choose: Callable[..., Text]) -> None:
    assert (*START, NO_TIMES, 7) == choose(times=1.0, text_ids=(7,)).inputs


def test_a_prompt_is_seen_and_not_asked_for(choose: Callable[..., Text]) -> None:
    text = choose(prompts=1.0, before=(TIME, 1, 2, TIME + 5))
    assert (PREV, 1, 2, *START, NO_TIMES, 300, 400) == text.inputs
    assert (-100, -100, -100, EN, TRANSCRIBE, NO_TIMES, 300, 400, EOT) == text.targets


def test_of_a_long_prompt_the_end_is_kept(choose: Callable[..., Text]) -> None:
    text = choose(prompts=1.0, before=tuple(range(10)), prompt_tokens=3)
    assert (PREV, 7, 8, 9) == text.inputs[:4]
    crowded = choose(prompts=1.0, before=tuple(range(10)), room=9)
    assert (PREV, 8, 9, *START) == crowded.inputs[:6]
    assert 9 == len(crowded.inputs) == len(crowded.targets)
    assert START == choose(prompts=1.0, before=tuple(range(10)), room=6).inputs[:3]


def test_a_text_that_is_too_long_is_cut(choose: Callable[..., Text]) -> None:
    text = choose(text_ids=tuple(range(100, 120)), room=10)
    assert 10 == len(text.inputs) == len(text.targets)
    assert 105 == text.inputs[-1]
    assert 106 == text.targets[-1]


def test_choices_are_drawn_anew_and_independently(choose: Callable[..., Text]) -> None:
    drawn = [choose(seed=n, times=0.5, prompts=0.2, before=(1, 2)) for n in range(300)]
    timed = [TIME in each.inputs for each in drawn]
    prompted = [PREV in each.inputs for each in drawn]
    assert pytest.approx(0.5, abs=0.1) == np.mean(timed)
    assert pytest.approx(0.2, abs=0.08) == np.mean(prompted)
    assert abs(np.corrcoef(timed, prompted)[0, 1]) < 0.15
    assert drawn[3] == choose(seed=3, times=0.5, prompts=0.2, before=(1, 2))
    # Whether there are prompts at all does not move the choice of timestamps.
    assert timed == [TIME in choose(seed=n, times=0.5).inputs for n in range(300)]


def test_validation_chooses_timestamps_and_no_prompt(choose: Callable[..., Text]) -> None:
    text = choose(seed=None, times=0.5, prompts=1.0, before=(1, 2))
    assert (*START, TIME, 300, 400, TIME + 100) == text.inputs


def test_languages_and_tasks_are_in_the_start(choose: Callable[..., Text]) -> None:
    assert (SOT, 50261, 50358, NO_TIMES) == choose(language="de", task="translate").inputs[:4]


def test_timestamps_follow_the_speed(choose: Callable[..., Text]) -> None:
    said = (TIME + 10, 300, TIME + 100)
    assert (*START, TIME + 8, 300, TIME + 80) == choose(times=1.0, speed=1.25, text_ids=said).inputs


def test_subwords_are_dropped_between_timestamps_and_never_in_validation(
    choose: Callable[..., Text], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[list[int], float]] = []

    def recut(self: Tokenizer, ids: list[int], share: float, rng: Any) -> list[int]:
        asked.append((list(ids), share))
        return [each + 1 for each in ids]

    monkeypatch.setattr(Tokenizer, "recut", recut)
    said = (TIME, 300, 400, TIME + 50, TIME + 50, 500, TIME + 100)
    expected = (*START, TIME, 301, 401, TIME + 50, TIME + 50, 501, TIME + 100)
    assert expected == choose(times=1.0, bpe_dropout=0.1, text_ids=said).inputs
    assert [([300, 400], 0.1), ([500], 0.1)] == asked
    assert (*START, *said) == choose(seed=None, times=1.0, bpe_dropout=0.1, text_ids=said).inputs
    assert (*START, *said) == choose(times=1.0, text_ids=said).inputs


def test_dropping_subwords_moves_no_other_choice(choose: Callable[..., Text]) -> None:
    for seed in range(20):
        plain, other = (
            choose(seed=seed, times=0.5, prompts=0.5, before=(7,), bpe_dropout=share)
            for share in (0.0, 0.5)
        )
        for each in (PREV, NO_TIMES):
            assert (each in plain.inputs) == (each in other.inputs)
