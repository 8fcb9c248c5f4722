"""Compiled blocks against the same ones run as they are, by a real compiler: half a minute or more."""

import os
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from tercet.model.decoder import TextDecoder
from tercet.train.compiling import compiled
from tercet.train.forced import Block, hidden_of_text, through_block

pytestmark = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX") or "g++") is None, reason="no C++ compiler here"
)


def test_hidden_states_and_gradients_are_those_of_the_plain_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch._dynamo.reset()  # nothing that another test compiled
    torch.manual_seed(0)
    decoder = TextDecoder(vocab_size=50, width=16, layers=2, heads=2, mlp_width=32, n_text_ctx=20)
    fast = compiled(through_block)

    def outcome(block: Block, rows: int, n: int, recompute: bool) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(n)
        ids = torch.randint(50, (rows, n), generator=generator)
        states = torch.randn(rows, 30, 16, generator=generator)
        decoder.zero_grad()
        hidden = hidden_of_text(decoder, ids, states, recompute=recompute, block=block)
        hidden.square().sum().backward()
        gradients = [each.grad for each in decoder.parameters() if each.grad is not None]
        return [hidden.detach(), *(each.clone() for each in gradients)]

    # Batches and texts of other sizes, too, and blocks that are computed again for their gradients.
    for size in ((3, 11, False), (2, 7, False), (2, 7, True)):
        plain, made = outcome(through_block, *size), outcome(fast, *size)
        assert len(plain) == len(made)
        for expected, got in zip(plain, made, strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    assert list(tmp_path.rglob("*.so"))  # something was compiled
