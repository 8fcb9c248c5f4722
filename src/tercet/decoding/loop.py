"""The decoding loop: a batch of encoded windows in, tokens out.

Rules and strategies are given; nothing is judged or tried again here (`fallback.py` does).
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from array_api_compat import array_namespace

from tercet.decoding.array_gaps import Array, from_numpy, log_probabilities, to_numpy
from tercet.decoding.options import DecodeOptions
from tercet.decoding.rules import Rule, rules_for
from tercet.decoding.strategies import Greedy, Sample, Strategy
from tercet.engine.protocol import Decoder, Session
from tercet.text.tokenizer import Tokenizer

# Taking rows out copies the whole cache, which costs about as much as a few steps of an idle row:
# it pays once a quarter of the rows idles.
_IDLE_SHARE = 4


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


@dataclass(slots=True)
class _Row:
    """A window on its way through the loop."""

    number: int  # in the batch
    start: tuple[int, ...]  # prompt and start sequence
    limit: int  # tokens that it may write
    tokens: list[int] = field(default_factory=list)
    sum_logprob: float = 0.0
    no_speech_prob: float = 0.0
    is_done: bool = False


def compression_ratio(text: str) -> float:
    """Bytes of the text over bytes of its zlib form: above 2.4, a text repeats itself."""
    encoded = text.encode("utf-8")
    return len(encoded) / len(zlib.compress(encoded))


def decode(
    decoder: Decoder,
    states: Array,
    tokenizer: Tokenizer,
    options: DecodeOptions,
    *,
    languages: Sequence[str],
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
        decoder: Any engine's.
        states: [rows, frames, width], as the encoder made them.
        tokenizer: Of the same model.
        options: What all rows share (`options.language` is for the caller).
        languages: Codes, one per row.
        prompts: Text ids that went before, one sequence per row; an empty one is no prompt. Of a
            long one the end is kept, as much as openai-whisper keeps (half the context, less one).
        temperature: 0 takes the likeliest token; above, tokens are drawn.
        row_keys: Whole numbers that, with `seed` and `attempt`, fix a row's chances; by default the
            row's number.
        seed: See `row_keys`.
        attempt: See `row_keys`.
        hear_until_s: Per row, up to where speech must be written down before the text may end, in
            seconds from the window's start (see `rules.HearOut`); None sets no bound.

    Raises:
        OptionError: `suppress_tokens` has an id that the vocabulary lacks.
    """
    n_rows = states.shape[0]
    rules = rules_for(options, tokenizer, hear_until_s)
    if n_rows == 0:
        return []
    context = decoder.geometry.n_text_ctx
    rows = [
        _new_row(number, tokenizer, options, language, prompt, context)
        for number, (language, prompt) in enumerate(
            zip(languages, prompts or [()] * n_rows, strict=True)
        )
    ]
    keys = range(n_rows) if row_keys is None else row_keys
    strategy: Strategy = Greedy()
    if temperature > 0:
        strategy = Sample(temperature, seed=seed, row_keys=keys, attempt=attempt)
    _run(decoder.open(states), rows, rules, strategy, tokenizer, context)
    return [
        _decoded(row, tokenizer, language, temperature)
        for row, language in zip(rows, languages, strict=True)
    ]


def _new_row(
    number: int,
    tokenizer: Tokenizer,
    options: DecodeOptions,
    language: str,
    prompt: Sequence[int],
    context: int,
) -> _Row:
    start = tokenizer.sot_sequence(language, options.task)
    if options.without_timestamps:
        start = (*start, tokenizer.no_timestamps)
    if len(prompt) > 0:
        kept = max(1, context // 2 - 1)
        start = (tokenizer.sot_prev, *prompt[-kept:], *start)
    most = context // 2 if options.max_tokens is None else int(options.max_tokens)
    # The last token written needs no place in the cache: nothing follows it.
    return _Row(number, start, limit=min(most, context - len(start) + 1))


def _run(
    session: Session,
    rows: list[_Row],
    rules: list[Rule],
    strategy: Strategy,
    tokenizer: Tokenizer,
    context: int,
) -> None:
    """Write all rows to their ends."""
    logits = _begin(session, rows, tokenizer)
    seats = rows  # who sits where in the session
    while True:
        _write(logits, seats, rules, strategy, tokenizer.eot)
        if all(row.is_done for row in seats):
            return
        seats = _leave(session, seats, context)
        last = [tokenizer.eot if row.is_done else row.tokens[-1] for row in seats]
        logits = session.step(np.array(last, dtype=np.int64)[:, None])[:, 0, :]


def _begin(session: Session, rows: list[_Row], tokenizer: Tokenizer) -> Array:
    """Feed the starts, note how likely silence is, return the logits of the first tokens."""
    counts = np.array([len(row.start) for row in rows], dtype=np.int64)
    tokens = np.full((len(rows), int(counts.max())), tokenizer.eot, dtype=np.int64)
    for place, row in zip(tokens, rows, strict=True):
        place[: len(row.start)] = row.start
    heard = [row.start.index(tokenizer.sot) for row in rows]
    keep = np.stack([np.array(heard, dtype=np.int64), counts - 1], axis=1)
    logits = session.step(tokens, counts=counts, keep=keep)
    xp = array_namespace(logits)
    silence = np.full(len(rows), tokenizer.no_speech, dtype=np.int64)
    shares = to_numpy(xp.exp(log_probabilities(logits[:, 0, :], silence)))
    for row, share in zip(rows, shares, strict=True):
        row.no_speech_prob = float(share)
    return logits[:, 1, :]


def _write(
    logits: Array, seats: list[_Row], rules: list[Rule], strategy: Strategy, eot: int
) -> None:
    """Add one token to every row that is not done."""
    xp = array_namespace(logits)
    going = [seat for seat, row in enumerate(seats) if not row.is_done]
    rows = [seats[seat] for seat in going]
    # A copy, since rules write into it and the engine may still own its buffer.
    logits = xp.take(logits, from_numpy(np.array(going, dtype=np.int64), logits), axis=0)
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


def _leave(session: Session, seats: list[_Row], context: int) -> list[_Row]:
    """Take finished rows out of the session where that pays, or where they have no room to idle."""
    staying = [seat for seat, row in enumerate(seats) if not row.is_done]
    idle = len(seats) - len(staying)
    if idle == 0 or (idle * _IDLE_SHARE < len(seats) and session.lengths.max() < context):
        return seats
    session.reorder(np.array(staying, dtype=np.int64))
    return [seats[seat] for seat in staying]


def _decoded(row: _Row, tokenizer: Tokenizer, language: str, temperature: float) -> Decoded:
    text = tokenizer.decode(row.tokens).strip()
    return Decoded(
        tokens=tuple(row.tokens),
        text=text,
        avg_logprob=row.sum_logprob / (len(row.tokens) + 1),
        no_speech_prob=row.no_speech_prob,
        compression_ratio=compression_ratio(text),
        temperature=temperature,
        language=language,
    )
