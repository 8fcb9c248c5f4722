"""The frozen Whisper that a quantizer is trained with: its states of a window, and what its decoder expects.

The encoder is the one that will serve (`load_model`'s engine and precision), so that a quantizer hears while
it is trained what it will hear afterwards. The teacher's text is the served decoder's greedy one; how likely
it finds each id is computed in torch, in float32.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tercet.audio.convention import InputConvention, window_mel
from tercet.checkpoint import Checkpoint
from tercet.decoding.loop import Decoded, decode
from tercet.decoding.options import DecodeOptions
from tercet.engine.choice import choose
from tercet.engine.protocol import Decoder, Encoder, Projections
from tercet.loading import open_parts, tokenizer_of
from tercet.text.tokenizer import Tokenizer
from tercet.train.forced import hidden_of_text, text_logits

if TYPE_CHECKING:
    from tercet.model.decoder import TextDecoder

_SAMPLES_PER_STATE = 320
_REPEATS = 2.4  # a text with a higher compression ratio repeats itself


@dataclass(frozen=True, slots=True)
class Spoken:
    """The text of a window, as ids."""

    prompt: tuple[
        int, ...
    ]  # <|startoftranscript|>, language, task, and <|notimestamps|> where there are none
    text: tuple[int, ...]  # with its <|endoftext|>
    words: str
    language: str
    is_repetitive: bool = False


class Teacher:
    """A Whisper, opened for training."""

    def __init__(
        self, checkpoint: Checkpoint, convention: InputConvention, *, threads: int | None = None
    ) -> None:
        """Open encoder and decoder.

        Args:
            checkpoint: The model.
            convention: What stands behind the sound.
            threads: None: one per core.

        Raises:
            EngineError: the engine refused them.
        """
        choice = choose("auto", "auto", "auto")
        self.geometry = checkpoint.geometry
        self._convention = convention
        self.tokenizer: Tokenizer = tokenizer_of(checkpoint)
        self.encoder: Encoder
        self.decoder: Decoder
        self.encoder, self.decoder = open_parts(checkpoint, choice, threads)
        self._network = decoder_network(checkpoint)

    def states(self, samples: np.ndarray) -> tuple[np.ndarray, int]:
        """States of a whole window, float32 [positions, width], and how many of them are sound."""
        mel = window_mel(samples, self._convention, n_mels=self.geometry.n_mels)
        real = min(-(-samples.size // _SAMPLES_PER_STATE), mel.shape[1] // 2)
        states = np.asarray(self.encoder.encode(mel, real_frames=real).states, np.float32)
        return states, real

    def transcribe(
        self,
        states: Sequence[np.ndarray],
        *,
        languages: Sequence[str | None],
        with_timestamps: Sequence[bool],
    ) -> list[Spoken]:
        """Greedy texts of some windows' states."""
        found: dict[int, Spoken] = {}
        for timed in (True, False):
            rows = [row for row, wanted in enumerate(with_timestamps) if wanted == timed]
            if not rows:
                continue
            decoded = decode(
                self.decoder,
                Projections(self.decoder, [states[row] for row in rows]),
                self.tokenizer,
                DecodeOptions(without_timestamps=not timed),
                languages=[languages[row] for row in rows],
            )
            found |= {row: self._spoken(of, timed) for row, of in zip(rows, decoded, strict=True)}
        return [found[row] for row in range(len(states))]

    def given(self, words: str, language: str) -> Spoken:
        """A text from a manifest, without timestamps; cut to what the decoder has room for."""
        prompt = self._prompt(language, timed=False)
        ids = self.tokenizer.encode(" " + words.strip())[: self.geometry.n_text_ctx // 2 - 1]
        return Spoken(prompt, (*ids, self.tokenizer.eot), words, language)

    @torch.no_grad()
    def expected(self, states: np.ndarray, spoken: Spoken, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k likeliest ids at each position of the text, int64 [n, k], and their log probabilities."""
        inputs = torch.tensor([*spoken.prompt, *spoken.text[:-1]])
        hidden = hidden_of_text(self._network, inputs, torch.from_numpy(states))
        logits = text_logits(self._network, hidden[len(spoken.prompt) - 1 :])
        log_p, ids = logits.log_softmax(-1).topk(k, dim=-1)
        return ids.numpy(), log_p.numpy()

    def _spoken(self, decoded: Decoded, timed: bool) -> Spoken:
        return Spoken(
            self._prompt(decoded.language, timed=timed),
            (*decoded.tokens, self.tokenizer.eot),
            decoded.text,
            decoded.language,
            is_repetitive=decoded.compression_ratio > _REPEATS,
        )

    def _prompt(self, language: str, *, timed: bool) -> tuple[int, ...]:
        marks = () if timed else (self.tokenizer.no_timestamps,)
        return (*self.tokenizer.sot_sequence(language, "transcribe"), *marks)


def decoder_network(checkpoint: Checkpoint) -> "TextDecoder":
    """The frozen decoder in torch, float32."""
    from tercet.model import load_torch

    _, decoder = load_torch(checkpoint, dtype="float32")
    network: Any = decoder.module
    network.requires_grad_(False)
    return network.eval()  # type: ignore[no-any-return]
