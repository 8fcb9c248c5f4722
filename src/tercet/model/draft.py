"""A draft head (`checkpoint.heads.DraftHead`) in torch: as a module, and behind the engine's seam."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tercet.checkpoint.heads import DraftHead
from tercet.engine.protocol import Session
from tercet.model.engine import TorchDecoder, TorchSession, torch_device, torch_dtype
from tercet.model.layers import mlp


class DraftAttention(nn.Module):
    """The two projections of cross-attention that are a draft's own; keys and values are the decoder's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)


class DraftBlock(nn.Module):
    """Cross-attention and MLP, each with its norm before it."""

    def __init__(self, width: int, mlp_width: int) -> None:
        super().__init__()
        self.encoder_attn = DraftAttention(width)
        self.encoder_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, mlp_width)
        self.fc2 = nn.Linear(mlp_width, width)
        self.final_layer_norm = nn.LayerNorm(width)


class DraftModule(nn.Module):
    """A word and a hidden state in, the next hidden state out; each position by itself."""

    def __init__(self, width: int, mlp_width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.token_norm = nn.LayerNorm(width)
        self.hidden_norm = nn.LayerNorm(width)
        self.fuse = nn.Linear(2 * width, width)
        self.block = DraftBlock(width, mlp_width)
        self.layer_norm = nn.LayerNorm(width)

    def forward(
        self,
        words: Tensor,
        hidden: Tensor,
        keys: Tensor,
        values: Tensor,
        *,
        heard: Tensor | None = None,
        dropout: float = 0.0,
    ) -> Tensor:
        """Hidden states [B, n, width] behind `words`, embeddings [B, n, width] chosen from `hidden`.

        Args:
            words: See above.
            hidden: [B, n, width].
            keys: Of cross-attention, [B, heads, frames, width / heads].
            values: Likewise.
            heard: bool [B, 1, 1, frames], which frames are a row's own; None: all.
            dropout: Share of what each half of the block adds that is dropped.
        """
        x = self.fuse(torch.cat([self.token_norm(words), self.hidden_norm(hidden)], dim=-1))
        block, (rows, n, width) = self.block, x.shape
        q = block.encoder_attn.q_proj(block.encoder_attn_layer_norm(x))
        q = q.view(rows, n, self.heads, width // self.heads).transpose(1, 2)
        told = F.scaled_dot_product_attention(q, keys, values, attn_mask=heard)
        told = block.encoder_attn.out_proj(told.transpose(1, 2).flatten(2))
        x = x + F.dropout(told, dropout)
        added = mlp(x, block.final_layer_norm, block.fc1, block.fc2)
        found: Tensor = self.layer_norm(x + F.dropout(added - x, dropout) if dropout else added)
        return found


def draft_module(head: DraftHead, heads: int) -> DraftModule:
    """A module with a head's arrays, float32; `heads` are the decoder's."""
    module = DraftModule(head.width, head.mlp_width, heads)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.from_numpy(np.array(head.arrays.read(name), np.float32)))
            parameter.requires_grad_(False)
    return module.eval()


class TorchDrafter:
    """`engine.protocol.Drafter` in torch."""

    def __init__(self, head: DraftHead, decoder: TorchDecoder, *, device: str, dtype: str) -> None:
        """`decoder` lends its embeddings, and its sessions their windows."""
        place = torch_device(device)
        module = draft_module(head, decoder.geometry.decoder_heads)
        self._module = module.to(place, torch_dtype(dtype))
        self._layer = head.layer
        self._embeddings = decoder.module.embed_tokens.weight
        self._ids = torch.from_numpy(head.token_ids).to(place)
        self._rows = self._embeddings[self._ids].contiguous()

    def open(self, session: Session) -> "TorchDraftSteps":
        """Start over the rows of a session; good until it is reordered."""
        assert isinstance(session, TorchSession)  # of the decoder that this was made for
        return TorchDraftSteps(self, *session.heard(self._layer))

    def after(
        self, tokens: np.ndarray, hidden: Tensor, keys: Tensor, values: Tensor, heard: Tensor | None
    ) -> tuple[np.ndarray, np.ndarray, Tensor]:
        """One step of rows; see `engine.protocol.DraftSteps.step`."""
        words = self._embeddings[torch.from_numpy(tokens).to(keys.device)]
        given = hidden.to(keys.dtype)
        found = self._module(words[:, None], given[:, None], keys, values, heard=heard)[:, 0]
        shares, best = torch.softmax((found @ self._rows.T).float(), dim=-1).max(dim=-1)
        return self._ids[best].cpu().numpy(), shares.cpu().numpy(), found


class TorchDraftSteps:
    """`engine.protocol.DraftSteps` in torch."""

    def __init__(
        self, drafter: TorchDrafter, keys: Tensor, values: Tensor, heard: Tensor | None
    ) -> None:
        self._drafter, self._keys, self._values, self._heard = drafter, keys, values, heard

    @torch.no_grad()
    def step(self, tokens: np.ndarray, hidden: Tensor) -> tuple[np.ndarray, np.ndarray, Tensor]:
        """See `engine.protocol.DraftSteps.step`."""
        return self._drafter.after(tokens, hidden, self._keys, self._values, self._heard)
