"""Speech tokens for tests of files."""

from collections.abc import Callable

import numpy as np
import pytest

from tercet.results import SpeechTokens


@pytest.fixture
def tokens() -> Callable[..., SpeechTokens]:
    """`tokens(ids, **fields)`: of a codebook of 2561."""

    def make(ids, **fields) -> SpeechTokens:
        values = np.array(ids, np.int32)
        given = {
            "codebook_size": 2561,
            "codebook": "0123456789abcdef",
            "duration_s": len(values) / 25,
            "mask_code": 2048,
        }
        return SpeechTokens(ids=values, **(given | fields))

    return make


@pytest.fixture
def fields() -> Callable[[SpeechTokens], dict]:
    """Everything that tokens say, comparable with ==."""

    def of(tokens: SpeechTokens) -> dict:
        return {
            "ids": tokens.ids.tolist(),
            "shape": tokens.ids.shape,
            "dtype": tokens.ids.dtype.name,
            **{
                name: getattr(tokens, name)
                for name in (
                    "codebook_size",
                    "codebook",
                    "rate_hz",
                    "start_s",
                    "duration_s",
                    "window_starts",
                    "mask_code",
                    "channel",
                )
            },
        }

    return of
