"""How a codebook is used: which codes were heard how often. Reads no file, draws nothing."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tercet.errors import TokensError
from tercet.results import SCHEMA


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CodebookUse:
    """Figures of one codebook over many recordings.

    The mask's row, which stands for no sound, is counted apart: every other figure leaves it out.
    """

    counts: np.ndarray  # int64 [codebook_size], the mask's row included
    mask_code: int | None
    rate_hz: float
    pairs: int  # neighbours in a recording
    repeats: int  # of which both are the same code

    @property
    def codes(self) -> np.ndarray:
        """The numbers of all codes that can stand for sound, int64."""
        numbers = np.arange(len(self.counts))
        return numbers if self.mask_code is None else np.delete(numbers, self.mask_code)

    @property
    def total(self) -> int:
        """Codes heard."""
        return int(self.counts[self.codes].sum())

    @property
    def used(self) -> int:
        """Codes heard at least once."""
        return int(np.count_nonzero(self.counts[self.codes]))

    @property
    def dead_codes(self) -> tuple[int, ...]:
        """Codes that were never heard."""
        codes = self.codes
        return tuple(codes[self.counts[codes] == 0].tolist())

    @property
    def utilisation(self) -> float:
        """Share of the codes that were heard, 0..1."""
        return self.used / max(1, len(self.codes))

    @property
    def entropy_bits(self) -> float:
        """Entropy of the single codes, in bits; 0 where nothing was heard."""
        counts = self.counts[self.codes]
        shares = counts[counts > 0] / max(1, self.total)
        return float(-(shares * np.log2(shares)).sum()) + 0.0

    @property
    def perplexity(self) -> float:
        """2 to the entropy: as many equally frequent codes would carry as much."""
        return float(2.0**self.entropy_bits)

    @property
    def bits_per_second(self) -> float:
        """Entropy times rate; what the codes may carry at most is `nominal_bits_per_second`."""
        return self.rate_hz * self.entropy_bits

    @property
    def nominal_bits_per_second(self) -> float:
        """Rate times log2 of the codebook's rows, the mask's included."""
        return self.rate_hz * float(np.log2(max(1, len(self.counts))))

    @property
    def mask_uses(self) -> int:
        """How often the mask's code stands among the codes."""
        return 0 if self.mask_code is None else int(self.counts[self.mask_code])

    @property
    def repeat_share(self) -> float:
        """Share of neighbours that are the same code, 0..1."""
        return self.repeats / max(1, self.pairs)

    def to_json(self) -> dict[str, Any]:
        """All figures, and how often each row was heard."""
        return {
            "schema": SCHEMA,
            "codebook_size": len(self.counts),
            "mask_code": self.mask_code,
            "total": self.total,
            "used": self.used,
            "utilisation": round(self.utilisation, 6),
            "dead_codes": list(self.dead_codes),
            "entropy_bits": round(self.entropy_bits, 6),
            "perplexity": round(self.perplexity, 3),
            "rate_hz": self.rate_hz,
            "bits_per_second": round(self.bits_per_second, 3),
            "nominal_bits_per_second": round(self.nominal_bits_per_second, 3),
            "adjacent_repeats": round(self.repeat_share, 6),
            "mask_uses": self.mask_uses,
            "counts": self.counts.tolist(),
        }


class CodebookCounter:
    """Counts the codes of one recording after another, in memory that does not grow."""

    def __init__(
        self,
        codebook_size: int,
        *,
        mask_code: int | None = None,
        rate_hz: float = 25.0,
        depth: int = 1,
    ) -> None:
        """Start with nothing.

        Args:
            codebook_size: Rows, the mask's included.
            mask_code: The mask's row, if there is one.
            rate_hz: Codes per second.
            depth: Levels of a residual quantizer; each is counted on its own.
        """
        self._mask_code = mask_code
        self._rate_hz = rate_hz
        self._counts = np.zeros((depth, codebook_size), np.int64)
        self._pairs = 0
        self._repeats = np.zeros(depth, np.int64)

    def add(self, codes: np.ndarray) -> None:
        """Count one recording's codes: int [n], or [n, depth].

        Raises:
            TokensError: they have other levels, or one lies outside the codebook.
        """
        depth, size = self._counts.shape
        rows = codes[:, None] if codes.ndim == 1 else codes
        if rows.ndim != 2 or rows.shape[1] != depth:
            raise TokensError(
                f"codes have shape {list(codes.shape)}; the codebook has {depth} levels"
            )
        outside = rows[(rows < 0) | (rows >= size)]
        if outside.size:
            raise TokensError(f"code {outside.flat[0]} is outside the codebook's 0..{size - 1}")
        for level in range(depth):
            self._counts[level] += np.bincount(rows[:, level], minlength=size)
        self._pairs += max(0, len(rows) - 1)
        self._repeats += (rows[1:] == rows[:-1]).sum(axis=0)

    def widen(self, codebook_size: int) -> None:
        """Go on with a larger codebook, for files that name no more rows than they use."""
        more = max(0, codebook_size - self._counts.shape[1])
        self._counts = np.pad(self._counts, ((0, 0), (0, more)))

    def use(self) -> tuple[CodebookUse, ...]:
        """The figures so far, of each level."""
        return tuple(
            CodebookUse(
                counts=counts.copy(),
                mask_code=self._mask_code,
                rate_hz=self._rate_hz,
                pairs=self._pairs,
                repeats=int(repeats),
            )
            for counts, repeats in zip(self._counts, self._repeats, strict=True)
        )
