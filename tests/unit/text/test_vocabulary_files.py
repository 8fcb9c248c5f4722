"""What whisper.cpp's converter and older readers want beside tokenizer.json."""

import json

from tercet.text.vocabulary_files import VOCABULARY_FILES, vocabulary_files

STORED = {
    "model": {"vocab": {"a": 0, "b": 1, "ab": 2, "abb": 3, "<|end|>": 4}, "merges": ["ab b"]},
    "added_tokens": [{"content": "<|end|>", "id": 4}, {"content": "<|start|>", "id": 5}],
}


def test_words_merges_and_added_marks_are_apart_and_a_lost_merge_is_back():
    files = vocabulary_files(STORED)
    assert set(VOCABULARY_FILES) == set(files)
    assert STORED["model"]["vocab"] == json.loads(files["vocab.json"])
    assert {"<|start|>": 5} == json.loads(files["added_tokens.json"])
    assert ["#version: 0.2", "a b", "ab b"] == files["merges.txt"].splitlines()


def test_merges_in_pairs_give_the_same():
    pairs = {**STORED, "model": {**STORED["model"], "merges": [["ab", "b"]]}}
    assert vocabulary_files(STORED) == vocabulary_files(pairs)


def test_another_kind_of_tokenizer_has_none():
    assert {} == vocabulary_files({"model": {"type": "Unigram", "vocab": [["a", -1.0]]}})
