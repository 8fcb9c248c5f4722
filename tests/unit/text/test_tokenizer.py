"""Whisper's ids, over a made-up vocabulary. The published one is compared in tests/parity."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tercet.checkpoint.geometry import Geometry
from tercet.errors import TokenizerError
from tercet.text.tokenizer import Tokenizer, complete_merges

MARKS = ("eot", "sot", "translate", "transcribe", "sot_lm", "sot_prev", "no_speech")


def geometry(vocab_size):
    return Geometry(
        n_mels=80,
        width=4,
        encoder_layers=1,
        encoder_heads=1,
        decoder_layers=1,
        decoder_heads=1,
        vocab_size=vocab_size,
    )


@pytest.fixture
def saved(byte_tokenizer_file, tmp_path):
    """`saved(change)` writes the vocabulary's file, changed; gives its path."""

    def write(change, vocab_size=51865):
        stored = json.loads(byte_tokenizer_file(vocab_size).read_text("utf-8"))
        change(stored)
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps(stored), encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("vocab_size", "ids"),
    [
        (51864, (50256, 50257, 50357, 50358, 50359, 50360, 50361)),
        (51865, (50257, 50258, 50358, 50359, 50360, 50361, 50362)),
        (51866, (50257, 50258, 50359, 50360, 50361, 50362, 50363)),
    ],
)
def test_marks_lie_where_each_vocabulary_has_them(byte_tokenizer, vocab_size, ids):
    tokenizer = byte_tokenizer(vocab_size)
    assert ids == tuple(getattr(tokenizer, mark) for mark in MARKS)
    assert ids[-1] + 1 == tokenizer.no_timestamps
    assert vocab_size - 1501 == tokenizer.timestamp_begin


@pytest.mark.parametrize(("vocab_size", "count", "last"), [(51865, 99, "su"), (51866, 100, "yue")])
def test_languages_are_as_many_as_the_vocabulary_has(byte_tokenizer, vocab_size, count, last):
    languages = byte_tokenizer(vocab_size).languages
    assert (count, "en", last) == (len(languages), languages[0], languages[-1])


def test_an_english_model_knows_english_alone(byte_tokenizer):
    english = byte_tokenizer(51864)
    assert ("en",) == english.languages
    assert (50257,) == english.sot_sequence("en", "transcribe")


def test_the_start_sequence_names_language_and_task(byte_tokenizer):
    tokenizer = byte_tokenizer(51865)
    assert (50258, 50261, 50359) == tokenizer.sot_sequence("de", "transcribe")
    assert (50258, 50259, 50358) == tokenizer.sot_sequence("en", "translate")


def test_decoding_leaves_marks_and_timestamps_out(byte_tokenizer):
    tokenizer = byte_tokenizer(51865)
    tokens = [tokenizer.sot, 50364, 300, 50414, tokenizer.eot, 301]
    assert " w300 w301" == tokenizer.decode(tokens)
    assert "<|0.00|> w300<|1.00|> w301" == tokenizer.decode_with_timestamps(tokens)


def test_half_a_letter_becomes_the_replacement_sign(byte_tokenizer):
    tokenizer = byte_tokenizer(51865)
    first, second = tokenizer.encode("ä")
    assert "ä" == tokenizer.decode([first, second])
    assert "a\ufffd" == tokenizer.decode([*tokenizer.encode("a"), first])
    assert "\ufffdb" == tokenizer.decode([second, *tokenizer.encode("b")])


@given(text=st.text())
def test_any_text_comes_back_from_its_ids(byte_tokenizer, text):
    tokenizer = byte_tokenizer(51865)
    ids = tokenizer.encode(text)
    assert text == tokenizer.decode(ids)
    assert all(token < tokenizer.eot for token in ids)


def test_a_mark_within_a_text_is_text(byte_tokenizer):
    tokenizer = byte_tokenizer(51865)
    assert "<|endoftext|>" == tokenizer.decode(tokenizer.encode("<|endoftext|>"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TokenizerError, match=r"gone\.json: no such file; copy"):
        Tokenizer.from_file(tmp_path / "gone.json", geometry(51865))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[]", b'{"model": 5}'])
def test_a_damaged_file_is_one_line(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(TokenizerError, match=r"tokenizer\.json: damaged tokenizer") as caught:
        Tokenizer.from_file(path, geometry(51865))
    assert "\n" not in str(caught.value)


def test_a_vocabulary_with_holes_is_damaged(saved):
    def lose_a_word(stored):
        stored["model"]["vocab"]["Ġw300"] = 299

    with pytest.raises(TokenizerError, match="no subword 300"):
        Tokenizer.from_file(saved(lose_a_word), geometry(51865))


@pytest.mark.parametrize(("file", "model"), [(51864, 51865), (51865, 51866), (51866, 51865)])
def test_another_models_tokenizer_is_refused(saved, file, model):
    path = saved(lambda stored: None, file)
    with pytest.raises(TokenizerError, match="another model's tokenizer"):
        Tokenizer.from_file(path, geometry(model))


def test_a_vocabulary_of_another_size_is_no_whispers(saved):
    path = saved(lambda stored: None, 51864)
    with pytest.raises(TokenizerError, match="vocabulary of 51000 ids is no Whisper's"):
        Tokenizer.from_file(path, geometry(51000))


def test_lost_merges_of_two_bytes_are_put_back_where_they_belong():
    vocabulary = {"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4, "abc": 5}
    assert [("a", "b"), ("b", "c"), ("ab", "c")] == complete_merges(
        vocabulary, [("b", "c"), ("ab", "c")]
    )
    assert [("a", "b"), ("b", "c"), ("ab", "c")] == complete_merges(
        vocabulary, [("a", "b"), ("ab", "c")]
    )
    full = [("a", "b"), ("b", "c"), ("ab", "c")]
    assert full == complete_merges(vocabulary, full)
