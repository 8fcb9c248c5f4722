"""What `adapter_config.json` of PEFT says, as far as a LoRA's meaning depends on it; other kinds are refused.

Reads the settings alone; the weights are `adapter.py`'s concern.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tercet.checkpoint.settings import read_json_object
from tercet.errors import CheckpointError

CONFIG = "adapter_config.json"
_MAX_RANK = 65536  # far above any; what lies beyond is damage
# What changes the sum W + scale * B A, and by which name a message calls it.
_OTHER_KINDS = {
    "use_dora": "DoRA",
    "use_qalora": "QA-LoRA",
    "lora_bias": "LoRA with biases of its own",
    "layer_replication": "LoRA on replicated layers",
    "target_parameters": "LoRA on bare parameters",
    "trainable_token_indices": "LoRA with tokens of its own",
    "alora_invocation_tokens": "activated LoRA",
}
# Starts of A and B that leave the model's own matrices as they are. The others (PiSSA, OLoRA, CorDA, LoftQ)
# take their part out of them, so that the stored sum belongs to a model that is not stored.
_HARMLESS_STARTS = (None, True, False, "gaussian", "eva", "orthogonal")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSettings:
    """Ranks and scales of a LoRA."""

    path: Path  # for messages
    rank: int
    alpha: float
    is_rank_stabilised: bool  # scaled by alpha / sqrt(rank) instead of alpha / rank
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]

    def rank_of(self, module: str) -> int:
        """The rank of one module, by its full name ("model.encoder.layers.0.fc1")."""
        return self.rank_pattern.get(_pattern_of(self.rank_pattern, module), self.rank)

    def scale_of(self, module: str) -> float:
        """What B A is multiplied by."""
        alpha = self.alpha_pattern.get(_pattern_of(self.alpha_pattern, module), self.alpha)
        rank = self.rank_of(module)
        return alpha / (math.sqrt(rank) if self.is_rank_stabilised else rank)


def read_adapter_settings(folder: Path) -> AdapterSettings:
    """Read `adapter_config.json` in a folder.

    Raises:
        CheckpointError: it is missing or damaged, or describes something else than a plain LoRA.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise CheckpointError(
            f"{path}: missing; an adapter is a PEFT folder with {CONFIG} and adapter_model.safetensors"
        )
    told = read_json_object(path)
    _check_kind(told, path)
    return AdapterSettings(
        path=path,
        rank=_rank(told.get("r"), "r", path),
        alpha=_number(told.get("lora_alpha"), "lora_alpha", path),
        is_rank_stabilised=told.get("use_rslora") is True,
        rank_pattern={
            key: _rank(value, f"rank_pattern {key!r:.80}", path)
            for key, value in _pattern(told, "rank_pattern", path).items()
        },
        alpha_pattern={
            key: _number(value, f"alpha_pattern {key!r:.80}", path)
            for key, value in _pattern(told, "alpha_pattern", path).items()
        },
    )


def _check_kind(told: Mapping[str, object], path: Path) -> None:
    kind = told.get("peft_type")
    found = None if kind == "LORA" else f"of kind {kind!r:.40}"
    for key, name in _OTHER_KINDS.items():
        if told.get(key):
            found = name
    if (bias := told.get("bias", "none")) != "none":
        found = f"LoRA that trained biases (bias {bias!r:.40})"
    start = told.get("init_lora_weights", True)
    if start not in _HARMLESS_STARTS:
        found = f"LoRA that began as {start!r:.40}, which changes the model's own weights"
    if found is not None:
        raise CheckpointError(
            f"{path}: an adapter {found}; only plain LoRA can be merged here: merge it with peft "
            "(merge_and_unload, then save_pretrained), and give the model's folder"
        )


def _pattern(told: Mapping[str, object], key: str, path: Path) -> dict[str, object]:
    """A table of values by the ends of modules' names, which are regular expressions."""
    value = told.get(key) or {}
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: {key!r} is no object; export the adapter again")
    for pattern in value:
        try:
            re.compile(_anchored(pattern))
        except re.error as error:
            raise CheckpointError(
                f"{path}: {key!r} has the pattern {pattern!r:.80}, which is none ({error}); correct it"
            ) from error
    return value


def _pattern_of(patterns: Mapping[str, object], module: str) -> str:
    """The first pattern that the end of a name matches; the name itself where none does."""
    return next((each for each in patterns if re.match(_anchored(each), module)), module)


def _anchored(pattern: str) -> str:
    """A whole name, or what stands behind one of its dots."""
    return rf"(?:.*\.)?(?:{pattern})$"


def _rank(value: object, key: str, path: Path) -> int:
    if type(value) is not int or not 1 <= value <= _MAX_RANK:
        raise CheckpointError(
            f"{path}: {key} is {value!r:.40}, not a rank of 1..{_MAX_RANK}; export the adapter again"
        )
    return value


def _number(value: object, key: str, path: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise CheckpointError(
            f"{path}: {key} is {value!r:.40}, not a number; export the adapter again"
        )
    return float(value)
