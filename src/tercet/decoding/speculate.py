"""Speculative decoding: several tokens are guessed, and one step of the decoder verifies all of them.

Leviathan et al., arXiv:2211.17192, with a simpler rule of acceptance: the decoder picks each token itself,
from the logits behind the tokens picked before, by the same rules and draws as without a draft. A guess only
decides whether those logits are there already. So the text is that of plain decoding token for token,
greedy or sampled, and a sampled one has its distribution; exactly in float32 (see `pace.py`).
"""

from collections.abc import Sequence
from time import perf_counter

import numpy as np
from array_api_compat import array_namespace

from tercet.decoding.array_gaps import Array, from_numpy
from tercet.decoding.drafts import DecoderDraft, Draft, Guess, HeardTwice, Proposer
from tercet.decoding.pace import Pace
from tercet.decoding.rows import Row, Write
from tercet.engine.protocol import Decoder, Encoder, Projected, Projections, Session


class DraftedDecoder:
    """A decoder (`engine.protocol.Decoder`) and the draft that speeds it up."""

    def __init__(self, decoder: Decoder, draft: Draft, pace: Pace | None = None) -> None:
        """`pace`: how far ahead to draft; by default it measures."""
        self.decoder, self.draft = decoder, draft
        self.pace = pace or Pace()
        self.geometry = decoder.geometry
        self.steps_rows_together = decoder.steps_rows_together

    def project(self, states: Array) -> Projected:
        """See `engine.protocol.Decoder.project`."""
        return self.decoder.project(own_states(states))

    def open(self, windows: Sequence[Projected], *, align: bool = False) -> Session:
        """See `engine.protocol.Decoder.open`."""
        return self.decoder.open(windows, align=align)


class Speculation:
    """Drafting for the rows of one session."""

    def __init__(
        self,
        decoder: DraftedDecoder,
        session: Session,
        windows: Sequence[Projected],
        starts: Sequence[Sequence[int]],
        write: Write,
    ) -> None:
        """Nothing is drafted yet.

        Args:
            decoder: Whose draft, and whose pace.
            session: Opened by it.
            windows: Those over which it was opened.
            starts: By row number: the ids before the first one that was written.
            write: Picks one more token for each of some rows.
        """
        self._decoder, self._session, self._pace = decoder, session, decoder.pace.of_session()
        self._windows = windows if isinstance(windows, Projections) else None
        self._starts, self._write = starts, write
        self._proposer: Proposer | None = None
        self._hidden: Array | None = None  # what each row's last token was chosen from
        self._is_possible = True

    def note_first(self) -> None:
        """The logits of the last step are about to be written from."""
        self._hidden = self._session.hidden()[:, 0, :]

    def advance(self, seats: Sequence[Row]) -> None:
        """One round: at least one more token for every row."""
        proposer = self._opened(seats)
        began_s = perf_counter()
        if proposer is None:
            self._plain(seats)
            self._pace.note_plain(len(seats), perf_counter() - began_s)
            return
        guesses = self._guesses(proposer, seats)
        drafted = max(len(guess.tokens) for guess in guesses)
        self._drop_unlikely(guesses)
        drafted_s = perf_counter()
        agreed, first_s = self._verify(seats, [guess.tokens for guess in guesses])
        self._pace.note_drafted(
            len(seats),
            draft_s=drafted_s - began_s,
            verify_s=first_s - drafted_s,
            rest_s=perf_counter() - first_s,
            drafted=drafted,
            shares=[guess.shares for guess in guesses],
            agreed=agreed,
        )

    def reorder(self, order: Sequence[int]) -> None:
        """Rows of the session were reordered; row i is old row `order[i]`."""
        chosen = np.array(order, np.int64)
        if self._proposer is not None:
            self._proposer.reorder(chosen)
        if self._hidden is not None:
            self._hidden = _rows(self._hidden, list(order))

    def _opened(self, seats: Sequence[Row]) -> Proposer | None:
        """Who guesses in this round; None where it is to be plain."""
        together = self._decoder.steps_rows_together or len(seats) == 1
        if not (self._is_possible and together and self._pace.is_on(len(seats))):
            return None
        if self._proposer is None:
            rows = [seat.number for seat in seats]
            self._proposer = self._decoder.draft.open(self._session, self._windows, rows)
            self._is_possible = self._proposer is not None
        return self._proposer

    def _guesses(self, proposer: Proposer, seats: Sequence[Row]) -> list[Guess]:
        """What may follow in each row."""
        n_rows = len(seats)
        # The last token that a row may write needs no guess, and no place in the cache.
        most = [min(self._pace.most, seat.limit - len(seat.tokens) - 1) for seat in seats]
        texts = [[*self._starts[seat.number], *seat.tokens] for seat in seats]

        def goes_on(row: int, share: float) -> bool:
            return self._pace.is_worth_going_on(n_rows, share)

        return proposer.propose(texts, self._hidden, most, goes_on)

    def _drop_unlikely(self, guesses: Sequence[Guess]) -> None:
        """Leave out what is not worth being verified."""
        for guess in guesses:
            while guess.shares and not self._pace.is_worth_verifying(
                len(guesses), guess.shares[-1]
            ):
                guess.shares.pop()
                guess.tokens.pop()

    def _plain(self, seats: Sequence[Row]) -> None:
        last = np.array([seat.tokens[-1] for seat in seats], np.int64)
        logits = self._session.step(last[:, None])[:, 0, :]
        self._hidden = self._session.hidden()[:, 0, :]
        self._write(logits, seats)

    def _verify(
        self, seats: Sequence[Row], guesses: Sequence[Sequence[int]]
    ) -> tuple[list[int], float]:
        """Feed each row's last token and its guesses, and write for as long as they are what is picked.

        Returns how many of each row's were, and when the first tokens were written.
        """
        lengths = self._session.lengths
        counts = np.array([1 + len(guess) for guess in guesses], np.int64)
        n = int(counts.max())
        tokens = np.zeros((len(seats), n), np.int64)
        for fed, seat, guess in zip(tokens, seats, guesses, strict=True):
            fed[: 1 + len(guess)] = (seat.tokens[-1], *guess)
        keep = np.minimum(np.arange(n), counts[:, None] - 1)
        logits = self._session.step(tokens, counts=counts, keep=keep)
        agreed = [0] * len(seats)
        open_rows = list(range(len(seats)))
        first_s = 0.0
        for place in range(n):
            self._write(_rows(logits[:, place, :], open_rows), [seats[row] for row in open_rows])
            first_s = first_s or perf_counter()
            open_rows = [
                row
                for row in open_rows
                if not seats[row].is_done
                and place < len(guesses[row])
                and seats[row].tokens[-1] == guesses[row][place]
            ]
            for row in open_rows:
                agreed[row] += 1
            if not open_rows:
                break
        if n > 1:
            self._session.roll_back(lengths + 1 + np.array(agreed, np.int64))
        self._hidden = _at(self._session.hidden(), agreed)
        return agreed, first_s


def foreign_encoder(decoder: Decoder) -> Encoder | None:
    """What a decoder's draft must hear every window with besides; None where there is no such thing."""
    draft = decoder.draft if isinstance(decoder, DraftedDecoder) else None
    return draft.encoder if isinstance(draft, DecoderDraft) else None


def own_states(states: Array) -> Array:
    """What the decoder itself reads of a window."""
    return states.own if isinstance(states, HeardTwice) else states


def _rows(array: Array, rows: list[int]) -> Array:
    """Some rows of an array [all rows, ..]; the array itself where that is all of them, in order."""
    if rows == list(range(array.shape[0])):
        return array
    xp = array_namespace(array)
    return xp.take(array, from_numpy(np.array(rows, np.int64), array), axis=0)


def _at(array: Array, places: list[int]) -> Array:
    """Of each row of [rows, k, ..] the entry at its place."""
    if len(places) == 1:
        return array[:, places[0], :]
    xp = array_namespace(array)
    return xp.stack([array[row, place, :] for row, place in enumerate(places)])
