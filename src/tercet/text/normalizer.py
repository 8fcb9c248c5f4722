"""Text as word error rates compare it: Whisper's own normalisers, from the package whisper-normalizer.

No error rate is computed here.
"""

from functools import cache
from typing import TYPE_CHECKING

from tercet.errors import TercetError

if TYPE_CHECKING:
    from collections.abc import Callable

# Written without spaces between words: letters are compared (Whisper, arXiv:2212.04356, app. C).
_UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "yue"})


def normalize(text: str, language: str) -> str:
    """Lower case, no punctuation, and in English one spelling of numbers and contractions.

    Args:
        text: Any text.
        language: A code. "en" has rules of its own; Chinese, Japanese, Thai, Lao, Burmese and
            Cantonese are split into letters.

    Raises:
        TercetError: the package whisper-normalizer (extra `eval`) is not installed.
    """
    return " ".join(_normalizer(language)(text).split())


def is_unspaced(language: str) -> bool:
    """Whether a language (a code) is written without spaces, so that letters are compared and not words."""
    return language in _UNSPACED


@cache
def _normalizer(language: str) -> "Callable[[str], str]":
    try:
        from whisper_normalizer.basic import BasicTextNormalizer
        from whisper_normalizer.english import EnglishTextNormalizer
    except ModuleNotFoundError as fault:
        message = "normalising text needs whisper-normalizer: pip install 'tercet[eval]'"
        raise TercetError(message) from fault
    if language == "en":
        english: Callable[[str], str] = EnglishTextNormalizer()
        return english
    basic: Callable[[str], str] = BasicTextNormalizer(split_letters=is_unspaced(language))
    return basic
