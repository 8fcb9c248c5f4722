"""Text as word error rates compare it."""

import sys

import pytest

from tercet.errors import TercetError
from tercet.text import normalizer
from tercet.text.normalizer import is_unspaced, normalize


@pytest.mark.parametrize(
    ("text", "language", "wanted"),
    [
        (" Mr. Brown, it's TWENTY-ONE colours! ", "en", "mister brown it is 21 colors"),
        ("Straße, [lacht] (hm) Öl!", "de", "straße öl"),
        ("It's twenty", "de", "it s twenty"),
        ("你好,世界。", "zh", "你 好 世 界"),
        ("", "en", ""),
    ],
)
def test_each_language_has_its_rules(text, language, wanted):
    pytest.importorskip("whisper_normalizer")
    assert wanted == normalize(text, language)


@pytest.mark.parametrize(("wanted", "language"), [(True, "ja"), (True, "yue"), (False, "ko")])
def test_languages_without_spaces_are_known(wanted, language):
    assert wanted is is_unspaced(language)


def test_a_missing_package_is_named_with_its_cure(monkeypatch):
    normalizer._normalizer.cache_clear()
    monkeypatch.setitem(sys.modules, "whisper_normalizer.basic", None)
    with pytest.raises(TercetError, match=r"pip install 'tercet\[eval\]'"):
        normalize("a", "en")
