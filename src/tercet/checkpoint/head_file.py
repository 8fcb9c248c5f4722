"""From a path to a head: Tercet's own file, Whisper-AT's `.pth`, Ichigo's and WhisperSpeech's.

Tercet's is one safetensors file. Its arrays have the names of `head_naming.py`; a matrix in 8 bits lies
beside its scales, as in `native.py`; the metadata has one key, `tercet`, whose value is the JSON of
`head_settings.py`. Reading only; `convert/head_store.py` writes. Names and hub ids are `hub/heads.py`'s
concern, whether a head fits a model `convert/head_fit.py`'s.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tercet.checkpoint.file_bytes import FileBytes
from tercet.checkpoint.head_naming import check_head
from tercet.checkpoint.head_settings import (
    check_kind,
    check_labels,
    head_from_json,
    origin_from_json,
)
from tercet.checkpoint.heads import DraftHead, Head, HeadArrays, Origin, TagHead
from tercet.checkpoint.ichigo import looks_like_ichigo, open_ichigo
from tercet.checkpoint.native import METADATA_KEY, SCALE
from tercet.checkpoint.opening import FOREIGN
from tercet.checkpoint.safetensors_file import SafetensorsFile, open_safetensors
from tercet.checkpoint.settings import MAX_JSON_BYTES
from tercet.checkpoint.torch_file import open_torch_file
from tercet.checkpoint.whisper_at import looks_like_whisper_at, open_whisper_at
from tercet.errors import CheckpointError, ModelNotFoundError, OptionError

_WANTED = (
    "a head's file: Tercet's .safetensors, Whisper-AT's .pth, Ichigo's .pth, WhisperSpeech's .model"
)
_WRAPPERS = ("state_dict", "model", "model_state_dict")  # what state dicts lie in
_TYPES = ("float64", "float32", "float16", "bfloat16", "int8")
_START_BYTES = 64


def open_head(
    path: Path | str, *, mode: str | None = None, labels: Sequence[str] | None = None
) -> Head:
    """Open a head of any system; its arrays are read at once.

    Args:
        path: The file.
        mode: Whisper-AT's mode string ("last_tr_8"), where its file does not tell; for its files alone.
        labels: Display names for a tag head, instead of those that the file has or implies.

    Raises:
        ModelNotFoundError: nothing is there.
        UnsafePickleError: a pickle that wants to call the operating system.
        CheckpointError: damaged, incomplete, hostile, of a newer release, or no head.
        HeadError: `mode` is needed.
        OptionError: `mode` or `labels` do not fit it.
    """
    path = Path(path)
    start = _start_of(path)
    if labels is not None:
        try:
            labels = check_labels(tuple(labels), path)
        except CheckpointError as error:
            raise OptionError(
                f"labels for {str(error).rpartition(';')[0]}; correct them"
            ) from error
    try:
        opened = _open_torch if _is_torch(start) else _open_native
        head = opened(path, mode, labels)
        _check_finite(head.arrays)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); check its permissions") from error
    return head


def is_head_file(path: Path | str) -> bool:
    """Whether a file is a head, damaged or not, rather than a whole Whisper or something else."""
    path = Path(path)
    try:
        start = _start_of(path)
        if _is_torch(start):
            value = open_torch_file(path).value
            keys = _keys_in(value)
            return looks_like_ichigo(value) or (looks_like_whisper_at(keys) and "dims" not in keys)
        return "head" in _told(open_safetensors(path))
    except (CheckpointError, ModelNotFoundError, OSError):
        return False


def read_origin(path: Path | str) -> Origin | None:
    """Where a head comes from, by its file; the arrays of Tercet's own are not touched.

    None for files that say nothing, damaged ones among them: opening them says what is wrong.
    """
    path = Path(path)
    try:
        if _is_torch(_start_of(path)):
            value = open_torch_file(path).value
            return open_ichigo(path).origin if looks_like_ichigo(value) else None
        return origin_from_json(_told(open_safetensors(path)), path)
    except (CheckpointError, ModelNotFoundError, OSError):
        return None


def _start_of(path: Path) -> bytes:
    """The first bytes of a file that may be a head."""
    if path.is_dir():
        raise CheckpointError(f"{path}: a folder; give {_WANTED}")
    if not path.is_file():
        raise ModelNotFoundError(f"{path}: no such file; give {_WANTED}")
    start = FileBytes(path)[:_START_BYTES]
    for magic, kind in FOREIGN:
        if start.lstrip().lower().startswith(magic.lower()):
            raise CheckpointError(f"{path}: {kind}; give {_WANTED}")
    if not _is_torch(start) and not _is_safetensors(start):
        raise CheckpointError(f"{path}: of no kind that Tercet knows, or damaged; give {_WANTED}")
    return start


def _is_torch(start: bytes) -> bool:
    """Whether a file begins as `torch.save` does: with a zip, or with a bare pickle."""
    is_pickle = start.startswith(b"\x80") and not _is_safetensors(start)
    return is_pickle or start.startswith(b"PK\x03\x04")


def _is_safetensors(start: bytes) -> bool:
    """Whether there is JSON where safetensors has it, behind the eight bytes of its length."""
    return start[8:9] == b"{"


def _open_torch(path: Path, mode: str | None, labels: Sequence[str] | None) -> Head:
    value = open_torch_file(path).value
    head: Head
    if looks_like_ichigo(value):
        _refuse_but_for_tags(path, mode, labels)
        head = open_ichigo(path)
    elif looks_like_whisper_at(_keys_in(value)):
        head = open_whisper_at(path, mode=mode, labels=labels)
    else:
        raise CheckpointError(f"{path}: {_kind_of(_keys_in(value))}; give {_WANTED}")
    check_head(head)
    return head


def _keys_in(value: object) -> frozenset[str]:
    """The names in what `torch.save` wrote, those in its state dict included."""
    if not isinstance(value, Mapping):
        return frozenset()
    states = [value, *(value.get(wrapper) for wrapper in _WRAPPERS)]
    return frozenset(
        key
        for state in states
        if isinstance(state, Mapping)
        for key in state
        if isinstance(key, str)
    )


def _open_native(path: Path, mode: str | None, labels: Sequence[str] | None) -> Head:
    source = open_safetensors(path)
    told = _told(source)
    check_kind(told, path)
    if mode is not None:
        raise OptionError(
            f"{path}: mode {mode!r:.60} is for Whisper-AT's files; this one tells its own"
        )
    matrices = {name.removesuffix(SCALE) for name in source.entries if name.endswith(SCALE)}
    outline = {
        # Arrays of the right shape that take no memory: settings are checked before weights are read.
        name: np.broadcast_to(np.float32(0), source.shape(name))
        for name in source.entries
        if not name.endswith(SCALE)
    }
    head = head_from_json(told, HeadArrays(outline, path=path))
    _check_label_count(head, path)
    check_head(head)
    if labels is not None:
        if not isinstance(head, TagHead):
            _refuse_but_for_tags(path, None, labels)
        elif len(labels) != head.n_labels:
            raise OptionError(f"{path}: {len(labels)} labels for a head of {head.n_labels}")
        else:
            head = replace(head, labels=tuple(labels))
    _check_types(source, outline, matrices)
    head = replace(head, arrays=_read(source, outline, matrices))
    if isinstance(head, DraftHead):
        _check_token_ids(head)
    return head


def _told(source: SafetensorsFile) -> Mapping[str, Any]:
    """What the file says about itself."""
    path, text = source.path, source.metadata.get(METADATA_KEY)
    if text is None:
        raise CheckpointError(f"{path}: {_kind_of(frozenset(source.entries))}; give {_WANTED}")
    try:
        told = json.loads(text) if len(text) <= MAX_JSON_BYTES else None
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise CheckpointError(
            f"{path}: its metadata {METADATA_KEY!r} is not JSON; get the head again"
        )
    if "head" not in told:
        raise CheckpointError(
            f"{path}: the weights of a model, no head; give its folder as the model, or {_WANTED}"
        )
    return told


def _kind_of(keys: frozenset[str]) -> str:
    """What a file without a head is, in a few words."""
    if any("lora_" in key for key in keys):
        return "a LoRA adapter, no head"
    marks = ("encoder.conv1.", "encoder.layers.0.", "encoder.blocks.0.")
    if "dims" in keys or any(mark in key for key in keys for mark in marks):
        return "a Whisper checkpoint, no head"
    return "holds no head that Tercet knows"


def _check_label_count(head: Head, path: Path) -> None:
    """Said before shapes are compared, since this is what people get wrong."""
    classifier = "classifier.proj.weight"
    if isinstance(head, TagHead) and classifier in head.arrays.values:
        rows = (head.arrays.shape(classifier) or (0,))[0]
        if rows != head.n_labels:
            named = "AudioSet's 527" if head.labels is None else str(head.n_labels)
            raise CheckpointError(
                f"{path}: {named} labels, and the classifier has {rows} rows; get the head again, or "
                "convert it with its own labels"
            )


def _check_types(source: SafetensorsFile, outline: Mapping[str, Any], matrices: set[str]) -> None:
    """Every 8-bit matrix has its scales, and nothing else has any."""
    path = source.path
    for name in sorted({*outline, *matrices}):
        if name not in outline:
            raise CheckpointError(
                f"{path}: {name + SCALE} belongs to no matrix; get the head again"
            )
        kind, shape = source.dtype(name), source.shape(name)
        if (kind == "int8") != (name in matrices) or kind not in _TYPES:
            raise CheckpointError(
                f"{path}: {name} is {kind}, not floats or int8 with {SCALE}; get the head again"
            )
        if name not in matrices:
            continue
        found = source.shape(name + SCALE)
        fits = len(shape) == len(found) == 2 and found[0] == shape[0] and found[1] > 0
        if not fits or shape[1] % found[1] or source.dtype(name + SCALE) != "float16":
            raise CheckpointError(
                f"{path}: {name + SCALE} is {source.dtype(name + SCALE)} {list(found)}, which does not "
                f"fit a matrix of {list(shape)}; get the head again"
            )


def _read(source: SafetensorsFile, outline: Mapping[str, Any], matrices: set[str]) -> HeadArrays:
    values = {
        name: source.read_stored(name) if name in matrices else source.read(name)
        for name in sorted(outline)
    }
    scales = {
        name: source.read_stored(name + SCALE).astype(np.float32) for name in sorted(matrices)
    }
    return HeadArrays(values, scales, source.path)


def _check_finite(arrays: HeadArrays) -> None:
    for name, values in (*arrays.values.items(), *arrays.scales.items()):
        if not np.isfinite(values).all():
            raise CheckpointError(
                f"{arrays.path}: {name} holds NaN or infinity; the head is damaged, get it again"
            )


def _check_token_ids(head: DraftHead) -> None:
    stored, path = head.arrays.read("token_ids"), head.arrays.path
    ids = stored.astype(np.int64)
    rises = bool((np.diff(ids) > 0).all())
    if not (np.array_equal(ids, stored) and rises and ids[0] >= 0 and ids[-1] < head.vocab_size):
        raise CheckpointError(
            f"{path}: its token_ids are no ascending ids of a vocabulary of {head.vocab_size}; the draft is "
            "damaged, get it again"
        )


def _refuse_but_for_tags(path: Path, mode: str | None, labels: Sequence[str] | None) -> None:
    for name, value in (("mode", mode), ("labels", labels)):
        if value is not None:
            raise OptionError(f"{path}: only a tag head has {name}; leave it out")
