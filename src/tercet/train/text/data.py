"""Labelled windows as items: their states (heard once), their spectrograms (heard anew) or both; a text."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tercet.audio.convention import SHARED, TRUE_LENGTH, window_mel
from tercet.dataset.encoded import EncodedReader
from tercet.text.tokenizer import Tokenizer
from tercet.train.sampling import Draw
from tercet.train.text.losses import IGNORED
from tercet.train.text.material import Lesson
from tercet.train.text.recipe import DataRecipe
from tercet.train.text.sound import SpanReader, changed, masked, speed_of
from tercet.train.text.texts import Text, text_of
from tercet.train.waveforms import at_speed

_HOP_SAMPLES = 160


class Item(NamedTuple):
    """One window."""

    number: int  # among its data set's
    states: Tensor | None  # float32 [positions, width]
    mel: Tensor | None  # float32 [bins, 2 x positions]
    text: Text


class Batch(NamedTuple):
    """Some windows, padded to the longest text among them."""

    numbers: Tensor  # int64 [B]
    states: Tensor  # float32 [B, positions, width]; [B, 0] where they are not kept
    mel: Tensor  # float32 [B, bins, columns], 0.0 behind a shorter window's; [B, 0] where none is needed
    lengths: Tensor  # int64 [B]: columns of each, 100 per second
    inputs: Tensor  # int64 [B, n]
    targets: Tensor  # int64 [B, n], `IGNORED` where nothing is asked for


class CachedLessons:
    """Windows whose states were kept (`train.task.Items`)."""

    def __init__(
        self,
        lessons: Sequence[Lesson],
        readers: Mapping[str, EncodedReader],
        names: Sequence[str],
        chooser: "Chooser",
        heard: "HeardLessons | None" = None,
    ) -> None:
        """Of some sets, one behind the other.

        Args:
            lessons: All of them.
            readers: The states, by set.
            names: Of each lesson: its set.
            chooser: Of texts.
            heard: The same windows' spectrograms, where the student does not hear what was kept.
        """
        self._lessons, self._readers, self._names, self._chooser = lessons, readers, names, chooser
        self._heard = heard

    def __len__(self) -> int:
        return len(self._lessons)

    def __getitem__(self, draw: Draw) -> Item:
        """One window."""
        lesson = self._lessons[draw.index]
        reader = self._readers[self._names[draw.index]]
        states = reader[reader.number_of(lesson.label.id)].states
        assert states is not None
        kept = torch.from_numpy(np.array(states, np.float32))
        mel = None if self._heard is None else self._heard.mel(draw)
        return Item(draw.index, kept, mel, self._chooser.text(lesson, draw.seed))


class HeardLessons:
    """Windows that are read when they are drawn, with other levels, noise and masks each time."""

    def __init__(
        self, lessons: Sequence[Lesson], chooser: "Chooser", *, n_mels: int, is_changed: bool
    ) -> None:
        """`is_changed` False leaves the sound as it is."""
        self._lessons, self._chooser = lessons, chooser
        self._convention = TRUE_LENGTH if chooser.recipe.length == "sound" else SHARED
        self._n_mels, self._is_changed = n_mels, is_changed
        self._reader = SpanReader()

    def __len__(self) -> int:
        return len(self._lessons)

    def __getitem__(self, draw: Draw) -> Item:
        """One window.

        Raises:
            AudioError: its recording cannot be heard.
        """
        text = self._chooser.text(self._lessons[draw.index], draw.seed)
        return Item(draw.index, None, self.mel(draw), text)

    def mel(self, draw: Draw) -> Tensor:
        """One window's log-mel, float32 [bins, columns].

        Raises:
            AudioError: its recording cannot be heard.
        """
        lesson, recipe = self._lessons[draw.index], self._chooser.recipe.sound
        samples = self._reader.window(lesson.label)
        if self._is_changed and recipe.speed != (1.0, 1.0):
            samples = at_speed(samples, speed_of(lesson.label.duration_s, recipe, draw.seed))
        # The sound's draws are not the text's: whether there is a prompt must not change the noise.
        rng = np.random.default_rng([draw.seed, 1])
        if self._is_changed:
            samples = changed(samples, recipe, rng)
        mel = window_mel(samples, self._convention, n_mels=self._n_mels)
        if self._is_changed:
            mel = masked(mel, -(-samples.size // _HOP_SAMPLES), recipe, rng)
        return torch.from_numpy(mel)


class Chooser:
    """Chooses texts: at random in training, always the same in validation."""

    def __init__(
        self, tokenizer: Tokenizer, recipe: DataRecipe, *, room: int, is_random: bool
    ) -> None:
        """`room`: positions of the decoder."""
        self.recipe = recipe
        self._tokenizer, self._room, self._is_random = tokenizer, room, is_random

    def text(self, lesson: Lesson, seed: int) -> Text:
        """A lesson's text; see `texts.text_of`."""
        if not self._is_random:
            return text_of(lesson, self._tokenizer, self.recipe, None, room=self._room)
        rng = np.random.default_rng(seed)
        speed = speed_of(lesson.label.duration_s, self.recipe.sound, seed)
        return text_of(lesson, self._tokenizer, self.recipe, rng, room=self._room, speed=speed)


def collate(items: Sequence[Item]) -> list[Tensor]:
    """Items as tensors; texts and sounds are padded behind their ends, where nothing looks at them."""
    longest = max(len(each.text.inputs) for each in items)
    inputs = torch.zeros(len(items), longest, dtype=torch.int64)
    targets = torch.full((len(items), longest), IGNORED, dtype=torch.int64)
    for row, each in enumerate(items):
        n = len(each.text.inputs)
        inputs[row, :n] = torch.tensor(each.text.inputs)
        targets[row, :n] = torch.tensor(each.text.targets)
    numbers = torch.tensor([each.number for each in items])
    states = [torch.empty(0) if each.states is None else each.states for each in items]
    mels = [torch.empty(0, 0) if each.mel is None else each.mel for each in items]
    lengths = torch.tensor([each.shape[1] for each in mels])
    columns = int(lengths.max())
    mel = torch.stack([F.pad(each, (0, columns - each.shape[1])) for each in mels])
    return list(Batch(numbers, torch.stack(states), mel, lengths, inputs, targets))


def unpacked(batch: Sequence[Any]) -> Batch:
    """A collated batch by name."""
    return Batch(*batch)
