"""What drafts guess, given what was written."""

import numpy as np
import pytest

from tercet.decoding.drafts import DecoderDraft, Guess, HeadDraft, HeardTwice, NgramDraft
from tercet.decoding.loop import decode
from tercet.decoding.options import DecodeOptions
from tercet.decoding.pace import Pace
from tercet.decoding.speculate import DraftedDecoder, foreign_encoder, own_states
from tercet.engine.protocol import Projections


def always(row: int, share: float) -> bool:
    return True


def states(row: int) -> np.ndarray:
    return np.full((1, 4), row, np.float32)


def test_a_guess_multiplies_its_likelihoods() -> None:
    guess = Guess()
    assert 0.5 == guess.add(7, 0.5)
    assert 0.25 == guess.add(8, 0.5)
    assert ([7, 8], [0.5, 0.25]) == (guess.tokens, guess.shares)


@pytest.mark.parametrize(
    ("text", "most", "wanted"),
    [
        ([1, 2, 3, 4, 5, 1, 2, 3], 2, [4, 5]),  # three words alike
        ([9, 2, 3, 4, 5, 8, 2, 3], 2, [4, 5]),  # two
        ([1, 2, 3, 4, 9, 2, 3, 6, 2, 3], 1, [6]),  # the last place counts
        ([1, 2, 3, 7, 9, 2, 3, 6, 1, 2, 3], 1, [7]),  # but three words are better than two
        ([1, 2, 3, 4], 3, []),
        ([1, 2, 3, 1, 2, 3], 0, []),
    ],
)
def test_ngrams_look_for_the_same_words_before(text, most, wanted) -> None:
    proposer = NgramDraft().open(None, None, [0])
    assert [wanted] == [g.tokens for g in proposer.propose([text], None, [most], always)]


def test_ngrams_stop_where_another_one_does_not_pay() -> None:
    proposer = NgramDraft().open(None, None, [0])
    text = [1, 2, 3, 4, 5, 6, 7, 1, 2, 3]
    (guess,) = proposer.propose([text], None, [5], lambda row, share: share > 0.6)
    assert [
        4,
        5,
    ] == guess.tokens  # 0.7, then 0.49: the last one is still guessed, no other behind it


class Steps:
    """A head that counts upwards, surer of the first rows."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def step(self, tokens, hidden):
        self.asked.append(tokens.tolist())
        shares = np.array([0.9, 0.5, 0.1][: len(tokens)], np.float32)
        return tokens + 1, shares, hidden


class Drafter:
    def __init__(self) -> None:
        self.steps = Steps()
        self.opened = 0

    def open(self, session):
        self.opened += 1
        return self.steps


def test_a_head_goes_on_for_each_row_as_long_as_it_pays() -> None:
    drafter = Drafter()
    proposer = HeadDraft("head", drafter).open(None, None, [0, 1, 2])
    hidden = np.zeros((3, 4), np.float32)
    found = proposer.propose(
        [[5, 10], [20], [30]], hidden, [4, 9, 0], lambda row, share: share > 0.3
    )
    assert [[11, 12, 13, 14], [21, 22], []] == [each.tokens for each in found]
    assert 0.9**4 == pytest.approx(found[0].shares[-1])
    proposer.reorder(np.array([2, 0]))
    assert 2 == drafter.opened, "a session's rows moved: what was opened over them is stale"


def test_a_smaller_decoder_reads_what_it_missed_and_forgets_what_was_wrong(
    scripted_decoder,
) -> None:
    """It writes the last token plus one."""

    def scores(row: int, history: list[int]) -> np.ndarray:
        logits = np.zeros(100, np.float32)
        logits[(history[-1] + 1) % 100] = 20.0
        return logits

    smaller = scripted_decoder(scores, vocab_size=100)
    windows = Projections(smaller, [states(0), states(1)])
    proposer = DecoderDraft("smaller", smaller).open(None, windows, [0, 1])
    found = proposer.propose([[1, 2], [50]], None, [3, 1], always)
    assert [[3, 4, 5], [51]] == [each.tokens for each in found]
    fed = len(smaller.steps)
    # The first row's 5 was wrong (it wrote 9), the second's 51 right, and 60 follows.
    found = proposer.propose([[1, 2, 3, 4, 9], [50, 51, 60]], None, [2, 2], always)
    assert [[10, 11], [61, 62]] == [each.tokens for each in found]
    # It had fed [1 2 3 4] and [50 51 52]: the first row lacks 9, the second 60.
    assert (2, 1) == smaller.steps[fed]
    proposer.reorder(np.array([1]))
    (guess,) = proposer.propose([[50, 51, 60, 61]], None, [1], always)
    assert [62] == guess.tokens


def test_a_draft_with_an_encoder_of_its_own_hears_with_it(scripted_decoder) -> None:
    decoder = scripted_decoder(lambda row, history: np.zeros(9, np.float32), vocab_size=9)
    draft = DecoderDraft("other", decoder, encoder=object())
    both = HeardTwice(states(3), states(4))
    proposer = draft.open(None, Projections(decoder, [both]), [0])
    assert [4] == proposer._session.voices
    assert draft.open(None, Projections(decoder, [states(3)]), [0]) is None
    assert draft.open(None, None, [0]) is None
    drafted = DraftedDecoder(decoder, draft)
    assert drafted.project(both) == 3
    assert draft.encoder is foreign_encoder(drafted)
    assert foreign_encoder(decoder) is None
    assert foreign_encoder(DraftedDecoder(decoder, NgramDraft())) is None
    assert states(3).tolist() == own_states(states(3)).tolist()


class Stubborn:
    """Guesses the same token always."""

    name = "stubborn"

    def __init__(self, token: int) -> None:
        self.token = token

    def open(self, session, windows, rows):
        return self

    def propose(self, texts, hidden, most, goes_on):
        guesses = [Guess() for _ in texts]
        for guess, count in zip(guesses, most, strict=True):
            for _ in range(min(count, 2)):
                guess.add(self.token, 0.9)
        return guesses

    def reorder(self, rows):
        pass


def test_sampled_texts_keep_their_distribution(scripted_decoder, byte_tokenizer) -> None:
    """Three tokens with shares 0.6, 0.3 and 0.1 at each place; the draft always guesses the second."""
    tokenizer = byte_tokenizer(51865)
    tokens, shares = (300, 301, 302), np.array([0.6, 0.3, 0.1])

    def scores(row: int, history: list[int]) -> np.ndarray:
        logits = np.full(51865, -1e4, np.float32)
        logits[list(tokens)] = np.log(shares)
        return logits

    drafted = DraftedDecoder(scripted_decoder(scores), Stubborn(301), Pace(is_adaptive=False))
    options = DecodeOptions(without_timestamps=True, max_tokens=5, suppress_tokens="")
    n, asked = 40, {"temperature": 1.0, "languages": ["en"] * 40}
    texts = [
        each.tokens
        for seed in range(25)
        for each in decode(drafted, list(range(n)), tokenizer, options, seed=seed, **asked)
    ]
    found = np.array(texts)
    assert (25 * n, 5) == found.shape
    assert drafted.pace.tally.accepted > 100
    for place in range(5):
        counts = np.array([(found[:, place] == token).sum() for token in tokens])
        spread = np.sqrt(len(found) * shares * (1 - shares))
        assert (np.abs(counts - len(found) * shares) < 4 * spread).all(), (place, counts)
    # What follows a guess that came true is as free as what follows one that did not.
    behind = found[found[:, 1] == 301][:, 2]
    assert abs((behind == 300).mean() - 0.6) < 4 * np.sqrt(0.24 / len(behind))


def test_rows_that_cannot_be_drafted_for_are_decoded_plainly(
    scripted_decoder, script_scores, byte_tokenizer
) -> None:
    """No window's states were kept, so that a smaller decoder has nothing to hear."""
    tokenizer = byte_tokenizer(51865)
    decoder = scripted_decoder(script_scores({0: [300, 301, 302]}, tokenizer))
    drafted = DraftedDecoder(decoder, DecoderDraft("smaller", decoder), Pace(is_adaptive=False))
    options = DecodeOptions(without_timestamps=True)
    (found,) = decode(drafted, [0], tokenizer, options, languages=["en"])
    assert (300, 301, 302) == found.tokens
    assert 0 == drafted.pace.tally.rounds
