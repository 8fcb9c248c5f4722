"""What the arrays of a Whisper checkpoint are called in each layout, and what shape each must have.

Hugging Face's names are the common tongue; one table per layout translates them, in both
directions. Tables name modules; functions name what a module holds. Nothing is read or written
here.
"""

import re
from dataclasses import dataclass

from tercet.checkpoint.geometry import Geometry

_LAYER = re.compile(r"\.layers\.(\d+)\.")

# Hugging Face's module -> OpenAI's. `{i}` is the layer.
OPENAI_MODULES = {
    "model.encoder.conv1": "encoder.conv1",
    "model.encoder.conv2": "encoder.conv2",
    "model.encoder.embed_positions": "encoder",
    "model.encoder.layer_norm": "encoder.ln_post",
    "model.encoder.layers.{i}.self_attn_layer_norm": "encoder.blocks.{i}.attn_ln",
    "model.encoder.layers.{i}.self_attn.q_proj": "encoder.blocks.{i}.attn.query",
    "model.encoder.layers.{i}.self_attn.k_proj": "encoder.blocks.{i}.attn.key",
    "model.encoder.layers.{i}.self_attn.v_proj": "encoder.blocks.{i}.attn.value",
    "model.encoder.layers.{i}.self_attn.out_proj": "encoder.blocks.{i}.attn.out",
    "model.encoder.layers.{i}.final_layer_norm": "encoder.blocks.{i}.mlp_ln",
    "model.encoder.layers.{i}.fc1": "encoder.blocks.{i}.mlp.0",
    "model.encoder.layers.{i}.fc2": "encoder.blocks.{i}.mlp.2",
    "model.decoder.embed_tokens": "decoder.token_embedding",
    "model.decoder.embed_positions": "decoder",
    "model.decoder.layer_norm": "decoder.ln",
    "model.decoder.layers.{i}.self_attn_layer_norm": "decoder.blocks.{i}.attn_ln",
    "model.decoder.layers.{i}.self_attn.q_proj": "decoder.blocks.{i}.attn.query",
    "model.decoder.layers.{i}.self_attn.k_proj": "decoder.blocks.{i}.attn.key",
    "model.decoder.layers.{i}.self_attn.v_proj": "decoder.blocks.{i}.attn.value",
    "model.decoder.layers.{i}.self_attn.out_proj": "decoder.blocks.{i}.attn.out",
    "model.decoder.layers.{i}.encoder_attn_layer_norm": "decoder.blocks.{i}.cross_attn_ln",
    "model.decoder.layers.{i}.encoder_attn.q_proj": "decoder.blocks.{i}.cross_attn.query",
    "model.decoder.layers.{i}.encoder_attn.k_proj": "decoder.blocks.{i}.cross_attn.key",
    "model.decoder.layers.{i}.encoder_attn.v_proj": "decoder.blocks.{i}.cross_attn.value",
    "model.decoder.layers.{i}.encoder_attn.out_proj": "decoder.blocks.{i}.cross_attn.out",
    "model.decoder.layers.{i}.final_layer_norm": "decoder.blocks.{i}.mlp_ln",
    "model.decoder.layers.{i}.fc1": "decoder.blocks.{i}.mlp.0",
    "model.decoder.layers.{i}.fc2": "decoder.blocks.{i}.mlp.2",
}

# Hugging Face's module -> CTranslate2's, which part of the fused rows it is, and of how many.
CTRANSLATE2_MODULES = {
    "model.encoder.conv1": ("encoder/conv1", 0, 1),
    "model.encoder.conv2": ("encoder/conv2", 0, 1),
    "model.encoder.embed_positions": ("encoder/position_encodings", 0, 1),
    "model.encoder.layer_norm": ("encoder/layer_norm", 0, 1),
    "model.encoder.layers.{i}.self_attn_layer_norm": (
        "encoder/layer_{i}/self_attention/layer_norm",
        0,
        1,
    ),
    "model.encoder.layers.{i}.self_attn.q_proj": (
        "encoder/layer_{i}/self_attention/linear_0",
        0,
        3,
    ),
    "model.encoder.layers.{i}.self_attn.k_proj": (
        "encoder/layer_{i}/self_attention/linear_0",
        1,
        3,
    ),
    "model.encoder.layers.{i}.self_attn.v_proj": (
        "encoder/layer_{i}/self_attention/linear_0",
        2,
        3,
    ),
    "model.encoder.layers.{i}.self_attn.out_proj": (
        "encoder/layer_{i}/self_attention/linear_1",
        0,
        1,
    ),
    "model.encoder.layers.{i}.final_layer_norm": ("encoder/layer_{i}/ffn/layer_norm", 0, 1),
    "model.encoder.layers.{i}.fc1": ("encoder/layer_{i}/ffn/linear_0", 0, 1),
    "model.encoder.layers.{i}.fc2": ("encoder/layer_{i}/ffn/linear_1", 0, 1),
    "model.decoder.embed_tokens": ("decoder/embeddings", 0, 1),
    "model.decoder.embed_positions": ("decoder/position_encodings", 0, 1),
    "model.decoder.layer_norm": ("decoder/layer_norm", 0, 1),
    "model.decoder.layers.{i}.self_attn_layer_norm": (
        "decoder/layer_{i}/self_attention/layer_norm",
        0,
        1,
    ),
    "model.decoder.layers.{i}.self_attn.q_proj": (
        "decoder/layer_{i}/self_attention/linear_0",
        0,
        3,
    ),
    "model.decoder.layers.{i}.self_attn.k_proj": (
        "decoder/layer_{i}/self_attention/linear_0",
        1,
        3,
    ),
    "model.decoder.layers.{i}.self_attn.v_proj": (
        "decoder/layer_{i}/self_attention/linear_0",
        2,
        3,
    ),
    "model.decoder.layers.{i}.self_attn.out_proj": (
        "decoder/layer_{i}/self_attention/linear_1",
        0,
        1,
    ),
    "model.decoder.layers.{i}.encoder_attn_layer_norm": (
        "decoder/layer_{i}/attention/layer_norm",
        0,
        1,
    ),
    "model.decoder.layers.{i}.encoder_attn.q_proj": ("decoder/layer_{i}/attention/linear_0", 0, 1),
    "model.decoder.layers.{i}.encoder_attn.k_proj": ("decoder/layer_{i}/attention/linear_1", 0, 2),
    "model.decoder.layers.{i}.encoder_attn.v_proj": ("decoder/layer_{i}/attention/linear_1", 1, 2),
    "model.decoder.layers.{i}.encoder_attn.out_proj": (
        "decoder/layer_{i}/attention/linear_2",
        0,
        1,
    ),
    "model.decoder.layers.{i}.final_layer_norm": ("decoder/layer_{i}/ffn/layer_norm", 0, 1),
    "model.decoder.layers.{i}.fc1": ("decoder/layer_{i}/ffn/linear_0", 0, 1),
    "model.decoder.layers.{i}.fc2": ("decoder/layer_{i}/ffn/linear_1", 0, 1),
}


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one array lies in another layout.

    Part `part` of the `parts` equal row blocks of `key`.
    """

    key: str
    part: int = 0
    parts: int = 1


def expected_shapes(geometry: Geometry) -> dict[str, tuple[int, ...]]:
    """Every array of a checkpoint of this geometry, by Hugging Face's name, with its shape."""
    g = geometry
    shapes: dict[str, tuple[int, ...]] = {
        "model.encoder.conv1.weight": (g.width, g.n_mels, 3),
        "model.encoder.conv1.bias": (g.width,),
        "model.encoder.conv2.weight": (g.width, g.width, 3),
        "model.encoder.conv2.bias": (g.width,),
        "model.encoder.embed_positions.weight": (g.n_audio_ctx, g.width),
        "model.decoder.embed_tokens.weight": (g.vocab_size, g.width),
        "model.decoder.embed_positions.weight": (g.n_text_ctx, g.width),
    }
    for i in range(g.encoder_layers):
        _add_block(shapes, f"model.encoder.layers.{i}", g, ("self_attn",))
    for i in range(g.decoder_layers):
        _add_block(shapes, f"model.decoder.layers.{i}", g, ("self_attn", "encoder_attn"))
    _add_norm(shapes, "model.encoder.layer_norm", g.width)
    _add_norm(shapes, "model.decoder.layer_norm", g.width)
    return shapes


def openai_slots(geometry: Geometry) -> dict[str, Slot]:
    """Hugging Face's name -> OpenAI's, for every array of this geometry."""
    slots = {}
    for name in expected_shapes(geometry):
        module, leaf, layer = _split(name)
        if module.endswith("embed_positions"):
            leaf = "positional_embedding"
        slots[name] = Slot(f"{OPENAI_MODULES[module].format(i=layer)}.{leaf}")
    return slots


def ctranslate2_slots(geometry: Geometry) -> dict[str, Slot]:
    """Hugging Face's name -> CTranslate2's (with the part of a fused matrix), for every array."""
    slots = {}
    for name in expected_shapes(geometry):
        module, leaf, layer = _split(name)
        key, part, parts = CTRANSLATE2_MODULES[module]
        if module.endswith("layer_norm"):
            leaf = {"weight": "gamma", "bias": "beta"}[leaf]
        elif module.endswith("embed_positions"):
            leaf = "encodings"
        slots[name] = Slot(f"{key.format(i=layer)}/{leaf}", part, parts)
    return slots


def _split(name: str) -> tuple[str, str, str]:
    """(module with `{i}` for the layer, leaf, layer)."""
    module, leaf = name.rsplit(".", 1)
    found = _LAYER.search(name)
    layer = found.group(1) if found else ""
    return _LAYER.sub(".layers.{i}.", module, count=1), leaf, layer


def _add_norm(shapes: dict[str, tuple[int, ...]], name: str, width: int) -> None:
    shapes[f"{name}.weight"] = (width,)
    shapes[f"{name}.bias"] = (width,)


def _add_block(
    shapes: dict[str, tuple[int, ...]], name: str, geometry: Geometry, attentions: tuple[str, ...]
) -> None:
    width, mlp_width = geometry.width, geometry.mlp_width
    for attention in attentions:
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes[f"{name}.{attention}.{projection}.weight"] = (width, width)
            if projection != "k_proj":  # a key bias would cancel in the softmax; Whisper has none
                shapes[f"{name}.{attention}.{projection}.bias"] = (width,)
        _add_norm(shapes, f"{name}.{attention}_layer_norm", width)
    shapes[f"{name}.fc1.weight"] = (mlp_width, width)
    shapes[f"{name}.fc1.bias"] = (mlp_width,)
    shapes[f"{name}.fc2.weight"] = (width, mlp_width)
    shapes[f"{name}.fc2.bias"] = (width,)
    _add_norm(shapes, f"{name}.final_layer_norm", width)
