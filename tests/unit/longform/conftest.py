"""A model that computes nothing: what it writes about a window is a name for that window's sound."""

import hashlib
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from tercet.checkpoint.geometry import Geometry
from tercet.checkpoint.heads import HeadArrays, Quantizer, TagHead
from tercet.engine.heads import Heads, OpenCodes, OpenTags
from tercet.engine.protocol import Encoded
from tercet.listener import Model
from tercet.text.tokenizer import Tokenizer

GEOMETRY = Geometry(
    n_mels=80,
    width=4,
    encoder_layers=1,
    encoder_heads=1,
    decoder_layers=1,
    decoder_heads=1,
    vocab_size=51865,
)
Write = Callable[[int, Tokenizer], list[int]]


def one_word(voice: int, tokenizer: Tokenizer) -> list[int]:
    """<|0.00|> wN <|2.00|>, N being the voice's number."""
    return [tokenizer.timestamp_begin, voice, tokenizer.timestamp_begin + 100]


@dataclass
class FakeEncoder:
    """Numbers a window by its log-mel: equal sound, equal number."""

    calls: list[int] = field(default_factory=list)  # the numbers, in order
    real_frames: list[int | None] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)  # of each call's log-mel
    has_taps: bool = False
    geometry: Geometry = GEOMETRY

    def encode(self, mel: np.ndarray, *, real_frames: int | None = None) -> Encoded:
        digest = hashlib.sha256(np.ascontiguousarray(mel).tobytes()).digest()
        number = 300 + int.from_bytes(digest[:4], "big") % 40000
        self.calls.append(number)
        self.real_frames.append(real_frames)
        self.columns.append(mel.shape[1])
        if not self.has_taps:
            return Encoded(np.full((5, 4), number, np.float32), None)
        states = np.full((mel.shape[1] // 2, 4), number, np.float32)
        # A tap hears its own 0.4 s: the loudest log-mel value in it.
        loudest = mel[:, : mel.shape[1] // 40 * 40].reshape(mel.shape[0], -1, 40).max(axis=(0, 2))
        taps = np.repeat(loudest[None, :, None], 4, axis=2).astype(np.float32)
        return Encoded(states, taps)


@dataclass
class FakeDecoder:
    """Writes `write(voice)` with near certainty; asked for a language, it names the voice's."""

    tokenizer: Tokenizer
    write: Write = one_word
    language: str = "de"
    languages: dict[int, str] = field(default_factory=dict)  # of voices that say another one
    opened: list[int] = field(default_factory=list)  # rows of every session, in order
    geometry: Geometry = GEOMETRY

    def project(self, states: np.ndarray) -> int:
        return int(states[0, 0])

    def open(self, windows: Sequence[int], *, align: bool = False) -> "FakeSession":
        self.opened.append(len(windows))
        return FakeSession(self, list(windows), [[] for _ in windows])


@dataclass
class FakeSession:
    decoder: FakeDecoder
    voices: list[int]
    histories: list[list[int]]

    @property
    def rows(self) -> int:
        return len(self.voices)

    @property
    def lengths(self) -> np.ndarray:
        return np.array([len(history) for history in self.histories], dtype=np.int64)

    def step(self, tokens, *, counts=None, keep=None):
        counts = np.full(self.rows, tokens.shape[1]) if counts is None else counts
        keep = counts[:, None] - 1 if keep is None else keep
        logits = np.zeros((self.rows, keep.shape[1], GEOMETRY.vocab_size), np.float32)
        for row, places in enumerate(keep):
            before = len(self.histories[row])
            self.histories[row].extend(map(int, tokens[row, : counts[row]]))
            for i, place in enumerate(places):
                logits[row, i, self.next_token(row, before + int(place) + 1)] = 30.0
        return logits

    def next_token(self, row: int, n_seen: int) -> int:
        """After the start sequence of three comes the text, then the end."""
        tokenizer = self.decoder.tokenizer
        if n_seen == 1:
            voice = self.voices[row]
            return tokenizer.language_ids[self.decoder.languages.get(voice, self.decoder.language)]
        text = self.decoder.write(self.voices[row], tokenizer)
        place = n_seen - 3
        return text[place] if 0 <= place < len(text) else tokenizer.eot

    def roll_back(self, lengths):
        self.histories = [h[:n] for h, n in zip(self.histories, lengths, strict=True)]

    def reorder(self, rows):
        self.voices = [self.voices[row] for row in rows]
        self.histories = [list(self.histories[row]) for row in rows]

    def alignment(self):
        raise NotImplementedError


class FakeScorer:
    """One label, "Loud": a window's score follows its loudest tap."""

    def score(self, taps: np.ndarray, windows: np.ndarray) -> np.ndarray:
        return 8.0 * (taps[0, :, 0][windows].max(axis=1, keepdims=True) - 0.1)


@dataclass
class FakeCoder:
    """Every code of a window is its encoder call's number modulo 100; decoding gives the number back."""

    allowed_mask: list[bool] = field(default_factory=list)
    decoded: list[np.ndarray] = field(default_factory=list)

    def encode(self, states: np.ndarray, *, allow_mask: bool = False) -> np.ndarray:
        self.allowed_mask.append(allow_mask)
        return np.full(len(states) // 2, int(states[0, 0]) % 100, np.int32)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        self.decoded.append(codes)
        return np.full((5, 4), 300 + int(codes[0]), np.float32)


TAG_HEAD = TagHead(
    layers="last",
    n_layers=None,
    width=4,
    hidden=4,
    has_projection=False,
    time_heads=0,
    layer_heads=0,
    arrays=HeadArrays({}),
    labels=("Loud",),
    window_frames=1,
    hop_frames=1,
)
QUANTIZER = Quantizer(
    width=4,
    heads=1,
    mlp_width=16,
    code_width=2,
    codebook_size=101,
    mask_code=100,
    arrays=HeadArrays({}),
)


@dataclass
class Fake:
    model: Model
    encoder: FakeEncoder
    decoder: FakeDecoder
    coder: FakeCoder


@pytest.fixture
def fake(byte_tokenizer) -> Callable[..., Fake]:
    """`fake(batch_size=4, write=one_word, overlap=True)`: a model over the engine above, and the engine.

    `tags={}` and `tokens={}` add heads (`TAG_HEAD`, `QUANTIZER`), of which a dictionary changes settings.
    """

    def make(
        batch_size: int = 4,
        write: Write = one_word,
        *,
        overlap: bool = True,
        tags: dict[str, object] | None = None,
        tokens: dict[str, object] | None = None,
        true_length: bool = False,
    ) -> Fake:
        tokenizer = byte_tokenizer(GEOMETRY.vocab_size)
        encoder = FakeEncoder(has_taps=tags is not None or tokens is not None)
        decoder, coder = FakeDecoder(tokenizer, write), FakeCoder()
        heads = Heads(
            tags=None if tags is None else OpenTags(replace(TAG_HEAD, **tags), FakeScorer()),
            codes=None
            if tokens is None
            else OpenCodes(replace(QUANTIZER, **tokens), coder, "0123456789abcdef"),
        )
        model = Model(
            "fake",
            encoder,
            decoder,
            tokenizer,
            batch_size=batch_size,
            overlap=overlap,
            heads=heads,
            true_length=true_length,
        )
        return Fake(model, encoder, decoder, coder)

    return make


@pytest.fixture
def working_ahead() -> Callable[[], list[threading.Thread]]:
    """`working_ahead()`: the threads that are encoding ahead of somebody."""
    return lambda: [thread for thread in threading.enumerate() if thread.name == "tercet-ahead"]


@pytest.fixture
def held_mib(working_ahead) -> Callable[[], float]:
    """`held_mib()`: what is held, in MiB, once no thread that works ahead can do any more.

    For `tracemalloc`. Called where the other half of the loop waits: a thread then stops by itself, at its
    limit or at the end, however slow the machine is. What either half takes for a moment is not held.
    """

    def is_stuck(thread: threading.Thread) -> bool:
        frame = sys._current_frames().get(thread.ident or 0)
        names = []
        while frame is not None:
            names.append(frame.f_code.co_name)
            frame = frame.f_back
        return not thread.is_alive() or names[:2] == ["wait", "put"]

    def measure() -> float:
        while not all(is_stuck(thread) for thread in working_ahead()):
            time.sleep(0.001)
        return tracemalloc.get_traced_memory()[0] / 2**20

    return measure


@pytest.fixture
def noise() -> Callable[..., np.ndarray]:
    """`noise(seconds, seed=0)`: sound without a pause, so that every cut is a seam."""

    def make(seconds: float, seed: int = 0) -> np.ndarray:
        drawn = np.random.default_rng(seed).normal(0, 0.1, round(seconds * 16000))
        return drawn.astype(np.float32)

    return make


@pytest.fixture
def paused(noise) -> Callable[..., np.ndarray]:
    """`paused(n)`: n stretches of 24 s of sound and 4 s of silence, so that every cut is in a pause."""

    def make(n: int, seed: int = 0) -> np.ndarray:
        silence = np.zeros(4 * 16000, np.float32)
        return np.concatenate([np.concatenate([noise(24, seed + i), silence]) for i in range(n)])

    return make
