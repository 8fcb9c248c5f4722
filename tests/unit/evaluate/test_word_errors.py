import math

import pytest

from tercet.evaluate.word_errors import Utterance, as_ichigo_compares, word_errors

pytest.importorskip("jiwer")
pytest.importorskip("whisper_normalizer")


def test_the_corpus_rate_weighs_words_and_the_mean_weighs_utterances() -> None:
    rest = " two three four five six seven eight"
    found = word_errors(
        [Utterance(f"one{rest}", f"x{rest}", "xx"), Utterance("yes please", "yes", "xx")]
    )
    assert (2, 10, 1, 1, 0) == (
        found.utterances,
        found.words,
        found.substitutions,
        found.deletions,
        found.insertions,
    )
    assert 0.2 == pytest.approx(found.rate)
    assert (1 / 8 + 1 / 2) / 2 == pytest.approx(found.mean_rate)


def test_texts_are_normalised_in_their_language_before_they_are_compared() -> None:
    assert 0.0 == word_errors([Utterance("it is mister 5", "It's Mr. Five.", "en")]).rate


def test_ichigos_mean_keeps_case_and_punctuation_inside() -> None:
    said = Utterance("hello there, friend", "Hello there, friend.", "en")
    assert 1 / 3 == pytest.approx(word_errors([said]).ichigo_rate)
    assert 0.0 == word_errors([said]).mean_rate
    assert "Well, no" == as_ichigo_compares("<|en|> Well,  no!?.")


def test_an_utterance_without_a_reference_is_left_out() -> None:
    found = word_errors([Utterance("[noise]", "something", "en")])
    assert (0, 0) == (found.utterances, found.words)
    assert math.isnan(found.rate)
    assert found.to_json()["wer"] is None
