"""A model that computes nothing: logits that follow a window's loudness, codes that count encoder calls."""

from collections.abc import Callable
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
TAG_HEAD = TagHead(
    layers="last",
    n_layers=None,
    width=4,
    hidden=4,
    has_projection=False,
    time_heads=0,
    layer_heads=0,
    arrays=HeadArrays({}),
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
class FakeEncoder:
    """A tap is the loudest log-mel value of its own 0.4 s; a state is the number of the call."""

    calls: int = 0
    geometry: Geometry = GEOMETRY

    def encode(self, mel: np.ndarray, *, real_frames: int | None = None) -> Encoded:
        self.calls += 1
        loudest = mel[:, : mel.shape[1] // 40 * 40].reshape(mel.shape[0], -1, 40).max(axis=(0, 2))
        taps = np.repeat(loudest[None, :, None], 4, axis=2).astype(np.float32)
        return Encoded(np.full((mel.shape[1] // 2, 4), self.calls, np.float32), taps)


class FakeScorer:
    """Every label's logit is 10 times the mean of the window's taps; the first label's is 1 higher."""

    def score(self, taps: np.ndarray, windows: np.ndarray) -> np.ndarray:
        means = 10 * taps[0, :, 0][windows].mean(axis=1, keepdims=True)
        return (means + (np.arange(527) == 0)).astype(np.float32)


@dataclass
class FakeCoder:
    """Codes are the encoder call's number; decoded, they give it back."""

    def encode(self, states: np.ndarray, *, allow_mask: bool = False) -> np.ndarray:
        assert allow_mask, "the originals may choose the mask's code"
        return np.full(len(states) // 2, int(states[0, 0]), np.int32)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return np.full((5, 4), int(codes[0]) if len(codes) else 0, np.float32)


@dataclass
class FakeDecoder:
    """Writes <|0.00|> wN <|2.00|> about every window, N being 300 and its states' number; it hears German."""

    tokenizer: Tokenizer
    language: str = "de"
    geometry: Geometry = GEOMETRY
    opened: list[int] = field(default_factory=list)

    def project(self, states: np.ndarray) -> int:
        return 300 + int(states[0, 0])

    def open(self, windows, *, align=False) -> "FakeSession":
        self.opened.append(len(windows))
        return FakeSession(self, list(windows), [0] * len(windows))


@dataclass
class FakeSession:
    decoder: FakeDecoder
    words: list[int]
    seen: list[int]

    @property
    def rows(self) -> int:
        return len(self.words)

    @property
    def lengths(self) -> np.ndarray:
        return np.array(self.seen, np.int64)

    def step(self, tokens, *, counts=None, keep=None):
        counts = np.full(self.rows, tokens.shape[1]) if counts is None else counts
        keep = counts[:, None] - 1 if keep is None else keep
        logits = np.zeros((self.rows, keep.shape[1], GEOMETRY.vocab_size), np.float32)
        for row, places in enumerate(keep):
            for i, place in enumerate(places):
                logits[row, i, self._next(row, self.seen[row] + int(place) + 1)] = 30.0
            self.seen[row] += int(counts[row])
        return logits

    def _next(self, row: int, n_seen: int) -> int:
        tokenizer = self.decoder.tokenizer
        if n_seen == 1:
            return tokenizer.language_ids[self.decoder.language]
        begin = tokenizer.timestamp_begin
        text = [begin, self.words[row], begin + 100]
        return text[n_seen - 3] if n_seen - 3 < len(text) else tokenizer.eot

    def roll_back(self, lengths):
        self.seen = [int(length) for length in lengths]

    def reorder(self, rows):
        self.words = [self.words[row] for row in rows]
        self.seen = [self.seen[row] for row in rows]


@dataclass
class Fake:
    model: Model
    encoder: FakeEncoder
    decoder: FakeDecoder


@pytest.fixture
def fake(byte_tokenizer) -> Callable[..., Fake]:
    """`fake(language="de", tags=True, tokens=True)`: a model over the engine above, and the engine."""

    def make(*, language: str = "de", tags: bool = True, tokens: bool = True, **head) -> Fake:
        tokenizer = byte_tokenizer(GEOMETRY.vocab_size)
        encoder, decoder = FakeEncoder(), FakeDecoder(tokenizer, language)
        heads = Heads(
            tags=OpenTags(replace(TAG_HEAD, **head), FakeScorer()) if tags else None,
            codes=OpenCodes(QUANTIZER, FakeCoder(), "0123456789abcdef") if tokens else None,
        )
        model = Model("fake", encoder, decoder, tokenizer, batch_size=2, overlap=False, heads=heads)
        return Fake(model, encoder, decoder)

    return make


@pytest.fixture
def stairs() -> Callable[..., np.ndarray]:
    """`stairs(seconds, step_s=10)`: noise that is 3 times as loud every `step_s`, five times, then anew."""

    def make(seconds: float, step_s: float = 10.0) -> np.ndarray:
        noise = np.random.default_rng(0).normal(0, 0.001, round(seconds * 16000))
        stair = (np.arange(noise.size) // round(step_s * 16000)) % 5
        return (noise * 3.0**stair).astype(np.float32)

    return make
