"""The text decoder, run over whole texts at once: what it expects where, given some states.

Gradients pass through it to the states, and to its weights where they are trained. Nothing is decoded here.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tercet.model.decoder import DecoderBlock, TextDecoder
from tercet.train.tokens.places import Places

# How a block is run: `through_block`, or the same compiled.
Block = Callable[[DecoderBlock, Tensor, Tensor, Tensor, Tensor | None, float], Tensor]


def through_block(
    layer: DecoderBlock, x: Tensor, states: Tensor, causal: Tensor, bias: Tensor | None, p: float, /
) -> Tensor:
    """A block's output, [B, n, width]; `p`: share of what each half adds that is dropped.

    The block is called as a module: where it is sharded, that is what gathers its weights.
    """
    output: Tensor = layer(x, states, causal, bias, p)
    return output


def hidden_of_text(
    decoder: TextDecoder,
    ids: Tensor,
    states: Tensor,
    places: Places | None = None,
    *,
    heard: Tensor | None = None,
    dropout: float = 0.0,
    outputs: list[Tensor] | None = None,
    recompute: bool = False,
    block: Block = through_block,
) -> Tensor:
    """The decoder's last hidden states behind each id.

    Args:
        decoder: Whose.
        ids: int64 [n], or [B, n]; what is behind a shorter row's end changes nothing before it.
        states: [T, width], or [B, T, width].
        places: Which positions of the window the states are; all in turn by default.
        heard: bool [B, 1, 1, T], where rows differ in length: which states are a row's own; in place of
            `places`.
        dropout: Share of what each half of a block adds that is dropped, in training mode alone.
        outputs: Gets every block's output.
        recompute: Keep nothing of a block but what goes into it, and compute it again for its gradients:
            the same numbers in less memory and more time.
        block: Runs a block.

    Returns:
        [n, width], or [B, n, width].
    """
    if ids.dim() == 1:
        return hidden_of_text(decoder, ids[None], states[None], places)[0]
    n = ids.shape[-1]
    p = dropout if decoder.training else 0.0
    x = F.dropout(decoder.embed_tokens(ids) + decoder.embed_positions.weight[:n], p)
    causal = torch.ones(n, n, dtype=torch.bool, device=ids.device).tril()
    bias = heard if places is None else places.bias
    for layer in decoder.blocks:
        if recompute:
            x = checkpoint(block, layer, x, states, causal, bias, p, use_reentrant=False)
        else:
            x = block(layer, x, states, causal, bias, p)
        if outputs is not None:
            outputs.append(x)
    hidden: Tensor = decoder.layer_norm(x)
    return hidden


def text_logits(decoder: TextDecoder, hidden: Tensor, among: Tensor | None = None) -> Tensor:
    """Logits float32 [n, vocabulary] of hidden states; `among`: int64 ids, for those alone."""
    table = decoder.embed_tokens.weight
    return F.linear(hidden, table if among is None else table[among]).float()
