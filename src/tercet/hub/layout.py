"""Which files make a model: told from names and sizes of files, without reading weights.

A folder is whole with a config and all of its weights. Its tokenizer may be lent by another model.
"""

import json
import re
from collections.abc import Collection, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
HEAD_FILES = {
    "tags": "tags.safetensors",
    "tokens": "tokens.safetensors",
    "draft": "draft.safetensors",
}  # beside a model's weights
WEIGHT_FILES = (".pt", ".pth", ".bin", ".safetensors")
_FORMS = (  # of the weights, best first: one file, or shards with an index
    ("model.safetensors", "model-*-of-*.safetensors"),
    ("pytorch_model.bin", "pytorch_model-*-of-*.bin"),
    ("model.bin", ""),  # CTranslate2's
)
_BESIDE_WEIGHTS = ("*.json", "vocabulary.txt", "merges.txt")
_SHARD = re.compile(r"(model|pytorch_model)-(\d{5})-of-(\d{5})(\.safetensors|\.bin)")


def weight_patterns(names: Collection[str]) -> tuple[str, ...]:
    """Which of a repository's or folder's files hold the weights, as patterns; the best form alone.

    Repositories often carry the same weights several times over (PyTorch, Flax, TensorFlow,
    float32 beside float16).
    """
    for single, shards in _FORMS:
        if single in names:
            return (single,)
        if shards and f"{single}.index.json" in names:
            return (f"{single}.index.json", shards)
    return ()


def model_files(names: Collection[str]) -> list[str]:
    """What of a repository a model needs: one form of the weights, what describes it, and its heads."""
    wanted = (*weight_patterns(names), *_BESIDE_WEIGHTS, *HEAD_FILES.values())
    # Files in folders are exports to other formats.
    return sorted(
        name
        for name in names
        if "/" not in name and any(fnmatch(name, pattern) for pattern in wanted)
    )


def holds_model(folder: Path) -> bool:
    """Whether a folder has a checkpoint's files, every shard included."""
    names = _files_in(folder)
    return CONFIG in names and not _missing_weights(folder, names)


def missing_files(folder: Path) -> list[str]:
    """Every file that a folder lacks to be opened: config, weights, shard by shard, tokenizer."""
    names = _files_in(folder)
    missing = [] if CONFIG in names else [CONFIG]
    missing += _missing_weights(folder, names)
    return missing if TOKENIZER in names else [*missing, TOKENIZER]


def holds_whisper(folder: Path) -> bool:
    """Whether a whole model is a Whisper, as far as its config says."""
    if not holds_model(folder):
        return False
    config = read_config(folder)
    if "model_type" in config:
        return bool(config["model_type"] == "whisper")
    # CTranslate2 writes no type; what Whisper must not say is in the configs of Whispers alone.
    return "tercet_format" in config or "suppress_ids" in config


def read_config(folder: Path) -> dict[str, Any]:
    """The config's keys; none where it cannot be read."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def folder_bytes(folder: Path) -> int:
    """What a folder's files take; links count as what they lead to."""
    sizes = (path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return sum(sizes)


def _files_in(folder: Path) -> set[str]:
    if not folder.is_dir():
        return set()
    return {entry.name for entry in folder.iterdir() if entry.is_file()}


def _missing_weights(folder: Path, names: Collection[str]) -> Sequence[str]:
    patterns = weight_patterns(names)
    index = next((pattern for pattern in patterns if pattern.endswith(".index.json")), None)
    if index is not None:
        shards = _shards(folder / index)
        return [index] if shards is None else sorted(shards - set(names))
    if patterns:
        return []
    return _counted_shards(names) or ["model.bin" if "vocabulary.txt" in names else _FORMS[0][0]]


def _shards(index: Path) -> set[str] | None:
    """The files that an index of shards names; None where it cannot be read."""
    try:
        return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None


def _counted_shards(names: Collection[str]) -> list[str]:
    """The shards that are not there, and their index, told from the numbers of those that are."""
    found = next((match for name in sorted(names) if (match := _SHARD.fullmatch(name))), None)
    if found is None:
        return []
    stem, _, last, suffix = found.groups()
    shards = [f"{stem}-{number:05d}-of-{last}{suffix}" for number in range(1, int(last) + 1)]
    return [f"{stem}{suffix}.index.json", *(shard for shard in shards if shard not in names)]
