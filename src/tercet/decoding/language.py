"""Which language is spoken: one decoder step after <|startoftranscript|>, over the language tokens alone."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace

from tercet.decoding.array_gaps import from_numpy, log_softmax, to_numpy
from tercet.engine.protocol import Decoder
from tercet.text.tokenizer import Tokenizer

Array = Any


def detect_languages(
    decoder: Decoder, states: Array, tokenizer: Tokenizer
) -> list[dict[str, float]]:
    """Probability of every language the model knows, per row of `states` [rows, frames, width].

    As openai-whisper's `detect_language`: a softmax over the language tokens. `.en` models answer English.
    """
    rows = states.shape[0]
    if not tokenizer.is_multilingual:
        return [{"en": 1.0} for _ in range(rows)]
    session = decoder.open(states)
    logits = session.step(np.full((rows, 1), tokenizer.sot, dtype=np.int64))[:, 0, :]
    xp = array_namespace(logits)
    ids = from_numpy(np.array(list(tokenizer.language_ids.values()), dtype=np.int64), logits)
    probabilities = to_numpy(xp.exp(log_softmax(xp.take(logits, ids, axis=-1))))
    return [dict(zip(tokenizer.language_ids, map(float, row), strict=True)) for row in probabilities]
