"""A recording's reference, shared out among its windows."""

import pytest

from tercet.labelling.references import Distance, distances


def test_one_window_is_compared_with_all_of_it_normalised() -> None:
    assert [Distance(0.0, 0.0, 4)] == distances(
        "the birch canoe slid", ["The birch canoe slid!"], "en"
    )
    [found] = distances("the birch canoe slid", ["the canoe slipped"], "en")
    assert pytest.approx(2 / 4) == found.wer


def test_windows_get_the_words_that_they_say() -> None:
    texts = ["The birch canoe", "slid on the", "smooth planks"]
    found = distances("the birch canoe slid on smooth blue planks", texts, "en")
    assert [3, 2, 3] == [each.reference_words for each in found]
    assert [0.0, 1 / 2, 1 / 3] == pytest.approx([each.wer for each in found])


def test_words_that_a_window_missed_are_its_errors() -> None:
    found = distances("a b c d e f", ["a b", "e f"], "de")
    assert [4, 2] == [each.reference_words for each in found]
    assert [0.5, 0.0] == [each.wer for each in found]


def test_missed_words_at_the_beginning_belong_to_the_first_window() -> None:
    found = distances("x y a b c", ["a b", "c"], "de")
    assert [4, 1] == [each.reference_words for each in found]


def test_silent_windows_in_between_get_nothing() -> None:
    found = distances("a b c d", ["a b", "", "c d"], "de")
    assert [(0.0, 2), (0.0, 0), (0.0, 2)] == [(each.wer, each.reference_words) for each in found]


def test_languages_without_spaces_are_compared_by_letters() -> None:
    [found] = distances("你好世界", ["你好世"], "zh")
    assert (pytest.approx(1 / 4), 4) == (found.wer, found.reference_words)


def test_text_without_a_reference_counts_as_invented() -> None:
    [found] = distances("", ["thank you"], "en")
    assert (2.0, 0) == (found.wer, found.reference_words)


def test_nothing_written_is_all_missed() -> None:
    found = distances("a b c", ["", ""], "de")
    assert [(1.0, 3), (0.0, 0)] == [(each.wer, each.reference_words) for each in found]
