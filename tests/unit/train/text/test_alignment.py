"""Heads whose attention is known."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from tercet.checkpoint.geometry import Geometry
from tercet.errors import DataError
from tercet.train.text.alignment import (
    HeadShare,
    all_heads,
    best_heads,
    measure_heads,
    timed_labels,
)

BEGIN = 50364
HEADS = ((0, 0), (0, 1), (1, 0))
START = 3  # <|startoftranscript|><|en|><|transcribe|>
GEOMETRY = Geometry(
    n_mels=80,
    width=4,
    encoder_layers=1,
    encoder_heads=1,
    decoder_layers=2,
    decoder_heads=2,
    vocab_size=51865,
)


def at(seconds: float) -> int:
    return BEGIN + round(seconds / 0.02)


class Looking:
    """A decoder whose heads look where they are told: `looks(head, place)` seconds, when an id is next."""

    geometry = GEOMETRY

    def __init__(self, looks: Callable[[int, int], float]) -> None:
        self.looks = looks

    def project(self, states: np.ndarray) -> np.ndarray:
        return states

    def open(self, windows: Sequence[np.ndarray], *, align: bool = False) -> "Looking":
        assert align
        return self

    def step(self, tokens: np.ndarray) -> None:
        self.tokens = tokens.shape[1]

    def alignment(self) -> np.ndarray:
        weights = np.zeros((1, len(HEADS), self.tokens, 1500), np.float32)
        for head in range(len(HEADS)):
            for place in range(self.tokens):
                weights[0, head, place, int(50 * self.looks(head, place + 1)) % 1500] = 1
        return weights


@pytest.fixture
def spoken(label_of: Callable[..., Any]) -> Any:
    """Two segments of 30 tokens, 0 to 6 s and 10 to 16 s: five tokens a second."""
    words = [300] * 30
    return label_of(0, text_ids=(at(0), *words, at(6), at(10), *words, at(16)), duration_s=20.0)


def said_s(place: int) -> float:
    """When the id at a place is said: behind the start and a timestamp, or behind both and the first text."""
    n = place - START - 1
    return (n + 0.5) / 5 if n < 30 else 10 + (n - 32 + 0.5) / 5


def shares(spoken: Any, looks: Callable[[int, int], float], tokenizer: Any) -> dict[Any, float]:
    heard = [(spoken, np.zeros((1500, 4), np.float32))]
    found = measure_heads(Looking(looks), HEADS, tokenizer, heard)
    return {(each.layer, each.head): each.share for each in found}


def test_a_head_that_looks_where_the_next_word_is_has_all_of_them(
    spoken: Any, byte_tokenizer: Any
) -> None:
    offsets = (0.0, 0.9, 1.2)
    found = shares(spoken, lambda head, place: said_s(place) + offsets[head], byte_tokenizer(51865))
    assert {(0, 0): 1.0, (0, 1): 1.0, (1, 0): 0.0} == found


def test_a_head_that_always_looks_at_one_place_has_what_is_said_there(
    spoken: Any, byte_tokenizer: Any
) -> None:
    found = shares(spoken, lambda head, place: (3.0, 13.0, 25.0)[head], byte_tokenizer(51865))
    assert {(0, 0): 10 / 60, (0, 1): 10 / 60, (1, 0): 0.0} == found


def test_best_first(spoken: Any, byte_tokenizer: Any) -> None:
    heard = [(spoken, np.zeros((1500, 4), np.float32))]
    looks = Looking(lambda head, place: said_s(place) + (2.0, 0.0, 2.0)[head])
    found = measure_heads(looks, HEADS, byte_tokenizer(51865), heard)
    assert HeadShare(0, 1, 1.0) == found[0]


def test_labels_without_times_are_refused(label_of: Any, byte_tokenizer: Any) -> None:
    plain = label_of(0, text_ids=(300,) * 60)
    heard = [(plain, np.zeros((1500, 4), np.float32))]
    with pytest.raises(DataError, match="0 tokens lie between timestamps, which is too few"):
        measure_heads(Looking(lambda *_: 0.0), HEADS, byte_tokenizer(51865), heard)


def test_those_nearly_as_good_as_the_best_are_taken() -> None:
    found = (HeadShare(1, 3, 0.80), HeadShare(0, 2, 0.77), HeadShare(1, 0, 0.75))
    assert ((0, 2), (1, 3)) == best_heads(found)
    assert ((1, 3),) == best_heads((HeadShare(1, 3, 0.2), HeadShare(0, 2, 0.1)))


def test_all_heads_of_a_decoder() -> None:
    assert ((0, 0), (0, 1), (1, 0), (1, 1)) == all_heads(2, 2)


def test_labels_with_times_are_taken_at_equal_distances(
    label_of: Any, random_checkpoint: Any, byte_tokenizer_file: Any
) -> None:
    checkpoint = random_checkpoint(GEOMETRY)
    checkpoint.tokenizer_file = byte_tokenizer_file(51865)
    labels = [label_of(n, text_ids=(300,) if n % 2 else (at(0), 300, at(1))) for n in range(12)]
    assert ["w0", "w4", "w8"] == [each.id for each in timed_labels(labels, checkpoint, 3)]
    assert 6 == len(timed_labels(labels, checkpoint, 40))
