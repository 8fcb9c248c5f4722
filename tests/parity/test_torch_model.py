"""The torch engine against transformers: states, every block, logits, cross-attention."""

import numpy as np
import pytest

from tercet.checkpoint import Geometry, open_checkpoint, save_hugging_face
from tercet.engine.protocol import open_over
from tercet.model import load_torch

torch = pytest.importorskip("torch")

GEOMETRIES = {
    "tiny.en": Geometry(
        n_mels=80,
        width=32,
        encoder_layers=2,
        encoder_heads=4,
        decoder_layers=2,
        decoder_heads=2,
        vocab_size=51864,
    ),
    "distil, 128 bins": Geometry(
        n_mels=128,
        width=32,
        encoder_layers=4,
        encoder_heads=2,
        decoder_layers=2,
        decoder_heads=4,
        vocab_size=51866,
    ),
}


def peer(folder):
    transformers = pytest.importorskip("transformers")
    opened = transformers.WhisperForConditionalGeneration.from_pretrained(
        folder, attn_implementation="eager"
    )
    return opened.eval()


def compare(checkpoint, model, mel, tokens, tolerance):
    """States, taps, logits and attention of both, window by window."""
    encoder, decoder = load_torch(checkpoint)
    blocks = []
    for layer in model.model.encoder.layers:
        layer.register_forward_hook(lambda module, inputs, out: blocks.append(out))
    with torch.no_grad():
        expected = model(
            input_features=torch.from_numpy(mel)[None],
            decoder_input_ids=torch.from_numpy(tokens),
            output_attentions=True,
        )
    encoded = encoder.encode(mel)
    states = expected.encoder_last_hidden_state[0]
    scale = float(states.abs().max())
    torch.testing.assert_close(encoded.states, states, atol=tolerance * max(1, scale), rtol=0)
    outputs = [b[0] if isinstance(b, tuple) else b for b in blocks]
    for ours, theirs in zip(encoded.taps, outputs, strict=True):
        means = theirs.reshape(75, 20, -1).mean(1)
        scale = float(means.abs().max())
        torch.testing.assert_close(ours, means, atol=tolerance * max(1, scale), rtol=0)
    session = open_over(decoder, encoded.states[None], align=True)
    first = session.step(tokens[:, :3], keep=np.arange(3)[None])
    rest = [session.step(tokens[:, i : i + 1]) for i in range(3, tokens.shape[1])]
    torch.testing.assert_close(
        torch.cat([first, *rest], 1), expected.logits, atol=tolerance, rtol=0
    )
    heads = [expected.cross_attentions[layer][0, head] for layer, head in decoder.alignment_heads]
    torch.testing.assert_close(session.alignment()[0], torch.stack(heads), atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_random_weights_compute_what_transformers_computes(name, random_checkpoint, tmp_path):
    geometry = GEOMETRIES[name]
    checkpoint = random_checkpoint(geometry)
    save_hugging_face(checkpoint, tmp_path)
    rng = np.random.default_rng(3)
    mel = rng.normal(size=(geometry.n_mels, 3000)).astype(np.float32)
    tokens = rng.integers(0, geometry.vocab_size, (1, 9))
    compare(checkpoint, peer(tmp_path), mel, tokens, 1e-4)


def test_real_base_computes_what_transformers_computes(real_base, tmp_path):
    checkpoint = open_checkpoint(real_base)
    save_hugging_face(checkpoint, tmp_path)
    mel = np.random.default_rng(4).uniform(-1, 1, (80, 3000)).astype(np.float32)
    tokens = np.array([[50258, 50259, 50359, 50363, 2425, 11, 1002]])
    compare(checkpoint, peer(tmp_path), mel, tokens, 1e-4)
