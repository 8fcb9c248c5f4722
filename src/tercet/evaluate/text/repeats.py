"""Text that repeats itself, as a decoder does that has lost the thread. Plain counting.

Distil-Whisper's 5-Dup joins the texts of a whole data set and counts every five words that were there
before: it grows with the data, takes what two recordings share for a loop, and what a speaker says twice
for an error. Here each text is counted by itself, and what its reference repeats is taken off.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

N = 5


def repeats_beyond(reference: Sequence[str], heard: Sequence[str], n: int = N) -> int:
    """How many of the heard n-grams are one too many: beyond the first, and beyond those of the reference.

    Args:
        reference: Words that were said.
        heard: Words that were written down.
        n: Words that count as one.
    """
    said = _ngrams(reference, n)
    return sum(max(0, count - max(1, said[words])) for words, count in _ngrams(heard, n).items())


def five_dup(texts: Iterable[Sequence[str]], n: int = N) -> int:
    """Distil-Whisper's count (arXiv:2311.00430): all texts as one, n-grams less distinct n-grams.

    Args:
        texts: Words of each text, in the data set's order, which changes the figure.
        n: Words that count as one.
    """
    counts = _ngrams([word for words in texts for word in words], n)
    return sum(counts.values()) - len(counts)


def _ngrams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1))
