import pytest

from tercet.evaluate.text.repeats import five_dup, repeats_beyond


@pytest.mark.parametrize(
    ("expected", "reference", "heard"),
    [
        (0, "a b c d e", "a b c d e"),
        (0, "a b c d e", ""),
        (0, "", "a b c d"),
        (1, "a b c d e", "a b c d e x a b c d e"),
        (2, "a b c d e", "a b c d e x a b c d e y a b c d e"),
        # What a speaker says twice may be written twice, and the third time is one too many.
        (0, "a b c d e x a b c d e", "a b c d e x a b c d e"),
        (1, "a b c d e x a b c d e", "a b c d e x a b c d e y a b c d e"),
        (0, "a b c d e x a b c d e", "a b c d e"),
        # A loop of one word: seven are three n-grams, two of them again.
        (2, "", "no no no no no no no"),
    ],
)
def test_what_is_repeated_beyond_the_reference_is_counted(
    expected: int, reference: str, heard: str
) -> None:
    assert expected == repeats_beyond(reference.split(), heard.split())


def test_how_many_words_are_one_can_be_chosen() -> None:
    assert 1 == repeats_beyond([], ["a", "b", "x", "a", "b"], n=2)


def test_five_dup_counts_across_texts_and_needs_no_reference() -> None:
    text = ["a", "b", "c", "d", "e"]
    assert 0 == five_dup([text])
    # "abcdeabcde" holds six n-grams, of which abcde is there twice.
    assert 1 == five_dup([text, text])
    assert 0 == five_dup([])
