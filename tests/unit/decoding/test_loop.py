"""The loop, over logits that the tests write down."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tercet.decoding.loop import compression_ratio, decode
from tercet.decoding.options import DecodeOptions
from tercet.errors import OptionError

BEGIN = 50364
HELLO = [BEGIN, 300, 301, BEGIN + 50]


@pytest.fixture
def run(scripted_decoder, script_scores, voices, tokenizer, to_library):
    """`run({row: tokens}, ...)` decodes these rows; gives results and the decoder."""

    def start(texts, options=None, *, n_text_ctx=448, no_speech=0.0, order=None, **arguments):
        scores = script_scores(texts, tokenizer, no_speech)
        decoder = scripted_decoder(scores, n_text_ctx=n_text_ctx, convert=to_library)
        rows = list(texts) if order is None else order
        arguments.setdefault("languages", ["en"] * len(rows))
        options = options or DecodeOptions()
        return decode(decoder, voices(*rows), tokenizer, options, **arguments), decoder

    return start


def test_each_row_gives_its_own_text(run):
    found, _ = run({0: HELLO, 1: [BEGIN, 400, BEGIN + 10], 2: []})
    assert [tuple(HELLO), (BEGIN, 400, BEGIN + 10)] == [row.tokens for row in found[:2]]
    assert ["w300 w301", "w400"] == [row.text for row in found[:2]]


def test_the_start_sequence_is_fed_token_by_token(run):
    """So that a row's arithmetic does not depend on how many rows there are."""
    _, decoder = run({0: HELLO, 1: HELLO})
    start, text = 3, len(HELLO)
    assert [(2, 1)] * (start + text) == decoder.steps


def test_no_batch_is_no_work(run, voices):
    found, decoder = run({})
    assert [] == found
    assert [] == decoder.steps


def test_language_task_and_timestamps_stand_in_the_start_sequence(
    scripted_decoder, voices, tokenizer
):
    seen = []

    def scores(_row, history):
        seen.append(list(history))
        return np.eye(1, 51865, tokenizer.eot)[0] * 20

    options = DecodeOptions(task="translate", without_timestamps=True, suppress_blank=False)
    (found,) = decode(scripted_decoder(scores), voices(0), tokenizer, options, languages=["de"])
    german = tokenizer.language_ids["de"]
    wanted = [tokenizer.sot, german, tokenizer.translate, tokenizer.no_timestamps]
    assert [wanted[:1], wanted[:2], wanted[:3], wanted] == seen
    assert ("de", ()) == (found.language, found.tokens)


def test_the_log_probability_counts_the_end_and_is_a_mean(run, tokenizer):
    options = DecodeOptions(without_timestamps=True, suppress_tokens="")
    (found,) = run({0: [300, 301]}, options)[0]
    # One logit of 30 among zeros: log softmax is -log1p((n - 1) / e^30), n the allowed tokens.
    suppressed = 6
    first, later = 51865 - suppressed - 2, 51865 - suppressed  # at first the blanks are barred too
    logs = [-np.log1p((n - 1) * np.exp(-30)) for n in (first, later, later)]
    np.testing.assert_allclose(sum(logs) / 3, found.avg_logprob, atol=1e-6)


def test_unlikely_tokens_have_a_low_log_probability(scripted_decoder, voices, tokenizer):
    options = DecodeOptions(without_timestamps=True, suppress_tokens="", max_tokens=2)
    flat = scripted_decoder(lambda _row, _history: np.zeros(51865, dtype=np.float32))
    (found,) = decode(flat, voices(0), tokenizer, options, languages=["en"])
    allowed = 51865 - 6
    # Two tokens and no end: openai-whisper divides by three all the same.
    wanted = -(np.log(allowed - 2) + np.log(allowed)) / 3
    np.testing.assert_allclose(wanted, found.avg_logprob, rtol=1e-5)


def test_silence_is_judged_at_the_start_of_the_transcript(run):
    (found,) = run({0: HELLO}, no_speech=12.0)[0]
    likely = np.exp(12.0)
    # At <|startoftranscript|> nothing is scripted but <|nospeech|> and the end (30).
    wanted = likely / (likely + np.exp(30.0) + 51863)
    np.testing.assert_allclose(wanted, found.no_speech_prob, rtol=1e-4)


def test_repetition_shows_in_the_compression_ratio(run):
    text = [BEGIN, *[300] * 60, BEGIN + 9]
    (found,) = run({0: text})[0]
    assert compression_ratio(" ".join(["w300"] * 60)) == found.compression_ratio
    assert found.compression_ratio > 2.4


def test_half_the_context_is_the_most_that_is_written(run):
    (found,) = run({0: [BEGIN, *range(300, 400)]}, n_text_ctx=20)[0]
    assert (BEGIN, *range(300, 309)) == found.tokens


def test_max_tokens_bounds_the_text(run):
    (found,) = run({0: HELLO}, DecodeOptions(max_tokens=2))[0]
    assert (BEGIN, 300) == found.tokens


def test_the_context_bounds_the_text_even_where_more_is_allowed(run):
    (found,) = run({0: [BEGIN, *range(300, 400)]}, DecodeOptions(max_tokens=99), n_text_ctx=10)[0]
    # Three places are taken by the start; the last token written needs none.
    assert 8 == len(found.tokens)


def test_a_prompt_goes_before_the_start_and_is_no_part_of_the_text(run, tokenizer):
    found, decoder = run({0: HELLO, 1: HELLO}, prompts=[[300, 301], []])
    assert [tuple(HELLO)] * 2 == [row.tokens for row in found]
    assert [(2, 4), (2, 1)] == decoder.steps[:2]  # with <|startofprev|> and <|startoftranscript|>


def test_of_a_long_prompt_the_end_is_kept(scripted_decoder, script_scores, voices, tokenizer):
    scores, seen = script_scores({0: []}, tokenizer), []

    def remember(row, history):
        seen.append(list(history))
        return scores(row, history)

    decoder = scripted_decoder(remember, n_text_ctx=20)
    prompt = list(range(300, 400))
    decode(decoder, voices(0), tokenizer, DecodeOptions(), languages=["en"], prompts=[prompt])
    assert [tokenizer.sot_prev, *range(391, 400), tokenizer.sot] == seen[0]


def test_a_row_with_a_long_prompt_stops_at_the_context_and_the_others_go_on(run):
    texts = {n: [BEGIN, *range(300, 400)] for n in range(5)}
    prompts = [range(300, 308), [], [], [], []]
    found, decoder = run(texts, DecodeOptions(max_tokens=15), n_text_ctx=18, prompts=prompts)
    assert [18 - 12 + 1, 15, 15, 15, 15] == [len(row.tokens) for row in found]
    assert found[0].tokens == found[1].tokens[:7]
    assert [[4, 1, 2, 3]] == decoder.reorders


def test_finished_rows_leave_at_once_and_the_last_ones_take_their_places(run):
    short, long = [BEGIN, 300, BEGIN + 5], [BEGIN, *range(300, 310), BEGIN + 5]
    found, decoder = run({0: long, 1: short, 2: long, 3: long})
    assert [[0, 3, 2]] == decoder.reorders
    assert [tuple(long), tuple(short), tuple(long), tuple(long)] == [row.tokens for row in found]
    _, decoder = run({0: short, 1: long, 2: short, 3: long, 4: long})
    assert [[4, 1, 3]] == decoder.reorders
    _, decoder = run({0: long, 1: short, 2: short})
    assert [[0]] == decoder.reorders
    _, decoder = run({0: long, 1: long})
    assert [] == decoder.reorders


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=7))
def test_no_step_is_taken_for_a_finished_row(
    lengths, scripted_decoder, script_scores, voices, tokenizer
):
    texts = {n: [BEGIN, *range(300, 300 + m), BEGIN + 5] for n, m in enumerate(lengths)}
    decoder = scripted_decoder(script_scores(texts, tokenizer))
    found = decode(
        decoder, voices(*texts), tokenizer, DecodeOptions(), languages=["en"] * len(texts)
    )
    assert [tuple(text) for text in texts.values()] == [row.tokens for row in found]
    # Each token but the end is fed once, after the start sequence of three.
    fed = [sum(len(text) > i for text in texts.values()) for i in range(max(lengths) + 2)]
    assert [(n, 1) for n in [len(texts)] * 3 + fed] == decoder.steps
    for order in decoder.reorders:  # whoever moves comes from behind: nothing is overwritten
        assert all(old == seat or old >= len(order) for seat, old in enumerate(order))


@pytest.mark.parametrize("temperature", [0.0, 30.0])
def test_a_row_does_not_depend_on_its_neighbours(run, temperature):
    texts = {n: [BEGIN, *range(300, 301 + 2 * n), BEGIN + 5] for n in range(6)}
    options = DecodeOptions(max_tokens=20)
    order = [3, 0, 5, 1, 4, 2]
    arguments = {"temperature": temperature, "seed": 5}
    together, _ = run(texts, options, order=order, row_keys=order, **arguments)
    for row, found in zip(order, together, strict=True):
        assert [found] == run(texts, options, order=[row], row_keys=[row], **arguments)[0]


def test_sampling_takes_its_chances_from_the_seed(run):
    options = DecodeOptions(max_tokens=12)

    def tokens(**chances):
        return run({0: HELLO}, options, temperature=30.0, **chances)[0][0].tokens

    assert tokens(seed=1) == tokens(seed=1)
    assert tokens(seed=1) != tokens(seed=2)
    assert tokens(seed=1) != tokens(seed=1, attempt=1)
    assert tokens(seed=1) != tokens(seed=1, row_keys=[1])
    assert 30.0 == run({0: HELLO}, options, temperature=30.0)[0][0].temperature


def test_a_foreign_id_is_refused_before_anything_is_computed(run):
    with pytest.raises(OptionError, match="suppress_tokens has 60000"):
        run({0: HELLO}, DecodeOptions(suppress_tokens=[60000]))


def test_an_english_model_starts_with_one_mark(
    scripted_decoder, script_scores, voices, byte_tokenizer
):
    english = byte_tokenizer(51864)
    text = [english.timestamp_begin, 300, english.timestamp_begin + 5]
    decoder = scripted_decoder(script_scores({0: text}, english), vocab_size=51864)
    (found,) = decode(decoder, voices(0), english, DecodeOptions(), languages=["en"])
    assert tuple(text) == found.tokens
    assert (1, 1) == decoder.steps[0]


HEARD = {0: "haw", 1: "de", 2: "fr", 3: "en"}  # by the window itself
SAID = {"haw": 400, "de": 500, "fr": 600, "en": 700}  # the word in that language


@pytest.fixture
def polyglot(scripted_decoder, tokenizer, to_library):
    """Windows that sound like one language each, and are written in the language they are told."""
    word_of = {tokenizer.language_ids[code]: word for code, word in SAID.items()}

    def scores(voice, history):
        logits = np.zeros(51865, dtype=np.float32)
        after = history[history.index(tokenizer.sot) + 1 :]
        if not after:
            logits[tokenizer.language_ids[HEARD[voice]]] = 3.0 + voice
        elif len(after) >= 2:
            text = [BEGIN, word_of[after[0]] + voice, BEGIN + 9, tokenizer.eot]
            logits[text[len(after) - 2]] = 30.0
        return logits

    return scripted_decoder(scores, convert=to_library)


def share_of(voice):
    """A logit of 3 + voice among 98 others of 0."""
    return float(np.exp(3.0 + voice) / (np.exp(3.0 + voice) + 98))


def test_a_language_that_is_not_given_is_heard_on_the_way(polyglot, voices, tokenizer):
    options = DecodeOptions()
    found = decode(polyglot, voices(1, 2), tokenizer, options, languages=[None, None])
    assert ["de", "fr"] == [row.language for row in found]
    assert [(BEGIN, 501, BEGIN + 9), (BEGIN, 602, BEGIN + 9)] == [row.tokens for row in found]
    probabilities = [row.language_probability for row in found]
    assert [share_of(1), share_of(2)] == pytest.approx(probabilities)
    # As many steps as with languages given.
    n_steps = len(polyglot.steps)
    decode(polyglot, voices(1, 2), tokenizer, options, languages=["de", "fr"])
    assert 2 * n_steps == len(polyglot.steps)


def test_a_leaders_window_tells_its_recordings_language(polyglot, voices, tokenizer):
    """Two recordings, mixed; in neither the leader comes first."""
    found = decode(
        polyglot,
        voices(0, 3, 1, 2),
        tokenizer,
        DecodeOptions(),
        languages=[None] * 4,
        leaders=[2, 3, 2, 3],
    )
    assert ["de", "fr", "de", "fr"] == [row.language for row in found]
    assert [500, 603, 501, 602] == [row.tokens[1] for row in found]
    wanted = [share_of(voice) for voice in (1, 2, 1, 2)]
    assert wanted == pytest.approx([row.language_probability for row in found])


def test_a_given_language_is_neither_detected_nor_judged(polyglot, voices, tokenizer):
    found = decode(
        polyglot,
        voices(0, 1, 2),
        tokenizer,
        DecodeOptions(),
        languages=["en", None, "de"],
        leaders=[1, 2, 0],
    )
    assert ["en", "fr", "de"] == [row.language for row in found]
    assert [None, pytest.approx(share_of(2)), None] == [row.language_probability for row in found]


def test_behind_a_prompt_the_language_is_heard_at_the_start_mark(polyglot, voices, tokenizer):
    prompts = [[300, 301, 302], []]
    options = DecodeOptions()
    found = decode(
        polyglot, voices(1, 2), tokenizer, options, languages=[None] * 2, prompts=prompts
    )
    assert [("de", 501), ("fr", 602)] == [(row.language, row.tokens[1]) for row in found]
    assert [(2, 5), (2, 1), (2, 1)] == polyglot.steps[:3]


def test_an_english_model_hears_english(scripted_decoder, script_scores, voices, byte_tokenizer):
    english = byte_tokenizer(51864)
    decoder = scripted_decoder(script_scores({0: []}, english), vocab_size=51864)
    (found,) = decode(decoder, voices(0), english, DecodeOptions(), languages=[None])
    assert ("en", 1.0) == (found.language, found.language_probability)
