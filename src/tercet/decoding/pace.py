"""How far ahead to draft, and when not to: decided from what steps and drafts cost, and how guesses do.

Nothing here changes what is written, only how soon; but for 8 and 16 bits, where steps of one token and of
several round differently, and two tokens that are nearly as likely may change places. There costs are known
beforehand and each session begins anew, so that a text depends neither on a clock nor on earlier texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

_WEIGHT = 0.1  # of a new measurement in a running mean
_FIRST_PLAIN = 3  # plain rounds before the first draft, so that there is something to compare with
_REFRESHED = 64  # drafted rounds after which one is plain again
_TRIED = 6  # rounds after which a draft must have paid
_RETRIED = 3  # rounds of a later trial
_REST, _LONGEST_REST = 32, 2048  # plain rounds before the next trial; doubled each time
MOST = 8  # tokens that are ever drafted at once


@dataclass(slots=True)
class _Costs:
    """Running means for sessions of so many rows; None: not measured yet."""

    plain_s: float | None = None  # a round of one token per row
    owed: int = _FIRST_PLAIN  # plain rounds to come, for the sake of that figure
    drafted: int = 0  # drafted rounds so far
    draft_s: float | None = None  # a further token to draft
    verify_s: float | None = None  # a further token to verify
    gain: float = 1.0  # the time of as many plain rounds over that of the drafted ones
    trial: int = _TRIED  # rounds until it is judged
    rest: int = 0  # plain rounds to come
    next_rest: int = _REST


class Costs(NamedTuple):
    """What was measured for sessions of so many rows, in seconds; None: nothing yet."""

    plain_s: float | None  # a round of one token per row
    draft_s: float | None  # a further token to draft
    verify_s: float | None  # a further token to verify


class Known(NamedTuple):
    """What is known beforehand, in plain rounds."""

    draft: float  # a further token to draft
    verify: float  # a further token to verify


@dataclass(slots=True)
class Tally:
    """What speculation did so far."""

    rounds: int = 0  # passes of the decoder over drafted rows, with guesses or without
    verified: int = 0  # of them, those that had guesses to verify; by row
    guessed: int = 0  # tokens that were to be verified
    accepted: int = 0  # of them, those that the decoder wrote itself
    first_guessed: int = 0  # first guesses of a row's round
    first_accepted: int = 0
    written: int = 0  # tokens written in those rounds


@dataclass(slots=True)
class Pace:
    """Costs of one decoder and one draft. Kept as long as both, over all windows."""

    is_adaptive: bool = True  # False: always draft `most` tokens
    most: int = MOST
    known: Known | None = None  # None: costs are measured
    tally: Tally = field(default_factory=Tally)
    _costs: dict[int, _Costs] = field(default_factory=dict)  # by rows
    _trust: float = 1.0  # how often guesses come true, relative to what their shares say
    _sure: float = 1.0  # how likely a guess usually is, those before it being right

    def of_session(self) -> "Pace":
        """What a new session goes by: this, or where costs are known a fresh one that shares the tally."""
        return self if self.known is None else replace(self, _costs={}, _trust=1.0, _sure=1.0)

    def is_on(self, rows: int) -> bool:
        """Whether the next round should be drafted."""
        costs = self._of(rows)
        return not self.is_adaptive or not (costs.rest or costs.owed)

    def is_worth_verifying(self, rows: int, share: float) -> bool:
        """Whether a guess pays that comes true with this likelihood, all before it included."""
        costs = self._of(rows)
        if not self.is_adaptive or costs.plain_s is None or costs.verify_s is None:
            return True
        return self._trust * share * _saved_s(costs) >= costs.verify_s

    def is_worth_going_on(self, rows: int, share: float) -> bool:
        """Whether to draft another token behind one that comes true with this likelihood."""
        costs = self._of(rows)
        if not self.is_adaptive or costs.plain_s is None:
            return True
        saved_s = _saved_s(costs)
        further = (costs.verify_s or 0.0) + (costs.draft_s or 0.0)
        return self._trust * share * self._sure * saved_s >= further

    def costs(self, rows: int) -> Costs:
        """What was measured so far."""
        found = self._of(rows)
        return Costs(found.plain_s, found.draft_s, found.verify_s)

    def note_plain(self, rows: int, seconds: float) -> None:
        """A round of one token for each row took so long."""
        costs = self._of(rows)
        if self.known is None:
            costs.plain_s = _mean(costs.plain_s, seconds)
        costs.rest, costs.owed = max(0, costs.rest - 1), max(0, costs.owed - 1)

    def note_drafted(
        self,
        rows: int,
        *,
        draft_s: float,
        verify_s: float,
        rest_s: float,
        drafted: int,
        shares: Sequence[Sequence[float]],
        agreed: Sequence[int],
    ) -> None:
        """A drafted round is over.

        Args:
            rows: Of the session.
            draft_s: What drafting took.
            verify_s: The decoder's step, and writing each row's first token.
            rest_s: Writing the others.
            drafted: How many tokens were drafted, in the row that had most.
            shares: Of each row's guesses that were verified: the likelihood of all up to each one.
            agreed: How many of them came true.
        """
        costs, guesses = self._of(rows), [len(each) for each in shares]
        deepest = max(guesses)
        if self.known is not None:
            draft_s, verify_s, rest_s = (
                drafted * self.known.draft,
                1 + deepest * self.known.verify,
                0,
            )
        if drafted:
            costs.draft_s = _mean(costs.draft_s, draft_s / drafted)
        if deepest:
            expected = sum(map(sum, shares))
            self._trust = _mean(self._trust, sum(agreed) / max(expected, 1e-3))
            self._trust = min(max(self._trust, 0.2), 2.0)
            firsts = [each[0] for each in shares if each]
            self._sure = _mean(self._sure, sum(firsts) / len(firsts))
        self._count(rows, guesses, agreed)
        costs.drafted += 1
        costs.owed += self.known is None and costs.drafted % _REFRESHED == 0
        if costs.plain_s is None:
            return
        if deepest:
            costs.verify_s = _mean(costs.verify_s, max(0.0, verify_s - costs.plain_s) / deepest)
        written = 1 + sum(agreed) / rows
        costs.gain = _mean(costs.gain, written * costs.plain_s / (draft_s + verify_s + rest_s))
        costs.trial -= 1
        if self.is_adaptive and costs.trial <= 0 and costs.gain < 1:
            costs.rest, costs.trial, costs.gain = costs.next_rest, _RETRIED, 1.0
            costs.next_rest = min(2 * costs.next_rest, _LONGEST_REST)

    def _count(self, rows: int, guesses: Sequence[int], agreed: Sequence[int]) -> None:
        tally = self.tally
        tally.rounds += rows
        tally.verified += sum(each > 0 for each in guesses)
        tally.guessed += sum(guesses)
        tally.accepted += sum(agreed)
        tally.first_guessed += sum(each > 0 for each in guesses)
        tally.first_accepted += sum(each > 0 for each in agreed)
        tally.written += rows + sum(agreed)

    def _of(self, rows: int) -> _Costs:
        fresh = _Costs()
        if self.known is not None:
            fresh = _Costs(1.0, owed=0, draft_s=self.known.draft, verify_s=self.known.verify)
        return self._costs.setdefault(rows, fresh)


def _saved_s(costs: _Costs) -> float:
    """What a guess saves that comes true: the time that a token takes otherwise, with what is drafted."""
    return (costs.plain_s or 0.0) / max(1.0, costs.gain)


def _mean(before: float | None, now: float) -> float:
    return now if before is None else before + _WEIGHT * (now - before)
