"""Which tokens a draft may propose: those that labels and other texts have most often."""

import gzip
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tercet.errors import DataError
from tercet.text.tokenizer import Tokenizer
from tercet.train.draft.recipe import ShortlistRecipe
from tercet.train.text.material import Lesson


def shortlist(
    recipe: ShortlistRecipe, lessons: Sequence[Lesson], root: Path, tokenizer: Tokenizer
) -> np.ndarray:
    """Token ids, int64, ascending: all timestamps, the end, and the most frequent ids of texts.

    Counts are shares: of the labels, and of each corpus, so that no large one drowns the others.

    Raises:
        DataError: a corpus cannot be read.
    """
    counts: Counter[int] = Counter()
    begin = tokenizer.timestamp_begin
    labels = Counter(each for lesson in lessons for each in lesson.text_ids if each < begin)
    corpora = [_counted(root / name, tokenizer) for name in recipe.corpora]
    weight = recipe.labels_share if corpora else 1.0
    for found, share in [
        (labels, weight),
        *((each, (1 - weight) / len(corpora)) for each in corpora),
    ]:
        total = sum(found.values()) or 1
        for token, count in found.items():
            counts[token] += share * count / total  # type: ignore[assignment]  # shares, not counts
    best = sorted(counts, key=lambda token: (-counts[token], token))[: recipe.size]
    stamps = range(begin, tokenizer.vocab_size)
    return np.array(sorted({*best, tokenizer.eot, *stamps}), np.int64)


def _counted(path: Path, tokenizer: Tokenizer) -> Counter[int]:
    found: Counter[int] = Counter()
    for line in _lines(path):
        # Of a table, the last column; LibriSpeech's transcripts are in capitals, as nobody writes.
        words = " ".join(line.rpartition("\t")[2].split())
        if words:
            found.update(tokenizer.encode(" " + (words.lower() if words.isupper() else words)))
    return found


def _lines(path: Path) -> Iterator[str]:
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for line in file:
                yield line.decode("utf-8", "replace")
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read ({error}); check shortlist.corpora") from error
