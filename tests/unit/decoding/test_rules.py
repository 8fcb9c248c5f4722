"""Which tokens each rule forbids."""

import numpy as np
import pytest

from tercet.decoding.array_gaps import to_numpy
from tercet.decoding.options import DecodeOptions
from tercet.decoding.rules import (
    HearOut,
    SuppressBlank,
    SuppressTokens,
    TimestampRules,
    rules_for,
    suppressed_tokens,
)
from tercet.errors import OptionError

BEGIN = 50364  # <|0.00|>
EOT = 50257


@pytest.fixture
def forbidden(to_library):
    """`forbidden(rule, written, likely)`: per row, the set of ids that the rule set to -inf."""

    def find(rule, written, likely=None):
        scores = np.zeros((len(written), 51865), dtype=np.float32)
        for token, score in (likely or {}).items():
            scores[:, token] = score
        logits = to_library(scores)
        rule.apply(logits, written, range(len(written)))
        after = to_numpy(logits)
        kept = np.isfinite(after)
        assert (scores[kept] == after[kept]).all()
        return [set(np.flatnonzero(row == -np.inf).tolist()) for row in after]

    return find


def stamps(start, end=1501):
    return set(range(BEGIN + start, BEGIN + end))


def test_a_blank_or_the_end_is_forbidden_at_the_beginning_only(tokenizer, forbidden):
    space = tokenizer.encode(" ")
    assert [{*space, EOT}, set()] == forbidden(SuppressBlank(tokenizer), [[], [BEGIN]])


def test_suppressed_tokens_are_forbidden_in_every_row(tokenizer, forbidden):
    rule = SuppressTokens((7, 9), 51865)
    assert [{7, 9}] * 2 == forbidden(rule, [[], [5]])
    assert [{7, 9}] == forbidden(rule, [[1]])


def test_a_transcript_opens_with_a_timestamp_up_to_the_latest_allowed(tokenizer, forbidden):
    (found,) = forbidden(TimestampRules(tokenizer, 50), [[]])
    assert set(range(BEGIN)) | stamps(51) == found


def test_without_a_limit_any_timestamp_may_open(tokenizer, forbidden):
    (found,) = forbidden(TimestampRules(tokenizer, None), [[]])
    assert set(range(BEGIN)) == found


def test_text_follows_the_first_timestamp(tokenizer, forbidden):
    text_likely = {300: 20.0}
    (found,) = forbidden(TimestampRules(tokenizer, 50), [[BEGIN + 3]], text_likely)
    assert stamps(0) | {tokenizer.no_timestamps} == found


def test_text_follows_a_pair_of_timestamps(tokenizer, forbidden):
    written = [[BEGIN, 300, BEGIN + 9, BEGIN + 9]]
    (found,) = forbidden(TimestampRules(tokenizer, 50), written, {300: 20.0})
    assert stamps(0) | {tokenizer.no_timestamps} == found


def test_after_a_closing_timestamp_comes_the_next_opening_one_or_the_end(tokenizer, forbidden):
    written = [[BEGIN, 300, BEGIN + 9]]
    (found,) = forbidden(TimestampRules(tokenizer, 50), written, {EOT: 20.0})
    assert set(range(EOT)) | stamps(0, 9) | {tokenizer.no_timestamps} == found


def test_a_segment_closes_later_than_it_opened(tokenizer, forbidden):
    written = [[BEGIN + 9, 300]]
    (found,) = forbidden(TimestampRules(tokenizer, 50), written, {301: 20.0})
    assert stamps(0, 10) | {tokenizer.no_timestamps} == found


def test_timestamps_that_are_likelier_together_than_any_text_win(tokenizer, forbidden):
    # exp(0) * 1501 outweighs one text of exp(7) = 1097, not one of exp(8) = 2981.
    rule = TimestampRules(tokenizer, 50)
    written = [[BEGIN, 300]]
    barred = {tokenizer.no_timestamps} | stamps(0, 1)
    assert [barred] == forbidden(rule, written, {301: 8.0})
    assert [barred | set(range(BEGIN))] == forbidden(rule, written, {301: 7.0})


def test_rows_are_judged_one_by_one(tokenizer, forbidden):
    rule = TimestampRules(tokenizer, 50)
    histories = [[], [BEGIN], [BEGIN, 300], [BEGIN, 300, BEGIN + 9]]
    alone = [forbidden(rule, [written])[0] for written in histories]
    assert alone == forbidden(rule, histories)


def test_speech_is_heard_out_before_the_end(tokenizer, forbidden):
    rule = HearOut(tokenizer, [None, 10.0])
    early, late = BEGIN + 8 * 50, BEGIN + 9 * 50
    assert [set(), {EOT}] == forbidden(rule, [[early], [early]])
    assert [set(), set()] == forbidden(rule, [[], []])
    assert [set(), set()] == forbidden(rule, [[late], [late]])
    assert [set(), set()] == forbidden(rule, [[early, 300], [early, 300]])


def test_marks_that_steer_the_decoder_are_always_suppressed(tokenizer):
    marks = {
        tokenizer.sot,
        tokenizer.transcribe,
        tokenizer.translate,
        tokenizer.sot_prev,
        tokenizer.sot_lm,
        tokenizer.no_speech,
    }
    assert marks == set(suppressed_tokens(DecodeOptions(suppress_tokens=""), tokenizer))
    assert marks | {5} == set(suppressed_tokens(DecodeOptions(suppress_tokens=[5]), tokenizer))


def test_minus_one_stands_for_symbols_that_nobody_speaks(tokenizer):
    ids = suppressed_tokens(DecodeOptions(suppress_tokens="-1,300"), tokenizer)
    assert {*tokenizer.non_speech_tokens, 300} <= set(ids)
    assert -1 not in ids
    assert list(ids) == sorted(ids)


def test_an_id_beyond_the_vocabulary_is_refused(tokenizer):
    with pytest.raises(OptionError, match="has 51865; this model's ids end at 51864"):
        rules_for(DecodeOptions(suppress_tokens=[51865]), tokenizer)


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({}, [SuppressBlank, SuppressTokens, TimestampRules]),
        ({"suppress_blank": False}, [SuppressTokens, TimestampRules]),
        ({"without_timestamps": True}, [SuppressBlank, SuppressTokens]),
    ],
)
def test_options_choose_the_rules(tokenizer, options, kinds):
    assert kinds == [type(rule) for rule in rules_for(DecodeOptions(**options), tokenizer)]
