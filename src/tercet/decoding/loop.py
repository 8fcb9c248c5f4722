"""The decoding loop: a batch of encoded windows in, tokens out.

Rules and strategies are given; nothing is judged or tried again here (`fallback.py` does).
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from array_api_compat import array_namespace

from tercet.decoding.array_gaps import Array, log_probabilities, to_numpy
from tercet.decoding.language import language_shares
from tercet.decoding.options import DecodeOptions
from tercet.decoding.rows import Row, Write
from tercet.decoding.rules import Rule, rules_for
from tercet.decoding.speculate import DraftedDecoder, Speculation
from tercet.decoding.strategies import Greedy, Sample, Strategy
from tercet.engine.protocol import Decoder, Projected, Session
from tercet.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What the decoder wrote for one window. Names are openai-whisper's (`DecodingResult`)."""

    tokens: tuple[int, ...]  # text and timestamps; no start sequence, no <|endoftext|>
    text: str  # without timestamps, stripped
    avg_logprob: float  # of the tokens and the end: sum / (len(tokens) + 1)
    no_speech_prob: float  # of <|nospeech|> at <|startoftranscript|>
    compression_ratio: float
    temperature: float
    language: str  # code
    language_probability: float | None = None  # of that language, where it was detected here


def compression_ratio(text: str) -> float:
    """Bytes of the text over bytes of its zlib form: above 2.4, a text repeats itself."""
    encoded = text.encode("utf-8")
    return len(encoded) / len(zlib.compress(encoded))


def decode(
    decoder: Decoder,
    windows: Sequence[Projected],
    tokenizer: Tokenizer,
    options: DecodeOptions,
    *,
    languages: Sequence[str | None],
    leaders: Sequence[int] | None = None,
    prompts: Sequence[Sequence[int]] | None = None,
    temperature: float = 0.0,
    row_keys: Sequence[int] | None = None,
    seed: int = 0,
    attempt: int = 0,
    hear_until_s: Sequence[float | None] | None = None,
) -> list[Decoded]:
    """Decode a batch once, at one temperature.

    What a row gives depends on that row's arguments alone. Greedy at temperature 0: token for token
    what openai-whisper's `decode()` gives in fp32.

    Args:
        decoder: Any engine's; a `DraftedDecoder` gives the same sooner.
        windows: One per row, as `decoder.project` made them.
        tokenizer: Of the same model.
        options: What all rows share (`options.language` is for the caller).
        languages: Codes, one per row; None detects it on the way, at no further cost.
        leaders: For each row without a language, the row whose detected language it takes; itself by default.
        prompts: Text ids that went before, one sequence per row; an empty one is no prompt. Of a long one the
            end is kept, as much as openai-whisper keeps (half the context, less one).
        temperature: 0 takes the likeliest token; above, tokens are drawn.
        row_keys: Whole numbers that, with `seed` and `attempt`, fix a row's chances; by default its number.
        seed: See `row_keys`.
        attempt: See `row_keys`.
        hear_until_s: Per row, up to where speech must be written down before the text may end, in
            seconds from the window's start (see `rules.HearOut`); None sets no bound.

    Raises:
        OptionError: `suppress_tokens` has an id that the vocabulary lacks.
    """
    rules = rules_for(options, tokenizer, hear_until_s)
    if (n_rows := len(windows)) == 0:
        return []
    context, said = decoder.geometry.n_text_ctx, prompts or [()] * n_rows
    rows = [
        _new_row(number, tokenizer, languages[number], leader, said[number], context)
        for number, leader in enumerate(leaders or range(n_rows))
    ]
    strategy = _strategy(temperature, row_keys or range(n_rows), seed=seed, attempt=attempt)
    session = decoder.open(windows)
    logits, starts = _begin(session, rows, tokenizer, options)
    for row, begun in zip(rows, session.lengths.tolist(), strict=True):
        # The last token written needs no place in the cache: nothing follows it.
        row.limit = min(options.max_tokens or context // 2, context - begun + 1)
    write = partial(_write, rules=rules, strategy=strategy, eot=tokenizer.eot)
    if isinstance(decoder, DraftedDecoder):
        speculation = Speculation(decoder, session, windows, starts, write)
        _run_drafted(session, rows, logits, speculation, write)
    else:
        _run(session, rows, logits, write)
    return [_decoded(row, tokenizer, temperature) for row in rows]


def _strategy(temperature: float, keys: Sequence[int], *, seed: int, attempt: int) -> Strategy:
    if temperature > 0:
        return Sample(temperature, seed=seed, row_keys=keys, attempt=attempt)
    return Greedy()


def _new_row(
    number: int,
    tokenizer: Tokenizer,
    language: str | None,
    leader: int,
    prompt: Sequence[int],
    context: int,
) -> Row:
    before: tuple[int, ...] = ()
    if len(prompt) > 0:
        kept = max(1, context // 2 - 1)
        before = (tokenizer.sot_prev, *prompt[-kept:])
    return Row(number, before, language, leader)


def _begin(
    session: Session, rows: list[Row], tokenizer: Tokenizer, options: DecodeOptions
) -> tuple[Array, list[tuple[int, ...]]]:
    """Feed prompts and start sequences; return the logits of the first tokens, and all that was fed, by row.

    Languages and the likelihood of silence are heard on the way, at <|startoftranscript|>.
    """
    starts = [(*row.prompt, tokenizer.sot) for row in rows]
    counts = np.array([len(start) for start in starts], dtype=np.int64)
    tokens = np.full((len(rows), int(counts.max())), tokenizer.eot, dtype=np.int64)
    for place, start in zip(tokens, starts, strict=True):
        place[: len(start)] = start
    logits = session.step(tokens, counts=counts)[:, 0, :]
    xp = array_namespace(logits)
    silence = np.full(len(rows), tokenizer.no_speech, dtype=np.int64)
    for row, share in zip(rows, to_numpy(xp.exp(log_probabilities(logits, silence))), strict=True):
        row.no_speech_prob = float(share)
    _detect(logits, rows, tokenizer)
    rest = [_rest_of_start(row, tokenizer, options) for row in rows]
    # Token by token, so that a row's arithmetic does not depend on how many rows there are.
    for column in zip(*rest, strict=True):
        logits = session.step(np.array(column, dtype=np.int64)[:, None])[:, 0, :]
    return logits, [(*start, *more) for start, more in zip(starts, rest, strict=True)]


def _detect(logits: Array, rows: list[Row], tokenizer: Tokenizer) -> None:
    """Give every row a language: its own, or what was heard in its leader's window."""
    if all(row.language is not None for row in rows):
        return
    shares = language_shares(logits, tokenizer)
    for row in rows:
        if row.language is None:
            heard = shares[row.leader]
            row.language = max(heard, key=heard.__getitem__)
            row.language_probability = heard[row.language]


def _rest_of_start(row: Row, tokenizer: Tokenizer, options: DecodeOptions) -> tuple[int, ...]:
    assert row.language is not None  # see `_detect`
    _, *rest = tokenizer.sot_sequence(row.language, options.task)
    return (*rest, tokenizer.no_timestamps) if options.without_timestamps else tuple(rest)


def _run(session: Session, rows: list[Row], logits: Array, write: Write) -> None:
    """Write all rows to their ends; `logits` are those of their first tokens."""
    seats = rows  # who sits where in the session
    while True:
        write(logits, seats)
        seats, _ = _leave(session, seats)
        if not seats:
            return
        last = [row.tokens[-1] for row in seats]
        logits = session.step(np.array(last, dtype=np.int64)[:, None])[:, 0, :]


def _run_drafted(
    session: Session, rows: list[Row], logits: Array, speculation: Speculation, write: Write
) -> None:
    """The same, several tokens at a time where they are guessed rightly."""
    speculation.note_first()
    write(logits, rows)
    seats = rows
    while True:
        seats, order = _leave(session, seats)
        if not seats:
            return
        if order is not None:
            speculation.reorder(order)
        speculation.advance(seats)


def _write(
    logits: Array, rows: Sequence[Row], *, rules: list[Rule], strategy: Strategy, eot: int
) -> None:
    """Add one token to every row. Rules write into `logits`, which the next step makes anew."""
    written, numbers = [row.tokens for row in rows], [row.number for row in rows]
    for rule in rules:
        rule.apply(logits, written, numbers)
    picked = strategy.pick(logits, numbers)
    logs = to_numpy(log_probabilities(logits, picked))
    for row, token, log in zip(rows, picked.tolist(), logs.tolist(), strict=True):
        row.sum_logprob += log
        if token != eot:
            row.tokens.append(token)
        row.is_done = token == eot or len(row.tokens) == row.limit


def _leave(session: Session, seats: list[Row]) -> tuple[list[Row], list[int] | None]:
    """Take finished rows out of the session; the last rows take their places, which moves the fewest.

    Returns who sits where now, and which old seat each one had; None where nothing was moved.
    """
    places = [seat for seat, row in enumerate(seats) if not row.is_done]
    count = len(places)
    if count == len(seats) or count == 0:
        return [seats[place] for place in places], None
    behind = [place for place in places if place >= count]
    order = [seat if not seats[seat].is_done else behind.pop() for seat in range(count)]
    session.reorder(np.array(order, dtype=np.int64))
    return [seats[place] for place in order], order


def _decoded(row: Row, tokenizer: Tokenizer, temperature: float) -> Decoded:
    assert row.language is not None  # see `_detect`
    text = tokenizer.decode(row.tokens).strip()
    return Decoded(
        tokens=tuple(row.tokens),
        text=text,
        avg_logprob=row.sum_logprob / (len(row.tokens) + 1),
        no_speech_prob=row.no_speech_prob,
        compression_ratio=compression_ratio(text),
        temperature=temperature,
        language=row.language,
        language_probability=row.language_probability,
    )
