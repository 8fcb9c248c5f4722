"""The policy above decoding: judge each window's text, try a failed one again, drop silence.

How a text comes about is `loop.py`'s business.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tercet.decoding.loop import Decoded, decode
from tercet.decoding.options import DecodeOptions
from tercet.engine.protocol import Decoder, Projected, Projections
from tercet.errors import OptionError
from tercet.text.tokenizer import Tokenizer

# Reasons, as `Outcome.reason` and a window's report give them.
REPETITIVE = "repetitive"
UNSURE = "low log-probability"
NO_SPEECH = "no speech"


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackPolicy:
    """openai-whisper's thresholds; None switches one off."""

    temperatures: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    compression_ratio_threshold: float | None = 2.4
    logprob_threshold: float | None = -1.0
    no_speech_threshold: float | None = 0.6

    def __post_init__(self) -> None:
        temperatures = self.temperatures
        if not temperatures or not all(_is_number(t) and t >= 0 for t in temperatures):
            raise OptionError(f"temperatures are {temperatures!r}; give numbers from 0 on")
        for name in ("compression_ratio_threshold", "logprob_threshold", "no_speech_threshold"):
            value = getattr(self, name)
            if value is not None and not _is_number(value):
                raise OptionError(f"{name} is {value!r}; give a number, or None to switch it off")

    def fault_of(self, decoded: Decoded) -> str | None:
        """Why a text should be tried again; None where it is fine (or silent)."""
        if self.is_silent(decoded):
            return None
        ratio = self.compression_ratio_threshold
        if ratio is not None and decoded.compression_ratio > ratio:
            return REPETITIVE
        if self.logprob_threshold is not None and decoded.avg_logprob < self.logprob_threshold:
            return UNSURE
        return None

    def is_silent(self, decoded: Decoded) -> bool:
        """Whether silence explains a doubtful text."""
        if self.no_speech_threshold is None or self.logprob_threshold is None:
            return False
        is_doubtful = decoded.avg_logprob < self.logprob_threshold
        return is_doubtful and decoded.no_speech_prob > self.no_speech_threshold

    def is_dropped(self, decoded: Decoded) -> bool:
        """Whether the window's text is left out, as in openai-whisper's `transcribe`."""
        if self.no_speech_threshold is None or decoded.no_speech_prob <= self.no_speech_threshold:
            return False
        return self.logprob_threshold is None or decoded.avg_logprob <= self.logprob_threshold


@dataclass(frozen=True, slots=True)
class Outcome:
    """One window's text after all attempts: the first that passed, else the last."""

    decoded: Decoded
    attempts: int
    # Why it was dropped, else what was wrong with the first attempt; None where that was kept.
    reason: str | None
    is_dropped: bool  # nobody spoke: leave the text out


def decode_with_fallback(
    decoder: Decoder,
    windows: Sequence[Projected],
    tokenizer: Tokenizer,
    options: DecodeOptions,
    policy: FallbackPolicy,
    *,
    languages: Sequence[str | None],
    row_keys: Sequence[int],
    seed: int,
    leaders: Sequence[int] | None = None,
    prompts: Sequence[Sequence[int]] | None = None,
    hear_until_s: Sequence[float | None] | None = None,
) -> list[Outcome]:
    """Decode a batch; rows that fail the policy, and they alone, go on to the next temperature.

    Arguments as `loop.decode`. A row's outcome does not depend on the other rows.
    """
    n_rows = len(windows)
    known = list(languages)
    given = prompts or [()] * n_rows
    results: list[Decoded | None] = [None] * n_rows
    faults: list[list[str]] = [[] for _ in range(n_rows)]
    open_rows = list(range(n_rows))
    for attempt, temperature in enumerate(policy.temperatures):
        decoded = decode(
            decoder,
            windows if attempt == 0 else _of(windows, open_rows),
            tokenizer,
            options,
            languages=[known[row] for row in open_rows],
            leaders=leaders if attempt == 0 else None,
            prompts=[given[row] for row in open_rows],
            temperature=temperature,
            row_keys=[row_keys[row] for row in open_rows],
            seed=seed,
            attempt=attempt,
            hear_until_s=hear_until_s and [hear_until_s[row] for row in open_rows],
        )
        failed = []
        for row, result in zip(open_rows, decoded, strict=True):
            if (before := results[row]) is not None:  # the language was detected then
                result = replace(result, language_probability=before.language_probability)
            results[row] = result
            known[row] = result.language
            fault = policy.fault_of(result)
            if fault is not None:
                faults[row].append(fault)
                failed.append(row)
        open_rows = failed
        if not open_rows:
            break
    return [
        _outcome(policy, result, found)
        for result, found in zip(results, faults, strict=True)
        if result is not None
    ]


def _of(windows: Sequence[Projected], rows: Sequence[int]) -> Sequence[Projected]:
    if isinstance(windows, Projections):
        return windows.of(rows)
    return [windows[row] for row in rows]


def _outcome(policy: FallbackPolicy, decoded: Decoded, faults: list[str]) -> Outcome:
    has_passed = policy.fault_of(decoded) is None
    attempts = len(faults) + int(has_passed)
    if policy.is_dropped(decoded):
        return Outcome(decoded, attempts, NO_SPEECH, is_dropped=True)
    return Outcome(decoded, attempts, faults[0] if faults else None, is_dropped=False)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
