"""Who guesses what the decoder will write next: a draft head, a smaller decoder, or the text so far.

Guesses are verified in `speculate.py`; none of them can change a text.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from array_api_compat import array_namespace

from tercet.decoding.array_gaps import Array, log_sum_exp, to_numpy
from tercet.engine.protocol import Decoder, Drafter, Encoder, Projections, Session

# (row, likelihood that all of its guesses come true) -> whether to guess another one.
GoesOn = Callable[[int, float], bool]


class Guess:
    """What may follow in one row: tokens, and how likely all of them up to each one come true."""

    __slots__ = ("shares", "tokens")

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.shares: list[float] = []

    def add(self, token: int, share: float) -> float:
        """One more token, with its own likelihood; returns that of all of them."""
        together = share * (self.shares[-1] if self.shares else 1.0)
        self.tokens.append(token)
        self.shares.append(together)
        return together


class Proposer(Protocol):
    """Guesses for the rows of one session."""

    def propose(
        self, texts: Sequence[Sequence[int]], hidden: Array, most: Sequence[int], goes_on: GoesOn
    ) -> list[Guess]:
        """What may follow in each row.

        Args:
            texts: All ids of each row: prompt, start and what was written. The last one is not in the
                session's cache yet.
            hidden: float32 [rows, width], what each row's last token was chosen from.
            most: How many tokens each row may be given.
            goes_on: Asked behind each guess.
        """
        ...

    def reorder(self, rows: np.ndarray) -> None:
        """Row i is old row `rows[i]` now, in the session, too."""
        ...


class Draft(Protocol):
    """Opens proposers. Made once, beside its decoder."""

    @property
    def name(self) -> str:
        """For reports."""
        ...

    def open(
        self, session: Session, windows: Projections | None, rows: Sequence[int]
    ) -> Proposer | None:
        """A proposer for the rows that a session has now; None where it cannot draft for them.

        `rows` says which of `windows` each row hears; None: nobody kept the windows' states.
        """
        ...


class HeadDraft:
    """A draft head (`checkpoint.heads.DraftHead`)."""

    def __init__(self, name: str, drafter: Drafter) -> None:
        self.name = name
        self._drafter = drafter

    def open(
        self, session: Session, windows: Projections | None, rows: Sequence[int]
    ) -> "_HeadProposer":
        """See `Draft.open`."""
        return _HeadProposer(self._drafter, session)


class _HeadProposer:
    def __init__(self, drafter: Drafter, session: Session) -> None:
        self._drafter, self._session = drafter, session
        self._steps = drafter.open(session)

    def propose(
        self, texts: Sequence[Sequence[int]], hidden: Array, most: Sequence[int], goes_on: GoesOn
    ) -> list[Guess]:
        guesses = [Guess() for _ in texts]
        going = [count > 0 for count in most]
        tokens = np.array([text[-1] for text in texts], np.int64)
        while any(going):
            tokens, shares, hidden = self._steps.step(tokens, hidden)
            for row, guess in enumerate(guesses):
                if going[row]:
                    together = guess.add(int(tokens[row]), float(shares[row]))
                    going[row] = len(guess.tokens) < most[row] and goes_on(row, together)
        return guesses

    def reorder(self, rows: np.ndarray) -> None:
        self._steps = self._drafter.open(self._session)


class DecoderDraft:
    """A smaller decoder with the same vocabulary: Distil-Whisper's way.

    What differs from transformers' assistant models: rows of a batch are drafted for side by side, and the
    draft reads the teacher's encoder states where both were made with the same encoder.
    """

    def __init__(self, name: str, decoder: Decoder, encoder: Encoder | None = None) -> None:
        """`encoder`: the draft's own, where it is another than the teacher's."""
        self.name, self.encoder = name, encoder
        self._decoder = decoder

    def open(
        self, session: Session, windows: Projections | None, rows: Sequence[int]
    ) -> "_DecoderProposer | None":
        """See `Draft.open`."""
        if windows is None:
            return None
        states = [windows.states(row) for row in rows]
        if self.encoder is not None:
            states = [each.other for each in states if isinstance(each, HeardTwice)]
        if len(states) < len(rows):  # states that no encoder made have no other form
            return None
        return _DecoderProposer(self._decoder.open(Projections(self._decoder, states)))


class _DecoderProposer:
    """Feeds its session what the rows have, takes the likeliest tokens, and forgets what was rejected."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._fed: list[list[int]] = [[] for _ in range(session.rows)]

    def propose(
        self, texts: Sequence[Sequence[int]], hidden: Array, most: Sequence[int], goes_on: GoesOn
    ) -> list[Guess]:
        guesses = [Guess() for _ in texts]
        going = [count > 0 for count in most]
        if not any(going):
            return guesses
        logits = self._catch_up(texts)
        while True:
            tokens, shares = _likeliest(logits)
            for row, guess in enumerate(guesses):
                if going[row]:
                    together = guess.add(tokens[row], shares[row])
                    going[row] = len(guess.tokens) < most[row] and goes_on(row, together)
            if not any(going):
                return guesses
            logits = self._session.step(np.array(tokens, np.int64)[:, None])[:, 0, :]
            for fed, token in zip(self._fed, tokens, strict=True):
                fed.append(token)

    def reorder(self, rows: np.ndarray) -> None:
        self._session.reorder(rows)
        self._fed = [list(self._fed[row]) for row in rows.tolist()]

    def _catch_up(self, texts: Sequence[Sequence[int]]) -> Array:
        """Have all rows' whole texts in the cache; logits of what follows."""
        # The last id is fed in any case: its logits are wanted.
        agreed = [
            min(_common(fed, text), len(text) - 1)
            for fed, text in zip(self._fed, texts, strict=True)
        ]
        self._session.roll_back(np.array(agreed, np.int64))
        rest = [list(text[count:]) for text, count in zip(texts, agreed, strict=True)]
        counts = np.array([len(each) for each in rest], np.int64)
        tokens = np.zeros((len(rest), int(counts.max())), np.int64)
        for place, each in zip(tokens, rest, strict=True):
            place[: len(each)] = each
        self._fed = [list(text) for text in texts]
        return self._session.step(tokens, counts=counts)[:, 0, :]


class NgramDraft:
    """What followed the same words earlier in the text: prompt lookup. Costs next to nothing."""

    name = "ngram"

    def open(
        self, session: Session, windows: Projections | None, rows: Sequence[int]
    ) -> "_NgramProposer":
        """See `Draft.open`."""
        return _NgramProposer()


# Words that must be the same, and how likely a next one comes true behind so many; use corrects it.
_NGRAMS = ((3, 0.7), (2, 0.4))


class _NgramProposer:
    def propose(
        self, texts: Sequence[Sequence[int]], hidden: Array, most: Sequence[int], goes_on: GoesOn
    ) -> list[Guess]:
        return [
            self._one(row, text, count, goes_on)
            for row, (text, count) in enumerate(zip(texts, most, strict=True))
        ]

    def reorder(self, rows: np.ndarray) -> None:
        pass  # texts are given anew each time

    def _one(self, row: int, text: Sequence[int], most: int, goes_on: GoesOn) -> Guess:
        guess = Guess()
        for length, share in _NGRAMS:
            last = list(text[-length:])
            for start in range(len(text) - length - 1, -1, -1):
                if list(text[start : start + length]) == last:
                    follows = text[start + length : start + length + most]
                    for token in follows:
                        if not goes_on(row, guess.add(int(token), share)):
                            break
                    return guess
        return guess


class HeardTwice:
    """A window's states by two encoders: the decoder's own, and its draft's."""

    __slots__ = ("other", "own")

    def __init__(self, own: Array, other: Array) -> None:
        self.own, self.other = own, other


def _likeliest(logits: Array) -> tuple[list[int], list[float]]:
    """The likeliest token of each row, and its probability."""
    xp = array_namespace(logits)
    best = to_numpy(xp.argmax(logits, axis=-1))
    shares = to_numpy(xp.exp(xp.max(logits, axis=-1) - log_sum_exp(logits)))
    return best.tolist(), shares.tolist()


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids two sequences have in common from their start on."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count
