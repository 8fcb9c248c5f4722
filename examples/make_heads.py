"""Makes two heads for base in half a minute, to try tags and speech tokens with: a toy, not a trained model.

    python examples/make_heads.py heads/

writes heads/tags.safetensors (five sounds, fitted to some twenty clips in tests/clips) and
heads/tokens.safetensors (a codebook of 512 means of encoder states: its codes tell sounds apart, and carry
too little of what was said to be read back). Needs NumPy alone.
"""

import json
import sys
from pathlib import Path

import numpy as np

from tercet.audio.convention import SHARED, window_mel
from tercet.audio.load import load
from tercet.checkpoint import Checkpoint, open_checkpoint
from tercet.checkpoint.head_naming import head_shapes
from tercet.checkpoint.heads import HeadArrays, Origin, Quantizer, TagHead
from tercet.convert.head_fit import bound_to
from tercet.convert.head_store import write_head
from tercet.engine.onnx import FLOAT32, OnnxEncoder
from tercet.hub import find_model

CLIPS = Path(__file__).resolve().parents[1] / "tests" / "clips"
SOUNDS = {  # AudioSet's name -> how the clip's file begins
    "Speech": ("librispeech", "speechocean762", "kerstin", "azure"),
    "Bark": ("esc10-Dog_bark",),
    "Rain": ("esc10-Rain",),
    "Crowing, cock-a-doodle-doo": ("esc10-Rooster",),
    "Tick-tock": ("esc10-Clock_tick",),
}
LAYER = 3  # of six: middle ones hear sounds best
CODES, CODE_WIDTH = 512, 64


def hear(encoder: OnnxEncoder, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A clip's taps [layers, n, width], which of them are loud [n], and its states [frames, width]."""
    samples = load(path).read()[: 30 * 16000]
    mel = window_mel(samples, SHARED, n_mels=encoder.geometry.n_mels)
    encoded = encoder.encode(mel, real_frames=-(-samples.size // 320))
    n = samples.size // 6400
    level = np.sqrt(np.mean(samples[: n * 6400].reshape(n, -1) ** 2, axis=1))
    return encoded.taps[:, :n], level > 0.1 * level.max(), encoded.states[: samples.size // 320]


def normed(x: np.ndarray) -> np.ndarray:
    """Layer normalisation without weights."""
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(centred.var(axis=-1, keepdims=True) + 1e-5)


def fit_tags(x: np.ndarray, y: np.ndarray, width: int, layers: int) -> TagHead:
    """Logistic regression of labels [n, labels] on normalised taps [n, width]."""
    weight, bias = np.zeros((y.shape[1], width)), np.full(y.shape[1], -2.0)
    balance = np.where(y > 0, 0.5 / np.maximum(y.mean(axis=0), 0.01), 1.0)
    for _ in range(600):
        error = balance * (1 / (1 + np.exp(-(x @ weight.T + bias))) - y) / len(x)
        weight -= 0.02 * (error.T @ x * 5 + 0.01 * weight)
        bias -= 0.5 * error.sum(axis=0)
    arrays = {
        "layer_weight": np.eye(layers, dtype=np.float32)[LAYER],
        "classifier.norm.weight": np.ones(width, np.float32),
        "classifier.norm.bias": np.zeros(width, np.float32),
        "classifier.proj.weight": weight.astype(np.float32),
        "classifier.proj.bias": bias.astype(np.float32),
    }
    return TagHead(
        layers="weighted",
        n_layers=layers,
        width=width,
        hidden=width,
        has_projection=False,
        time_heads=0,
        layer_heads=0,
        arrays=HeadArrays(arrays),
        labels=tuple(SOUNDS),
        window_frames=3,
        hop_frames=1,
        origin=Origin(name="toy tags", licence="Apache-2.0", source="examples/make_heads.py"),
    )


def fit_codes(states: np.ndarray, width: int, heads: int) -> Quantizer:
    """Means of pairs of states [n, width], taken off their mean and brought to 64 dimensions."""
    rng = np.random.default_rng(0)
    mean = states.mean(axis=0)
    _, _, axes = np.linalg.svd(states[:: max(1, len(states) // 4000)] - mean, full_matrices=False)
    axes = axes[:CODE_WIDTH]
    points = (states - mean) @ axes.T
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    codebook = points[rng.choice(len(points), CODES, replace=False)]
    for _ in range(8):
        nearest = (points @ codebook.T).argmax(axis=1)
        for code in np.unique(nearest):
            codebook[code] = points[nearest == code].mean(axis=0)
        codebook /= np.linalg.norm(codebook, axis=1, keepdims=True)
    mask = np.zeros((1, CODE_WIDTH))
    head = Quantizer(
        width=width,
        heads=heads,
        mlp_width=4,
        code_width=CODE_WIDTH,
        codebook_size=CODES + 1,
        mask_code=CODES,
        blocks=1,  # of zeros: it changes nothing
        arrays=HeadArrays({}),
        origin=Origin(name="toy tokens", licence="Apache-2.0", source="examples/make_heads.py"),
    )
    arrays = {name: np.zeros(shape, np.float32) for name, shape in head_shapes(head).items()}
    size = np.linalg.norm((states - mean) @ axes.T, axis=1).mean()
    arrays |= {
        "levels.0.project_in.weight": axes,
        "levels.0.project_in.bias": -(axes @ mean),
        "levels.0.project_out.weight": size * axes.T,
        "levels.0.project_out.bias": mean,
        "levels.0.codebook": np.concatenate([codebook, mask]),
        "layer_norm.weight": np.ones(width),
    }
    return Quantizer(
        **{f: getattr(head, f) for f in head.__slots__ if f != "arrays"},
        arrays=HeadArrays({name: value.astype(np.float32) for name, value in arrays.items()}),
    )


def main(folder: Path) -> None:
    """Fit both heads and write them."""
    checkpoint: Checkpoint = open_checkpoint(find_model("base"))
    geometry = checkpoint.geometry
    encoder = OnnxEncoder(checkpoint, FLOAT32, threads=None, taps=True)
    x, y, states = [], [], []
    for line in (CLIPS / "manifest.jsonl").read_text().splitlines():
        path = CLIPS / json.loads(line)["path"]
        taps, is_loud, heard = hear(encoder, path)
        found = [path.name.startswith(starts) for starts in SOUNDS.values()]
        x.append(normed(taps[LAYER]))
        y.append(np.outer(is_loud, found))
        if found[0]:
            states.append(heard[: len(heard) // 2 * 2].reshape(-1, 2, geometry.width).mean(axis=1))
    tags = fit_tags(
        np.concatenate(x).astype(np.float64),
        np.concatenate(y).astype(np.float64),
        geometry.width,
        geometry.encoder_layers,
    )
    codes = fit_codes(
        np.concatenate(states).astype(np.float64), geometry.width, geometry.encoder_heads
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name, head in (("tags", tags), ("tokens", codes)):
        write_head(folder / f"{name}.safetensors", bound_to(head, checkpoint, "base"))
        print(folder / f"{name}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "heads"))
