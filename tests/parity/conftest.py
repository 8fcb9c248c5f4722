"""What parity tests of decoding share: openai-whisper's vocabulary and model behind our interfaces."""

import base64
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tercet.checkpoint.arrays import Checkpoint
from tercet.checkpoint.geometry import Geometry
from tercet.checkpoint.naming import openai_slots
from tercet.text.languages import LANGUAGES
from tercet.text.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def published_tokenizer(tmp_path_factory, peer) -> Callable[[int], Tokenizer]:
    """`published_tokenizer(vocab_size)`: Whisper's real vocabulary, from openai-whisper's own files."""
    assets = Path(peer("whisper").__file__).parent / "assets"
    made: dict[int, Tokenizer] = {}

    def make(vocab_size: int) -> Tokenizer:
        if vocab_size not in made:
            name = "gpt2" if vocab_size == 51864 else "multilingual"
            path = tmp_path_factory.mktemp("published") / "tokenizer.json"
            n_languages = 100 if vocab_size == 51866 else 99
            write_tokenizer(assets / f"{name}.tiktoken", n_languages, path)
            made[vocab_size] = Tokenizer.from_file(path, geometry_of(vocab_size))
        return made[vocab_size]

    return make


def geometry_of(vocab_size: int, **sizes: int) -> Geometry:
    """A tiny model with a real vocabulary."""
    tiny = {
        "n_mels": 80,
        "width": 16,
        "encoder_layers": 1,
        "encoder_heads": 2,
        "decoder_layers": 2,
        "decoder_heads": 2,
        "n_audio_ctx": 1500,
        "n_text_ctx": 64,
    }
    return Geometry(vocab_size=vocab_size, **(tiny | sizes))


def write_tokenizer(ranks_file: Path, n_languages: int, path: Path) -> None:
    """A Hugging Face tokenizer.json of a list of byte strings by rank."""
    import tokenizers

    lines = ranks_file.read_text().split("\n")
    pairs = [line.split() for line in lines if line]
    ranks = {base64.b64decode(text): int(rank) for text, rank in pairs}
    letter = byte_letters()
    merges, vocab = [], {}
    for text, rank in sorted(ranks.items(), key=lambda item: item[1]):
        vocab["".join(letter[byte] for byte in text)] = rank
        if len(text) > 1:
            parts = parts_below(text, rank, ranks)
            merges.append(tuple("".join(letter[byte] for byte in part) for part in parts))
    model = tokenizers.models.BPE(vocab, merges)
    subwords = tokenizers.Tokenizer(model)
    subwords.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    subwords.decoder = tokenizers.decoders.ByteLevel()
    marks = ["translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps"]
    names = ["endoftext", "startoftranscript", *list(LANGUAGES)[:n_languages], *marks]
    subwords.add_special_tokens([f"<|{name}|>" for name in names])
    subwords.save(str(path))


def byte_letters() -> dict[int, str]:
    """The printable stand-in of each byte in byte-level vocabularies."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    stand_ins = {byte: chr(256 + i) for i, byte in enumerate(rest)}
    return {byte: chr(byte) for byte in printable} | stand_ins


def parts_below(text: bytes, rank: int, ranks: dict[bytes, int]) -> list[bytes]:
    """The two parts that were merged last: byte pairs of lower rank, lowest first."""
    parts = [bytes([byte]) for byte in text]
    while len(parts) > 2:
        options = [ranks.get(a + b, rank) for a, b in pairwise(parts)]
        best = int(np.argmin(options))
        assert options[best] < rank, f"{text!r} cannot be merged"
        parts[best : best + 2] = [parts[best] + parts[best + 1]]
    return parts


@pytest.fixture(scope="session")
def openai_model(peer):
    """`openai_model(checkpoint)`: openai-whisper's model with these weights, in fp32."""
    peer("whisper")
    torch = peer("torch")
    from whisper.model import ModelDimensions, Whisper

    def make(checkpoint: Checkpoint):
        g = checkpoint.geometry
        audio = (g.n_mels, g.n_audio_ctx, g.width, g.encoder_heads, g.encoder_layers)
        text = (g.vocab_size, g.n_text_ctx, g.width, g.decoder_heads, g.decoder_layers)
        model = Whisper(ModelDimensions(*audio, *text)).eval()
        state = {
            slot.key: torch.from_numpy(np.array(checkpoint.read(name), dtype=np.float32))
            for name, slot in openai_slots(g).items()
        }
        model.load_state_dict(state)
        return model

    return make


class OpenAISession:
    """A protocol session over openai-whisper's decoder: slow, a full pass per step."""

    def __init__(self, decoder: "OpenAIDecoder", windows) -> None:
        self.decoder = decoder
        self.states = np.stack([np.asarray(states) for states in windows])
        self.histories: list[list[int]] = [[] for _ in windows]

    @property
    def rows(self) -> int:
        return len(self.histories)

    @property
    def lengths(self) -> np.ndarray:
        return np.array([len(history) for history in self.histories], dtype=np.int64)

    def step(self, tokens, *, counts=None, keep=None):
        import torch

        before = self.lengths
        counts = np.full(self.rows, tokens.shape[1]) if counts is None else counts
        keep = counts[:, None] - 1 if keep is None else keep
        for history, row, count in zip(self.histories, tokens, counts, strict=True):
            history.extend(int(token) for token in row[:count])
        longest = int(self.lengths.max())
        padded = [history + [0] * (longest - len(history)) for history in self.histories]
        with torch.no_grad():
            logits = self.decoder.model.decoder(torch.tensor(padded), torch.as_tensor(self.states))
        wanted = [row[at] for row, at in zip(logits, before[:, None] + keep, strict=True)]
        stacked = torch.stack(wanted)
        return stacked if self.decoder.in_torch else stacked.numpy()

    def roll_back(self, lengths):
        self.histories = [h[:n] for h, n in zip(self.histories, lengths, strict=True)]

    def reorder(self, rows):
        self.states = self.states[rows]
        self.histories = [list(self.histories[row]) for row in rows]

    def alignment(self):
        raise NotImplementedError


class OpenAIDecoder:
    """openai-whisper's decoder behind `engine.protocol.Decoder`."""

    def __init__(self, model, geometry: Geometry, *, in_torch: bool) -> None:
        self.model = model
        self.geometry = geometry
        self.in_torch = in_torch

    def project(self, states):
        return states  # what it projects is its own affair

    def open(self, windows, *, align=False):
        return OpenAISession(self, windows)


@pytest.fixture(scope="session")
def openai_decoder():
    return OpenAIDecoder


@pytest.fixture(scope="session")
def tiny_geometry():
    return geometry_of


@pytest.fixture(scope="session")
def clip_manifest(clips_dir) -> list[dict[str, object]]:
    lines = (clips_dir / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]
