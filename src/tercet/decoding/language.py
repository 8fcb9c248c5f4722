"""Which language is spoken: what the decoder says right after <|startoftranscript|>."""

import numpy as np
from array_api_compat import array_namespace

from tercet.decoding.array_gaps import Array, from_numpy, log_sum_exp, to_numpy
from tercet.text.tokenizer import Tokenizer


def language_shares(logits: Array, tokenizer: Tokenizer) -> list[dict[str, float]]:
    """Probability of every language the model knows, per row of `logits` [rows, vocabulary].

    `logits` are those after <|startoftranscript|>. As openai-whisper's `detect_language`: a softmax over
    the language tokens alone. The keys are codes in the vocabulary's order. `.en` models answer English.
    """
    if not tokenizer.is_multilingual:
        return [{"en": 1.0} for _ in range(logits.shape[0])]
    xp = array_namespace(logits)
    ids = np.array(list(tokenizer.language_ids.values()), dtype=np.int64)
    heard = xp.take(logits, from_numpy(ids, logits), axis=-1)
    shares = to_numpy(xp.exp(heard - log_sum_exp(heard)[:, None]))
    return [dict(zip(tokenizer.language_ids, map(float, row), strict=True)) for row in shares]
