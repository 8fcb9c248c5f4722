"""Rules that forbid tokens before one is picked: some logits become -inf, in place.

The rules and their order are openai-whisper's (`whisper/decoding.py`), so that token for token the
same text follows. No token is picked here.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from array_api_compat import array_namespace

from tercet.decoding.array_gaps import Array, from_numpy, log_sum_exp, to_numpy
from tercet.decoding.options import DecodeOptions
from tercet.errors import OptionError
from tercet.text.tokenizer import TIMESTAMP_STEP_S, Tokenizer

_FORBIDDEN = -float("inf")
# Speech that may stay unheard at a window's end: detectors and timestamps err by that much.
MAY_MISS_S = 1.0


class Rule(Protocol):
    """Forbids tokens, given what each row has written so far."""

    def apply(self, logits: Array, written: Sequence[Sequence[int]], rows: Sequence[int]) -> None:
        """Lower logits [len(rows), vocab] in place.

        `written` are each row's tokens since its start, `rows` the rows' numbers in the whole batch.
        """
        ...


class SuppressBlank:
    """A transcript begins neither with a lone space nor with its end."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokens = tokenizer.blank

    def apply(self, logits: Array, written: Sequence[Sequence[int]], rows: Sequence[int]) -> None:
        """See `Rule.apply`."""
        for row, tokens in enumerate(written):
            if not tokens:
                for token in self._tokens:
                    logits[row, token] = _FORBIDDEN


class SuppressTokens:
    """Some tokens never appear."""

    def __init__(self, tokens: Sequence[int], vocab_size: int) -> None:
        self._penalty: Array = np.zeros(vocab_size, dtype=np.float32)
        self._penalty[list(tokens)] = _FORBIDDEN
        self._is_moved = False

    def apply(self, logits: Array, written: Sequence[Sequence[int]], rows: Sequence[int]) -> None:
        """See `Rule.apply`."""
        if not self._is_moved:  # once, into the engine's own library
            self._penalty = from_numpy(self._penalty, logits)
            self._is_moved = True
        logits += self._penalty


class TimestampRules:
    """Timestamps open the transcript, come in pairs, never go back, and win as a group.

    Whisper, arXiv:2212.04356, section 2.3 and figure 1; openai-whisper's `ApplyTimestampRules`.
    """

    def __init__(self, tokenizer: Tokenizer, max_initial_index: int | None) -> None:
        """`max_initial_index` is the latest first timestamp, in steps of 0.02 s."""
        self._begin = tokenizer.timestamp_begin
        self._eot = tokenizer.eot
        self._no_timestamps = tokenizer.no_timestamps
        self._max_initial_index = max_initial_index

    def apply(self, logits: Array, written: Sequence[Sequence[int]], rows: Sequence[int]) -> None:
        """See `Rule.apply`."""
        logits[:, self._no_timestamps] = _FORBIDDEN
        for row, tokens in enumerate(written):
            if tokens:
                self._keep_pairs(logits, row, tokens)
            else:
                self._open(logits, row)
        self._prefer_timestamps(logits)

    def _open(self, logits: Array, row: int) -> None:
        logits[row, : self._begin] = _FORBIDDEN
        if self._max_initial_index is not None:
            logits[row, self._begin + self._max_initial_index + 1 :] = _FORBIDDEN

    def _keep_pairs(self, logits: Array, row: int, tokens: Sequence[int]) -> None:
        begin = self._begin
        is_stamp = tokens[-1] >= begin
        # What opens the transcript counts as the second of a pair.
        is_pair = is_stamp and (len(tokens) < 2 or tokens[-2] >= begin)
        if is_pair:  # a segment has opened: text comes
            logits[row, begin:] = _FORBIDDEN
        elif is_stamp:  # a segment has closed: the next one opens, or the end comes
            logits[row, : self._eot] = _FORBIDDEN
        last = next((token for token in reversed(tokens) if token >= begin), None)
        if last is not None:
            # A segment may open where the last one closed, and must close later than it opened.
            lowest = last if is_stamp and not is_pair else last + 1
            logits[row, begin:lowest] = _FORBIDDEN

    def _prefer_timestamps(self, logits: Array) -> None:
        """Where all timestamps together are likelier than the likeliest text, text is forbidden."""
        xp = array_namespace(logits)
        # Logits serve as well as log-probabilities: both sides would lose the same sum.
        together = log_sum_exp(logits[:, self._begin :])
        best_text = xp.max(logits[:, : self._begin], axis=-1)
        for row in np.flatnonzero(to_numpy(together > best_text)):
            logits[int(row), : self._begin] = _FORBIDDEN


class HearOut:
    """No end of the text while somebody is still speaking.

    Stock Whisper often stops after a closing timestamp and leaves the rest of a window to the next
    one, which openai-whisper starts there. Windows that are never sought again would lose those
    words. Where the last timestamp lies well before the end of speech, as the voice detector heard
    it, the end is forbidden and a segment follows.
    """

    def __init__(self, tokenizer: Tokenizer, hear_until_s: Sequence[float | None]) -> None:
        self._begin = tokenizer.timestamp_begin
        self._eot = tokenizer.eot
        self._until = [
            None if until is None else self._begin + int((until - MAY_MISS_S) / TIMESTAMP_STEP_S)
            for until in hear_until_s
        ]

    def apply(self, logits: Array, written: Sequence[Sequence[int]], rows: Sequence[int]) -> None:
        """See `Rule.apply`."""
        for place, (row, tokens) in enumerate(zip(rows, written, strict=True)):
            until = self._until[row]
            if until is not None and tokens and self._begin <= tokens[-1] < until:
                logits[place, self._eot] = _FORBIDDEN


def rules_for(
    options: DecodeOptions,
    tokenizer: Tokenizer,
    hear_until_s: Sequence[float | None] | None = None,
) -> list[Rule]:
    """The rules that the options ask for, in openai-whisper's order.

    `hear_until_s`: per row, how far the window must be heard; None leaves `HearOut` out.

    Raises:
        OptionError: `suppress_tokens` has an id that the vocabulary lacks.
    """
    rules: list[Rule] = []
    if options.suppress_blank:
        rules.append(SuppressBlank(tokenizer))
    rules.append(SuppressTokens(suppressed_tokens(options, tokenizer), tokenizer.vocab_size))
    if not options.without_timestamps:
        if hear_until_s is not None:
            rules.append(HearOut(tokenizer, hear_until_s))
        rules.append(TimestampRules(tokenizer, options.max_initial_index))
    return rules


def suppressed_tokens(options: DecodeOptions, tokenizer: Tokenizer) -> tuple[int, ...]:
    """The ids that never appear: those asked for, and the marks that steer the decoder, sorted.

    Differs from openai/whisper: the marks are barred for an empty `suppress_tokens` too (there, it
    removes the whole rule).

    Raises:
        OptionError: `suppress_tokens` has an id that the vocabulary lacks.
    """
    asked = set(options.suppressed_ids)
    if foreign := [token for token in asked if token >= tokenizer.vocab_size]:
        message = f"has {foreign[0]}; this model's ids end at {tokenizer.vocab_size - 1}"
        raise OptionError(f"suppress_tokens {message}")
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
    return tuple(sorted(asked | steering))
