"""BPE dropout: other subwords, the same text."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tercet.checkpoint import open_checkpoint
from tercet.text.bpe_dropout import cut
from tercet.text.tokenizer import Tokenizer

RANKS = {("l", "o"): 0, ("lo", "w"): 1, ("e", "r"): 2, ("low", "er"): 3}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, ["lower"]), (1.0, ["l", "o", "w", "e", "r"])]
)
def test_no_merge_is_skipped_or_all_are(share: float, expected: list[str]) -> None:
    assert expected == cut("lower", RANKS, share, rng())


def test_plain_merges_follow_their_ranks() -> None:
    ranks = {("b", "c"): 0, ("a", "b"): 1}
    assert ["a", "bc"] == cut("abc", ranks, 0.0, rng())
    assert ["ab", "c"] == cut("abc", {**ranks, ("a", "b"): -1}, 0.0, rng())


def test_a_word_of_one_merge_keeps_it_as_often_as_the_chance_says() -> None:
    kept = sum(["er"] == cut("er", RANKS, 0.25, rng(seed)) for seed in range(2000))
    assert kept == pytest.approx(1500, abs=60)  # three standard deviations


@given(st.text("lower", max_size=12), st.floats(0, 1), st.integers(0, 9))
def test_the_letters_stay(word: str, share: float, seed: int) -> None:
    assert word == "".join(cut(word, RANKS, share, rng(seed)))


@pytest.fixture(scope="module")
def base_tokenizer(base_model: Path) -> Tokenizer:
    """The real vocabulary, of which the others' byte-level one has no merges."""
    checkpoint = open_checkpoint(base_model)
    return Tokenizer.from_file(base_model / "tokenizer.json", checkpoint.geometry)


TEXT = " Nghệ thuật: the Quick brown foxes, 1893 \u2014 naïve 東京!"


def test_ids_are_others_and_their_text_is_the_same(base_tokenizer: Tokenizer) -> None:
    plain = base_tokenizer.encode(TEXT)
    assert plain == base_tokenizer.recut(plain, 0.0, rng())
    seen = {tuple(base_tokenizer.recut(plain, 0.2, rng(seed))) for seed in range(8)}
    assert len(seen) > 5
    assert {TEXT} == {base_tokenizer.decode(ids) for ids in seen}
    assert tuple(base_tokenizer.recut(plain, 0.2, rng(3))) == tuple(
        base_tokenizer.recut(plain, 0.2, rng(3))
    )


def test_half_a_character_and_marks_stay_as_they_are(base_tokenizer: Tokenizer) -> None:
    half = base_tokenizer.encode("\U0001f9e9")[:1]
    assert half == base_tokenizer.recut(half, 1.0, rng())
    marked = [base_tokenizer.no_speech, *base_tokenizer.encode(" lower")]
    assert marked == base_tokenizer.recut(marked, 1.0, rng())
