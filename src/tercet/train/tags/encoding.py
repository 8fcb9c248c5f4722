"""Scenes and clips through the frozen encoder, once: their taps into a folder (`dataset.encoded`).

The encoder is the one that will serve: `load_model`'s engine and precision, so that a head hears while it
is trained what it will hear afterwards.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tercet.audio.convention import InputConvention, window_mel
from tercet.checkpoint import Checkpoint
from tercet.convert.encoder import encoder_graph, pooling_weights
from tercet.convert.fingerprint import encoder_digest
from tercet.dataset.encoded import About
from tercet.dataset.encoded_writing import EncodedWriter
from tercet.engine.choice import Choice, choose
from tercet.engine.protocol import Encoder
from tercet.train.tags.mixtures import SceneMaker, SceneOrder
from tercet.train.tags.recipe import TAP_FRAMES
from tercet.train.tags.scene import Scene

_SAMPLES_PER_STATE = 320
TapsOf = Callable[[np.ndarray], np.ndarray]  # samples -> taps [layers, frames, width]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ears:
    """An opened encoder, and what its taps are."""

    taps_of: TapsOf
    about: About


def open_ears(
    checkpoint: Checkpoint,
    convention: InputConvention,
    *,
    name: str,
    tap_frames: int = TAP_FRAMES,
    threads: int | None = None,
) -> Ears:
    """Open a model's encoder for taps.

    Args:
        checkpoint: The model.
        convention: What stands behind the sound.
        name: The model's, for messages.
        tap_frames: States that one tap averages; 20 on every engine, others in ONNX Runtime.
        threads: None: one per core.

    Raises:
        EngineError: the engine refused it.
    """
    n_mels = checkpoint.geometry.n_mels
    if tap_frames == TAP_FRAMES:
        encode = _served(_open_encoder(checkpoint, choose("auto", "auto", "auto"), threads))
    else:
        encode = _pooled(checkpoint, tap_frames, threads)

    def taps_of(samples: np.ndarray) -> np.ndarray:
        mel = window_mel(samples, convention, n_mels=n_mels)
        real_frames = min(-(-samples.size // _SAMPLES_PER_STATE), mel.shape[1] // 2)
        taps = encode(mel, real_frames)
        return taps[:, : -(-real_frames // tap_frames)]

    about = about_taps(checkpoint, convention, name=name, tap_frames=tap_frames)
    return Ears(taps_of=taps_of, about=about)


def about_taps(
    checkpoint: Checkpoint, convention: InputConvention, *, name: str, tap_frames: int = TAP_FRAMES
) -> About:
    """What a folder of such taps says about itself; arguments as `open_ears`'."""
    facts = {**convention.to_json(), "tap_frames": tap_frames}
    return About(encoder=encoder_digest(checkpoint), convention=facts, model=name)


def encode_scenes(
    folder: Path,
    ears: Ears,
    maker: SceneMaker,
    orders: Iterable[SceneOrder],
    *,
    on_done: Callable[[int], None] | None = None,
) -> None:
    """Make, encode and store scenes; those that are in the folder already are left out.

    Raises:
        AudioError: a recording cannot be heard.
        FingerprintError: the folder holds another encoder's taps.
        OutputError: the disk is full; what was finished is kept, and the next call goes on.
    """
    scenes = ((order.key, lambda order=order: maker.make(order)) for order in orders)
    _store(folder, ears, scenes, on_done)


def encode_clips(
    folder: Path,
    ears: Ears,
    clips: Iterable[tuple[str, Callable[[], Scene]]],
    *,
    on_done: Callable[[int], None] | None = None,
) -> None:
    """The same for recordings as they are: (key, how it is made) of each."""
    _store(folder, ears, clips, on_done)


def _store(
    folder: Path,
    ears: Ears,
    scenes: Iterable[tuple[str, Callable[[], Scene]]],
    on_done: Callable[[int], None] | None,
) -> None:
    with EncodedWriter(folder, about=ears.about, kinds=("taps",)) as writer:
        for number, (key, make) in enumerate(scenes, start=1):
            if key not in writer:
                scene = make()
                taps = ears.taps_of(scene.samples)
                writer.add(key, _facts(scene, taps.shape[1]), taps=taps)
            if on_done is not None:
                on_done(number)


def _facts(scene: Scene, frames: int) -> Mapping[str, Any]:
    """What is known of a scene; weak clips carry `labels` in place of events."""
    events = [[event.start_s, event.end_s, event.label] for event in scene.events]
    timed = {} if "labels" in scene.facts else {"events": events}
    return {"n_samples": int(scene.samples.size), "frames": frames, **timed, **scene.facts}


def _open_encoder(checkpoint: Checkpoint, choice: Choice, threads: int | None) -> Encoder:
    from tercet.engine.onnx import PRECISIONS, OnnxEncoder

    precision = PRECISIONS[choice.compute_type]
    if choice.encoder == "onnx":
        return OnnxEncoder(checkpoint, precision, threads=threads, taps=True)
    from tercet.engine.openvino import OpenVinoEncoder

    return OpenVinoEncoder(
        checkpoint, precision, threads=threads, taps=True, arithmetic=choice.arithmetic
    )


def _served(encoder: Encoder) -> Callable[[np.ndarray, int], np.ndarray]:
    def encode(mel: np.ndarray, real_frames: int) -> np.ndarray:
        return np.asarray(encoder.encode(mel, real_frames=real_frames).taps)

    return encode


def _pooled(
    checkpoint: Checkpoint, tap_frames: int, threads: int | None
) -> Callable[[np.ndarray, int], np.ndarray]:
    """Taps of another number of states (Whisper-AT's ESC-50: 10), in float32 on ONNX Runtime."""
    from tercet.engine.onnx import PRECISIONS, OnnxGraph

    graph = OnnxGraph(encoder_graph(checkpoint, PRECISIONS["float32"], taps=True), threads=threads)

    def encode(mel: np.ndarray, real_frames: int) -> np.ndarray:
        frames = mel.shape[1] // 2
        pooling = pooling_weights(frames, real_frames, per_tap=tap_frames)
        inputs = {"mel": np.ascontiguousarray(mel, np.float32)[None], "pooling": pooling}
        return graph.run(inputs)["taps"]

    return encode
