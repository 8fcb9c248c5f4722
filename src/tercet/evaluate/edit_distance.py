"""How many insertions, deletions and substitutions turn one sequence of codes into another."""

import numpy as np


def edit_distance(one: np.ndarray, other: np.ndarray) -> int:
    """Levenshtein's distance between two sequences of codes.

    Args:
        one: Integers [n], or [n, depth]: a time's codes of all levels count as one symbol.
        other: Integers [m], or [m, depth].
    """
    places = np.arange(len(other) + 1)
    row = places  # from nothing of `one` to so much of `other`
    for number, code in enumerate(one, start=1):
        equal = other == code if other.ndim == 1 else (other == code).all(axis=1)
        best = np.empty_like(row)
        best[0] = number
        best[1:] = np.minimum(row[:-1] + ~equal, row[1:] + 1)
        # Insertions cost one a place: the cheapest start of a run of them, seen from each place.
        row = np.minimum.accumulate(best - places) + places
    return int(row[-1])
