"""A quantizer's training step against Ichigo-Whisper's own numbers (see fixtures/README.md)."""

from pathlib import Path

import numpy as np
import pytest

from tercet.audio.mel import log_mel, log_mel_maximum
from tercet.checkpoint import open_checkpoint
from tercet.checkpoint.ichigo import open_ichigo
from tercet.checkpoint.torch_file import open_torch_file

torch = pytest.importorskip("torch")
pytest.importorskip("vector_quantize_pytorch")

from tercet.model import load_torch  # noqa: E402
from tercet.train.tokens.bottleneck import Bottleneck, settings_of  # noqa: E402
from tercet.train.tokens.losses import Expected, divergence, original_losses  # noqa: E402

FIXTURES = Path(__file__).parent / "fixtures"
GRADIENTS = {
    "mlp.fc1.weight": "mlp.0.weight",
    "mlp.fc2.bias": "mlp.2.bias",
    "levels.0.project_in.weight": "rq.layers.0.project_in.weight",
    "levels.0.project_out.weight": "rq.layers.0.project_out.weight",
    "embed_positions.weight": "positional_embedding.weight",
    "blocks.0.self_attn.q_proj.weight": "_out_blocks.0.attn.query.weight",
    "layer_norm.weight": "ln_post.weight",
}


@pytest.fixture(scope="module")
def step():
    """One training step of phase 1, its gradients taken: (recorded, losses, bottleneck, inputs)."""
    with np.load(FIXTURES / "ichigo_parity_train_phase1.npz") as stored:
        recorded = dict(stored)
    head = open_ichigo(FIXTURES / "ichigo_parity_merged_tiny.pth")
    settings = settings_of(head, decay=0.9, mask_is_code=True)
    bottleneck = Bottleneck(settings)
    bottleneck.load(head)
    _averages(bottleneck)
    encoder, decoder = load_torch(open_checkpoint(FIXTURES / "ichigo_parity_whisper_tiny.pt"))
    samples = np.pad(recorded["audio"], ((0, 0), (0, 480000 - recorded["audio"].shape[1])))
    # The original's floor is the batch's: 80 dB under the loudest of both clips.
    loudest = max(log_mel_maximum([each]) for each in samples)
    mels = [log_mel(each, n_mels=80, pad_to=None, floor_max=loudest)[:, :3000] for each in samples]
    states = torch.stack([torch.as_tensor(encoder.encode(mel).states) for mel in mels])
    losses = original_losses(
        bottleneck,
        decoder.module,
        states,
        torch.from_numpy(recorded["mask"]),
        torch.from_numpy(recorded["in_toks"]),
        torch.from_numpy(recorded["out_toks"]),
        phase=1,
    )
    losses.total.backward()
    return recorded, losses, bottleneck, (decoder.module, states)


def _averages(bottleneck):
    """The moving averages that the file has beside the codebook."""
    file = open_torch_file(FIXTURES / "ichigo_parity_merged_tiny.pth")
    tensors = file.tensors(file.value["state_dict"])
    inner = bottleneck.books[0]._codebook
    for name in ("cluster_size", "embed_avg"):
        stored = tensors.read(f"model.rq.layers.0._codebook.{name}")
        getattr(inner, name).copy_(torch.from_numpy(np.array(stored)))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("cross_entropy", 10.973154),
        ("divergence", 14.778040),
        ("commitment", 0.0214337),
        ("total", 25.772627),
    ],
)
def test_losses_are_the_originals(step, name, wanted):
    assert wanted == pytest.approx(float(getattr(step[1], name)), abs=2e-5 * max(1, wanted))


def test_the_logits_are_the_originals(step):
    recorded, losses, _, _ = step
    found = losses.logits.detach().numpy()[:, :, :64]
    np.testing.assert_allclose(recorded["logits_head"], found, atol=1e-4, rtol=0)


def test_the_codebook_moves_as_the_originals(step):
    recorded, _, bottleneck, _ = step
    inner = bottleneck.books[0]._codebook
    for theirs, ours in (
        ("embed_after", "embed"),
        ("cluster_after", "cluster_size"),
        ("embed_avg_after", "embed_avg"),
    ):
        np.testing.assert_allclose(
            recorded[theirs], getattr(inner, ours).numpy(), atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("ours", GRADIENTS)
def test_gradients_are_the_originals(step, ours):
    recorded, _, bottleneck, _ = step
    wanted = recorded[f"grad:{GRADIENTS[ours]}"]
    found = dict(bottleneck.model.named_parameters())[ours].grad.numpy()
    np.testing.assert_allclose(wanted, found, atol=1e-4 * np.abs(wanted).max(), rtol=1e-3)


def test_without_padding_the_divergence_is_what_the_text_alone_makes(step):
    """The original's 14.78 holds 11.29 of padding."""
    from tercet.train.forced import hidden_of_text, text_logits

    recorded, losses, _, (decoder, states) = step
    inputs, targets = (torch.from_numpy(recorded[name]) for name in ("in_toks", "out_toks"))
    with torch.no_grad():
        teacher = text_logits(decoder, hidden_of_text(decoder, inputs, states)).log_softmax(-1)
    real = targets != -100
    everything = torch.arange(teacher.shape[-1]).expand(int(real.sum()), -1)
    found = divergence(losses.logits.detach()[real], Expected(everything, teacher[real]))
    assert 3.485727 == pytest.approx(float(found) / len(inputs), abs=1e-4)
