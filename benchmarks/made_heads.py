"""Heads with random arrays, of any kind and size, for benchmarks: time does not ask what a head has learnt.

Measures nothing. Tags and codes that come out of them mean nothing.
"""

from dataclasses import replace

import numpy as np

from tercet.checkpoint.head_naming import head_shapes
from tercet.checkpoint.heads import Head, HeadArrays, Quantizer, TagHead

EMPTY = HeadArrays({})
LABELS = tuple(f"sound {number}" for number in range(50))  # of a shipped head; at most so many
# The published modes that are timed: layers, projection to 512 or none, heads over time and over layers.
MODES = {
    "TL-Tr": {"layers": "each", "time_heads": 1, "layer_heads": 8},
    "TL-Tr(512)": {"layers": "each", "time_heads": 1, "layer_heads": 8, "hidden": 512},
    "WA-Tr": {"layers": "weighted", "time_heads": 1, "layer_heads": 0},
    "WA-MLP": {"layers": "weighted", "time_heads": 0, "layer_heads": 0},
}


def filled(head: Head, seed: int = 0) -> Head:
    """The same head with arrays: a trained one's sizes, norms of 1, codebook rows of length 1."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, shape in head_shapes(head).items():
        if name.endswith("norm.weight"):
            arrays[name] = np.ones(shape, np.float32)
        elif name == "layer_weight":
            arrays[name] = np.full(shape, 1 / shape[0], np.float32)
        elif name.endswith("codebook"):
            rows = rng.normal(size=shape)
            arrays[name] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        else:
            arrays[name] = (rng.normal(size=shape) * shape[-1] ** -0.5).astype(np.float32)
    return replace(head, arrays=HeadArrays(arrays))


def mode_head(mode: str, width: int, n_layers: int, **settings: object) -> TagHead:
    """One of `MODES` behind an encoder of `n_layers` blocks of `width`; `settings` are `TagHead`'s."""
    known = {"hidden": width, "labels": None} | MODES[mode] | settings
    has_projection = "hidden" in MODES[mode] or "hidden" in settings
    needed = None if known["layers"] == "each" else n_layers
    head = TagHead(
        n_layers=needed, width=width, has_projection=has_projection, arrays=EMPTY, **known
    )
    made = filled(head)
    assert isinstance(made, TagHead)
    return made


def larger_tag_head(mode: str = "TL-Tr") -> TagHead:
    """A tag head for base that fits the 4 MB of the box, 50 labels, each score from 2 s, every 0.4 s.

    Projected to 256. "TL-Tr" is the costlier one: 1.7 M numbers, 3.4 MB in float16; "WA-Tr" 0.9 M, 3.7 MB
    in float32.
    """
    return mode_head(mode, 512, 6, hidden=256, labels=LABELS, window_frames=5, hop_frames=1)


def quantizer(width: int = 512, codebook_size: int = 2561) -> Quantizer:
    """Ichigo-Whisper's at an encoder's width: codes of 64 columns, the mask's row among them."""
    head = Quantizer(
        width=width,
        heads=width // 64,
        mlp_width=4 * width,
        code_width=64,
        codebook_size=codebook_size,
        mask_code=2048 if codebook_size > 2049 else codebook_size - 1,
        arrays=EMPTY,
    )
    made = filled(head)
    assert isinstance(made, Quantizer)
    return made
