"""Runs that take turns, so that what else the machine does meets all of them; and what to say of their times.

Knows nothing of what runs.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """One run's times, in seconds, one per round: on the wall, and of all cores that it kept busy."""

    wall_s: list[float]
    cpu_s: list[float]

    @property
    def median_s(self) -> float:
        return statistics.median(self.wall_s)

    @property
    def median_cpu_s(self) -> float:
        return statistics.median(self.cpu_s)


def interleaved(
    runs: Mapping[str, Callable[[], object]], rounds: int, *, is_warm: bool = False
) -> dict[str, Times]:
    """All runs in each of so many rounds, in turned order every other one; before, each once unless warm."""
    for run in () if is_warm else runs.values():
        run()
    found = {name: Times([], []) for name in runs}
    for number in range(rounds):
        for name in list(runs) if number % 2 == 0 else list(runs)[::-1]:
            wall, cpu = time.perf_counter(), time.process_time()
            runs[name]()
            found[name].wall_s.append(time.perf_counter() - wall)
            found[name].cpu_s.append(time.process_time() - cpu)
    return found


def ratio(own: list[float], other: list[float]) -> dict[str, float]:
    """Of times in the same rounds: the median of the rounds' ratios, and the quarters' bounds."""
    ratios = [a / b for a, b in zip(own, other, strict=True)]
    once_more = ratios if len(ratios) > 1 else 2 * ratios  # quantiles needs two
    low, middle, high = statistics.quantiles(once_more, n=4, method="inclusive")
    return {"median": middle, "quarter": low, "three_quarters": high}
