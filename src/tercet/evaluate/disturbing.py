"""The noise that is put into one row of a manifest: the same for every level and every model."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from tercet.dataset.manifests import Row
from tercet.errors import DataError
from tercet.evaluate.mixing import VOICES, babble, rms
from tercet.evaluate.recordings import samples_of
from tercet.train.waveforms import coloured_noise

Noise = Literal["white", "babble"]
NOISES: tuple[Noise, ...] = ("white", "babble")


def check_babble(rows: Sequence[Row], noises: Sequence[Noise], levels: Sequence[float]) -> None:
    """Whether there are voices to make babble of.

    Raises:
        DataError: there is one row alone.
    """
    if "babble" in noises and levels and len(rows) < 2:
        raise DataError(
            f"{rows[0].audio}: babble needs a second row with speech; choose white noise"
        )


def noise_of(
    kind: Noise, rows: Sequence[Row], number: int, n_samples: int, *, seed: int
) -> np.ndarray:
    """Noise for row `number`, float32 [n_samples], 16 kHz.

    Args:
        kind: "white", or "babble": up to six other rows at once, of other speakers where speakers are told.
        rows: All rows.
        number: Whose noise it is.
        n_samples: Its length.
        seed: Of all noise.

    Raises:
        DataError: the rows that were drawn for babble are all silent.
    """
    rng = np.random.default_rng([seed, number, NOISES.index(kind)])
    if kind == "white":
        return coloured_noise(n_samples, 0.0, rng)
    mine = rows[number].speaker
    others = [n for n in range(len(rows)) if n != number]
    strangers = [n for n in others if mine is None or rows[n].speaker != mine]
    drawn = rng.permutation(strangers or others)[:VOICES]
    voices = babble([samples_of(rows[n]) for n in drawn], n_samples)
    if rms(voices) == 0.0:
        raise DataError(f"{rows[number].audio}: the rows for its babble are all silent")
    return voices
