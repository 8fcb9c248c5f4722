"""Merging of chunks under `match="hf"` against transformers' own functions, token for token.

Outputs are drawn as a decoder may write them, and as it never would.
"""

import logging
from itertools import chain
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tercet.longform.hf_merge import ChunkMerge, Fold

BEGIN, EOT, ENGLISH, GERMAN = 50364, 50257, 50259, 50261
MANY = settings(max_examples=300, deadline=None, derandomize=True)
WORDS = st.integers(300, 306)
SEQUENCES = st.lists(st.lists(WORDS, max_size=12), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def theirs(peer):
    module = peer("transformers.models.whisper.tokenization_whisper")
    logging.getLogger(module.__name__).setLevel(logging.ERROR)
    return module


@pytest.fixture(scope="module")
def tokenizer(byte_tokenizer):
    return byte_tokenizer(51865)


@pytest.fixture(scope="module")
def as_theirs(tokenizer):
    """Our tokenizer behind as much of transformers' as its state machine calls."""
    names = {number: f"<|{code}|>" for code, number in tokenizer.language_ids.items()}
    marks = {
        "<|notimestamps|>": BEGIN - 1,
        "<|startofprev|>": 50361,
        "<|startoftranscript|>": 50258,
    }
    return SimpleNamespace(
        all_special_ids=range(EOT, BEGIN),
        convert_tokens_to_ids=marks.__getitem__,
        decode=lambda ids: names[ids[0]] if ids and ids[0] in names else tokenizer.decode(ids),
        _strip_prompt=lambda ids, prompt, start: ids,
    )


@MANY
@given(SEQUENCES)
def test_sequences_are_folded_as_theirs(theirs, sequences) -> None:
    fold = Fold()
    merged = [token for tokens in sequences for token in fold.add(tokens)]
    assert theirs._find_longest_common_sequence(sequences) == [*merged, *fold.finish()]


@st.composite
def outputs(draw):
    """Chunks of a recording with their strides, and what a decoder wrote for each."""
    length = draw(st.sampled_from([30.0, 15.0, 7.5]))
    left, right = (draw(st.sampled_from([length / 6, length / 4, 0.0])) for _ in range(2))
    stamps = st.integers(0, round(length / 0.02)).map(lambda step: BEGIN + step)
    marks = st.sampled_from([ENGLISH, GERMAN, EOT])
    pieces = st.one_of(
        st.lists(WORDS, max_size=5), stamps.map(lambda s: [s]), stamps.map(lambda s: [s, s])
    )
    if draw(st.booleans()):  # languages may stand anywhere
        pieces = st.one_of(pieces, marks.map(lambda mark: [mark]))
    n = draw(st.integers(1, 4))
    written = [[*chain(*draw(st.lists(pieces, max_size=8)))] for _ in range(n)]
    if draw(st.booleans()):  # timestamps that rise, as the rules have them
        written = [rising(tokens) for tokens in written]
    strides = [(length, left if i else 0.0, right if i + 1 < n else 0.0) for i in range(n)]
    return list(zip(written, strides, strict=True))


def rising(tokens: list[int]) -> list[int]:
    stamps = iter(sorted(token for token in tokens if token >= BEGIN))
    return [next(stamps) if token >= BEGIN else token for token in tokens]


@MANY
@given(outputs(), st.booleans())
def test_outputs_of_chunks_become_their_text_and_their_times(
    theirs, tokenizer, as_theirs, written, timed
) -> None:
    text, extra = theirs._decode_asr(
        as_theirs,
        [{"tokens": np.array([tokens], dtype=np.int64), "stride": s} for tokens, s in written],
        return_timestamps=timed,
        return_language=None,
        time_precision=0.02,
    )
    merge = ChunkMerge(tokenizer, timed=timed)
    found = []
    for tokens, (length_s, left_s, right_s) in written:
        found += merge.push(tokens, length_s=length_s, left_s=left_s, right_s=right_s)
    found += merge.finish()
    assert text == "".join(tokenizer.decode(each.tokens) for each in found)
    if timed:
        assert extra["chunks"] == [
            {"timestamp": (each.start_s, each.end_s), "text": tokenizer.decode(each.tokens)}
            for each in found
        ]
