"""Our tokenizer against openai-whisper's, id for id."""

import gzip
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tercet.text.tokenizer import Tokenizer

VOCABULARIES = [51864, 51865, 51866]
NAMES = [
    *("eot", "sot", "translate", "transcribe", "sot_lm", "sot_prev", "no_speech"),
    *("no_timestamps", "timestamp_begin", "non_speech_tokens"),
]
TEXTS = [
    " And so my fellow Americans, ask not what your country can do for you.",
    "I'm don't we've THEY'LL 12345 3.14 €5 \u2013 “quoted” …",
    "Größe Öl naïve façade ČŘŽ ŁÓDŹ İstanbul",
    "你好\uff0c世界。こんにちは 안녕하세요 ภาษาไทย भारतीय العربية עברית",
    "😀👍🏽🇩🇪 ♪♪ (la) [noise] <<a>> --- ((x)) {{y}} ♩♪♫♬♭♮♯ 「引」『用』",
    " \t\n  double  spaces \r\n\u00a0\u2003end ",
    "<|en|><|endoftext|><|0.00|> <|startoftranscript|>",
    "a" * 200 + " " * 50 + "!" * 90,
    "\x00\x01\x7f\u0301\ufffd\U0010ffff",
]


@pytest.fixture(scope="module", params=VOCABULARIES)
def pair(request, peer, published_tokenizer):
    """(ours, openai's) of one vocabulary."""
    module = peer("whisper.tokenizer")
    theirs = module.get_tokenizer(
        request.param != 51864, num_languages=100 if request.param == 51866 else 99
    )
    return published_tokenizer(request.param), theirs


@pytest.mark.parametrize("name", NAMES)
def test_ids_of_marks_are_equal(pair, name):
    ours, theirs = pair
    assert getattr(theirs, name) == getattr(ours, name)


def test_a_transcript_may_not_begin_with_the_same_blanks(pair):
    ours, theirs = pair
    assert (*theirs.encode(" "), theirs.eot) == ours.blank


def test_languages_and_start_sequences_are_equal(pair, peer):
    ours, theirs = pair
    if not ours.is_multilingual:
        assert tuple(theirs.sot_sequence) == ours.sot_sequence("en", "transcribe")
        return
    codes = dict(zip(theirs.all_language_codes, theirs.all_language_tokens, strict=True))
    assert codes == ours.language_ids
    get_tokenizer = peer("whisper.tokenizer").get_tokenizer
    for code in ("en", "de", "haw", theirs.all_language_codes[-1]):
        for task in ("transcribe", "translate"):
            n_languages = len(ours.languages)
            wanted = get_tokenizer(True, num_languages=n_languages, language=code, task=task)
            assert tuple(wanted.sot_sequence) == ours.sot_sequence(code, task)


def test_names_and_aliases_of_languages_mean_the_same(pair, peer):
    ours, _ = pair
    module = peer("whisper.tokenizer")
    for name, code in module.TO_LANGUAGE_CODE.items():
        if code in ours.languages:
            assert code == ours.language_code(name), name
            assert code == ours.language_code(name.upper()), name


@pytest.mark.parametrize("text", TEXTS)
def test_texts_have_the_same_ids_and_come_back(pair, text):
    ours, theirs = pair
    ids = theirs.encode(text, disallowed_special=())
    assert ids == ours.encode(text)
    assert text == ours.decode(ids)


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=40))
def test_any_text_has_the_same_ids(pair, text):
    ours, theirs = pair
    assert theirs.encode(text, disallowed_special=()) == ours.encode(text)


@settings(max_examples=300, deadline=None)
@given(ids=st.lists(st.integers(0, 50255), max_size=12))
def test_any_ids_have_the_same_text_broken_letters_included(pair, ids):
    ours, theirs = pair
    assert theirs.decode(ids) == ours.decode(ids)


@settings(max_examples=50, deadline=None)
@given(ids=st.lists(st.one_of(st.integers(0, 50255), st.integers(50364, 51864)), max_size=12))
def test_timestamps_are_spelled_the_same(pair, ids):
    ours, theirs = pair
    ids = [i if i < 50256 else i - 50364 + ours.timestamp_begin for i in ids]
    assert theirs.decode_with_timestamps(ids) == ours.decode_with_timestamps(ids)


def test_real_text_in_many_languages_has_the_same_ids(pair, data_dir):
    ours, theirs = pair
    packed = (data_dir / "text" / "udhr_utf8_multilingual.txt.gz").read_bytes()
    lines = gzip.decompress(packed).decode("utf-8", errors="replace").splitlines()
    for line in random.Random(0).sample(lines, min(600, len(lines))):
        assert theirs.encode(line, disallowed_special=()) == ours.encode(line)


def test_the_tokenizer_in_the_box_is_openais(base_model, peer):
    from tercet.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(base_model)
    check_hub_file(Tokenizer.from_file(checkpoint.tokenizer_file, checkpoint.geometry), peer)


def test_the_hubs_tokenizer_file_gives_openais_ids(genuine_base, peer):
    from tercet.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(genuine_base)
    check_hub_file(Tokenizer.from_file(checkpoint.tokenizer_file, checkpoint.geometry), peer)


def check_hub_file(ours, peer):
    theirs = peer("whisper.tokenizer").get_tokenizer(True)
    assert theirs.non_speech_tokens == ours.non_speech_tokens
    for text in TEXTS:
        ids = theirs.encode(text, disallowed_special=())
        assert ids == ours.encode(text)
        assert text == ours.decode(ids)
