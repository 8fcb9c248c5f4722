"""Writing a LoRA adapter in PEFT's layout: `adapter_config.json` and `adapter_model.safetensors`.

peft and `adapter.py` read it. What is Tercet's own is `true_length` in the metadata of the weights: peft
complains of settings that it does not know.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tercet.checkpoint.adapter import TRUE_LENGTH, WEIGHTS
from tercet.checkpoint.adapter_settings import CONFIG
from tercet.checkpoint.safetensors_writer import ArrayPlan, SafetensorsWriter
from tercet.checkpoint.whole_folder import whole_folder

Matrices = Mapping[str, tuple[np.ndarray, np.ndarray]]
_FILES = (CONFIG, WEIGHTS[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterFacts:
    """What an adapter says about itself."""

    base: str  # the model it belongs to, a hub id or a name
    rank: int
    alpha: float
    dropout: float = 0.0
    true_length: bool = False  # the model with it hears windows as long as they are


def save_adapter(folder: Path, matrices: Matrices, facts: AdapterFacts, *, dtype: str) -> None:
    """Write an adapter; the folder appears whole or not at all, and replaces an older one.

    Args:
        folder: The final name.
        matrices: A [rank, in] and B [out, rank] by the adapted layer's name in the checkpoint
            ("model.encoder.layers.0.self_attn.q_proj").
        facts: See there.
        dtype: "float32" or "float16".

    Raises:
        OutputError: the folder holds something else, or cannot be written.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, (a, b) in matrices.items():
        arrays[f"base_model.model.{name}.lora_A.weight"] = a
        arrays[f"base_model.model.{name}.lora_B.weight"] = b
    with whole_folder(folder, replace=True, known=_FILES) as place:
        told = json.dumps(_config(tuple(matrices), facts), indent=2) + "\n"
        (place / CONFIG).write_text(told, encoding="utf-8")
        plans = {name: ArrayPlan(dtype, each.shape) for name, each in arrays.items()}
        with (place / WEIGHTS[0]).open("wb") as file:
            own = {TRUE_LENGTH: "true"} if facts.true_length else {}
            writer = SafetensorsWriter(file, plans, {"format": "pt", **own})
            for name, each in arrays.items():
                writer.put(name, each)
            writer.finish()


def _config(modules: tuple[str, ...], facts: AdapterFacts) -> dict[str, object]:
    """PEFT's settings."""
    return {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": facts.base,
        "inference_mode": True,
        "r": facts.rank,
        "lora_alpha": facts.alpha,
        "lora_dropout": facts.dropout,
        "target_modules": _expression(modules),
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
    }


def _expression(modules: tuple[str, ...]) -> str:
    """What PEFT matches whole names with: these modules and no others."""
    numbers: dict[str, list[int]] = {}
    for name in modules:
        before, number, after = re.split(r"\.(\d+)\.", name, maxsplit=1)
        numbers.setdefault(f"{before}.#.{after}", []).append(int(number))
    patterns = []
    for name, found in numbers.items():
        layers = "|".join(map(str, sorted(found)))
        patterns.append(name.replace(".", r"\.").replace("#", f"({layers})"))
    return "|".join(patterns)
