"""Windows of cached taps and what is heard in them: what a tag head is trained on.

An item is one window of a scene (or a whole clip). Nothing is encoded here (`encoding.py`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tercet.dataset.encoded import EncodedReader
from tercet.errors import DataError
from tercet.train.sampling import Draw
from tercet.train.tags.augment import masked, mixed, smoothed
from tercet.train.tags.recipe import AugmentRecipe
from tercet.train.tags.scene import Event, frame_targets

_NOTHING = AugmentRecipe(mixup_share=0, smoothing=0)


class Window(NamedTuple):
    """An item."""

    taps: np.ndarray  # [layers, frames, width]
    targets: np.ndarray  # float32 [labels], 0..1


class TapWindows:
    """All windows of a folder of encoded scenes (`train.task.Items`)."""

    def __init__(
        self,
        reader: EncodedReader,
        labels: Sequence[str],
        *,
        window_frames: int,
        step_frames: int = 1,
        augment: AugmentRecipe | None = None,
        groups: Sequence[str] | None = None,
        whole: bool = False,
    ) -> None:
        """Count the windows; taps are read when they are asked for.

        Args:
            reader: With taps. Facts have `events` ([[start_s, end_s, label], ..]) and `frames`, or
                `labels` of a whole clip.
            labels: What is to be learnt; other labels are left out.
            window_frames: Of one window. Shorter scenes are filled with zeros behind their end.
            step_frames: Between the beginnings of a scene's windows.
            augment: None: nothing is changed (for validation).
            groups: Only scenes whose fact `group` is one of these.
            whole: One window for each scene, at its beginning; what is behind it is left out.

        Raises:
            DataError: there is no window.
        """
        self._reader = reader
        self._labels = tuple(labels)
        self._frames = window_frames
        self._augment = augment or _NOTHING
        self._targets: list[np.ndarray] = []  # of each scene: float16 [frames or 1, labels]
        scenes: list[int] = []
        starts: list[int] = []
        numbers: list[int] = []
        for number in range(len(reader)):
            facts = reader.facts(number)
            if groups is not None and facts.get("group") not in groups:
                continue
            self._targets.append(scene_targets(facts, self._labels).astype(np.float16))
            last = 1 if whole else max(1, int(facts["frames"]) - window_frames + 1)
            first = np.arange(0, last, step_frames)
            scenes += [len(numbers)] * len(first)
            starts += first.tolist()
            numbers.append(number)
        if not scenes:
            raise DataError(
                f"{reader.folder}: has no window to train on; check the manifests and splits"
            )
        self._scenes = np.array(scenes, np.int32)
        self._starts = np.array(starts, np.int32)
        self._numbers = np.array(numbers, np.int32)

    def __len__(self) -> int:
        return len(self._scenes)

    def __getitem__(self, draw: Draw) -> Window:
        """One window, changed as the draw's seed says."""
        augment = self._augment
        window = self._window(draw.index)
        if augment is _NOTHING:
            return window
        rng = np.random.default_rng(draw.seed)
        is_mixed = bool(rng.random() < augment.mixup_share)
        taps, targets = window
        if is_mixed:
            other = self._window(int(rng.integers(len(self))))
            share = float(rng.beta(augment.mixup_beta, augment.mixup_beta))
            taps = mixed(taps.astype(np.float32), other.taps.astype(np.float32), share)
            targets = mixed(targets, other.targets, share)
        if augment.time_mask_frames:
            taps = masked(taps, augment.time_mask_frames, rng)
        return Window(taps, smoothed(targets, augment.smoothing, is_mixed=is_mixed))

    def name_of(self, index: int) -> str:
        """The scene's key and the window's place, for messages."""
        key = self._reader.keys[self._numbers[self._scenes[index]]]
        return f"{key}@{self._starts[index]}"

    def weights(self) -> np.ndarray:
        """How often each window is to be drawn, float64 [windows].

        The sum over its labels of (mean count of a label / the label's count)^balance, plus the recipe's
        floor; with balance 1 and floor 0 these are Whisper-AT's weights but for a factor.
        """
        heard = np.stack([self._window_targets(index) for index in range(len(self))])
        counts = heard.sum(0, dtype=np.float64)
        known = counts > 0
        rarity = np.zeros(len(counts))
        rarity[known] = (counts[known].mean() / counts[known]) ** self._augment.balance
        weights: np.ndarray = heard @ rarity + self._augment.floor
        return weights

    def _window(self, index: int) -> Window:
        scene, start = self._scenes[index], self._starts[index]
        taps = self._reader[int(self._numbers[scene])].taps
        assert taps is not None
        part = taps[:, start : start + self._frames]
        missing = self._frames - part.shape[1]
        if missing:
            part = np.pad(part, ((0, 0), (0, missing), (0, 0)))
        return Window(part, self._window_targets(index))

    def _window_targets(self, index: int) -> np.ndarray:
        """What is heard in a window: the mean over its frames; float32 [labels]."""
        targets, start = self._targets[self._scenes[index]], self._starts[index]
        if len(targets) == 1:
            whole: np.ndarray = targets[0].astype(np.float32)
            return whole
        part: np.ndarray = targets[start : start + self._frames].mean(0, dtype=np.float32)
        return part


def scene_targets(facts: Mapping[str, Any], labels: Sequence[str]) -> np.ndarray:
    """Targets of a scene's frames, float32 [frames, labels]; of a clip with labels alone [1, labels]."""
    if "events" in facts:
        return frame_targets(events_of(facts), labels, int(facts["frames"]))
    told = set(facts["labels"])
    return np.array([[float(label in told) for label in labels]], np.float32)


def events_of(facts: Mapping[str, Any]) -> tuple[Event, ...]:
    """A scene's true events."""
    return tuple(Event(start, end, label) for start, end, label in facts["events"])


def collate(windows: Sequence[Window]) -> tuple[Tensor, Tensor]:
    """Taps float32 [B, layers, frames, width] and targets float32 [B, labels]."""
    taps = torch.from_numpy(np.stack([window.taps for window in windows])).float()
    return taps, torch.from_numpy(np.stack([window.targets for window in windows]))
