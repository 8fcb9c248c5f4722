"""A draft head (`checkpoint.heads.DraftHead`) in torch: as a module, and behind the engine's seam."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tercet.checkpoint.heads import DraftHead
from tercet.engine.protocol import Session
from tercet.model.engine import TorchDecoder, TorchSession, torch_device, torch_dtype
from tercet.model.layers import mlp


class Seen(NamedTuple):
    """Keys and values of one of the decoder's attentions, and which of them are to be seen."""

    keys: Tensor  # [B, heads, places, width / heads]
    values: Tensor  # the same
    visible: Tensor | None  # bool, broadcast to [B, 1, n, places]; None: all


class DraftAttention(nn.Module):
    """The two projections of an attention that are a draft's own; keys and values are the decoder's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, seen: Seen) -> Tensor:
        """What `x` [B, n, width] finds there, [B, n, width]."""
        rows, n, width = x.shape
        heads = seen.keys.shape[1]
        q = self.q_proj(x).view(rows, n, heads, width // heads).transpose(1, 2)
        keys, values = seen.keys.to(q.dtype), seen.values.to(q.dtype)
        found = F.scaled_dot_product_attention(q, keys, values, attn_mask=seen.visible)
        joined: Tensor = self.out_proj(found.transpose(1, 2).flatten(2))
        return joined


class DraftBlock(nn.Module):
    """Self-attention, cross-attention and MLP, each with its norm before it."""

    def __init__(self, width: int, mlp_width: int) -> None:
        super().__init__()
        self.self_attn = DraftAttention(width)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.encoder_attn = DraftAttention(width)
        self.encoder_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, mlp_width)
        self.fc2 = nn.Linear(mlp_width, width)
        self.final_layer_norm = nn.LayerNorm(width)


class DraftModule(nn.Module):
    """A word and a hidden state in, the next hidden state out; each position by itself."""

    def __init__(self, width: int, mlp_width: int) -> None:
        super().__init__()
        self.token_norm = nn.LayerNorm(width)
        self.hidden_norm = nn.LayerNorm(width)
        self.fuse = nn.Linear(2 * width, width)
        self.block = DraftBlock(width, mlp_width)
        self.layer_norm = nn.LayerNorm(width)

    def forward(
        self, words: Tensor, hidden: Tensor, written: Seen, heard: Seen, *, dropout: float = 0.0
    ) -> Tensor:
        """Hidden states [B, n, width] behind `words`, embeddings [B, n, width] chosen from `hidden`.

        Args:
            words: See above.
            hidden: [B, n, width].
            written: The decoder's self-attention: the text up to where it made its own hidden state.
            heard: Its cross-attention: the window.
            dropout: Share of what each part of the block adds that is dropped.
        """
        x = self.fuse(torch.cat([self.token_norm(words), self.hidden_norm(hidden)], dim=-1))
        block = self.block
        x = x + F.dropout(block.self_attn(block.self_attn_layer_norm(x), written), dropout)
        x = x + F.dropout(block.encoder_attn(block.encoder_attn_layer_norm(x), heard), dropout)
        added = mlp(x, block.final_layer_norm, block.fc1, block.fc2)
        found: Tensor = self.layer_norm(x + F.dropout(added - x, dropout) if dropout else added)
        return found


def draft_module(head: DraftHead) -> DraftModule:
    """A module with a head's arrays, float32."""
    module = DraftModule(head.width, head.mlp_width)
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
        self._module = draft_module(head).to(place, torch_dtype(dtype))
        self._layer = head.layer
        self._embeddings = decoder.module.embed_tokens.weight
        self._ids = torch.from_numpy(head.token_ids).to(place)
        self._rows = self._embeddings[self._ids].contiguous()
        self._candidates = head.candidates
        self._rough: tuple[Tensor, Tensor] | None = None
        if head.rank:
            narrow, widen = (
                torch.from_numpy(np.array(head.arrays.read(f"{name}.weight"), np.float32))
                for name in ("narrow", "widen")
            )
            table = self._rows.float() @ widen.to(place)
            self._rough = (
                narrow.to(self._rows).T.contiguous(),
                table.to(self._rows).T.contiguous(),
            )

    def open(self, session: Session) -> "TorchDraftSteps":
        """Start over the rows of a session; good until it is reordered."""
        assert isinstance(session, TorchSession)  # of the decoder that this was made for
        return TorchDraftSteps(self, session)

    def after(
        self, tokens: np.ndarray, hidden: Tensor, session: TorchSession
    ) -> tuple[np.ndarray, np.ndarray, Tensor]:
        """One step of rows; see `engine.protocol.DraftSteps.step`."""
        written, heard = Seen(*session.written(self._layer)), Seen(*session.heard(self._layer))
        words = self._embeddings[torch.from_numpy(tokens).to(heard.keys.device)]
        given = hidden.to(words.dtype)
        found = self._module(words[:, None], given[:, None], written, heard)[:, 0]
        ids, shares = self._chosen(found)
        return ids.cpu().numpy(), shares.cpu().numpy(), found

    def _chosen(self, found: Tensor) -> tuple[Tensor, Tensor]:
        """The likeliest token behind each hidden state [rows, width], and its share."""
        if self._rough is None:
            shares, best = torch.softmax((found @ self._rows.T).float(), dim=-1).max(dim=-1)
            return self._ids[best], shares
        narrow, table = self._rough
        places = (found @ narrow @ table).topk(self._candidates, sorted=False).indices
        logits = (self._rows[places] @ found[:, :, None])[:, :, 0]
        shares, best = torch.softmax(logits.float(), dim=-1).max(dim=-1)
        return self._ids[places.gather(1, best[:, None])[:, 0]], shares


class TorchDraftSteps:
    """`engine.protocol.DraftSteps` in torch."""

    def __init__(self, drafter: TorchDrafter, session: TorchSession) -> None:
        self._drafter, self._session = drafter, session

    @torch.no_grad()
    def step(self, tokens: np.ndarray, hidden: Tensor) -> tuple[np.ndarray, np.ndarray, Tensor]:
        """See `engine.protocol.DraftSteps.step`."""
        return self._drafter.after(tokens, hidden, self._session)
