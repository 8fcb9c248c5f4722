"""The files that older readers want beside `tokenizer.json`, made from it.

whisper.cpp's converter and transformers' tokenizer in Python read `vocab.json`, `merges.txt` and
`added_tokens.json`.
"""

import json
from collections.abc import Mapping
from typing import Any

from tercet.text.tokenizer import complete_merges

VOCABULARY_FILES = ("vocab.json", "merges.txt", "added_tokens.json")
_MERGES_BEGIN = "#version: 0.2\n"


def vocabulary_files(stored: Mapping[str, Any]) -> dict[str, str]:
    """The text of each of `VOCABULARY_FILES`; {} where the tokenizer is not one of byte pairs.

    A merge that the hub's tokenizer.json of the multilingual models lost is put back, as in OpenAI's.

    Args:
        stored: What a `tokenizer.json` holds.
    """
    try:
        vocabulary: dict[str, int] = dict(stored["model"]["vocab"])
        pairs = (p.split(" ") if isinstance(p, str) else p for p in stored["model"]["merges"])
        merges = complete_merges(vocabulary, [(first, second) for first, second in pairs])
        marks = {str(mark["content"]): int(mark["id"]) for mark in stored["added_tokens"]}
    except (KeyError, TypeError, ValueError):
        return {}
    added = {name: number for name, number in marks.items() if name not in vocabulary}
    return {
        "vocab.json": json.dumps(vocabulary, ensure_ascii=False) + "\n",
        "merges.txt": _MERGES_BEGIN + "".join(f"{first} {second}\n" for first, second in merges),
        "added_tokens.json": json.dumps(added, ensure_ascii=False, indent=1) + "\n",
    }
