"""Whisper's vocabulary: text to ids and back, and the ids that steer the decoder.

The subword part is a Hugging Face `tokenizer.json`. The ids behind it follow one plan in every
Whisper (start, languages, tasks, marks, then 1501 timestamps of 0.02 s), so they are computed and
then checked against the file. No decoding rules here.
"""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer as SubwordTokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from tercet.checkpoint.geometry import Geometry
from tercet.errors import TokenizerError
from tercet.text.bpe_dropout import cut
from tercet.text.languages import LANGUAGES, language_code

TIMESTAMP_STEP_S = 0.02
_MULTILINGUAL_END = 50257
_ENGLISH_END = 50256
_TIMESTAMPS = 1501  # 0.00 to 30.00 s
_TASKS = ("transcribe", "translate")

# What nobody says aloud: brackets, markup, bullets, and the runs of them that the training captions held.
_UNSPOKEN = [*'"#()*+/:;<=>@[\\]^_`{|}~「」『』']
_UNSPOKEN_RUNS = ["<<", ">>", "<<<", ">>>", "--", "---", "-(", "-[", "('", '("', "((", "))"]
_UNSPOKEN_RUNS += ["(((", ")))", "[[", "]]", "{{", "}}", "♪♪", "♪♪♪"]
_MUSIC_SIGNS = "♩♪♫♬♭♮♯"  # share their first bytes, so their first subword stands for all


def complete_merges(
    vocabulary: dict[str, int], merges: list[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Put back merges that a published file lacks.

    OpenAI's multilingual vocabulary merges any neighbours whose union is a subword, lowest id
    first. The hub's `tokenizer.json` lists these merges, but lost the very first (space, t): some
    words then become two ids where OpenAI's tokenizer gives one.
    """
    made = {first + second for first, second in merges}
    lost = []
    for text, number in vocabulary.items():
        if len(text) != 2 or text in made or not {*text} <= vocabulary.keys():
            continue
        # A pair of single bytes has one way to come about; its place follows from its id.
        place = sum(1 for first, second in merges if vocabulary.get(first + second, 0) < number)
        lost.append((place, (text[0], text[1])))
    completed = list(merges)
    for place, pair in sorted(lost, reverse=True):
        completed.insert(place, pair)
    return completed


def _read_subwords(stored: dict[str, Any]) -> tuple[SubwordTokenizer, dict[str, int]]:
    """The subwords alone ("<|en|>" in a text is text), every merge there; and all ids, marks included."""
    vocabulary: dict[str, int] = stored["model"]["vocab"]
    pairs = (p.split(" ") if isinstance(p, str) else p for p in stored["model"]["merges"])
    merges = complete_merges(vocabulary, [(first, second) for first, second in pairs])
    subwords = SubwordTokenizer(BPE(vocabulary, merges))
    subwords.pre_tokenizer = ByteLevel(add_prefix_space=False)
    subwords.decoder = ByteLevelDecoder()
    marks = {str(mark["content"]): int(mark["id"]) for mark in stored["added_tokens"]}
    return subwords, {**vocabulary, **marks}


class Tokenizer:
    """The vocabulary of one model. Made by `Tokenizer.from_file`."""

    def __init__(self, subwords: SubwordTokenizer, geometry: Geometry) -> None:
        self._subwords = subwords
        multilingual = geometry.is_multilingual
        self.is_multilingual = multilingual
        self.vocab_size = geometry.vocab_size
        self.eot = _MULTILINGUAL_END if multilingual else _ENGLISH_END  # <|endoftext|>
        self.sot = self.eot + 1  # <|startoftranscript|>
        # `.en` models keep the ids of 99 languages and never use them.
        n_languages = geometry.n_languages if multilingual else 99
        codes = tuple(LANGUAGES)[:n_languages]
        self.language_ids = {code: self.sot + 1 + i for i, code in enumerate(codes)}
        after = self.sot + 1 + n_languages
        self.translate, self.transcribe, self.sot_lm, self.sot_prev, self.no_speech = range(
            after, after + 5
        )
        self.no_timestamps = after + 5
        self.timestamp_begin = after + 6

    @classmethod
    def from_file(cls, path: Path, geometry: Geometry) -> "Tokenizer":
        """Read a `tokenizer.json`.

        Raises:
            TokenizerError: it is missing, damaged, or belongs to another vocabulary.
        """
        if not path.is_file():
            raise TokenizerError(f"{path}: no such file; copy the model's tokenizer.json there")
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            subwords, ids = _read_subwords(stored)
        except Exception as fault:  # the library raises plain Exception; JSON may have any shape
            reason = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
            message = f"{path}: damaged tokenizer ({reason}); copy the model's again"
            raise TokenizerError(message) from fault
        tokenizer = cls(subwords, geometry)
        tokenizer._check(path, ids)
        return tokenizer

    def _check(self, path: Path, ids: dict[str, int]) -> None:
        wanted = {
            "<|endoftext|>": self.eot,
            "<|startoftranscript|>": self.sot,
            "<|transcribe|>": self.transcribe,
            "<|notimestamps|>": self.no_timestamps,
        }
        for text, number in wanted.items():
            found = ids.get(text)
            if found != number:
                message = f"{text} is {found}, this model needs {number}"
                raise TokenizerError(f"{path}: another model's tokenizer ({message})")
        known = set(ids.values())
        lacking = next((i for i in range(self.eot) if i not in known), None)
        if lacking is not None:
            message = f"damaged tokenizer (no subword {lacking}); copy the model's again"
            raise TokenizerError(f"{path}: {message}")
        if self.timestamp_begin + _TIMESTAMPS != self.vocab_size:
            message = f"vocabulary of {self.vocab_size} ids is no Whisper's"
            raise TokenizerError(f"{path}: {message}; use the model's own files")

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages that the model can be asked for."""
        return tuple(self.language_ids) if self.is_multilingual else ("en",)

    def language_code(self, language: str) -> str:
        """The code of a language given by code or English name.

        Raises:
            LanguageError: unknown, or not this model's.
        """
        return language_code(language, self.languages)

    def sot_sequence(self, language: str, task: str) -> tuple[int, ...]:
        """What a transcript starts with.

        That is <|startoftranscript|>, then language and task in multilingual models.
        """
        if not self.is_multilingual:
            return (self.sot,)
        task_id = self.transcribe if task == "transcribe" else self.translate
        return (self.sot, self.language_ids[language], task_id)

    def encode(self, text: str) -> list[int]:
        """Subword ids of a text; no special ids are added or recognised."""
        ids: list[int] = self._subwords.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of ids, special and timestamp ids left out; incomplete UTF-8 becomes U+FFFD."""
        ids = [token for token in tokens if token < self.eot]
        text: str = self._subwords.decode(ids, skip_special_tokens=False)
        return text

    def recut(self, tokens: Sequence[int], share: float, rng: np.random.Generator) -> list[int]:
        """The same text in other subwords, by BPE dropout (see `bpe_dropout`).

        Args:
            tokens: Ids of text alone. What is no whole text by itself (half a character) stays as it is.
            share: The chance that a merge is skipped, 0..1.
            rng: Of the draws.
        """
        spelled = [str(self._subwords.id_to_token(token)) for token in tokens if token < self.eot]
        words = self._subwords.pre_tokenizer.pre_tokenize_str(self.decode(tokens))
        if len(spelled) < len(tokens) or "".join(spelled) != "".join(word for word, _ in words):
            return list(tokens)
        parts = (part for word, _ in words for part in cut(word, self._merge_ranks, share, rng))
        return [self._subword_ids[part] for part in parts]

    @cached_property
    def _subword_ids(self) -> dict[str, int]:
        ids: dict[str, int] = self._subwords.get_vocab()
        return ids

    @cached_property
    def _merge_ranks(self) -> dict[tuple[str, str], int]:
        merges = json.loads(self._subwords.to_str())["model"]["merges"]
        pairs = (pair.split(" ") if isinstance(pair, str) else pair for pair in merges)
        return {(first, second): rank for rank, (first, second) in enumerate(pairs)}

    def decode_with_timestamps(self, tokens: Sequence[int]) -> str:
        """The text of ids with <|1.08|> for timestamps; other special ids are left out."""
        pieces, run = [], list[int]()
        for token in tokens:
            if token < self.timestamp_begin:
                run.append(token)
                continue
            time_s = (token - self.timestamp_begin) * TIMESTAMP_STEP_S
            pieces += [self.decode(run), f"<|{time_s:.2f}|>"]
            run = []
        return "".join([*pieces, self.decode(run)])

    @cached_property
    def blank(self) -> tuple[int, ...]:
        """What a transcript must not begin with: a lone space, or the end."""
        return (*self.encode(" "), self.eot)

    @cached_property
    def non_speech_tokens(self) -> tuple[int, ...]:
        """Ids of symbols that nobody speaks: openai-whisper's `suppress_tokens="-1"`.

        Hyphens and apostrophes are kept inside words and barred at their beginning.
        """
        barred = {self.encode(" -")[0], self.encode(" '")[0]}
        for symbol in [*_UNSPOKEN, *_UNSPOKEN_RUNS, *_MUSIC_SIGNS]:
            for spelled in (symbol, f" {symbol}"):
                ids = self.encode(spelled)
                if len(ids) == 1 or symbol in _MUSIC_SIGNS:
                    barred.add(ids[0])
        return tuple(sorted(barred))
