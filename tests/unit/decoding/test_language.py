"""Which language is spoken."""

import numpy as np
import pytest

from tercet.decoding.language import detect_languages


def test_a_softmax_over_the_language_tokens_alone(scripted_decoder, voices, tokenizer, to_library):
    def scores(row, history):
        assert [tokenizer.sot] == history
        logits = np.zeros(51865, dtype=np.float32)
        logits[300] = 50.0  # text counts for nothing
        logits[tokenizer.language_ids["de" if row else "haw"]] = np.log(49.0)
        logits[tokenizer.language_ids["en"]] = np.log(2.0)
        return logits

    decoder = scripted_decoder(scores, convert=to_library)
    found = detect_languages(decoder, voices(1, 0), tokenizer)
    assert [99, 99] == [len(row) for row in found]
    assert list(tokenizer.language_ids) == list(found[0])
    assert [49 / 148, 2 / 148, 1 / 148] == pytest.approx([found[0][c] for c in ("de", "en", "haw")])
    assert ["de", "haw"] == [max(row, key=row.get) for row in found]
    assert [(2, 1)] == decoder.steps


def test_an_english_model_answers_english_without_a_step(scripted_decoder, voices, byte_tokenizer):
    decoder = scripted_decoder(lambda *_: pytest.fail("asked"), vocab_size=51864)
    assert [{"en": 1.0}] * 2 == detect_languages(decoder, voices(0, 1), byte_tokenizer(51864))


def test_no_rows_have_no_language(scripted_decoder, voices, tokenizer):
    decoder = scripted_decoder(lambda *_: pytest.fail("asked"))
    assert [] == detect_languages(decoder, np.zeros((0, 5, 4)), tokenizer)
