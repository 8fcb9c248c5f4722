"""JSON beside the weights: objects with checked fields. Knows nothing of any layout's keys."""

import json
from collections.abc import Mapping
from pathlib import Path

from tercet.checkpoint.geometry import Geometry
from tercet.errors import CheckpointError

MAX_JSON_BYTES = 64 * 2**20  # the largest real index has 0.1 MB
_LIMITS = {  # generous: what lies beyond is not a Whisper, and must not make us build huge tables
    "n_mels": 1024,
    "width": 16384,
    "encoder_layers": 256,
    "encoder_heads": 256,
    "decoder_layers": 256,
    "decoder_heads": 256,
    "vocab_size": 2_000_000,
    "n_audio_ctx": 100_000,
    "n_text_ctx": 100_000,
    "mlp_width": 65536,
}


def read_json_object(path: Path) -> dict[str, object]:
    """A JSON file that holds an object.

    Raises:
        CheckpointError: it cannot be read, is too large, is not JSON, or holds something else.
    """
    try:
        size = path.stat().st_size
        if size > MAX_JSON_BYTES:
            raise CheckpointError(f"{path}: {size} bytes are too many for a settings file")
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path}: not readable as JSON ({reason}); fetch it again") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: holds no JSON object; fetch it again")
    return value


def whole_number(settings: Mapping[str, object], key: str, path: Path) -> int:
    """A required integer.

    Raises:
        CheckpointError: it is missing or no integer.
    """
    value = settings.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        found = "is missing" if value is None else "is not a whole number"
        raise CheckpointError(f"{path}: {key!r} {found}; this does not describe a Whisper model")
    return value


def token_ids(settings: Mapping[str, object], key: str, path: Path) -> tuple[int, ...] | None:
    """A list of token ids; None where it is absent, null, or holds -1 (the usual set).

    Raises:
        CheckpointError: something else is there.
    """
    value = settings.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not all(type(one) is int for one in value):
        raise CheckpointError(f"{path}: {key!r} is not a list of token ids")
    return None if -1 in value else tuple(value)


def head_pairs(
    settings: Mapping[str, object], key: str, path: Path, geometry: Geometry
) -> tuple[tuple[int, int], ...] | None:
    """(decoder layer, head) pairs; None where there are none.

    None, too, where a pair lies outside the model: distilled checkpoints carry their teacher's
    pairs, which name layers that the student lacks.

    Raises:
        CheckpointError: something else than pairs of integers is there.
    """
    value = settings.get(key)
    if value is None:
        return None
    if not isinstance(value, list):
        raise CheckpointError(f"{path}: {key!r} is not a list of [layer, head] pairs")
    pairs = []
    for one in value:
        if not isinstance(one, list) or len(one) != 2 or not all(type(n) is int for n in one):
            raise CheckpointError(f"{path}: {key!r} is not a list of [layer, head] pairs")
        pairs.append((one[0], one[1]))
    inside = all(
        0 <= layer < geometry.decoder_layers and 0 <= head < geometry.decoder_heads
        for layer, head in pairs
    )
    return tuple(pairs) if pairs and inside else None


def checked_geometry(path: Path, sizes: Mapping[str, int]) -> Geometry:
    """A geometry whose numbers make sense.

    Raises:
        CheckpointError: one does not.
    """
    for name, value in sizes.items():
        if not 1 <= value <= _LIMITS[name]:
            raise CheckpointError(
                f"{path}: {name} is {value}, outside 1..{_LIMITS[name]}; not a Whisper model"
            )
    for heads in ("encoder_heads", "decoder_heads"):
        if sizes["width"] % sizes[heads]:
            raise CheckpointError(
                f"{path}: width {sizes['width']} is no multiple of {heads} {sizes[heads]}"
            )
    return Geometry(**sizes)
