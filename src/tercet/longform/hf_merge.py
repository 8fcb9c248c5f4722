"""Merging the tokens of overlapping chunks exactly as transformers' pipeline does (`match="hf"`).

Pure functions of tokens; nothing is decoded here. Ours is `chunk_merge.py`. Source: transformers 5.23,
`models/whisper/tokenization_whisper.py` (`_decode_asr` and what it calls) and `generation_whisper.py`
(`_retrieve_segment`). Its faults are kept: where two chunks have no tokens in common, both are written down.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tercet.text.tokenizer import TIMESTAMP_STEP_S, Tokenizer

_TOKENS_PER_POINT = 10000.0  # of shift, added to the score: of equally good overlaps the longest
_STEPS_PER_RUN = 1500  # 30 s in timestamps


def hand_over(left: Sequence[int], right: Sequence[int]) -> tuple[int, int]:
    """How many tokens of `left` stay, and from which one on `right` follows.

    The two are slid over each other; the best place is the one with the most equal tokens per token of shift,
    at least two. There, the overlap's first half is taken from the left, its second half from the right.
    Where no place has two equal tokens, everything stays.
    """
    n_left, n_right = len(left), len(right)
    if n_left == 0 or n_right == 0:
        return n_left, 0
    equal = np.asarray(left)[:, None] == np.asarray(right)[None, :]
    at_left, at_right = np.nonzero(equal)
    shifts = np.arange(1, n_left + n_right)
    matches = np.bincount(n_left - at_left + at_right, minlength=n_left + n_right)[1:]
    scores = matches / shifts + shifts / _TOKENS_PER_POINT
    scores[matches < 2] = 0.0
    best = int(np.argmax(scores))
    if scores[best] == 0.0:
        return n_left, 0
    shift = int(shifts[best])
    left_start, left_stop = max(0, n_left - shift), min(n_left, n_left + n_right - shift)
    right_start, right_stop = max(0, shift - n_left), min(n_right, shift)
    return (left_start + left_stop) // 2, (right_start + right_stop) // 2


class Fold:
    """Sequences merged one after the other: each with what is left of those before it."""

    def __init__(self) -> None:
        self._open: Sequence[int] | None = None  # the last one, from where it took over

    @property
    def is_empty(self) -> bool:
        """Whether no sequence is held."""
        return self._open is None

    def add(self, tokens: Sequence[int]) -> Sequence[int]:
        """Take the next sequence; give the tokens that nothing can change any more."""
        if self._open is None:
            self._open = tokens
            return ()
        stay, enter = hand_over(self._open, tokens)
        final, self._open = self._open[:stay], tokens[enter:]
        return final

    def finish(self) -> Sequence[int]:
        """Give the rest, and begin anew."""
        rest, self._open = self._open or (), None
        return rest


@dataclass(frozen=True, slots=True)
class Stretch:
    """Merged text tokens. The pipeline's "chunk", where it is whole."""

    start_s: float | None  # on the file's clock; None: no timestamp was there
    end_s: float | None  # None: none came before the text ended, or there are no times
    tokens: tuple[int, ...]


@dataclass(slots=True)
class _Output:
    """Where we are in the tokens of one chunk."""

    stride_left_s: float
    held_from: int | None  # timestamps from this id on lie in the right stride
    tokens: list[int] = field(default_factory=list)  # text since the last stretch
    # Several runs of the decoder may stand in one output, each with its own clock:
    newest_s: float = 0.0
    before_newest_s: float = 0.0
    earlier_runs_s: float = 0.0


class ChunkMerge:
    """transformers' state machine over the outputs of all chunks of a recording, in order.

    A stretch closes with a timestamp that lies in no stride. `timed` False: no timestamps are expected; what
    is final of an open stretch is handed out at once, so that hours of text need not be kept.
    """

    def __init__(self, tokenizer: Tokenizer, *, timed: bool) -> None:
        self._tokenizer = tokenizer
        self._begin = tokenizer.timestamp_begin
        self._languages = frozenset(tokenizer.language_ids.values())
        self._timed = timed
        self._fold = Fold()
        self._final: list[int] = []  # of the open stretch
        self._start_s: float | None = None
        self._offset_s = 0.0
        self._skip = False
        self._language: int | None = None
        self._closed: list[Stretch] = []

    def push(
        self, tokens: Sequence[int], *, length_s: float, left_s: float, right_s: float
    ) -> list[Stretch]:
        """Take what was written for the next chunk, with its length and strides; give what is final."""
        self._offset_s -= left_s
        held_from = self._held_from(tokens, length_s - right_s) if right_s else None
        output = _Output(left_s, held_from)
        for place, token in enumerate(tokens):
            if token >= self._begin:
                self._take_timestamp(tokens, place, output)
            elif token >= self._tokenizer.eot:
                self._take_mark(token, output)
            else:
                output.tokens.append(token)
        self._offset_s += length_s - right_s
        if output.tokens:
            self._final += self._fold.add(output.tokens)
        elif self._fold.is_empty:
            self._start_s = None
        if not self._timed:
            self._hand_out()
        closed, self._closed = self._closed, []
        return closed

    def finish(self) -> list[Stretch]:
        """The recording is over: what is still open."""
        if not self._fold.is_empty or self._final:
            self._close(None)
        closed, self._closed = self._closed, []
        return closed

    def _held_from(self, tokens: Sequence[int], stride_start_s: float) -> int | None:
        """The first of the timestamps at the end that lie in the right stride; the last one always does."""
        held: int | None = None
        for token in reversed(tokens):
            if token >= self._begin:
                in_stride = (token - self._begin) * TIMESTAMP_STEP_S >= stride_start_s
                if held is not None and not in_stride:
                    break
                held = token
        return held

    def _take_timestamp(self, tokens: Sequence[int], place: int, output: _Output) -> None:
        token = tokens[place]
        at_s = (token - self._begin) * TIMESTAMP_STEP_S
        self._follow_runs(tokens, place, at_s, output)
        time_s = round(at_s + self._offset_s + output.earlier_runs_s, 2)
        # The first id behind the left stride, as a fraction of one step.
        first = output.stride_left_s / TIMESTAMP_STEP_S + self._begin
        if output.held_from is not None and token >= output.held_from:
            self._skip = True  # and its pair, which would open the next stretch
        elif self._skip or (not self._fold.is_empty and token < first):
            self._skip = False
        elif self._start_s is None:
            self._start_s = time_s
        elif time_s != self._start_s:
            self._final += self._fold.add(output.tokens)
            output.tokens = []
            self._close(time_s)

    def _follow_runs(self, tokens: Sequence[int], place: int, at_s: float, output: _Output) -> None:
        """A timestamp that goes back belongs to the next run of the decoder over the same chunk."""
        if at_s < output.newest_s:
            ended_alone = place >= 2 and not (
                tokens[place - 1] >= self._begin and tokens[place - 2] >= self._begin
            )
            if ended_alone:
                output.earlier_runs_s += TIMESTAMP_STEP_S * _STEPS_PER_RUN
            else:
                output.newest_s = output.before_newest_s
                output.earlier_runs_s += output.before_newest_s
        output.before_newest_s = output.newest_s
        output.newest_s = at_s

    def _take_mark(self, token: int, output: _Output) -> None:
        """Marks are no text; another language than before ends a text without times."""
        if token not in self._languages:
            return
        if self._language not in (None, token) and not self._timed:
            self._final += self._fold.add(output.tokens)
            output.tokens = []
            self._close(None)
        self._language = token

    def _close(self, end_s: float | None) -> None:
        tokens = (*self._final, *self._fold.finish())
        self._closed.append(Stretch(self._start_s, end_s, tokens))
        self._final, self._start_s = [], None

    def _hand_out(self) -> None:
        """What is final, but for a letter of which some bytes are still to come."""
        if self._final and not self._tokenizer.decode(self._final).endswith("\ufffd"):
            self._closed.append(Stretch(None, None, tuple(self._final)))
            self._final = []


def kept_of_run(
    tokens: Sequence[int], timestamp_begin: int, frames_left: int
) -> tuple[Sequence[int], int]:
    """What transformers' `generate` keeps of one run of the decoder, and how many frames it goes on by.

    With timestamps, generation goes on within the same 30 s where a run ended with an open stretch: behind
    the last pair, up to which its tokens are kept. `frames_left` are the log-mel frames that the run heard.
    """
    stamps = [token >= timestamp_begin for token in tokens]
    pairs = [at for at in range(1, len(tokens)) if stamps[at - 1] and stamps[at]]
    if not pairs or stamps[-2:] == [False, True]:
        return tokens, frames_left
    last = pairs[-1]
    return tokens[: last + 1], (tokens[last - 1] - timestamp_begin) * 2
