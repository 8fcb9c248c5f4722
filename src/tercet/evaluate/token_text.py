"""What speech tokens say, of many recordings at once: their windows share the decoder's batches."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tercet.dataset.token_windows import from_groups
from tercet.listener import Model
from tercet.results import SpeechTokens


def texts_of(
    model: Model,
    tokens: Sequence[SpeechTokens],
    languages: Sequence[str | None],
    options: Mapping[str, Any],
) -> list[str]:
    """The text of each recording's codes.

    Args:
        model: With the quantizer that gave them.
        tokens: One per recording.
        languages: Of each; None: detected from the codes.
        options: Of `Model.detokenize`.

    Raises:
        TokensError: codes of another codebook.
        OptionError: an option's value is not allowed.
    """
    texts = [""] * len(tokens)
    together: dict[str, list[int]] = {}
    for number, (codes, language) in enumerate(zip(tokens, languages, strict=True)):
        if language is not None:
            together.setdefault(language, []).append(number)
        elif len(codes):  # one recording, one language: it is detected in its first window
            texts[number] = model.detokenize(codes, language=None, **options).text.strip()
    for language, numbers in together.items():
        found = _joined(model, [tokens[number] for number in numbers], language, options)
        for number, text in zip(numbers, found, strict=True):
            texts[number] = text
    return texts


def _joined(
    model: Model, tokens: Sequence[SpeechTokens], language: str, options: Mapping[str, Any]
) -> list[str]:
    """The windows of all recordings as those of one; a segment's `seek` tells the window it is from."""
    groups: list[np.ndarray] = []
    owner_of: dict[
        int, int
    ] = {}  # hundredths of a second at which a window begins -> its recording
    n_codes = 0
    for number, codes in enumerate(tokens):
        for _, ids in codes.windows:
            if len(ids):
                owner_of[round(n_codes / codes.rate_hz * 100)] = number
                groups.append(ids)
                n_codes += len(ids)
    texts = [""] * len(tokens)
    if not groups:
        return texts
    one = tokens[0]
    joined = from_groups(
        groups,
        codebook_size=one.codebook_size,
        codebook=one.codebook,
        rate_hz=one.rate_hz,
        mask_code=one.mask_code,
        depth=one.depth,
    )
    for segment in model.detokenize(joined, language=language, **options).segments:
        texts[owner_of[segment.seek]] += segment.text
    return [text.strip() for text in texts]
