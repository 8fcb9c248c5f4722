"""Distil-Whisper's PyTorch training step, rebuilt from its description: for comparison alone.

Student and teacher are transformers' own Whisper. What the original does in vain, this does, too: texts are
padded to 448 in every batch, the teacher computes a loss of its own, and the logits of all positions of
both networks exist at the same time, beside their distributions and the divergence of every id.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

POSITIONS = 448  # max_label_length
IGNORED = -100
HEAT = 2.0
CROSS_ENTROPY, DIVERGENCE = 0.8, 1.0


def random_base(folder: Path) -> None:
    """Write a Whisper of base's shape, in Hugging Face's layout."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    torch.manual_seed(0)
    shape = {"d_model": 512, "encoder_layers": 6, "decoder_layers": 6, "vocab_size": 51865}
    shape |= {f"{part}_attention_heads": 8 for part in ("encoder", "decoder")}
    shape |= {f"{part}_ffn_dim": 2048 for part in ("encoder", "decoder")}
    WhisperForConditionalGeneration(WhisperConfig(**shape)).save_pretrained(folder)


def first_and_last(folder: Path) -> None:
    """Beside `folder / "teacher"` write `student`: the same with its first and its last decoder layer."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    teacher = WhisperForConditionalGeneration.from_pretrained(
        folder / "teacher", dtype=torch.float32
    )
    config = WhisperConfig.from_pretrained(folder / "teacher")
    config.decoder_layers = 2
    student = WhisperForConditionalGeneration(config)
    state = teacher.state_dict()
    last = teacher.config.decoder_layers - 1
    for name in student.state_dict():
        source = name.replace("decoder.layers.1.", f"decoder.layers.{last}.")
        student.state_dict()[name].copy_(state[source])
    student.save_pretrained(folder / "student")


class OriginalStep:
    """Makes steps on one batch, and gives each one's loss."""

    def __init__(
        self,
        folder: Path,
        sound: Tensor,
        inputs: Tensor,
        targets: Tensor,
        *,
        lr: float,
        clip: float,
        recompute: bool,
    ) -> None:
        """`sound` [B, bins, 3000]; `inputs` and `targets` [B, n] without padding."""
        from transformers import WhisperForConditionalGeneration

        load = WhisperForConditionalGeneration.from_pretrained
        self._student = load(folder / "student", dtype=torch.float32)
        self._teacher = load(folder / "teacher", dtype=torch.float32).eval().requires_grad_(False)
        self._student.model.encoder.requires_grad_(False)
        if recompute:
            self._student.gradient_checkpointing_enable({"use_reentrant": False})
            self._student.config.use_cache = False
            self._student.model.encoder.gradient_checkpointing = False
        self._student.train()
        self._teacher.model.encoder = self._student.model.encoder  # one of them in memory
        room = POSITIONS - 1 - inputs.shape[1]
        self._given = {
            "input_features": sound,
            "decoder_input_ids": F.pad(inputs, (0, room), value=self._student.config.pad_token_id),
            "labels": F.pad(targets, (0, room), value=IGNORED),
        }
        learns = [each for each in self._student.parameters() if each.requires_grad]
        self._learns, self._clip = learns, clip
        self._optimizer = torch.optim.AdamW(
            learns, lr=lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0
        )

    def __call__(self) -> float:
        ours = self._student(**self._given)
        labels = self._given["labels"]
        with torch.no_grad():
            theirs = self._teacher(
                encoder_outputs=(ours.encoder_last_hidden_state,),
                decoder_input_ids=self._given["decoder_input_ids"],
                labels=labels,
            )
        loss = CROSS_ENTROPY * ours.loss + DIVERGENCE * _divergence(ours, theirs, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._learns, self._clip)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return float(loss.detach())


def _divergence(ours: Any, theirs: Any, labels: Tensor) -> Tensor:
    """KL(teacher || student) at `HEAT`, of all ids of all positions, then the mean of those that count."""
    expected = F.softmax(theirs.logits / HEAT, -1)
    drawn = F.log_softmax(ours.logits / HEAT, -1)
    apart = F.kl_div(drawn, expected, reduction="none")
    counts = (labels != IGNORED)[..., None]
    return HEAT**2 * (apart * counts).sum() / counts.sum()
