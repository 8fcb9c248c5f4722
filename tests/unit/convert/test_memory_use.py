"""Conversion reads and writes array by array: its memory follows the largest array, not the model.

Each conversion is a process of its own, whose peak is compared with what it has after its imports.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tercet.checkpoint import Generation, Geometry, save_hugging_face
from tercet.checkpoint.naming import expected_shapes, openai_slots

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="needs Linux's own peak of memory"
)

# The embedding is the largest array, as in every Whisper: 9 of 73 million numbers.
GEOMETRY = Geometry(
    n_mels=80,
    width=512,
    encoder_layers=10,
    encoder_heads=8,
    decoder_layers=8,
    decoder_heads=8,
    vocab_size=18_000,
)
SHAPES = expected_shapes(GEOMETRY)
LARGEST_MB = max(np.prod(shape) for shape in SHAPES.values()) * 4 / 1e6
MODEL_MB = sum(np.prod(shape) for shape in SHAPES.values()) * 4 / 1e6
# The 10 MB are pieces in work, the metadata, first steps of NumPy: the same for any model.
ALLOWED_MB = 2 * LARGEST_MB + 10

RUN = """
import json, sys
from pathlib import Path
import numpy as np
from tercet.checkpoint import open_checkpoint, safetensors_writer
from tercet.convert import quantize
from tercet.convert.conversion import Conversion, convert
source, folder, tokenizer, compute_type, folds, to = sys.argv[1:]
# Pieces of 1 MB: what they need is the same for any model, and hides what is asked here.
safetensors_writer._ITEMS_AT_ONCE = quantize._ITEMS_AT_ONCE = 2**18
# Not getrusage: its peak is at first that of the process that started this one.
peak = lambda: int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1e3
before = peak()
checkpoint = open_checkpoint(Path(source))
groups = [f"layers.{i}.{g}" for i in range(10) for g in ("self_attn", "out_proj", "fc1")]
spread = np.linspace(0.1, 9, 512, dtype=np.float16)
statistics = dict.fromkeys(groups, spread) if folds == "fold" else None
conversion = Conversion(folder=Path(folder), compute_type=compute_type, to=to, force=True)
convert(checkpoint, conversion, name="x", tokenizer_file=Path(tokenizer), statistics=statistics)
print(json.dumps([before, peak()]))
"""


SOME = np.random.default_rng(0).normal(0, 0.02, 100_003).astype(np.float32)


@dataclass
class Lazy:
    """Arrays made when they are read."""

    geometry = GEOMETRY
    path = layout = tokenizer_file = None

    def names(self):
        return tuple(sorted(SHAPES))

    def shape(self, name):
        return SHAPES[name]

    def read(self, name):
        return np.resize(SOME, SHAPES[name])


@pytest.fixture(scope="module")
def sources(tmp_path_factory, request):
    """The same model in several layouts."""
    place = tmp_path_factory.mktemp("large")
    made = Lazy()
    for dtype in ("float16", "float32"):
        save_hugging_face(made, place / dtype, dtype=dtype, generation=Generation())
    return place


@pytest.fixture(scope="module")
def openai(sources, peer):
    torch = peer("torch")
    g, slots, made = GEOMETRY, openai_slots(GEOMETRY), Lazy()
    sizes = (g.n_mels, 1500, g.width, 8, 10, g.vocab_size, 448, g.width, 8, 8)
    keys = "n_mels n_audio_ctx n_audio_state n_audio_head n_audio_layer n_vocab n_text_ctx "
    names = (keys + "n_text_state n_text_head n_text_layer").split()
    state = {slots[name].key: torch.from_numpy(made.read(name)) for name in made.names()}
    path = sources / "large.pt"
    torch.save({"dims": dict(zip(names, sizes, strict=True)), "model_state_dict": state}, path)
    return path


def grown_mb(source, tmp_path, compute_type="int8", folds="plain", to="tercet"):
    """How far the peak of a conversion lies above what its imports took."""
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text("{}")
    words = (source, tmp_path / "out", tokenizer, compute_type, folds, to)
    command = [sys.executable, "-c", RUN, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, peak = json.loads(done.stdout)
    return peak - before


@pytest.mark.parametrize(
    ("dtype", "compute_type", "folds"),
    [
        ("float16", "int8", "plain"),
        ("float32", "int8", "plain"),
        ("float32", "int8", "fold"),
        ("float32", "float16", "plain"),
    ],
)
def test_memory_follows_the_largest_array(sources, tmp_path, dtype, compute_type, folds):
    assert ALLOWED_MB < 0.5 * MODEL_MB
    assert ALLOWED_MB > grown_mb(sources / dtype, tmp_path, compute_type, folds)


def test_memory_follows_the_largest_array_of_a_pickled_file_too(openai, tmp_path):
    assert ALLOWED_MB > grown_mb(openai, tmp_path)


@pytest.mark.parametrize("compute_type", ["int8", "float32"])
def test_memory_follows_the_largest_array_when_graphs_are_written(sources, tmp_path, compute_type):
    assert ALLOWED_MB + 40 > grown_mb(sources / "float32", tmp_path, compute_type, to="onnx")
