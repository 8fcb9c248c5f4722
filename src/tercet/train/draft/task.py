"""A draft head being trained on the text and the hidden states of its decoder (`train.task.TrainTask`)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tercet.checkpoint.heads import DraftHead, HeadArrays, Origin
from tercet.model.decoder import TextDecoder
from tercet.model.draft import DraftModule, Seen
from tercet.train.draft.guides import Guides
from tercet.train.draft.narrowing import narrowing
from tercet.train.draft.recipe import DraftRecipe
from tercet.train.task import ParameterGroup, Summed, TrainTask
from tercet.train.text.data import Batch, unpacked
from tercet.train.text.losses import IGNORED, Weights, text_losses

_REMEMBERED = 0.01  # weight of a step's hidden states in their running moment
_STARTS = (0.5, 0.5)  # shares of word and hidden state in what goes into an untrained block


class _Guessed(NamedTuple):
    """Guesses of one depth, at the positions that have them."""

    hidden: Tensor  # [n, width], with gradient
    guide: Tensor  # the teacher's
    tokens: Tensor  # int64 [n], what the teacher wrote there
    rows: Tensor  # bool [B, positions]: where they are


class DraftTask(TrainTask):
    """Guesses along the teacher's own text: the first from its hidden state, others from its own."""

    ids: Tensor  # int64 [shortlist]
    places: Tensor  # int64 [vocabulary]: of each id in the shortlist, or `IGNORED`
    rows: Tensor  # float32 [shortlist, width]: the teacher's embeddings
    moment: Tensor  # float32 [width, width]: the mean of h h^T over the draft's own hidden states

    def __init__(
        self, teacher: TextDecoder, ids: np.ndarray, recipe: DraftRecipe, layer: int
    ) -> None:
        """Start from the teacher's layer.

        Args:
            teacher: The decoder; not changed.
            ids: The shortlist, int64, ascending.
            recipe: The run's.
            layer: The teacher's whose cross-attention is read, from 0.
        """
        super().__init__()
        self.frozen_parts = ("teacher",)
        self.teacher = teacher.requires_grad_(False).eval()
        self._recipe, self.layer = recipe, layer
        own = teacher.blocks[layer]
        width = own.fc1.in_features
        self.draft = DraftModule(width, own.fc1.out_features)
        _begin_as(self.draft, teacher, layer)
        self.register_buffer("ids", torch.from_numpy(ids), persistent=False)
        table = teacher.embed_tokens.weight
        places = torch.full((table.shape[0],), IGNORED)
        places[torch.from_numpy(ids)] = torch.arange(len(ids))
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("rows", table.detach()[torch.from_numpy(ids)], persistent=False)
        self.register_buffer("moment", torch.eye(width))
        self._guides = Guides(layer, recipe.remember_mb)

    def training_step(self, batch: Any, batch_idx: int) -> Summed:
        """The losses of some windows, by guess that counts."""
        given, loss = unpacked(batch), self._recipe.loss
        is_early = self.step < loss.depth_from * self.total_steps
        weights = Weights(loss.cross_entropy, loss.divergence, loss.temperature)
        total, count = torch.zeros((), device=self.device), 0.0
        for depth, guessed in enumerate(self._passes(given, 1 if is_early else loss.depth)):
            wanted = self.places[guessed.tokens]
            found = text_losses(
                guessed.hidden, guessed.guide, self.rows, self.rows, wanted, weights
            )
            apart = F.smooth_l1_loss(guessed.hidden, guessed.guide, reduction="none").mean(-1)
            share = loss.decay**depth
            self._remember(guessed.hidden)
            total = total + share * (found.total + loss.hidden * apart.sum())
            count += share * found.tokens
            self.log(f"agreement_{depth + 1}", found.agreed / max(1, found.tokens), found.tokens)
        return Summed(total, count)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """How many guesses in a row are what the teacher wrote."""
        given = unpacked(batch)
        alive = torch.ones_like(given.targets, dtype=torch.bool)
        first: Tensor | None = None
        for depth, guessed in enumerate(self._passes(given, self._recipe.valid_depth), start=1):
            best = self.ids[(guessed.hidden @ self.rows.T).argmax(-1)]
            is_right = torch.zeros_like(alive)
            is_right[guessed.rows] = best == guessed.tokens
            alive = alive & is_right
            first = guessed.rows if first is None else first
            n = int(first.sum())
            self.log(f"accepted_{depth}", alive.sum() / max(1, n), n)
            if depth == 1:
                known = (self.places[guessed.tokens] != IGNORED).sum()
                self.log("coverage", known / max(1, n), n)

    def end_validation(self) -> Mapping[str, float]:
        """Tokens that a pass of the teacher writes, on average, with so many guesses."""
        means = self.figures.means()
        depths = range(1, self._recipe.valid_depth + 1)
        return {"tokens_per_pass": 1 + sum(means.get(f"accepted_{each}", 0.0) for each in depths)}

    def score(self, metrics: Mapping[str, float]) -> float:
        """More tokens per pass are better."""
        return metrics["tokens_per_pass"]

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """The draft's; norms and biases do not decay."""
        matrices: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for value in self.draft.parameters():
            (matrices if value.ndim > 1 else rest).append(value)
        return [{"params": matrices}, {"params": rest, "weight_decay": 0.0}]

    @torch.no_grad()
    def head(self, origin: Origin) -> DraftHead:
        """The draft as it is now, for a file."""
        arrays = {
            name: value.detach().float().cpu().numpy()
            for name, value in self.draft.named_parameters()
        }
        ids = self.ids.cpu().numpy()
        if rank := min(self._recipe.shortlist.rank, len(self.moment)):
            narrow, widen = narrowing(self.rows, self.moment, rank)
            arrays |= {"narrow.weight": narrow.numpy(), "widen.weight": widen.numpy()}
        return DraftHead(
            width=self.draft.fuse.out_features,
            mlp_width=self.draft.block.fc1.out_features,
            layer=self.layer,
            vocab_size=self.teacher.embed_tokens.num_embeddings,
            shortlist=len(ids),
            rank=rank,
            arrays=HeadArrays({**arrays, "token_ids": ids.astype(np.float32)}),
            origin=origin,
        )

    @torch.no_grad()
    def _remember(self, hidden: Tensor) -> None:
        """Hidden states [n, width] of a step join the running mean."""
        if len(hidden):
            seen = hidden.detach().float()
            with torch.autocast(seen.device.type, enabled=False):
                self.moment.lerp_(seen.T @ seen / len(seen), _REMEMBERED)

    def _passes(self, given: Batch, depth: int) -> Iterator[_Guessed]:
        """Guesses of the first token behind each position, then of the second, and so on.

        At depth j a position's word is the j-th token behind it, which the teacher wrote, and its guess is
        of the one behind that.
        """
        guides, read = self._guides.of(self.teacher, given)
        n = given.inputs.shape[1]
        with torch.no_grad():
            own = self.teacher.blocks[self.layer]
            heard = Seen(*own.encoder_attn.keys_values(given.states), None)
            # At each depth: no further than the teacher was when it made its own state.
            causal = torch.ones(n, n, dtype=torch.bool, device=self.device).tril()
            keys, values = own.self_attn.keys_values(own.self_attn_layer_norm(read))
            written = Seen(keys, values, causal)
        dropout = self._recipe.loss.dropout if self.training else 0.0
        hidden = guides
        # What is guessed from must have been written, too: no guesses in a prompt, nor out of one.
        rows = given.targets != IGNORED
        for ahead in range(1, min(depth, n - 1) + 1):
            words = self.teacher.embed_tokens(_moved(given.inputs, ahead, 0))
            hidden = self.draft(words, hidden, written, heard, dropout=dropout)
            targets = _moved(given.targets, ahead, IGNORED)
            rows = rows & (targets != IGNORED)
            yield _Guessed(hidden[rows], _moved(guides, ahead, 0.0)[rows], targets[rows], rows)


def _begin_as(draft: DraftModule, teacher: TextDecoder, layer: int) -> None:
    """The teacher's weights where there are such, and the mean of word and state where there are none."""
    own = teacher.blocks[layer]
    with torch.no_grad():
        for mine, its in (
            (draft.block.self_attn.q_proj, own.self_attn.q_proj),
            (draft.block.self_attn.out_proj, own.self_attn.out_proj),
            (draft.block.self_attn_layer_norm, own.self_attn_layer_norm),
            (draft.block.encoder_attn.q_proj, own.encoder_attn.q_proj),
            (draft.block.encoder_attn.out_proj, own.encoder_attn.out_proj),
            (draft.block.encoder_attn_layer_norm, own.encoder_attn_layer_norm),
            (draft.block.final_layer_norm, own.final_layer_norm),
            (draft.block.fc1, own.fc1),
            (draft.block.fc2, own.fc2),
            (draft.layer_norm, teacher.layer_norm),
        ):
            mine.load_state_dict(its.state_dict())
        width = draft.fuse.out_features
        draft.fuse.weight.zero_()
        for part, share in enumerate(_STARTS):
            draft.fuse.weight[:, part * width : (part + 1) * width] += share * torch.eye(width)
        draft.fuse.bias.zero_()


def _moved(values: Tensor, ahead: int, behind: float) -> Tensor:
    """[B, n, ..] moved to the left along n; `behind` fills what is left free."""
    if ahead == 0:
        return values
    moved = torch.full_like(values, behind)
    moved[:, : values.shape[1] - ahead] = values[:, ahead:]
    return moved
