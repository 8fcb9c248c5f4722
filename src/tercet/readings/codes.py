"""Codes of windows become speech tokens, and whatever holds speech tokens becomes windows of codes again.

Nothing is encoded or decoded here; files are `tercet.dataset.token_files`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol, Self, cast

import numpy as np

from tercet.checkpoint.heads import STATES_PER_WINDOW, Quantizer
from tercet.dataset.token_json import load_json, tokens_from_json
from tercet.dataset.token_text import parse_token_text
from tercet.dataset.token_windows import check_range, from_groups, in_levels
from tercet.errors import TokensError
from tercet.results import SpeechTokens

_RATE_HZ = 16000  # of the samples in which windows are measured
_NAME = "speech tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Codebook:
    """What has to be known of a quantizer to take its codes."""

    codebook_size: int
    codebook: str = ""  # its fingerprint; "" where nobody knows
    depth: int = 1
    mask_code: int | None = None
    codes_per_window: int = 750  # decoded together: 30 s
    rate_hz: float = 25.0

    @classmethod
    def of(cls, head: Quantizer, fingerprint: str) -> Self:
        """Of a head; `fingerprint` is that of its codebook (`convert.head_store.codebook_fingerprint`)."""
        return cls(
            codebook_size=head.codebook_size,
            codebook=fingerprint,
            depth=head.depth,
            mask_code=head.mask_code,
            codes_per_window=STATES_PER_WINDOW // head.downsample,
            rate_hz=head.rate_hz,
        )


def code_count(n_samples: int, samples_per_code: int) -> int:
    """How many codes a recording has: its last, incomplete one is left out.

    At 640 samples per code, 639 samples have none, 480000 have 750.

    Differs from ichigo: longer recordings have more; there, everything behind 30 s is lost.
    """
    return n_samples // samples_per_code


def tokens_of(
    windows: Sequence[tuple[int, np.ndarray]],
    *,
    codebook_size: int,
    codebook: str,
    rate_hz: float,
    duration_s: float,
    mask_code: int | None,
    channel: int | None = None,
    depth: int = 1,
    start_s: float = 0.0,
) -> SpeechTokens:
    """Lay the codes of consecutive windows end to end.

    Windows begin on a grid of 0.4 s, which is a whole number of codes, so nothing is left over between them.
    A window too short for a code leaves no trace.

    Args:
        windows: (first sample at 16 kHz, integers [n] or [n, depth]) each, in order. May be empty.
        codebook_size: How many codes the codebook has.
        codebook: Its fingerprint; "" where nobody knows.
        rate_hz: Codes per second.
        duration_s: Of what was heard.
        mask_code: The code that stands for no speech.
        channel: Of the recording.
        depth: Levels of a residual quantizer; for a recording without codes.
        start_s: Where it begins, for a recording without windows.

    Raises:
        TokensError: a window does not begin where the codes before it end.
    """
    n_codes = 0
    for start, codes in windows:
        place = (start - windows[0][0]) * rate_hz / _RATE_HZ
        if len(codes) and place != n_codes:
            raise TokensError(
                f"{_NAME}: the window at {start / _RATE_HZ:g} s begins at code {place:g}, "
                f"but {n_codes} codes come before it"
            )
        n_codes += len(codes)
    return from_groups(
        [codes for _, codes in windows],
        codebook_size=codebook_size,
        codebook=codebook,
        rate_hz=rate_hz,
        start_s=windows[0][0] / _RATE_HZ if windows else start_s,
        duration_s=duration_s,
        mask_code=mask_code,
        channel=channel,
        depth=depth,
    )


def joined(parts: Sequence[SpeechTokens]) -> SpeechTokens:
    """The whole of consecutive parts (a stream's): equal to what the file gives in one piece.

    Durations are added up in whole samples at 16 kHz, so that no rounding is left of the cuts.

    Raises:
        TokensError: no parts, parts of different codebooks or channels, or a gap between them.
    """
    if not parts:
        raise TokensError(f"{_NAME}: there are no parts to join")
    first = parts[0]
    n_codes = 0
    for n, part in enumerate(parts, 1):
        if _kind(part) != _kind(first):
            raise TokensError(
                f"{_NAME}: part {n} is of {_named(part)}, part 1 of {_named(first)}; they are no whole"
            )
        expected_s = first.start_s + n_codes / first.rate_hz
        if len(part) and abs(part.start_s - expected_s) > 0.5 / first.rate_hz:
            raise TokensError(
                f"{_NAME}: part {n} starts at {part.start_s:g} s, the codes before it end at "
                f"{expected_s:g} s; a part is missing, or comes twice"
            )
        n_codes += len(part)
    return from_groups(
        [ids for part in parts for _, ids in part.windows],
        codebook_size=first.codebook_size,
        codebook=first.codebook,
        rate_hz=first.rate_hz,
        start_s=first.start_s,
        duration_s=sum(round(part.duration_s * _RATE_HZ) for part in parts) / _RATE_HZ,
        mask_code=first.mask_code,
        channel=first.channel,
        depth=first.depth,
    )


def groups_of(codes: object, *, head: Codebook, name: str = _NAME) -> list[np.ndarray]:
    """What a quantizer decodes: int32 [n] or [n, depth] each, at most `head.codes_per_window` codes.

    As `timed_groups`, without the times.
    """
    return [group for _, group in timed_groups(codes, head=head, name=name)]


def timed_groups(
    codes: object, *, head: Codebook, name: str = _NAME
) -> list[tuple[float, np.ndarray]]:
    """(start in seconds, codes) of each window of whatever holds speech tokens.

    `SpeechTokens` and its JSON have windows; the text form has one group for each, and bare ids have none.
    What is longer than a window is cut. Windows without codes are left out. Without times, windows lie end
    to end from 0 s.

    Differs from ichigo: ids out of range are an error. There, those that are too large are silently clipped
    to the last code. And a mask code among others is decoded as any code, nothing behind it is cut off.

    Args:
        codes: `SpeechTokens`, a dictionary as its `to_json` gives or the JSON of one, the text form, or
            integers: a list, a NumPy array or a torch tensor [n], [1, n], [n, depth] or [1, n, depth].
        head: What the quantizer takes.
        name: For messages.

    Raises:
        TokensError: another codebook, an id out of range, another shape, a damaged text.
    """
    if isinstance(codes, str) and codes.lstrip().startswith("{"):
        codes = _one_object(codes, name)
    if isinstance(codes, Mapping):
        codes = tokens_from_json(cast(Mapping[str, Any], codes), name=name, depth=head.depth)
    start_s = 0.0
    if isinstance(codes, SpeechTokens):
        _check_codebook(codes, head, name)
        groups = [ids for _, ids in codes.windows]
        start_s = codes.start_s
    elif isinstance(codes, str):
        groups = list(parse_token_text(codes, name=name).groups)
    else:
        groups = [_bare_ids(codes, head.depth, name)]
    shaped = [
        in_levels(group, head.depth, name if len(groups) == 1 else f"{name}: group {n}")
        if group.ndim == 1
        else group
        for n, group in enumerate(groups, 1)
    ]
    check_range(np.concatenate(shaped), head.codebook_size, name)
    pieces = [
        group[first : first + head.codes_per_window].astype(np.int32, copy=False)
        for group in shaped
        for first in range(0, len(group), head.codes_per_window)
    ]
    places = accumulate((len(piece) for piece in pieces), initial=0)
    return [
        (start_s + place / head.rate_hz, piece)
        for place, piece in zip(places, pieces, strict=False)  # the last place is the end
    ]


def _one_object(text: str, name: str) -> Mapping[str, Any]:
    """What a JSON text says of one recording."""
    values = load_json(text, name)
    if len(values) > 1 or not isinstance(values[0], Mapping):
        raise TokensError(f"{name}: holds {len(values)} JSON values; give them one by one")
    return values[0]


class _Tensor(Protocol):
    """What is asked of a torch tensor; torch itself is never imported here."""

    def detach(self) -> Self: ...
    def cpu(self) -> Self: ...


def _bare_ids(values: object, depth: int, name: str) -> np.ndarray:
    """Integers [n] or [n, depth]; their range is not looked at."""
    kind = type(values).__name__
    try:
        if callable(getattr(values, "detach", None)):
            values = cast(_Tensor, values).detach().cpu()
        ids = np.asarray(values)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise TokensError(f"{name}: {kind} is no array of ids") from None
    if not ids.size:
        return np.zeros((0,) if depth == 1 else (0, depth), np.int32)
    if ids.dtype.kind not in "iu":
        raise TokensError(f"{name}: {kind} of {ids.dtype} is no array of ids; give whole numbers")
    if ids.ndim > 1 and ids.shape[0] == 1 and ids.shape != (1, depth):
        ids = ids[0]
    if ids.ndim == 1:
        return ids
    if ids.ndim == 2 and ids.shape[1] == depth:
        return ids[:, 0] if depth == 1 else ids
    raise TokensError(
        f"{name}: has the shape {list(np.shape(cast(Any, values)))}; give the ids of one recording, "
        f"[n] or [n, {depth}]"
    )


def _check_codebook(tokens: SpeechTokens, head: Codebook, name: str) -> None:
    if tokens.ids.dtype.kind not in "iu":
        raise TokensError(f"{name}: has ids of {tokens.ids.dtype}; give whole numbers")
    # A text says nothing of its codebook: its size is then only what the ids need, its levels are flat.
    needed = 1 + (int(tokens.ids.max()) if tokens.ids.size else 0)
    is_unknown = not tokens.codebook and tokens.codebook_size == needed
    both_known = bool(tokens.codebook and head.codebook)
    if (both_known and tokens.codebook != head.codebook) or (
        not is_unknown and tokens.codebook_size != head.codebook_size
    ):
        raise TokensError(
            f"{name}: made with {_book(tokens)}, but this model has {_book(head)}; "
            "load the quantizer that made them, or tokenize the recording again"
        )
    if tokens.depth != head.depth and not (is_unknown and tokens.depth == 1):
        raise TokensError(
            f"{name}: has {tokens.depth} levels, but this model's quantizer has {head.depth}"
        )


def _book(one: SpeechTokens | Codebook) -> str:
    name = f"codebook {one.codebook}" if one.codebook else "an unknown codebook"
    return f"{name} ({one.codebook_size} codes)"


def _kind(part: SpeechTokens) -> tuple[object, ...]:
    return (
        part.codebook,
        part.codebook_size,
        part.depth,
        part.rate_hz,
        part.mask_code,
        part.channel,
    )


def _named(part: SpeechTokens) -> str:
    channel = "" if part.channel is None else f", channel {part.channel}"
    return f"{_book(part)}, {part.depth} x {part.rate_hz:g} Hz, mask {part.mask_code}{channel}"
