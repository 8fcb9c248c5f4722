"""Thresholds: the best F on scenes, and for speech what tells utterances from everything else."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from tercet.checkpoint.heads import HeadArrays, TagHead
from tercet.evaluate.event_scores import Counts
from tercet.train.tags.listening import (
    Listened,
    with_speech_threshold,
    with_thresholds,
)
from tercet.train.tags.scene import Event

HEAD = TagHead(
    layers="mean",
    n_layers=None,
    width=4,
    hidden=4,
    has_projection=False,
    time_heads=0,
    layer_heads=0,
    arrays=HeadArrays({}),
    labels=("Speech", "Dog"),
    thresholds=(0.5, 0.5),
)


def scene(speech: float, dog: float, *, truth: str = "") -> Listened:
    """4 s at steady scores; `truth` is heard throughout."""
    scores = np.tile(np.array([[speech, dog]], np.float32), (10, 1))
    events = (Event(0.0, 4.0, truth),) if truth else ()
    facts: dict[str, Any] = {}
    return Listened("x", scores, events, 4.0, facts)


def test_speech_gets_the_threshold_between_utterances_and_the_rest() -> None:
    head = with_speech_threshold(
        HEAD,
        [scene(0.65, 0.0), scene(0.9, 0.0)],
        [scene(0.55, 0.9), scene(0.1, 0.2)],
    )
    assert 0.55 < head.thresholds[0] < 0.65
    assert 0.5 == head.thresholds[1]


def test_a_head_without_speech_is_left_as_it_is() -> None:
    head = replace(HEAD, labels=("Cat", "Dog"))
    assert head is with_speech_threshold(head, [scene(1, 0)], [scene(0, 0)])


def test_a_larger_beta_gives_lower_thresholds() -> None:
    loud = [scene(0, 0.75, truth="Dog") for _ in range(4)]
    faint = [scene(0, 0.35, truth="Dog") for _ in range(4)]
    false = [scene(0, 0.45) for _ in range(7)]
    strict, lenient = (
        with_thresholds(HEAD, [*loud, *faint, *false], beta=beta).thresholds[1] for beta in (0.5, 3)
    )
    assert strict > 0.45
    assert lenient < 0.35


def test_thresholds_that_are_mostly_wrong_are_not_taken() -> None:
    true = [scene(0, 0.35, truth="Dog") for _ in range(4)] + [scene(0, 0.75, truth="Dog")]
    false = [scene(0, 0.45) for _ in range(12)]
    free, held = (
        with_thresholds(HEAD, [*true, *false], beta=3, least_precision=least).thresholds[1]
        for least in (0.0, 0.5)
    )
    assert free < 0.35
    assert held > 0.45


@pytest.mark.parametrize(
    ("beta", "expected"),
    [(1.0, 2 * 3 / (4 + 6)), (2.0, 5 * 3 / (4 + 4 * 6)), (0.5, 1.25 * 3 / 5.5)],
)
def test_f_beta_weighs_what_is_missed(beta: float, expected: float) -> None:
    assert pytest.approx(expected) == Counts(matched=3, found=4, true=6).f(beta)
    assert 1.0 == Counts(0, 0, 0).f(beta)
