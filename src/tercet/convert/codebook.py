"""A quantizer's codebook made larger, joined with another, or freed of its mask. NumPy; no training.

Each operation gives a new `Quantizer` and leaves the old one as it was. Ichigo-Whisper's codebook was made
so: 512 codes grown to 2048, trained, and the old 512 put behind them.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tercet.checkpoint.heads import HeadArrays, Origin, Quantizer
from tercet.errors import FingerprintError, HeadError, OptionError

NOISE = 0.01  # Ichigo's, per element of a row whose length is 1
_MAX_SIZE = 2**20


def grown(
    head: Quantizer,
    size: int,
    *,
    noise: float = NOISE,
    seed: int = 0,
    match: str | None = None,
    keep_rows: bool = True,
) -> Quantizer:
    """A larger codebook whose new rows are noisy copies of the old ones, in their order, over and over.

    Old codes keep their numbers; the mask becomes the last row, and a new code takes its place. All rows have
    length 1. Everything but the codebook stays as it was, and the result is meant to be trained further.

    Differs from Ichigo: there the mask is copied along with the codes (rows 512, 1025 and 1538 of 2049
    are masks that stand for sound), the new mask is a copy of some code (row 509), and the copies are
    longer than 1.

    Args:
        head: The smaller quantizer; each level of a residual one is grown.
        size: Rows of the result, the mask's included: 2049 for 2048 codes and a mask.
        noise: Standard deviation of what is added to each element of a copy; rows have length 1.
        seed: Fixes the noise.
        match: "ichigo" gives the original's rows (with NumPy's noise in place of torch's).
        keep_rows: False adds noise to the first copies, too (never to the mask), so that all copies of a row
            start alike. Without effect under `match`.

    Raises:
        OptionError: the size is not larger than the codebook, or another value is not allowed.
    """
    if match not in (None, "ichigo"):
        raise OptionError(f"match is {match!r}; give 'ichigo', or nothing")
    if not head.codebook_size < size <= _MAX_SIZE:
        raise OptionError(
            f"size is {size}; give more rows than the codebook's {head.codebook_size} "
            f"(the mask's included), at most {_MAX_SIZE}"
        )
    if not 0 <= noise < np.inf:
        raise OptionError(f"noise is {noise}; give 0 or more")
    random = np.random.default_rng(seed)

    def grow(rows: np.ndarray) -> np.ndarray:
        if match == "ichigo":
            return _tiled(rows, size, noise, random, first_noisy=False)
        mask = rows[:0] if head.mask_code is None else rows[head.mask_code][None]
        codes = rows if head.mask_code is None else np.delete(rows, head.mask_code, axis=0)
        if not len(codes):
            raise OptionError("the codebook has no row beside its mask; there is nothing to copy")
        copies = _tiled(codes, size - len(mask), noise, random, first_noisy=not keep_rows)
        first_new = len(codes) if keep_rows else 0
        copies[first_new:] = _of_length_one(copies[first_new:])
        old, new = copies[: len(codes)], copies[len(codes) :]
        # A new row where the mask was: codes behind it keep their numbers, too.
        at = len(codes) if head.mask_code is None else head.mask_code
        return np.concatenate([old[:at], new[:1], old[at:], new[1:], mask])

    mask_code = None if head.mask_code is None else size - 1
    return _changed(head, grow, mask_code=mask_code)


def without_mask(head: Quantizer) -> Quantizer:
    """The same without the mask's row; codes behind it move down by one.

    Raises:
        HeadError: it has none, or nothing else.
    """
    mask = head.mask_code
    if mask is None:
        raise HeadError(f"{_name(head)}: its codebook has no mask row; there is nothing to drop")
    if head.codebook_size == 1:
        raise HeadError(f"{_name(head)}: its codebook has no row beside its mask")
    return _changed(head, lambda rows: np.delete(rows, mask, axis=0), mask_code=None)


def merged(first: Quantizer, second: Quantizer) -> Quantizer:
    """Both codebooks in one: the first one's rows, its mask among them, and behind them the second's codes.

    [2048 codes, mask | 512 codes, mask] gives Ichigo's layout of 2561 rows, the mask at 2048. Everything
    but the codebook is the first one's, which therefore never learned what the second's rows stand for.

    Raises:
        HeadError: the codebooks have other widths, levels or rates.
        FingerprintError: they were trained on different encoders.
    """
    for what, ours, theirs in (
        ("encoder width", first.width, second.width),
        ("code width", first.code_width, second.code_width),
        ("number of levels", first.depth, second.depth),
        ("states per code", first.downsample, second.downsample),
    ):
        if ours != theirs:
            raise HeadError(
                f"{_name(second)}: its {what} is {theirs}, that of {_name(first)} {ours}; "
                "only codebooks of one kind can be merged"
            )
    encoders = [head.origin.encoder for head in (first, second)]
    if all(encoders) and len({str(each and each.get("sha256")) for each in encoders}) > 1:
        raise FingerprintError(
            f"{_name(second)}: trained on another encoder than {_name(first)}; "
            "their rows have nothing in common"
        )
    values, changed = dict(first.arrays.values), []
    for name in _codebooks(first):
        rows = _floats(second, name)
        if second.mask_code is not None:
            rows = np.delete(rows, second.mask_code, axis=0)
        values[name] = np.concatenate([_floats(first, name), rows])
        changed.append(name)
    return replace(
        first,
        codebook_size=len(values[changed[0]]),
        arrays=_without_scales(first, values, changed),
        origin=_joint_origin(first.origin, second.origin),
    )


def _tiled(
    rows: np.ndarray, size: int, noise: float, random: np.random.Generator, *, first_noisy: bool
) -> np.ndarray:
    """`rows` over and over until there are `size`, with noise on the copies."""
    copies = np.resize(rows, (size, rows.shape[1])).astype(np.float32)
    first = 0 if first_noisy else len(rows)
    copies[first:] += noise * random.standard_normal(copies[first:].shape, np.float32)
    return copies


def _of_length_one(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: np.ndarray = rows / np.maximum(lengths, np.float32(1e-12))
    return unit


def _changed(
    head: Quantizer, change: Callable[[np.ndarray], np.ndarray], *, mask_code: int | None
) -> Quantizer:
    """The same with every level's codebook changed."""
    values, names = dict(head.arrays.values), _codebooks(head)
    for name in names:
        values[name] = change(_floats(head, name))
    return replace(
        head,
        codebook_size=len(values[names[0]]),
        mask_code=mask_code,
        arrays=_without_scales(head, values, names),
    )


def _without_scales(
    head: Quantizer, values: dict[str, np.ndarray], changed: list[str]
) -> HeadArrays:
    """Arrays of which some are floats now."""
    scales = {name: each for name, each in head.arrays.scales.items() if name not in changed}
    return HeadArrays(values, scales, head.arrays.path)


def _joint_origin(first: Origin, second: Origin) -> Origin:
    """The first one's, under both licences."""
    licences = list(dict.fromkeys(each for each in (first.licence, second.licence) if each))
    return replace(first, licence=" AND ".join(licences))


def _codebooks(head: Quantizer) -> list[str]:
    return [f"levels.{level}.codebook" for level in range(head.depth)]


def _floats(head: Quantizer, name: str) -> np.ndarray:
    return np.asarray(head.arrays.read(name), np.float32)


def _name(head: Quantizer) -> str:
    return str(head.arrays.path)
