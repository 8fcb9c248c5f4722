"""From groups of codes, or from a file's fields, to checked `SpeechTokens`. Reads no file, parses no text."""

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import cast

import numpy as np

from tercet.errors import TokensError
from tercet.results import SCHEMA, SpeechTokens

# Generous: what lies beyond is no codebook of speech, and must not make anybody build huge tables.
_MOST_CODES, _MOST_LEVELS, _MOST_CHANNELS, _LONGEST_NAME = 1 << 24, 64, 1024, 128


def from_groups(
    groups: Sequence[np.ndarray],
    *,
    codebook_size: int,
    codebook: str,
    rate_hz: float = 25.0,
    start_s: float = 0.0,
    duration_s: float | None = None,
    mask_code: int | None = None,
    channel: int | None = None,
    depth: int = 1,
) -> SpeechTokens:
    """Windows of one recording, laid end to end. One without codes leaves no trace.

    Args:
        groups: Integers [n] each, or [n, depth]; their range is not looked at.
        codebook_size: How many codes the codebook has.
        codebook: Its fingerprint; "" where nobody knows.
        rate_hz: Codes per second.
        start_s: Where the first code begins.
        duration_s: Of what was heard; that of the codes, if not given.
        mask_code: The code that stands for no speech.
        channel: Of the recording.
        depth: Levels of a residual quantizer; matters where there are no codes at all.
    """
    kept = [np.asarray(group, np.int32) for group in groups if len(group)]
    nothing = np.zeros((0,) if depth == 1 else (0, depth), np.int32)
    ids = np.concatenate(kept) if kept else nothing
    return SpeechTokens(
        ids=ids,
        codebook_size=codebook_size,
        codebook=codebook,
        rate_hz=rate_hz,
        start_s=start_s,
        duration_s=len(ids) / rate_hz if duration_s is None else duration_s,
        window_starts=(0, *accumulate(len(group) for group in kept[:-1])),
        mask_code=mask_code,
        channel=channel,
    )


def of_unknown_codebook(
    groups: Sequence[np.ndarray], *, depth: int, rate_hz: float, name: str
) -> SpeechTokens:
    """Windows of which only the ids are known (a text file's): the smallest codebook that holds them.

    Args:
        groups: int32 [codes] each; of a residual quantizer, time by time, level after level.
        depth: How many levels.
        rate_hz: Codes per second.
        name: For messages.

    Raises:
        TokensError: a group is no multiple of the depth.
    """
    shaped = [in_levels(group, depth, f"{name}: group {n}") for n, group in enumerate(groups, 1)]
    size = 1 + max((int(group.max()) for group in groups if len(group)), default=0)
    return from_groups(shaped, codebook_size=size, codebook="", rate_hz=rate_hz, depth=depth)


def in_levels(flat: np.ndarray, depth: int, name: str) -> np.ndarray:
    """[n] as it is, or [n // depth, depth] of a residual quantizer.

    Raises:
        TokensError: n is no multiple of the depth.
    """
    if len(flat) % depth:
        raise TokensError(
            f"{name}: has {len(flat)} ids, no multiple of the {depth} levels of this quantizer; "
            "some are missing"
        )
    return flat if depth == 1 else flat.reshape(-1, depth)


def check_range(ids: np.ndarray, codebook_size: int, name: str) -> None:
    """Refuse ids that the codebook lacks; the message names the first one. Codes are counted from 1.

    `ids` are integers [n], or [n, depth].

    Raises:
        TokensError: an id lies outside 0..codebook_size - 1.
    """
    outside = (ids < 0) | (ids >= codebook_size)
    if outside.any():
        at = int(np.argmax(outside.ravel()))
        depth = 1 if ids.ndim == 1 else ids.shape[1]
        level = f", level {at % depth + 1}" if depth > 1 else ""
        raise TokensError(
            f"{name}: code {at // depth + 1} (of {len(ids)}){level} is {ids.ravel()[at]}; "
            f"this codebook has 0..{codebook_size - 1}"
        )


def checked_tokens(
    fields: Mapping[str, object], flat: np.ndarray, window_starts: Sequence[int], name: str
) -> SpeechTokens:
    """Speech tokens from what a file says, none of it trusted.

    Args:
        fields: codebook, codebook_size, mask_code, depth, rate_hz, start_s, duration_s, channel.
        flat: Integers [codes x depth], time by time, level after level.
        window_starts: Where windows begin, as places among the codes.
        name: The file, and the place in it.

    Raises:
        TokensError: a field is missing or makes no sense, or an id lies outside the codebook.
    """
    size = whole(fields, "codebook_size", 1, _MOST_CODES, name)
    depth = whole(fields, "depth", 1, _MOST_LEVELS, name)
    codebook = fields.get("codebook")
    if not isinstance(codebook, str) or len(codebook) > _LONGEST_NAME:
        raise TokensError(f"{name}: 'codebook' is not the fingerprint of one")
    ids = in_levels(flat, depth, name)
    check_range(ids, size, name)
    rate_hz = number(fields, "rate_hz", name)
    if not rate_hz:
        raise TokensError(f"{name}: 'rate_hz' is 0")
    edges = (*window_starts, len(ids))
    if edges[0] != 0 or (len(ids) and any(a >= b for a, b in pairwise(edges))) or not window_starts:
        raise TokensError(f"{name}: windows begin at {_short(window_starts)} of {len(ids)} codes")
    return SpeechTokens(
        ids=ids.astype(np.int32, copy=False),
        codebook_size=size,
        codebook=codebook,
        rate_hz=rate_hz,
        start_s=number(fields, "start_s", name),
        duration_s=number(fields, "duration_s", name),
        window_starts=tuple(window_starts) if len(ids) else (0,),
        mask_code=_whole_or_none(fields, "mask_code", size - 1, name),
        channel=_whole_or_none(fields, "channel", _MOST_CHANNELS, name),
    )


def whole(fields: Mapping[str, object], key: str, low: int, high: int, name: str) -> int:
    """A field that holds an integer from `low` to `high`.

    Raises:
        TokensError: it does not.
    """
    value = fields.get(key)
    if type(value) is not int or not low <= value <= high:
        raise TokensError(f"{name}: {key!r} is not a whole number from {low} to {high}")
    return value


def number(fields: Mapping[str, object], key: str, name: str) -> float:
    """A field that holds a number of at least 0.

    Raises:
        TokensError: it does not.
    """
    value = fields.get(key)
    if type(value) not in (int, float) or not 0 <= cast(float, value) < math.inf:
        raise TokensError(f"{name}: {key!r} is not a number of at least 0")
    try:
        return float(cast(float, value))
    except OverflowError:
        raise TokensError(f"{name}: {key!r} is too large a number") from None


def check_schema(found: object, name: str) -> None:
    """Refuse files whose fields mean something else; one that does not say is taken as it is.

    Raises:
        TokensError: another schema.
    """
    if found is not None and found != SCHEMA:
        raise TokensError(f"{name}: has the schema {str(found)[:40]!r}; this Tercet reads {SCHEMA}")


def _whole_or_none(fields: Mapping[str, object], key: str, high: int, name: str) -> int | None:
    return None if fields.get(key) is None else whole(fields, key, 0, high, name)


def _short(places: Sequence[int]) -> str:
    more = ", ..." if len(places) > 4 else ""
    return f"[{', '.join(str(place) for place in places[:4])}{more}]"
