"""The decoding loop: a batch of encoded windows in, tokens out. Rules and strategies are given, nothing is retried here."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from tercet.decoding.array_gaps import from_numpy, log_softmax, to_numpy
from tercet.decoding.options import DecodeOptions
from tercet.decoding.rules import Rule, rules_for
from tercet.decoding.strategies import Greedy, Sample, Strategy
from tercet.engine.protocol import Decoder, Session
from tercet.text.tokenizer import Tokenizer

Array = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What the decoder wrote for one window. Names are openai-whisper's (`DecodingResult`)."""

    tokens: tuple[int, ...]  # text and timestamps, without the start sequence and <|endoftext|>
    text: str  # stripped
    avg_logprob: float  # sum over the tokens and the end, divided by their number
    no_speech_prob: float  # of <|nospeech|> at <|startoftranscript|>
    compression_ratio: float
    temperature: float


@dataclass(slots=True)
class _Row:
    tokens: list[int] = field(default_factory=list)
    sum_logprob: float = 0.0
    no_speech_prob: float = 0.0


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
    temperature: float = 0.0,
    row_keys: Sequence[int] | None = None,
    seed: int = 0,
    attempt: int = 0,
) -> list[Decoded]:
    """Decode a batch once, at one temperature.

    `states` [rows, frames, width] come from the encoder; `languages` are codes, one per row. `row_keys`, with `seed` and
    `attempt`, fix each row's random numbers at temperatures above 0. Greedy at 0: token for token what
    openai-whisper's `decode()` gives in fp32.
    """
    n_rows = states.shape[0]
    rows = [_Row() for _ in range(n_rows)]
    keys = list(range(n_rows)) if row_keys is None else row_keys
    strategy: Strategy = (
        Greedy() if temperature == 0 else Sample(temperature, seed, keys, attempt)
    )
    rules = rules_for(options, tokenizer)
    session = decoder.open(states)
    prompts = [_prompt(tokenizer, options, language) for language in languages]
    limit = decoder.geometry.n_text_ctx // 2 if options.max_tokens is None else options.max_tokens
    limit = min(limit, decoder.geometry.n_text_ctx - len(prompts[0]))
    logits = _start(session, prompts, rows, tokenizer)
    active = list(range(n_rows))
    for _ in range(limit):
        picked = _advance(logits, [rows[i] for i in active], rules, strategy, active)
        going = [at for at, token in enumerate(picked) if token != tokenizer.eot]
        for at in going:
            rows[active[at]].tokens.append(int(picked[at]))
        if not going:
            break
        session_rows = np.array(going, dtype=np.int64)
        if len(going) < len(active):
            session.reorder(session_rows)
            active = [active[at] for at in going]
        logits = session.step(np.asarray(picked, dtype=np.int64)[session_rows][:, None])[:, 0, :]
    return [_decoded(row, tokenizer, temperature) for row in rows]


def _prompt(tokenizer: Tokenizer, options: DecodeOptions, language: str) -> tuple[int, ...]:
    start = tokenizer.sot_sequence(language, options.task)
    return (*start, tokenizer.no_timestamps) if options.without_timestamps else start


def _start(
    session: Session, prompts: list[tuple[int, ...]], rows: list[_Row], tokenizer: Tokenizer
) -> Array:
    """Feed the start sequences; note how likely silence is; return the logits of the first token."""
    tokens = np.array(prompts, dtype=np.int64)
    keep = np.tile(np.array([0, tokens.shape[1] - 1], dtype=np.int64), (len(rows), 1))
    logits = session.step(tokens, keep=keep)
    xp = array_namespace(logits)
    silent = to_numpy(xp.exp(log_softmax(logits[:, 0, :])[:, tokenizer.no_speech]))
    for row, probability in zip(rows, silent, strict=True):
        row.no_speech_prob = float(probability)
    return logits[:, 1, :]


def _advance(
    logits: Array,
    rows: list[_Row],
    rules: list[Rule],
    strategy: Strategy,
    numbers: list[int],
) -> np.ndarray:
    """Apply the rules, pick a token per row, add up its log-probability."""
    xp = array_namespace(logits)
    logits = xp.asarray(logits, copy=True)  # rules write into it; the engine may still own its buffer
    written = [row.tokens for row in rows]
    for rule in rules:
        rule.apply(logits, written)
    picked = strategy.pick(logits, numbers)
    logs = log_softmax(logits)
    index = from_numpy(picked[:, None], logs)
    chosen = to_numpy(xp.take_along_axis(logs, index, axis=-1))[:, 0]
    for row, value in zip(rows, chosen, strict=True):
        row.sum_logprob += float(value)
    return picked


def _decoded(row: _Row, tokenizer: Tokenizer, temperature: float) -> Decoded:
    text = tokenizer.decode(row.tokens).strip()
    return Decoded(
        tokens=tuple(row.tokens),
        text=text,
        avg_logprob=row.sum_logprob / (len(row.tokens) + 1),
        no_speech_prob=row.no_speech_prob,
        compression_ratio=compression_ratio(text),
        temperature=temperature,
    )
