"""Rules that forbid tokens before one is picked. Each takes logits [rows, vocab] and lowers some of them to -inf, in place.

The rules and their order are openai-whisper's (`whisper/decoding.py`); token for token the same text follows from them.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from array_api_compat import array_namespace

from tercet.decoding.array_gaps import from_numpy, log_softmax, log_sum_exp, to_numpy
from tercet.decoding.options import DecodeOptions
from tercet.text.tokenizer import Tokenizer

Array = Any
_FORBIDDEN = -float("inf")


class Rule(Protocol):
    """Forbids tokens, given what each row has written so far."""

    def apply(self, logits: Array, written: Sequence[Sequence[int]]) -> None:
        """Lower logits [rows, vocab] in place. `written`: each row's tokens since the start sequence."""
        ...


class SuppressBlank:
    """A transcript begins neither with a lone space nor with its end."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokens = tokenizer.blank

    def apply(self, logits: Array, written: Sequence[Sequence[int]]) -> None:
        """See `Rule.apply`."""
        for row, tokens in enumerate(written):
            if not tokens:
                for token in self._tokens:
                    logits[row, token] = _FORBIDDEN


class SuppressTokens:
    """Some tokens never appear."""

    def __init__(self, tokens: Sequence[int], vocab_size: int) -> None:
        self._penalty = np.zeros(vocab_size, dtype=np.float32)
        self._penalty[list(tokens)] = _FORBIDDEN
        self._ready: Array = None  # the penalty in the engine's own library, made once

    def apply(self, logits: Array, written: Sequence[Sequence[int]]) -> None:
        """See `Rule.apply`."""
        if self._ready is None:
            self._ready = from_numpy(self._penalty, logits)
        logits += self._ready


class TimestampRules:
    """Timestamps come in pairs, never go back, open the transcript, and win when together they are likelier than text.

    Whisper, arXiv:2212.04356, section 2.3 and figure 1; openai-whisper's `ApplyTimestampRules`.
    """

    def __init__(self, tokenizer: Tokenizer, max_initial_index: int | None) -> None:
        self._begin = tokenizer.timestamp_begin
        self._eot = tokenizer.eot
        self._no_timestamps = tokenizer.no_timestamps
        self._max_initial_index = max_initial_index

    def apply(self, logits: Array, written: Sequence[Sequence[int]]) -> None:
        """See `Rule.apply`."""
        logits[:, self._no_timestamps] = _FORBIDDEN
        for row, tokens in enumerate(written):
            self._keep_pairs(logits, row, tokens)
            if not tokens:
                logits[row, : self._begin] = _FORBIDDEN
                if self._max_initial_index is not None:
                    logits[row, self._begin + self._max_initial_index + 1 :] = _FORBIDDEN
        self._prefer_timestamps(logits)

    def _keep_pairs(self, logits: Array, row: int, tokens: Sequence[int]) -> None:
        last = len(tokens) >= 1 and tokens[-1] >= self._begin
        before_last = len(tokens) < 2 or tokens[-2] >= self._begin
        if last and before_last:  # a pair is complete (or opened the transcript): text comes
            logits[row, self._begin :] = _FORBIDDEN
        elif last:  # a segment has just ended: its pair comes, or the end
            logits[row, : self._eot] = _FORBIDDEN
        stamps = [token for token in tokens if token >= self._begin]
        if stamps:
            # The next one may repeat the last only where it opens the segment that starts there;
            # forced growth keeps segments from having no length.
            lowest = stamps[-1] if last and not before_last else stamps[-1] + 1
            logits[row, self._begin : lowest] = _FORBIDDEN

    def _prefer_timestamps(self, logits: Array) -> None:
        xp = array_namespace(logits)
        logs = log_softmax(logits)
        together = log_sum_exp(logs[:, self._begin :])
        best_text = xp.max(logs[:, : self._begin], axis=-1)
        for row in np.flatnonzero(to_numpy(together > best_text)):
            logits[int(row), : self._begin] = _FORBIDDEN


def rules_for(options: DecodeOptions, tokenizer: Tokenizer) -> list[Rule]:
    """The rules that the options ask for, in openai-whisper's order."""
    rules: list[Rule] = []
    if options.suppress_blank:
        rules.append(SuppressBlank(tokenizer))
    rules.append(SuppressTokens(suppressed_tokens(options, tokenizer), tokenizer.vocab_size))
    if not options.without_timestamps:
        rules.append(TimestampRules(tokenizer, options.max_initial_index))
    return rules


def suppressed_tokens(options: DecodeOptions, tokenizer: Tokenizer) -> tuple[int, ...]:
    """The ids that never appear: those asked for, and the marks that steer the decoder."""
    asked = {int(token) for token in options.suppress_tokens}
    if -1 in asked:
        asked = (asked - {-1}) | set(tokenizer.non_speech_tokens)
    steering = {
        tokenizer.transcribe,
        tokenizer.translate,
        tokenizer.sot,
        tokenizer.sot_prev,
        tokenizer.sot_lm,
        tokenizer.no_speech,
    }
    known = {token for token in asked if 0 <= token < tokenizer.vocab_size}
    return tuple(sorted(known | steering))
