"""Which language is spoken."""

import numpy as np
import pytest

from tercet.decoding.language import language_shares


def test_a_softmax_over_the_language_tokens_alone(tokenizer, to_library):
    logits = np.zeros((2, 51865), dtype=np.float32)
    logits[:, 300] = 50.0  # text counts for nothing
    logits[:, tokenizer.language_ids["en"]] = np.log(2.0)
    for row, language in enumerate(("de", "haw")):
        logits[row, tokenizer.language_ids[language]] = np.log(49.0)
    given = to_library(logits)
    found = language_shares(given, tokenizer)
    assert [99, 99] == [len(row) for row in found]
    assert list(tokenizer.language_ids) == list(found[0])
    assert [49 / 148, 2 / 148, 1 / 148] == pytest.approx([found[0][c] for c in ("de", "en", "haw")])
    assert ["de", "haw"] == [max(row, key=row.get) for row in found]
    np.testing.assert_array_equal(logits, np.asarray(given))  # they are decoded from afterwards


def test_an_english_model_answers_english(byte_tokenizer, to_library):
    logits = to_library(np.zeros((2, 51864), dtype=np.float32))
    assert [{"en": 1.0}] * 2 == language_shares(logits, byte_tokenizer(51864))


@pytest.mark.parametrize("vocab_size", [51864, 51865])
def test_no_rows_have_no_language(byte_tokenizer, to_library, vocab_size):
    logits = to_library(np.zeros((0, vocab_size), dtype=np.float32))
    assert [] == language_shares(logits, byte_tokenizer(vocab_size))
