"""A decoder whose every logit the test writes down."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from tercet.checkpoint.geometry import Geometry
from tercet.text.tokenizer import Tokenizer

VOCAB = 51865


@dataclass
class ScriptedSession:
    """Rows that remember their tokens; logits come from the decoder's `scores`."""

    decoder: "ScriptedDecoder"
    voices: list[int]
    histories: list[list[int]]
    kept: int = 1  # positions whose logits the last step gave

    @property
    def rows(self) -> int:
        return len(self.voices)

    @property
    def lengths(self) -> np.ndarray:
        return np.array([len(history) for history in self.histories], dtype=np.int64)

    def step(self, tokens, *, counts=None, keep=None):
        counts = np.full(self.rows, tokens.shape[1]) if counts is None else counts
        keep = counts[:, None] - 1 if keep is None else keep
        self.decoder.steps.append(tokens.shape)
        logits = []
        for history, voice, row, count, places in zip(
            self.histories, self.voices, tokens, counts, keep, strict=True
        ):
            before = len(history)
            history.extend(int(token) for token in row[:count])
            assert len(history) <= self.decoder.geometry.n_text_ctx, "the cache is full"
            logits.append(
                [self.decoder.scores(voice, history[: before + place + 1]) for place in places]
            )
        self.kept = keep.shape[1]
        return self.decoder.convert(np.array(logits, dtype=np.float32))

    def hidden(self):
        return self.decoder.convert(np.zeros((self.rows, self.kept, 4), np.float32))

    def roll_back(self, lengths):
        self.histories = [h[:n] for h, n in zip(self.histories, lengths, strict=True)]

    def reorder(self, rows):
        self.decoder.reorders.append(list(map(int, rows)))
        self.voices = [self.voices[row] for row in rows]
        self.histories = [list(self.histories[row]) for row in rows]

    def alignment(self):
        raise NotImplementedError


@dataclass
class ScriptedDecoder:
    """`engine.protocol.Decoder` that computes nothing.

    A row's number is written in its states. `scores(row, tokens so far)` gives the logits.
    """

    scores: Callable[[int, list[int]], np.ndarray]
    n_text_ctx: int = 448
    vocab_size: int = VOCAB
    convert: Callable[[np.ndarray], object] = lambda logits: logits
    steps: list[tuple[int, ...]] = field(default_factory=list)
    reorders: list[list[int]] = field(default_factory=list)
    steps_rows_together: bool = True

    @property
    def geometry(self) -> Geometry:
        return Geometry(
            n_mels=80,
            width=4,
            encoder_layers=1,
            encoder_heads=1,
            decoder_layers=1,
            decoder_heads=1,
            vocab_size=self.vocab_size,
            n_text_ctx=self.n_text_ctx,
        )

    def project(self, states):
        return int(states[0, 0])

    def open(self, windows, *, align=False):
        voices = list(windows)
        return ScriptedSession(self, voices, [[] for _ in voices])


@pytest.fixture(scope="session")
def scripted_decoder():
    return ScriptedDecoder


@pytest.fixture(scope="session")
def script_scores():
    """`script_scores({row: [tokens]}, tokenizer)`: each row writes its tokens, then the end."""

    def make(texts: dict[int, list[int]], tokenizer: Tokenizer, no_speech: float = 0.0):
        def scores(row: int, history: list[int]) -> np.ndarray:
            logits = np.zeros(tokenizer.vocab_size, dtype=np.float32)
            if history[-1] == tokenizer.sot:
                logits[tokenizer.no_speech] = no_speech
            start = history.index(tokenizer.sot) + (3 if tokenizer.is_multilingual else 1)
            start += history[start : start + 1] == [tokenizer.no_timestamps]
            place = len(history) - start
            text = texts[row]
            logits[text[place] if 0 <= place < len(text) else tokenizer.eot] = 30.0
            return logits

        return scores

    return make


@pytest.fixture(scope="session")
def voices():
    """`voices(0, 2)`: windows of rows 0 and 2, as the scripted decoder projects them."""
    return lambda *rows: list(rows)


@pytest.fixture(params=["numpy", "torch"])
def to_library(request):
    """Turns a NumPy array into an array of the library that an engine may bring."""
    if request.param == "numpy":
        return lambda array: np.array(array)
    torch = pytest.importorskip("torch")
    return lambda array: torch.tensor(array)


@pytest.fixture
def tokenizer(byte_tokenizer):
    return byte_tokenizer(VOCAB)
