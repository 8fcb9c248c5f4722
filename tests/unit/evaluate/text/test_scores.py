import json
import math

import pytest

from tercet.evaluate.text.scores import Edits, counted, score_texts
from tercet.evaluate.word_errors import Utterance

pytest.importorskip("jiwer")
pytest.importorskip("whisper_normalizer")


def test_the_corpus_rate_is_all_errors_by_all_words() -> None:
    rest = " two three four five six seven eight"
    found = score_texts(
        [Utterance(f"one{rest}", f"x{rest}", "xx"), Utterance("yes please", "yes", "xx")]
    )
    assert Edits(1, 1, 0, 10) == found.rates["wer"].edits
    assert 0.2 == pytest.approx(found.rates["wer"].rate)
    assert (2, 0, "wer") == (found.utterances, found.left_out, found.headline)


def test_normalising_forgives_what_the_text_as_it_stands_does_not() -> None:
    found = score_texts([Utterance("it is mister 5", "It's  Mr. Five.", "en")])
    assert 0.0 == found.rates["wer"].rate
    assert 0.0 == found.rates["cer"].rate
    # "It's Mr. Five." against four words: nothing is the same.
    assert Edits(3, 1, 0, 4) == found.rates["orthographic_wer"].edits


def test_white_space_is_no_error_in_text_as_it_stands() -> None:
    found = score_texts([Utterance("Yes,  please.\n", " Yes, please.", "xx")])
    assert 0.0 == found.rates["orthographic_wer"].rate
    assert 0.0 == found.rates["orthographic_cer"].rate


def test_letters_are_counted_with_the_spaces_between_words() -> None:
    found = counted(Utterance("ab cd", "abcd", "xx"))
    assert found is not None
    assert Edits(0, 1, 0, 5) == found.edits["cer"]


def test_without_spaces_letters_are_the_headline_and_spaces_do_not_count() -> None:
    found = score_texts([Utterance("今日は晴れ", "今日 は雨", "ja")])
    assert "cer" == found.headline
    assert Edits(1, 1, 0, 5) == found.rates["cer"].edits
    assert Edits(1, 1, 0, 5) == found.rates["orthographic_cer"].edits


def test_an_utterance_without_a_reference_is_left_out_and_told() -> None:
    found = score_texts([Utterance("[noise]", "something", "en"), Utterance("yes", "yes", "en")])
    assert (1, 1) == (found.utterances, found.left_out)
    assert 0.0 == found.rates["wer"].rate


def test_nothing_heard_is_all_deleted() -> None:
    found = score_texts([Utterance("one two", "", "xx")])
    assert Edits(0, 2, 0, 2) == found.rates["wer"].edits
    assert 1.0 == found.rates["cer"].rate
    assert 0.0 == found.repeats_per_1000_words


def test_repeats_are_counted_by_utterance_and_five_dup_across() -> None:
    loop = "one two three four five"
    found = score_texts(
        [Utterance(loop, f"{loop} {loop}", "xx"), Utterance(loop, loop, "xx")], draws=10
    )
    assert 1 == found.repeats
    assert 1000 / 15 == pytest.approx(found.repeats_per_1000_words)
    # Fifteen words are eleven n-grams, of five kinds.
    assert 6 == found.five_dup


def test_the_json_has_every_figure_and_no_nan() -> None:
    none = score_texts([])
    assert math.isnan(none.rates["wer"].rate)
    told = json.loads(json.dumps(none.to_json(), allow_nan=False))
    assert (None, None, 0) == tuple(told["wer"][key] for key in ("rate", "interval", "size"))
    pairs = [Utterance("a b c d", "a x c", "xx"), Utterance("e f", "e f", "xx")]
    told = score_texts(pairs).to_json()["wer"]
    assert (2 / 6, 1 / 6, 1 / 6, 0.0) == (
        told["rate"],
        told["substitution_rate"],
        told["deletion_rate"],
        told["insertion_rate"],
    )
    assert [0.0, 0.5] == told["interval"]
