"""The vocabulary as older programs read it: `vocab.json`, `merges.txt`, `added_tokens.json`.

whisper.cpp's converter and slow tokenizers know these three and not `tokenizer.json`, which says the same.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tercet.errors import TokenizerError

VOCABULARY, MERGES, ADDED = "vocab.json", "merges.txt", "added_tokens.json"
VOCABULARY_FILES = (VOCABULARY, MERGES, ADDED)


def vocabulary_files(tokenizer_file: Path) -> dict[str, str]:
    """Texts of the three files, by name.

    Args:
        tokenizer_file: A tokenizer.json with byte-level BPE (Whisper's).

    Raises:
        TokenizerError: it cannot be read, or is of another kind.
    """
    try:
        told = json.loads(tokenizer_file.read_text(encoding="utf-8"))
        model = told["model"]
        vocabulary: Mapping[str, int] = {
            str(word): int(number) for word, number in model["vocab"].items()
        }
        merges = [_merge(pair) for pair in model["merges"]]
        added = {str(each["content"]): int(each["id"]) for each in told.get("added_tokens", ())}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TokenizerError(
            f"{tokenizer_file}: is no tokenizer.json of byte-level BPE ({error}); give Whisper's"
        ) from error
    new = {word: number for word, number in added.items() if word not in vocabulary}
    return {
        VOCABULARY: _as_json(vocabulary),
        MERGES: "#version: 0.2\n" + "".join(f"{merge}\n" for merge in merges),
        ADDED: _as_json(new),
    }


def _merge(pair: Any) -> str:
    """`a b`: newer files have lists of two."""
    return pair if isinstance(pair, str) else " ".join(pair)


def _as_json(numbers: Mapping[str, int]) -> str:
    ordered = dict(sorted(numbers.items(), key=lambda entry: entry[1]))
    return json.dumps(ordered, ensure_ascii=False) + "\n"
