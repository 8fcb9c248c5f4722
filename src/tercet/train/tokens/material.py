"""From manifests to windows of speech: which rows are joined, and the sound of a window.

A window depends on its order (`WindowOrder`) alone. Nothing is encoded here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tercet.audio.load import load
from tercet.dataset.manifests import Row
from tercet.errors import DataError
from tercet.train.sets import Tell, is_held_out, rows_of, untold
from tercet.train.tokens.recipe import DataRecipe, SetRecipe, WindowsRecipe
from tercet.train.waveforms import RATE_HZ, at_speed, coloured_noise

LONGEST_S = 30.0
_SHORTEST_S = 0.3  # shorter rows are left out


@dataclass(frozen=True, slots=True)
class WindowOrder:
    """Which window to make: rows of one set, in their order."""

    key: str
    rows: tuple[Row, ...]
    seed: int
    language: str | None  # code; None: to be heard

    @property
    def text(self) -> str:
        """What the manifest says is spoken; "" where a row does not tell."""
        texts = [row.text or "" for row in self.rows]
        return " ".join(texts) if all(texts) else ""


@dataclass(frozen=True, slots=True)
class Split:
    """Windows of one set: to be trained on, and held out."""

    name: str
    weight: float
    train: tuple[WindowOrder, ...]
    held_out: tuple[WindowOrder, ...]


@dataclass(frozen=True, slots=True)
class Sound:
    """A window's samples, float32, 16 kHz, at most 30 s: as the teacher hears them, and with noise."""

    clean: np.ndarray
    noisy: np.ndarray | None


def splits(data: DataRecipe, root: Path, tell: Tell = untold) -> tuple[Split, ...]:
    """Windows of every set of speech; rows that are left out as broken are told.

    Raises:
        DataError: a manifest is faulty, or a set has nothing to train on.
    """
    found = []
    for number, each in enumerate(data.sets):
        if each.role != "speech":
            continue
        rows = [row for row in _rows(each, data, root, tell) if _is_wanted(row, each, data)]
        train = [row for row in rows if not is_held_out(row, each.field, each.held_out)]
        held_out = [row for row in rows if is_held_out(row, each.field, each.held_out)]
        if not train:
            raise DataError(f"{each.manifest}: no row is left to train on; check held_out")
        seed = data.windows.seed + 2 * number
        counts = (each.windows, each.development if held_out else None)
        pair = [
            tuple(orders(part, each, data.windows, count, seed=seed + side))
            for side, (part, count) in enumerate(zip((train, held_out), counts, strict=True))
        ]
        found.append(Split(each.name, each.weight or len(pair[0]), *pair))
    return tuple(found)


def noises(data: DataRecipe, root: Path, tell: Tell = untold) -> tuple[Path, ...]:
    """Recordings of noise."""
    sets = [each for each in data.sets if each.role == "noises"]
    return tuple(
        row.audio for each in sets for row in _rows(each, data, root, tell) if _has_label(row, each)
    )


def orders(
    rows: Sequence[Row], of: SetRecipe, recipe: WindowsRecipe, count: int | None, *, seed: int
) -> list[WindowOrder]:
    """Windows of a set's rows: some of one row, the others of neighbours of one speaker.

    Args:
        rows: Of one side of the split.
        of: Their set.
        recipe: The shares.
        count: How many; 0: until each row was used once; None: none at all.
        seed: Of all choices.
    """
    if count is None or not rows:
        return []
    rng = np.random.default_rng([seed, 7])
    made: list[WindowOrder] = []
    for turn in range(1000):
        for group in _groups(rows, recipe, rng):
            key = f"{of.name}-{seed}-{len(made):06d}"
            language = group[0].language or of.language or None
            made.append(WindowOrder(key, group, int(rng.integers(2**31)), language))
            if count and len(made) == count:
                return made
        if not count or (not turn and not made):
            break
    return made


def make_sound(
    order: WindowOrder, recipe: WindowsRecipe, noise_paths: Sequence[Path], seed: int | None = None
) -> Sound:
    """A window's sound; `seed` in place of the order's changes gain, gaps and noise.

    Raises:
        AudioError: a recording cannot be heard.
    """
    rng = np.random.default_rng(order.seed if seed is None else seed)
    parts: list[np.ndarray] = []
    for row in order.rows:
        if parts:
            gap_s = rng.uniform(*recipe.gap_s)
            parts.append(np.zeros(round(gap_s * RATE_HZ), np.float32))
        samples = _heard(row)
        speed = rng.uniform(*recipe.speed)
        parts.append(samples if speed == 1 else at_speed(samples, speed))
    clean = np.concatenate(parts)[: int(LONGEST_S * RATE_HZ)]
    peak = float(np.abs(clean).max(initial=0.0))
    gain = 10 ** (rng.uniform(*recipe.gain_db) / 20)
    clean = (clean * (gain / peak if peak > 1e-6 else 1.0)).astype(np.float32)
    if rng.random() >= recipe.noise_share:
        return Sound(clean, None)
    noise = _noise(clean.size, noise_paths, rng)
    level = np.sqrt(np.mean(clean**2)) * 10 ** (-rng.uniform(*recipe.snr_db) / 20)
    return Sound(clean, np.clip(clean + noise * np.float32(level), -1, 1).astype(np.float32))


def _groups(
    rows: Sequence[Row], recipe: WindowsRecipe, rng: np.random.Generator
) -> list[tuple[Row, ...]]:
    """Each row once, alone or joined to its neighbours, in random order."""
    groups: list[tuple[Row, ...]] = []
    run: list[Row] = []
    limit_s = 0.0
    for row in sorted(rows, key=lambda row: (row.speaker or "", str(row.audio), row.start_s)):
        length_s = _length_s(row)
        fits = run and run[0].speaker == row.speaker and _total_s(run, recipe) + length_s <= limit_s
        if run and not fits:
            groups.append(tuple(run))
            run = []
        if not run:
            is_single = rng.random() < recipe.single_share
            limit_s = 0.0 if is_single else rng.uniform(recipe.shortest_s, recipe.longest_s)
        run.append(row)
    groups.append(tuple(run))
    return [groups[at] for at in rng.permutation(len(groups))]


def _total_s(run: Sequence[Row], recipe: WindowsRecipe) -> float:
    """A run's length with its gaps at their longest, and one more."""
    slowest = min(1.0, recipe.speed[0])
    return sum(_length_s(row) / slowest + recipe.gap_s[1] for row in run)


def _length_s(row: Row) -> float:
    if row.duration_s is None:
        raise DataError(f"{row.audio}: has no duration_s in the manifest; give it, in seconds")
    return row.duration_s


def _rows(each: SetRecipe, data: DataRecipe, root: Path, tell: Tell) -> Sequence[Row]:
    rows = rows_of(root / each.manifest, skip_broken=data.skip_broken, tell=tell)
    return rows[:: each.every]


def _is_wanted(row: Row, each: SetRecipe, data: DataRecipe) -> bool:
    if data.languages and (row.language or each.language) not in data.languages:
        return False
    return _has_label(row, each) and _SHORTEST_S <= _length_s(row) <= LONGEST_S


def _has_label(row: Row, each: SetRecipe) -> bool:
    return not each.label or each.label in row.labels


def _heard(row: Row) -> np.ndarray:
    samples = load(row.audio).read()
    first = round(row.start_s * RATE_HZ)
    last = samples.size if row.duration_s is None else first + round(row.duration_s * RATE_HZ)
    part: np.ndarray = samples[first : max(last, first + 1)]
    return part


def _noise(n: int, paths: Sequence[Path], rng: np.random.Generator) -> np.ndarray:
    """Noise of RMS 1, recorded or made, float32 [n]."""
    at = int(rng.integers(len(paths) + 3))
    if at >= len(paths):
        return coloured_noise(n, float(rng.uniform(0, 2)), rng)
    samples = load(paths[at]).read()
    if samples.size < n:
        samples = np.tile(samples, -(-n // max(1, samples.size)))
    first = int(rng.integers(samples.size - n + 1))
    part = samples[first : first + n]
    even: np.ndarray = part / max(float(np.sqrt(np.mean(part**2))), 1e-6)
    return even
