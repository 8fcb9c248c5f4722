"""What every test may ask for. A missing thing skips the test, or fails it under `TERCET_REQUIRE`."""

import functools
import importlib
import importlib.util
import os
import random
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tokenizers

from tercet.checkpoint.arrays import MemoryCheckpoint
from tercet.checkpoint.geometry import Geometry
from tercet.checkpoint.head_naming import head_shapes
from tercet.checkpoint.heads import DraftHead, HeadArrays
from tercet.checkpoint.naming import expected_shapes
from tercet.text.languages import LANGUAGES
from tercet.text.tokenizer import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
REQUIRED = frozenset(filter(None, os.environ.get("TERCET_REQUIRE", "").replace(" ", "").split(",")))


@pytest.fixture(autouse=True)
def draws_begin_alike() -> None:
    """Whatever ran before a test, its random numbers are the same."""
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def missing(requirement: str, reason: str) -> None:
    """Skip, or fail when `TERCET_REQUIRE` names the requirement."""
    if requirement in REQUIRED:
        pytest.fail(f"TERCET_REQUIRE names {requirement!r}, but {reason}", pytrace=False)
    pytest.skip(f"needs {requirement}: {reason}")


def need_module(module: str, requirement: str | None = None) -> None:
    """The module can be imported (requirement defaults to its name)."""
    if importlib.util.find_spec(module) is None:
        missing(requirement or module, f"the module {module} is not installed")


def need_program(program: str) -> str:
    """The path of a program."""
    found = shutil.which(program)
    if found is None:
        missing(program, f"the program {program} is not installed")
    return str(found)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real speech and sounds (`TERCET_DATA`); requirement `shared`."""
    folder = Path(os.environ.get("TERCET_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "SOURCES.md").is_file():
        missing("shared", f"no data at {folder}; set TERCET_DATA")
    return folder


@pytest.fixture(scope="session")
def genuine_base() -> Path:
    """OpenAI's float16 Whisper base, CTranslate2's layout (`TERCET_WHISPER_BASE`); `whisper-base`."""
    named = os.environ.get("TERCET_WHISPER_BASE")
    if not named or not (Path(named) / "model.bin").is_file():
        missing("whisper-base", "TERCET_WHISPER_BASE names no folder with OpenAI's float16 weights")
    return Path(str(named))


@pytest.fixture(scope="session")
def clips_dir() -> Path:
    """The clips that the repository carries."""
    return ROOT / "tests" / "clips"


@pytest.fixture(scope="session")
def base_model() -> Path:
    """The weights that the installed distribution tercet-base brings; requirement `tercet_base`."""
    need_module("tercet_base")
    spec = importlib.util.find_spec("tercet_base")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders or not (Path(folders[0]) / "model.safetensors").is_file():
        missing("tercet_base", "the package tercet_base has no model.safetensors")
    return Path(folders[0])


@pytest.fixture(scope="session")
def real_base(request: pytest.FixtureRequest) -> Path:
    """Real weights to compare engines and peers on: OpenAI's own if they are there, else the box's."""
    is_named = bool(os.environ.get("TERCET_WHISPER_BASE")) or "whisper-base" in REQUIRED
    return Path(request.getfixturevalue("genuine_base" if is_named else "base_model"))


@pytest.fixture(scope="session")
def random_checkpoint() -> Callable[..., MemoryCheckpoint]:
    """A factory: `random_checkpoint(geometry, seed=0)` has arrays of a trained model's size."""

    def make(geometry: Geometry, seed: int = 0) -> MemoryCheckpoint:
        rng = np.random.default_rng(seed)
        arrays = {}
        for name, shape in expected_shapes(geometry).items():
            spread = 0.1 if len(shape) == 1 else shape[-1] ** -0.5
            middle = 1.0 if name.endswith("layer_norm.weight") else 0.0
            arrays[name] = rng.normal(middle, spread, shape).astype(np.float32)
        return MemoryCheckpoint(geometry, arrays)

    return make


@pytest.fixture(scope="session")
def random_draft() -> Callable[..., DraftHead]:
    """A factory: `random_draft(geometry, shortlist=50, seed=0, rank=0)`, for that model's last layer."""

    def make(geometry: Geometry, shortlist: int = 50, seed: int = 0, rank: int = 0) -> DraftHead:
        rng = np.random.default_rng(seed)
        ids = np.sort(rng.choice(geometry.vocab_size, shortlist, replace=False))
        head = DraftHead(
            width=geometry.width,
            mlp_width=2 * geometry.width,
            layer=geometry.decoder_layers - 1,
            vocab_size=geometry.vocab_size,
            shortlist=shortlist,
            rank=rank,
            arrays=HeadArrays({}),
        )
        arrays = {
            name: rng.normal(0, shape[-1] ** -0.5, shape).astype(np.float32)
            for name, shape in head_shapes(head).items()
        }
        arrays["token_ids"] = ids.astype(np.float32)
        return replace(head, arrays=HeadArrays(arrays))

    return make


@pytest.fixture(scope="session")
def peer() -> Callable[[str], ModuleType]:
    """`peer("whisper")` imports a package that we compare with; requirement: its import name."""

    def load(name: str) -> ModuleType:
        need_module(name.split(".")[0])
        return importlib.import_module(name)

    return load


@pytest.fixture(scope="session")
def byte_tokenizer(byte_tokenizer_file: Callable[[int], Path]) -> Callable[[int], Tokenizer]:
    """`byte_tokenizer(vocab_size)`: the opened `byte_tokenizer_file`."""

    def make(vocab_size: int) -> Tokenizer:
        return Tokenizer.from_file(byte_tokenizer_file(vocab_size), geometry_of(vocab_size))

    return functools.cache(make)


@pytest.fixture(scope="session")
def byte_tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """`byte_tokenizer_file(vocab_size)`: Whisper's ids over single bytes and made-up words.

    Ids 0 to 255 are bytes, `ord` of a printable letter less 33 is its id; from 256 on, id n is the
    word " wn".
    """

    def make(vocab_size: int) -> Path:
        end = 50257 if vocab_size >= 51865 else 50256
        # The 256 stand-ins for bytes in the order that byte-level vocabularies have.
        printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
        letters = [chr(i) for i in printable] + [chr(256 + i) for i in range(256 - len(printable))]
        words = [*letters, *(f"Ġw{i}" for i in range(256, end))]
        model = tokenizers.models.BPE({word: i for i, word in enumerate(words)}, [])
        subwords = tokenizers.Tokenizer(model)
        subwords.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        subwords.decoder = tokenizers.decoders.ByteLevel()
        languages = list(LANGUAGES)[: 100 if vocab_size == 51866 else 99]
        marks = ["translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps"]
        names = ["endoftext", "startoftranscript", *languages, *marks]
        subwords.add_special_tokens([f"<|{name}|>" for name in names])
        path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
        subwords.save(str(path))
        return path

    return functools.cache(make)


def geometry_of(vocab_size: int) -> Geometry:
    """A model of no size but its vocabulary's."""
    return Geometry(
        n_mels=80,
        width=4,
        encoder_layers=1,
        encoder_heads=1,
        decoder_layers=1,
        decoder_heads=1,
        vocab_size=vocab_size,
    )
