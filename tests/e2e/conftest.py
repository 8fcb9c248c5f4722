"""The shipped model, loaded once, the clips as samples, and random heads for the model."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tercet
from tercet.audio.load import load
from tercet.checkpoint.head_naming import head_shapes
from tercet.checkpoint.heads import Head, HeadArrays, Quantizer, TagHead
from tercet.convert.head_store import write_head


@pytest.fixture(scope="session")
def shipped(base_model: Path) -> tercet.Model:
    """The model that the distribution tercet-base brings, in int8, without its heads."""
    return tercet.load_model(base_model, tags="none", tokens="none", threads=2)


@pytest.fixture(scope="session")
def with_heads(base_model: Path) -> tercet.Model:
    """The same with the heads that it brings."""
    return tercet.load_model(base_model, threads=2)


@pytest.fixture(scope="session")
def clip(clips_dir: Path) -> Callable[[str], Path]:
    """`clip("librispeech-4507")`: the one clip whose name begins so."""

    def find(start: str) -> Path:
        (found,) = clips_dir.glob(f"{start}*")
        return found

    return find


@pytest.fixture(scope="session")
def sound(clip) -> Callable[[str], np.ndarray]:
    """The same as float32 samples at 16 kHz."""
    return lambda start: load(clip(start)).read()


def filled(head: Head, seed: int) -> Head:
    """The head with random arrays: norms and biases as at the start of training."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, shape in head_shapes(head).items():
        if name.endswith("bias"):
            arrays[name] = np.zeros(shape, np.float32)
        elif name.endswith("norm.weight"):
            arrays[name] = np.ones(shape, np.float32)
        else:
            scale = 1 / np.sqrt(shape[-1])
            arrays[name] = rng.normal(0, scale, shape).astype(np.float32)
    return replace(head, arrays=HeadArrays(arrays))


@pytest.fixture(scope="session")
def tag_head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random tag head for base (AudioSet's labels), on disk."""
    head = TagHead(
        layers="each", n_layers=6, width=512, hidden=64, has_projection=True, time_heads=1,
        layer_heads=8, arrays=HeadArrays({}),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("heads") / "tags.safetensors"
    write_head(path, filled(head, 0))
    return path


@pytest.fixture(scope="session")
def quantizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random quantizer for base, of 32 codes and a mask, on disk."""
    head = Quantizer(
        width=512, heads=8, mlp_width=512, code_width=16, codebook_size=33, mask_code=32,
        arrays=HeadArrays({}),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("heads") / "codes.safetensors"
    write_head(path, filled(head, 1))
    return path
