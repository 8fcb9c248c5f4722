"""How far ahead is drafted follows from what was measured; a draft that does not pay is left alone."""

import pytest

from tercet.decoding.pace import Known, Pace


def rounds(
    pace: Pace, n: int, *, guessed: int, agreed: int, draft_s: float, verify_s: float
) -> None:
    for _ in range(n):
        pace.note_drafted(
            1,
            draft_s=draft_s,
            verify_s=verify_s,
            rest_s=0.0,
            drafted=guessed,
            shares=[[1.0] * agreed + [0.0] * (guessed - agreed)],
            agreed=[agreed],
        )


def ready(plain_s: float = 1.0) -> Pace:
    pace = Pace()
    while not pace.is_on(1):
        pace.note_plain(1, plain_s)
    return pace


def test_a_few_plain_rounds_come_first_so_that_there_is_something_to_compare_with() -> None:
    pace = Pace()
    assert not pace.is_on(1)
    for _ in range(3):
        pace.note_plain(1, 1.0)
    assert pace.is_on(1)
    assert not pace.is_on(2), "what one row costs says nothing of two"


def test_a_draft_that_pays_stays_on_but_for_a_plain_round_now_and_then() -> None:
    pace = ready()
    on = 0
    for _ in range(640):
        if pace.is_on(1):
            on += 1
            rounds(pace, 1, guessed=4, agreed=3, draft_s=0.2, verify_s=1.3)
        else:
            pace.note_plain(1, 1.0)
    assert 640 * 63 / 65 <= on < 640


def test_a_draft_that_costs_more_than_it_saves_tried_longer_and_longer() -> None:
    pace = ready()
    on = [0, 0, 0, 0]
    for quarter in range(4):
        for _ in range(1000):
            if pace.is_on(1):
                on[quarter] += 1
                rounds(pace, 1, guessed=4, agreed=0, draft_s=0.5, verify_s=1.5)
            else:
                pace.note_plain(1, 1.0)
    assert on[0] <= 40
    assert sum(on[1:]) <= 12, "a hopeless draft is hardly ever tried again"


def test_a_draft_that_begins_to_pay_is_found_out() -> None:
    pace = ready()
    rounds(pace, 6, guessed=4, agreed=0, draft_s=0.5, verify_s=1.5)
    assert not pace.is_on(1)
    for _ in range(32):
        pace.note_plain(1, 1.0)
    assert pace.is_on(1)
    rounds(pace, 20, guessed=4, agreed=4, draft_s=0.2, verify_s=1.3)
    assert pace.is_on(1)


def test_guesses_are_worth_what_they_save() -> None:
    """Verifying one more token takes 0.1 s, drafting one 0.2 s; a pass writes five tokens in 2.2 s.

    So without the guess its token would take 0.44 s: not the whole second of a plain round.
    """
    pace = ready()
    rounds(pace, 90, guessed=4, agreed=4, draft_s=0.8, verify_s=1.4)
    assert pace.is_worth_verifying(1, 1.03 * 0.1 / 0.44)
    assert not pace.is_worth_verifying(1, 0.97 * 0.1 / 0.44)
    assert pace.is_worth_going_on(1, 1.03 * 0.3 / 0.44)
    assert not pace.is_worth_going_on(1, 0.97 * 0.3 / 0.44)


def test_a_further_guess_is_as_likely_as_guesses_usually_are() -> None:
    """Half of them: a guess behind one of 0.8 comes true with 0.4."""
    pace = ready()
    for _ in range(200):
        pace.note_drafted(
            1,
            draft_s=0.2,
            verify_s=1.1,
            rest_s=0.0,
            drafted=2,
            shares=[[0.5, 0.25]],
            agreed=[1],
        )
    # It cost 0.1 to draft and 0.05 to verify, and a token takes 0.65; what was expected, 0.75, was less than
    # what came true.
    least = 0.15 / 0.65 / (0.5 * 4 / 3)
    assert pace.is_worth_going_on(1, 1.02 * least)
    assert not pace.is_worth_going_on(1, 0.98 * least)


def test_drafts_that_are_not_verified_cost_time_all_the_same() -> None:
    pace = ready()
    for _ in range(50):
        pace.note_drafted(
            1, draft_s=0.5, verify_s=1.0, rest_s=0.0, drafted=1, shares=[[]], agreed=[0]
        )
    assert not pace.is_on(1)
    assert 0.5 == pytest.approx(pace.costs(1).draft_s)


def test_a_draft_that_is_too_sure_of_itself_is_believed_less() -> None:
    pace = ready()
    for _ in range(100):
        pace.note_drafted(
            1, draft_s=0.2, verify_s=1.1, rest_s=0.0, drafted=1, shares=[[0.9]], agreed=[0]
        )
    # Half true at most now: 0.2 is the least that is ever believed.
    assert not pace.is_worth_going_on(1, 0.99)


def test_a_pace_that_adapts_to_nothing_is_always_on() -> None:
    pace = Pace(is_adaptive=False, most=3)
    assert pace.is_on(1)
    rounds(pace, 50, guessed=3, agreed=0, draft_s=9.0, verify_s=9.0)
    assert pace.is_on(1)
    assert pace.is_worth_going_on(1, 0.0)
    assert pace.is_worth_verifying(1, 0.0)


def test_the_tally_counts_first_guesses_and_passes() -> None:
    pace = Pace()
    pace.note_drafted(
        2,
        draft_s=0,
        verify_s=1,
        rest_s=0,
        drafted=3,
        shares=[[0.9, 0.8, 0.7], [0.9, 0.8]],
        agreed=[2, 0],
    )
    pace.note_drafted(
        2, draft_s=0, verify_s=1, rest_s=0, drafted=1, shares=[[], [0.5]], agreed=[0, 1]
    )
    tally = pace.tally
    assert (6, 3) == (tally.guessed, tally.accepted)
    assert (3, 2) == (tally.first_guessed, tally.first_accepted)
    assert 4 == tally.rounds
    assert 7 == tally.written
    assert 7 / 4 == pytest.approx(tally.written / tally.rounds)


def test_known_costs_decide_alike_whatever_a_clock_says() -> None:
    """Drafting a token costs 0.25 of a plain round, verifying one 0.1: 0.35 must be as likely as that."""
    for second in (1e-6, 1.0):
        pace = Pace(known=Known(draft=0.25, verify=0.1)).of_session()
        assert pace.is_on(1), "nothing has to be measured first"
        assert pace.is_worth_going_on(1, 0.36)
        assert not pace.is_worth_going_on(1, 0.34)
        assert pace.is_worth_verifying(1, 0.11)
        assert not pace.is_worth_verifying(1, 0.09)
        rounds(pace, 500, guessed=2, agreed=2, draft_s=90 * second, verify_s=90 * second)
        assert pace.is_on(1), "three tokens for 1.7 rounds, and no plain round in between"
        tried = 0
        while pace.is_on(1):
            tried += 1
            rounds(pace, 1, guessed=2, agreed=0, draft_s=second, verify_s=second)
        assert 1 < tried < 20
        for _ in range(32):
            pace.note_plain(1, 77 * second)
        assert pace.is_on(1)


def test_where_costs_are_known_a_session_begins_anew_and_is_counted_with_the_others() -> None:
    pace = Pace(most=5, known=Known(draft=0.25, verify=0.1))
    first = pace.of_session()
    rounds(first, 40, guessed=4, agreed=0, draft_s=1.0, verify_s=1.0)
    assert not first.is_on(1)
    second = pace.of_session()
    assert second.is_on(1)
    assert 5 == second.most
    rounds(second, 2, guessed=4, agreed=4, draft_s=1.0, verify_s=1.0)
    assert 42 == pace.tally.rounds
    measured = Pace()
    assert measured is measured.of_session(), "what was measured is kept"
