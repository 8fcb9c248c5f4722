"""Languages by code and by name."""

import pytest

from tercet.errors import LanguageError
from tercet.text.languages import LANGUAGES, language_code

ALL = tuple(LANGUAGES)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("de", "de"),
        ("DE", "de"),
        ("German", "de"),
        (" german ", "de"),
        ("Castilian", "es"),
        ("mandarin", "zh"),
        ("haitian creole", "ht"),
        ("haitian_creole", "ht"),
        ("Flemish", "nl"),
        ("jv", "jw"),
        ("haw", "haw"),
        ("yue", "yue"),
    ],
)
def test_a_language_is_found_by_code_or_name(asked, code):
    assert code == language_code(asked, ALL)


def test_there_are_a_hundred_languages_with_a_name_each():
    assert 100 == len(LANGUAGES) == len(set(LANGUAGES.values()))
    assert all(code == code.strip() and name == name.strip() for code, name in LANGUAGES.items())


def test_a_slip_of_the_pen_gets_a_hint():
    with pytest.raises(LanguageError, match=r"'germen' is unknown; did you mean german"):
        language_code("germen", ALL)


@pytest.mark.parametrize("asked", ["", "??", "qqqqqq", 5, None])
def test_nonsense_gets_an_example(asked):
    with pytest.raises(LanguageError, match="is unknown; give a code such as en, de, zh"):
        language_code(asked, ALL)


def test_a_language_that_the_model_lacks_is_refused():
    with pytest.raises(LanguageError, match=r"does not know German \(de\); it knows English only"):
        language_code("german", ("en",))
    with pytest.raises(LanguageError, match=r"does not know Cantonese \(yue\); it knows 99 others"):
        language_code("yue", ALL[:99])
