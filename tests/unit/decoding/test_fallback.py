"""When a text is tried again, and when it is dropped."""

import numpy as np
import pytest

from tercet.decoding.fallback import (
    NO_SPEECH,
    REPETITIVE,
    UNSURE,
    FallbackPolicy,
    decode_with_fallback,
)
from tercet.decoding.loop import Decoded
from tercet.decoding.options import DecodeOptions
from tercet.errors import OptionError

BEGIN = 50364


def decoded(avg_logprob=-0.2, no_speech_prob=0.1, compression_ratio=1.2):
    return Decoded(
        tokens=(),
        text="",
        avg_logprob=avg_logprob,
        no_speech_prob=no_speech_prob,
        compression_ratio=compression_ratio,
        temperature=0.0,
        language="en",
    )


OFF = {name: None for name in ("compression_ratio_threshold", "logprob_threshold")}


@pytest.mark.parametrize(
    ("policy", "result", "fault"),
    [
        ({}, {}, None),
        ({}, {"compression_ratio": 2.5}, REPETITIVE),
        ({}, {"compression_ratio": 2.4}, None),
        ({}, {"avg_logprob": -1.01}, UNSURE),
        ({}, {"avg_logprob": -1.0}, None),
        ({}, {"avg_logprob": -1.01, "compression_ratio": 2.5}, REPETITIVE),
        ({}, {"avg_logprob": -1.01, "no_speech_prob": 0.61}, None),
        ({}, {"avg_logprob": -1.01, "no_speech_prob": 0.6}, UNSURE),
        ({}, {"compression_ratio": 2.5, "no_speech_prob": 0.61}, REPETITIVE),
        (OFF, {"avg_logprob": -9.0, "compression_ratio": 9.0}, None),
        ({"logprob_threshold": None}, {"avg_logprob": -9.0}, None),
        ({"no_speech_threshold": None}, {"avg_logprob": -1.01, "no_speech_prob": 1.0}, UNSURE),
    ],
)
def test_a_text_is_tried_again_by_the_rules_of_openai_whisper(policy, result, fault):
    assert fault == FallbackPolicy(**policy).fault_of(decoded(**result))


@pytest.mark.parametrize(
    ("policy", "result", "is_dropped"),
    [
        ({}, {}, False),
        ({}, {"no_speech_prob": 0.61}, False),
        ({}, {"no_speech_prob": 0.61, "avg_logprob": -1.0}, True),
        ({}, {"no_speech_prob": 0.6, "avg_logprob": -1.0}, False),
        ({"logprob_threshold": None}, {"no_speech_prob": 0.61}, True),
        ({"no_speech_threshold": None}, {"no_speech_prob": 1.0, "avg_logprob": -9.0}, False),
    ],
)
def test_silence_is_dropped_by_the_rules_of_openai_whisper(policy, result, is_dropped):
    assert is_dropped is FallbackPolicy(**policy).is_dropped(decoded(**result))


@pytest.mark.parametrize(
    "value",
    [
        {"temperatures": ()},
        {"temperatures": (0.0, -0.2)},
        {"temperatures": (float("nan"),)},
        {"compression_ratio_threshold": "2"},
        {"logprob_threshold": float("nan")},
        {"no_speech_threshold": True},
    ],
)
def test_a_policy_of_nonsense_is_refused(value):
    (name,) = value
    with pytest.raises(OptionError, match=name):
        FallbackPolicy(**value)


REPEATED = [BEGIN, *[300] * 80, BEGIN + 9]
FINE = [BEGIN, 300, 401, 502, BEGIN + 9]


@pytest.fixture
def run(scripted_decoder, script_scores, voices, tokenizer):
    """`run({row: text}, temperatures, after={row: (attempt, text)})`."""

    def start(texts, temperatures, *, second=None, scale=1.0, no_speech=0.0, **thresholds):
        opened = []
        first = script_scores(texts, tokenizer, no_speech)
        later = script_scores({**texts, **(second or {})}, tokenizer, no_speech)
        decoder = scripted_decoder(
            lambda row, history: scale * (first if len(opened) < 2 else later)(row, history)
        )
        real_open = decoder.open

        def open_counted(windows, **arguments):
            opened.append(list(windows))
            return real_open(windows, **arguments)

        decoder.open = open_counted
        outcomes = decode_with_fallback(
            decoder,
            voices(*texts),
            tokenizer,
            DecodeOptions(),
            FallbackPolicy(temperatures=temperatures, **thresholds),
            languages=["en"] * len(texts),
            row_keys=list(texts),
            seed=0,
        )
        return outcomes, opened

    return start


def test_only_rows_that_failed_are_tried_again(run):
    outcomes, opened = run(
        {0: FINE, 1: REPEATED, 2: FINE, 3: REPEATED}, (0.0, 0.2, 0.4), second={1: FINE, 3: FINE}
    )
    assert [[0, 1, 2, 3], [1, 3]] == opened
    assert [1, 2, 1, 2] == [outcome.attempts for outcome in outcomes]
    assert [0.0, 0.2, 0.0, 0.2] == [outcome.decoded.temperature for outcome in outcomes]
    assert [None, REPETITIVE] * 2 == [outcome.reason for outcome in outcomes]
    assert [tuple(FINE)] * 4 == [outcome.decoded.tokens for outcome in outcomes]


def test_the_last_attempt_stands_where_all_failed(run):
    ((outcome,), opened) = run({1: REPEATED}, (0.0, 0.2, 0.2))
    assert [[1]] * 3 == opened
    assert 3 == outcome.attempts
    assert (0.2, tuple(REPEATED)) == (outcome.decoded.temperature, outcome.decoded.tokens)
    assert (REPETITIVE, False) == (outcome.reason, outcome.is_dropped)


def test_switched_off_thresholds_keep_the_first_attempt(run):
    ((outcome,), opened) = run({1: REPEATED}, (0.0, 0.2), compression_ratio_threshold=None)
    assert [[1]] == opened
    assert (1, None) == (outcome.attempts, outcome.reason)


def test_silence_is_neither_tried_again_nor_kept(run):
    # Flattened logits make the text doubtful; <|nospeech|> outweighs everything at the start.
    ((outcome,), opened) = run({1: FINE}, (0.0, 0.2), scale=0.1, no_speech=400.0)
    assert outcome.decoded.no_speech_prob > 0.99
    assert outcome.decoded.avg_logprob < -1
    assert [[1]] == opened
    assert (1, NO_SPEECH, True) == (outcome.attempts, outcome.reason, outcome.is_dropped)


def test_an_outcome_does_not_depend_on_the_other_rows(run):
    texts = {0: FINE, 1: REPEATED, 2: FINE[:2] + FINE[-1:], 3: REPEATED[5:]}
    together, _ = run(texts, (0.0, 1.0, 2.0), scale=0.3)
    for (row, text), outcome in zip(texts.items(), together, strict=True):
        assert [outcome] == run({row: text}, (0.0, 1.0, 2.0), scale=0.3)[0]
    assert len({outcome.attempts for outcome in together}) > 1


def test_a_later_attempt_keeps_the_language_and_how_sure_it_was_at_first(
    scripted_decoder, script_scores, voices, tokenizer
):
    """Rows 0 and 1 are of one recording, whose language row 1 tells; row 2 is of another."""
    texts = {0: REPEATED, 1: FINE, 2: REPEATED}
    write = script_scores(texts, tokenizer)
    fed = []

    def scores(row, history):
        logits = write(row, history)
        if history == [tokenizer.sot]:  # at each attempt, everybody hears something else
            n_attempts = len(decoder.steps) - decoder.steps.count((2, 1))
            heard = ("haw", "de", "fr")[row] if n_attempts == 1 else "zh"
            logits[tokenizer.language_ids[heard]] = 2.0 + row
        if len(history) == 2:
            fed.append((row, history[-1]))
        return logits

    decoder = scripted_decoder(scores)
    found = decode_with_fallback(
        decoder,
        voices(0, 1, 2),
        tokenizer,
        DecodeOptions(),
        FallbackPolicy(temperatures=(0.0, 0.1)),
        languages=[None] * 3,
        leaders=[1, 1, 2],
        row_keys=range(3),
        seed=0,
    )
    shares = [np.exp(2.0 + n) / (np.exp(2.0 + n) + 98) for n in (1, 1, 2)]
    assert [2, 1, 2] == [outcome.attempts for outcome in found]
    assert ["de", "de", "fr"] == [outcome.decoded.language for outcome in found]
    probabilities = [outcome.decoded.language_probability for outcome in found]
    assert shares == pytest.approx(probabilities)
    german, french = tokenizer.language_ids["de"], tokenizer.language_ids["fr"]
    assert [(0, german), (1, german), (2, french), (0, german), (2, french)] == fed
