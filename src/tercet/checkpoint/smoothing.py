"""Which factors were folded into a stored encoder's matrices, told by the exponents in its file.

`convert/smooth.py` chooses and folds them; who adds to a folded matrix, or compares it with its original,
needs them again.
"""

from collections.abc import Mapping

import numpy as np

GROUPS = {  # statistic -> the matrices that read the same input
    "self_attn": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out_proj": ("self_attn.out_proj",),
    "fc1": ("fc1",),
}


def column_factors(name: str, exponents: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """What the columns of a folded encoder matrix were multiplied by, float32 [in]; None: nothing."""
    statistic = statistic_of(name)
    if statistic is None or statistic not in exponents:
        return None
    return np.exp2(exponents[statistic].astype(np.float32))


def row_divisors(name: str, exponents: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """What the rows of a folded matrix were divided by, float32 [out]: value projections feed `out_proj`."""
    if ".self_attn.v_proj." not in name:
        return None
    return column_factors(name.replace("v_proj", "out_proj"), exponents)


def statistic_of(weight: str) -> str | None:
    """`model.encoder.layers.0.fc1.weight` (or a graph's label for it) -> `layers.0.fc1`."""
    prefix = "model.encoder."
    if not weight.startswith(f"{prefix}layers."):
        return None
    layer, rest = weight.removeprefix(prefix).split(".", 2)[1:]
    if rest.startswith("fc2."):
        return f"layers.{layer}.fc2"
    for group, readers in GROUPS.items():
        if any(rest.startswith((f"{reader}.", f"{reader}+")) for reader in readers):
            return f"layers.{layer}.{group}"
    return None
