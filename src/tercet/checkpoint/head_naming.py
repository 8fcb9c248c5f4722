"""What the arrays of a head are called, and what shape each must have. Nothing is read or written here."""

from tercet.checkpoint.heads import DraftHead, Head, Quantizer, TagHead
from tercet.errors import CheckpointError

Shapes = dict[str, tuple[int, ...]]


def head_shapes(head: Head) -> Shapes:
    """Every array of a head, by name, with its shape."""
    if isinstance(head, TagHead):
        return tag_head_shapes(head)
    return quantizer_shapes(head) if isinstance(head, Quantizer) else draft_shapes(head)


def tag_head_shapes(head: TagHead) -> Shapes:
    """Every array of a tag head."""
    shapes: Shapes = {}
    if head.layers == "weighted":
        shapes["layer_weight"] = (head.n_layers or 0,)
    if head.has_projection:
        _norm(shapes, "down.norm", head.width)
        _linear(shapes, "down.proj", head.hidden, head.width)
    if head.time_heads:
        _block(shapes, "time_block", head.hidden, 4 * head.hidden)
    if head.layer_heads:
        _block(shapes, "layer_block", head.hidden, 4 * head.hidden)
    _norm(shapes, "classifier.norm", head.hidden)
    _linear(shapes, "classifier.proj", head.n_labels, head.hidden)
    return shapes


def quantizer_shapes(head: Quantizer) -> Shapes:
    """Every array of a quantizer."""
    shapes: Shapes = {}
    if head.downsampling == "conv":
        shapes["downsample_conv.weight"] = (head.width, head.width, 3)
        shapes["downsample_conv.bias"] = (head.width,)
    if head.has_state_mean:
        shapes["state_mean"] = (head.positions, head.width)
    _norm(shapes, "mlp.norm", head.width)
    _linear(shapes, "mlp.fc1", head.mlp_width, head.width)
    _linear(shapes, "mlp.fc2", head.width, head.mlp_width)
    for level in range(head.depth):
        _linear(shapes, f"levels.{level}.project_in", head.code_width, head.width)
        _linear(shapes, f"levels.{level}.project_out", head.width, head.code_width)
        shapes[f"levels.{level}.codebook"] = (head.codebook_size, head.code_width)
    shapes["embed_positions.weight"] = (head.positions, head.width)
    for index in range(head.blocks):
        _block(shapes, f"blocks.{index}", head.width, head.mlp_width)
    _norm(shapes, "layer_norm", head.width)
    return shapes


def draft_shapes(head: DraftHead) -> Shapes:
    """Every array of a draft."""
    shapes: Shapes = {"token_ids": (head.shortlist,)}
    for name in ("token_norm", "hidden_norm", "layer_norm"):
        _norm(shapes, name, head.width)
    _linear(shapes, "fuse", head.width, 2 * head.width)
    for attention in ("self_attn", "encoder_attn"):
        _norm(shapes, f"block.{attention}_layer_norm", head.width)
        for name in ("q_proj", "out_proj"):
            _linear(shapes, f"block.{attention}.{name}", head.width, head.width)
    _norm(shapes, "block.final_layer_norm", head.width)
    _linear(shapes, "block.fc1", head.mlp_width, head.width)
    _linear(shapes, "block.fc2", head.width, head.mlp_width)
    if head.rank:
        shapes |= {
            "narrow.weight": (head.rank, head.width),
            "widen.weight": (head.width, head.rank),
        }
    return shapes


def check_head(head: Head) -> None:
    """Every array is there, in the right shape, and no other.

    Raises:
        CheckpointError: one is missing, odd, or too many.
    """
    wanted = head_shapes(head)
    found = {name: head.arrays.shape(name) for name in head.arrays.names()}
    path = head.arrays.path
    for name, shape in wanted.items():
        if name not in found:
            raise CheckpointError(
                f"{path}: {name} is missing; the head is incomplete, fetch it again"
            )
        if found[name] != shape:
            raise CheckpointError(
                f"{path}: {name} has shape {list(found[name])} instead of {list(shape)}; "
                "the arrays do not fit the head's settings"
            )
    if rest := sorted(set(found) - set(wanted)):
        raise CheckpointError(
            f"{path}: {rest[0]} unknown; another kind of head than its settings say"
        )


def _norm(shapes: Shapes, name: str, width: int) -> None:
    shapes[f"{name}.weight"] = (width,)
    shapes[f"{name}.bias"] = (width,)


def _linear(shapes: Shapes, name: str, out: int, width: int) -> None:
    shapes[f"{name}.weight"] = (out, width)
    shapes[f"{name}.bias"] = (out,)


def _block(shapes: Shapes, name: str, width: int, mlp_width: int) -> None:
    for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
        shapes[f"{name}.self_attn.{part}.weight"] = (width, width)
        if part != "k_proj":  # Whisper gives keys no bias
            shapes[f"{name}.self_attn.{part}.bias"] = (width,)
    _norm(shapes, f"{name}.self_attn_layer_norm", width)
    _linear(shapes, f"{name}.fc1", mlp_width, width)
    _linear(shapes, f"{name}.fc2", width, mlp_width)
    _norm(shapes, f"{name}.final_layer_norm", width)
