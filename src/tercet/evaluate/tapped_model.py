"""A model whose encoder also gives its layers, for probes: opened once, for both."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from array_api_compat import to_device

from tercet.audio.convention import SHARED, window_mel
from tercet.checkpoint import open_checkpoint
from tercet.engine.choice import choose
from tercet.engine.protocol import Encoder
from tercet.evaluate.layers import TapsOf
from tercet.hub import find_model
from tercet.listener import Model
from tercet.loading import DEFAULT_BATCH_SIZE, adapted, open_parts, tokenizer_of

_SAMPLES_PER_STATE = 320
_STATES_PER_TAP = 20


def open_tapped(
    name: str | Path,
    *,
    adapter: str | Path | None = None,
    device: str = "auto",
    compute_type: str = "auto",
    engine: str = "auto",
    threads: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[Model, TapsOf]:
    """Open a model without heads, and what gives the taps of its encoder.

    Args:
        name: As `load_model`'s.
        adapter: Likewise.
        device: Likewise.
        compute_type: Likewise.
        engine: Likewise.
        threads: Likewise.
        on_progress: Likewise.

    Raises:
        ModelNotFoundError: the name leads nowhere.
        CheckpointError: the files are damaged, or no Whisper; or the adapter is of another kind or model.
        TokenizerError: the tokenizer is missing, or another vocabulary's.
        EngineError: the engine refused the model.
        OptionError: a value is not allowed.
    """
    choice = choose(engine, device, compute_type)
    checkpoint = open_checkpoint(find_model(name, on_progress=on_progress))
    checkpoint = adapted(checkpoint, adapter, on_progress=on_progress)
    encoder, decoder = open_parts(checkpoint, choice, threads, taps=True)
    tokenizer = tokenizer_of(checkpoint)
    model = Model(
        str(name), encoder, decoder, tokenizer, batch_size=DEFAULT_BATCH_SIZE, overlap=threads != 1
    )
    return model, taps_from(encoder)


def taps_from(encoder: Encoder) -> TapsOf:
    """Samples of one window -> its taps, float32 NumPy [layers, frames of 0.4 s that hold sound, width]."""
    n_mels = encoder.geometry.n_mels

    def taps_of(samples: np.ndarray) -> np.ndarray:
        real_frames = -(-samples.size // _SAMPLES_PER_STATE)
        mel = window_mel(samples, SHARED, n_mels=n_mels)
        taps = to_device(encoder.encode(mel, real_frames=real_frames).taps, "cpu")
        taps = np.asarray(taps, np.float32)
        return taps[:, : -(-real_frames // _STATES_PER_TAP)]

    return taps_of
