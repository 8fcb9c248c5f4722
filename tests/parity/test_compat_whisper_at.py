"""`tercet.compat.whisper_at` over a toy that is made on the spot: rows of logits are the original's.

The fixture holds what whisper-at 0.5 gave for the same toy and sound (`fixtures/README.md`). Weights and
sound come from NumPy's frozen generator, so that they need not be stored.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import tercet.compat.whisper_at as whisper_at
from tercet.checkpoint.geometry import Geometry
from tercet.checkpoint.naming import expected_shapes, openai_slots

FIXTURE = Path(__file__).parent / "fixtures" / "whisper_at_toy.npz"
RATE_HZ = 16000
TOY = Geometry(
    n_mels=80,
    width=32,
    encoder_layers=3,
    encoder_heads=2,
    decoder_layers=1,
    decoder_heads=2,
    vocab_size=51865,
)
DIMS = {
    "n_mels": 80,
    "n_audio_ctx": 1500,
    "n_audio_state": 32,
    "n_audio_head": 2,
    "n_audio_layer": 3,
    "n_vocab": 51865,
    "n_text_ctx": 448,
    "n_text_state": 32,
    "n_text_head": 2,
    "n_text_layer": 1,
}


def toy_weights() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """A Whisper by OpenAI's names, and a TL-Tr head by whisper-at's."""
    drawn = np.random.RandomState(5)
    shapes = expected_shapes(TOY)
    whisper = {
        slot.key: draw(drawn, slot.key, shapes[name])
        for name, slot in sorted(openai_slots(TOY).items())
    }
    return whisper, {key: draw(drawn, key, shape) for key, shape in head_shapes(32).items()}


def head_shapes(width: int) -> dict[str, tuple[int, ...]]:
    square, inner = (width, width), 4 * width
    shapes: dict[str, tuple[int, ...]] = {}
    for block in ("at_model.time_tr", "at_model.layer_tr"):
        for part in ("query", "key", "value", "out"):
            shapes[f"{block}.attn.{part}.weight"] = square
            if part != "key":
                shapes[f"{block}.attn.{part}.bias"] = (width,)
        for norm in ("attn_ln", "mlp_ln"):
            shapes |= {f"{block}.{norm}.{what}": (width,) for what in ("weight", "bias")}
        shapes |= {f"{block}.mlp.0.weight": (inner, width), f"{block}.mlp.0.bias": (inner,)}
        shapes |= {f"{block}.mlp.2.weight": (width, inner), f"{block}.mlp.2.bias": (width,)}
    shapes |= {f"at_model.mlp_layer.0.{what}": (width,) for what in ("weight", "bias")}
    shapes |= {"at_model.mlp_layer.1.weight": (527, width), "at_model.mlp_layer.1.bias": (527,)}
    return shapes


def draw(drawn: np.random.RandomState, key: str, shape: tuple[int, ...]) -> np.ndarray:
    is_norm = len(shape) == 1 and key.endswith("weight")
    spread = 0.1 if len(shape) == 1 else float(np.prod(shape[1:])) ** -0.5
    return drawn.normal(1.0 if is_norm else 0.0, spread, shape).astype(np.float32)


def toy_sound() -> np.ndarray:
    """65 s in which every 2 s sound otherwise: a tone of another pitch in noise of another loudness."""
    drawn = np.random.RandomState(6)
    parts = []
    for number in range(33):
        n = RATE_HZ * (2 if number < 32 else 1)
        tone = 0.2 * np.sin(2 * np.pi * (150 + 90 * number) * np.arange(n) / RATE_HZ)
        parts.append(tone + drawn.normal(0, 0.005 * (1 + number % 7), n))
    return np.concatenate(parts).astype(np.float32)


def write_toy(folder: Path) -> None:
    """`tiny.pt` and `tiny_ori.pth`, as whisper-at finds them."""
    import torch

    def tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
        return {key: torch.from_numpy(array) for key, array in arrays.items()}

    whisper, head = map(tensors, toy_weights())
    torch.save({"dims": DIMS, "model_state_dict": whisper}, folder / "tiny.pt")
    torch.save(head, folder / "tiny_ori.pth")


@pytest.fixture(scope="module")
def model(tmp_path_factory, peer, base_model):
    peer("torch")
    folder = tmp_path_factory.mktemp("whisper-at")
    write_toy(folder)
    options = {"compute_type": "float32", "engine": "onnx", "threads": 1}
    return whisper_at.load_model("tiny", "cpu", str(folder), **options)


@pytest.mark.filterwarnings("ignore:at_time_res")
@pytest.mark.parametrize(("resolution", "rows"), [(10, 7), (2, 33)])
def test_rows_are_the_originals(model, resolution, rows):
    with np.load(FIXTURE) as stored:
        wanted = stored[f"audio_tag_{resolution}"]
    result = model.transcribe(
        toy_sound(),
        language="en",
        temperature=0.0,
        fp16=False,
        without_timestamps=True,
        at_time_res=resolution,
    )
    assert (rows, 527) == tuple(result["audio_tag"].shape)
    np.testing.assert_allclose(wanted, np.asarray(result["audio_tag"]), atol=1e-4, rtol=0)
    assert (
        float(np.ptp(wanted, axis=0).max()) > 0.5
    )  # rows differ: an exchange of two would be seen
