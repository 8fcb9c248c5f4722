"""The frozen encoder's states of labelled windows, heard once and kept: by the engine that will serve."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tercet.audio.convention import SHARED, window_mel
from tercet.checkpoint import Checkpoint
from tercet.convert.fingerprint import encoder_digest
from tercet.dataset.encoded import About, EncodedReader
from tercet.dataset.encoded_writing import EncodedWriter
from tercet.engine.choice import choose
from tercet.engine.protocol import Encoder
from tercet.loading import open_parts
from tercet.train.text.material import Lesson, Split, check_recordings
from tercet.train.text.sound import SpanReader
from tercet.train.watch import Watcher, hearing_notes

_SAMPLES_PER_STATE = 320


def about_states(checkpoint: Checkpoint, name: str) -> About:
    """What a folder of such states says about itself."""
    facts = {**SHARED.to_json(), "states": "whole"}
    return About(encoder=encoder_digest(checkpoint), convention=facts, model=name)


class Hearing:
    """An encoder, opened when the first window needs it."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._encoder: Encoder | None = None

    def states(self, samples: np.ndarray) -> np.ndarray:
        """States of a whole window, float32 [positions, width].

        Raises:
            EngineError: the engine refused the encoder.
        """
        if self._encoder is None:
            choice = choose("auto", "auto", "auto")
            self._encoder, _ = open_parts(self._checkpoint, choice, None)
        mel = window_mel(samples, SHARED, n_mels=self._checkpoint.geometry.n_mels)
        real = min(-(-samples.size // _SAMPLES_PER_STATE), mel.shape[1] // 2)
        return np.asarray(self._encoder.encode(mel, real_frames=real).states, np.float32)


def heard_once(
    ear: Checkpoint, name: str, divided: Sequence[Split], folder: Path, watcher: Watcher
) -> dict[str, EncodedReader]:
    """The states of all windows of some sets, by set; what is not in the folder yet is heard now.

    Raises:
        TercetError: as `encode_lessons`; DataError, too, where the folder is damaged.
    """
    hearing, about = Hearing(ear), about_states(ear, name)
    for split in divided:
        lessons: list[Lesson] = [*split.train, *split.held_out]
        tell = hearing_notes(watcher, split.name, len(lessons))
        encode_lessons(folder / split.name, hearing, about, lessons, tell)
    readers = {split.name: EncodedReader(folder / split.name, about=about) for split in divided}
    for reader in readers.values():
        reader.check()
    return readers


def encode_lessons(
    folder: Path,
    hearing: Hearing,
    about: About,
    lessons: Sequence[Lesson],
    on_done: Callable[[int], None],
) -> None:
    """Hear and keep windows; those that are in the folder already are left out.

    Raises:
        DataError: recordings are missing; nothing is heard then.
        AudioError: a recording cannot be heard; what was heard before it is kept.
        FingerprintError: the folder holds another encoder's states.
        OutputError: the disk is full; what was finished is kept, and the next call goes on.
    """
    reader = SpanReader()
    with EncodedWriter(folder, about=about, kinds=("states",)) as writer:
        check_recordings([each for each in lessons if each.label.id not in writer])
        for done, lesson in enumerate(lessons, start=1):
            label = lesson.label
            if label.id not in writer:
                states = hearing.states(reader.window(label))
                writer.add(label.id, {"duration_s": label.duration_s}, states=states)
            on_done(done)
