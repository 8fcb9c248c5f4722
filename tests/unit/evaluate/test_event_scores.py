import pytest

from tercet.evaluate.event_scores import Counts, score_events
from tercet.train.tags.scene import Event


def dog(start_s: float, end_s: float) -> Event:
    return Event(start_s, end_s, "Dog")


def test_an_onset_within_the_collar_matches_and_one_outside_does_not() -> None:
    scores = score_events([([dog(1.0, 2.0)], [dog(1.9, 2.5)]), ([dog(1.0, 2.0)], [dog(2.1, 2.5)])])
    assert Counts(1, 2, 2) == scores.counts
    assert (0.5, 0.5, 0.5) == (scores.counts.precision, scores.counts.recall, scores.counts.f1)


def test_one_found_event_matches_one_true_one_only() -> None:
    scores = score_events([([dog(1.0, 2.0)], [dog(0.5, 0.9), dog(1.5, 2.0)])])
    assert Counts(1, 1, 2) == scores.counts


def test_as_many_pairs_as_possible_are_made() -> None:
    # The nearest pair (1.0, 1.1) would leave 0.3 and 1.9 without a partner.
    scores = score_events([([dog(1.0, 1.2), dog(1.9, 2.0)], [dog(0.3, 0.4), dog(1.1, 1.3)])])
    assert 2 == scores.counts.matched


def test_labels_do_not_match_each_other() -> None:
    scores = score_events([([Event(1.0, 2.0, "Cat")], [dog(1.0, 2.0)])])
    assert {"Cat": Counts(0, 1, 0), "Dog": Counts(0, 0, 1)} == scores.by_label
    assert 0.0 == scores.macro_f1  # of the true labels


def test_only_wanted_labels_count() -> None:
    found, true = [dog(1, 2), Event(1, 2, "Cat")], [dog(1, 2)]
    assert Counts(1, 1, 1) == score_events([(found, true)], labels=["Dog"]).counts


def test_an_event_is_heard_while_it_lasts_and_its_onset_error_is_the_nearest() -> None:
    # Found in the middle of a long event: heard, 3 s late, and no match.
    scores = score_events([([dog(5.0, 6.0), dog(7.0, 8.0)], [dog(2.0, 9.0)])])
    assert {"Dog": (1, 1)} == scores.heard
    assert (3.0,) == scores.onset_errors_s
    assert 0 == scores.counts.matched


def test_what_is_found_far_away_is_not_heard() -> None:
    scores = score_events([([dog(9.0, 9.5)], [dog(2.0, 3.0)])])
    assert {"Dog": (0, 1)} == scores.heard
    assert 0.0 == scores.heard_share
    assert () == scores.onset_errors_s


def test_the_median_error_is_of_sizes() -> None:
    scores = score_events([([dog(1.0, 2.0)], [dog(1.2, 2.0)]), ([dog(1.4, 2.0)], [dog(1.0, 2.0)])])
    assert pytest.approx(0.3) == scores.median_onset_error_s


def test_nothing_to_find_and_nothing_found_is_perfect() -> None:
    assert 1.0 == score_events([([], [])]).counts.f1
