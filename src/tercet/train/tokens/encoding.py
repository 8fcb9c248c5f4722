"""Windows of speech through the frozen Whisper: their states, the teacher's text, and what it expects.

Into a folder, once (`encode_windows`), or anew each time they are drawn (`Listener.hear`). Facts of a window:
`prompt` and `text` (ids), `expected_ids`, `expected_log_p`, `n_states` (of the sound), `words`, `reference`,
`language`, `is_noisy`, `n_samples`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tercet.audio.convention import InputConvention
from tercet.checkpoint import Checkpoint
from tercet.convert.fingerprint import encoder_digest
from tercet.dataset.encoded import About
from tercet.dataset.encoded_writing import EncodedWriter
from tercet.errors import OutputError
from tercet.evaluate.word_errors import Utterance, word_errors
from tercet.train.tokens.hearing import Spoken, Teacher
from tercet.train.tokens.material import Sound, WindowOrder, make_sound
from tercet.train.tokens.recipe import DataRecipe

BATCH = 8  # windows whose texts are decoded together
_DIGITS = 4  # of log probabilities
_UNFIT = "unfit.txt"


@dataclass(frozen=True, slots=True)
class HeardWindow:
    """What there is to learn from one window."""

    states: np.ndarray  # float32, of the sound alone or of the whole window: [n, width]
    facts: Mapping[str, Any]


def about_states(
    checkpoint: Checkpoint, convention: InputConvention, *, name: str, whole: bool
) -> About:
    """What a folder of such windows says about itself."""
    facts = {**convention.to_json(), "states": "whole" if whole else "sound"}
    return About(encoder=encoder_digest(checkpoint), convention=facts, model=name)


class Listener:
    """Makes windows and hears them."""

    def __init__(
        self,
        teacher: Teacher,
        data: DataRecipe,
        noises: Sequence[Path] = (),
        *,
        whole: bool = False,
    ) -> None:
        """Keep what is needed.

        Args:
            teacher: Hears.
            data: How windows are made.
            noises: Recordings of noise.
            whole: Keep the states of the padding, too.
        """
        self._teacher = teacher
        self._data = data
        self._noises = tuple(noises)
        self._whole = whole

    def hear(
        self, orders: Sequence[WindowOrder], seeds: Sequence[int] | None = None
    ) -> list[HeardWindow | None]:
        """Some windows; None where the teacher's text is not fit to learn from.

        Args:
            orders: Which.
            seeds: In place of the orders' own: of gain, gaps and noise.

        Raises:
            AudioError: a recording cannot be heard.
        """
        own = [order.seed for order in orders] if seeds is None else seeds
        sounds = [
            make_sound(order, self._data.windows, self._noises, seed)
            for order, seed in zip(orders, own, strict=True)
        ]
        clean = [self._teacher.states(sound.clean) for sound in sounds]
        texts = self._texts(orders, [states for states, _ in clean])
        return [
            self._window(order, sound, states, real, spoken)
            for order, sound, (states, real), spoken in zip(
                orders, sounds, clean, texts, strict=True
            )
        ]

    def _texts(
        self, orders: Sequence[WindowOrder], states: Sequence[np.ndarray]
    ) -> Sequence[Spoken | None]:
        if self._data.text == "manifest":
            return [
                self._teacher.given(order.text, order.language or "en") if order.text else None
                for order in orders
            ]
        share = self._data.timestamps_share
        timed = [np.random.default_rng([order.seed, 3]).random() < share for order in orders]
        languages = [order.language for order in orders]
        return self._teacher.transcribe(states, languages=languages, with_timestamps=timed)

    def _window(
        self,
        order: WindowOrder,
        sound: Sound,
        states: np.ndarray,
        real: int,
        spoken: Spoken | None,
    ) -> HeardWindow | None:
        if spoken is None or spoken.is_repetitive or not self._is_right(order, spoken):
            return None
        ids, log_p = self._teacher.expected(states, spoken, self._data.expected)
        if sound.noisy is not None:
            states, real = self._teacher.states(sound.noisy)
        facts = {
            "prompt": list(spoken.prompt),
            "text": list(spoken.text),
            "expected_ids": ids.tolist(),
            "expected_log_p": np.round(log_p.astype(float), _DIGITS).tolist(),
            "language": spoken.language,
            "words": spoken.words,
            "reference": order.text,
            "n_states": real,
            "is_noisy": sound.noisy is not None,
            "n_samples": int(sound.clean.size),
        }
        return HeardWindow(states if self._whole else states[:real], facts)

    def _is_right(self, order: WindowOrder, spoken: Spoken) -> bool:
        most = self._data.most_wer
        if not most or not order.text:
            return True
        errors = word_errors([Utterance(order.text, spoken.words, spoken.language)])
        return errors.rate <= most


def encode_windows(
    folder: Path,
    listener: Listener,
    about: About,
    orders: Sequence[WindowOrder],
    *,
    on_done: Callable[[int], None] | None = None,
) -> None:
    """Hear and store windows; those that are in the folder already are left out.

    Keys of windows that are not fit to learn from are noted beside them (`unfit.txt`).

    Raises:
        AudioError: a recording cannot be heard.
        FingerprintError: the folder holds another encoder's states.
        OutputError: the disk is full; what was finished is kept, and the next call goes on.
    """
    with EncodedWriter(folder, about=about, kinds=("states",)) as writer:
        noted = folder / _UNFIT
        unfit = set(noted.read_text(encoding="utf-8").split()) if noted.exists() else set()
        done = 0
        for batch in _batches(orders):
            new = [each for each in batch if each.key not in writer and each.key not in unfit]
            for order, window in zip(new, listener.hear(new) if new else (), strict=True):
                if window is not None:
                    writer.add(order.key, window.facts, states=window.states)
                else:
                    _note(noted, order.key)
            done += len(batch)
            if on_done is not None:
                on_done(done)


def _note(path: Path, key: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{key}\n")
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}; what was finished before is kept") from None


def _batches(orders: Sequence[WindowOrder]) -> Iterator[Sequence[WindowOrder]]:
    return (orders[at : at + BATCH] for at in range(0, len(orders), BATCH))
