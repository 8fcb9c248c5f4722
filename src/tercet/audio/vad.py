"""Where somebody speaks: faster-whisper's rules that make regions of voice probabilities.

No audio is cut here; the network that gives the probabilities is `voice.py`'s.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Self, cast

from tercet.audio.voice import CHUNK_SAMPLES, RATE_HZ
from tercet.errors import OptionError

_SPLIT_SILENCE_SAMPLES = 0.098 * RATE_HZ  # the shortest silence at which too long a region is split


@dataclass(frozen=True, slots=True, kw_only=True)
class VadOptions:
    """faster-whisper's parameters, with its defaults."""

    threshold: float = 0.5  # speech begins at this probability
    neg_threshold: float | None = (
        None  # and ends below this one; None: threshold - 0.15, at least 0.01
    )
    min_speech_duration_ms: float = 0  # shorter regions are dropped
    max_speech_duration_s: float = (
        math.inf
    )  # longer ones are split, at a silence where there is one
    min_silence_duration_ms: float = 2000  # shorter silences stay part of the speech around them
    speech_pad_ms: float = 400  # added on both sides of a region

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (is_number and value >= 0) and not (name == "neg_threshold" and value is None):
                raise OptionError(f"{name} is {value!r}; give a number that is not negative.")
            if name != "max_speech_duration_s" and value == math.inf:
                raise OptionError(f"{name} is infinite; give a finite number.")
        for name in ("threshold", "neg_threshold"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise OptionError(f"{name} is {value}; give a probability above 0, at most 1.")
        if self.silence_threshold > self.threshold:
            raise OptionError(
                f"neg_threshold is {self.neg_threshold}; give at most the threshold ({self.threshold})."
            )
        shortest_s = CHUNK_SAMPLES / RATE_HZ + 2 * self.speech_pad_ms / 1000
        if self.max_speech_duration_s <= shortest_s:
            raise OptionError(
                f"max_speech_duration_s is {self.max_speech_duration_s}; give more than {shortest_s:.3f} "
                "(two paddings and 32 ms)."
            )

    @classmethod
    def from_mapping(cls, options: Mapping[str, object]) -> Self:
        """From names and values, as faster-whisper's `vad_parameters`.

        Raises:
            OptionError: an unknown name, or a value that is not allowed.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise OptionError(f"VAD has no parameter {unknown[0]!r}; it has {', '.join(known)}.")
        return cls(**cast(dict[str, float], dict(options)))

    @property
    def silence_threshold(self) -> float:
        """The probability under which speech may end."""
        if self.neg_threshold is not None:
            return self.neg_threshold
        return min(self.threshold, max(self.threshold - 0.15, 0.01))


class SpeechTracker:
    """faster-whisper's `get_speech_timestamps`, one probability at a time.

    `regions` tells what is speech; before `settled` no later probability can change that.
    """

    def __init__(self, options: VadOptions) -> None:
        self._options = options
        self._pad = RATE_HZ * options.speech_pad_ms / 1000
        self._min_speech = RATE_HZ * options.min_speech_duration_ms / 1000
        self._min_silence = RATE_HZ * options.min_silence_duration_ms / 1000
        self._max_speech = RATE_HZ * options.max_speech_duration_s - CHUNK_SAMPLES - 2 * self._pad
        self._closed: list[tuple[int, int]] = []  # unpadded regions
        self._now = 0  # samples that the probabilities so far cover
        self._start: int | None = None  # of the region that is open
        self._silence: int | None = None  # where the open region may turn out to have ended
        self._split_end = 0  # the last silence long enough to split at: its start,
        self._split_start = 0  # and where speech went on

    def push(self, probabilities: Iterable[float]) -> None:
        """Take the probabilities of the next chunks."""
        for probability in probabilities:
            self._step(probability, self._now)
            self._now += CHUNK_SAMPLES

    def _step(self, probability: float, at: int) -> None:
        is_speech = probability >= self._options.threshold
        if is_speech and self._silence is not None:
            self._silence = None
            if self._split_start < self._split_end:
                self._split_start = at
        if self._start is None:
            if is_speech:
                self._start = at
            return
        if at - self._start > self._max_speech and self._split(at):
            return
        if probability < self._options.silence_threshold and self._start is not None:
            self._hear_silence(at, self._start)

    def _split(self, at: int) -> bool:
        """End a region that has grown too long; True where this chunk is dealt with."""
        start = cast(int, self._start)
        if not self._split_end:
            self._close(start, at)
            return True
        resumed = self._split_start
        has_resumed = resumed >= self._split_end
        self._close(start, self._split_end)
        if has_resumed:
            self._start = resumed
        return not has_resumed

    def _hear_silence(self, at: int, start: int) -> None:
        if self._silence is None:
            self._silence = at
        if at - self._silence > _SPLIT_SILENCE_SAMPLES:
            self._split_end = self._silence
        if at - self._silence < self._min_silence:
            return
        self._close(start, self._silence, min_speech=self._min_speech)

    def _close(self, start: int, end: int, *, min_speech: float = -1) -> None:
        if end - start > min_speech:
            self._closed.append((start, end))
        self._start = self._silence = None
        self._split_end = self._split_start = 0

    @property
    def settled(self) -> int:
        """Samples before this one are speech or not, whatever comes."""
        if self._start is None:
            return max(0, math.floor(self._now - self._pad))
        sure_end = self._now if self._silence is None else self._silence
        if self._split_end and self._max_speech < math.inf:
            sure_end = min(sure_end, self._split_end)
        if sure_end - self._start > self._min_speech:
            return sure_end
        return max(0, math.floor(self._start - self._pad))

    def regions(self, n_samples: int) -> list[tuple[int, int]]:
        """Padded regions (start, end) in order, if the recording ended after `n_samples`."""
        found = list(self._closed)
        if self._start is not None and n_samples - self._start > self._min_speech:
            found.append((self._start, n_samples))
        return _padded(found, n_samples, self._pad)

    def forget(self, before: int) -> None:
        """Drop regions that no sample from `before` on can depend on."""
        reach = before - 2 * self._pad
        keep = next(
            (i for i, (_, end) in enumerate(self._closed) if end >= reach), len(self._closed)
        )
        del self._closed[:keep]


def _padded(found: list[tuple[int, int]], n_samples: int, pad: float) -> list[tuple[int, int]]:
    """Widen regions; a gap too narrow for two paddings is shared by its neighbours."""
    starts = [start for start, _ in found]
    ends = [end for _, end in found]
    for i in range(len(found)):
        if i == 0:
            starts[i] = int(max(0, starts[i] - pad))
        if i + 1 == len(found):
            ends[i] = int(min(n_samples, ends[i] + pad))
            continue
        gap = starts[i + 1] - ends[i]
        if gap < 2 * pad:
            ends[i] += gap // 2
            starts[i + 1] -= gap // 2
        else:
            ends[i] = int(min(n_samples, ends[i] + pad))
            starts[i + 1] = int(max(0, starts[i + 1] - pad))
    return list(zip(starts, ends, strict=True))


def speech_regions(
    probabilities: Iterable[float], n_samples: int, options: VadOptions | None = None
) -> list[tuple[int, int]]:
    """Speech as sample ranges (start, end), by the rules of faster-whisper's `get_speech_timestamps`.

    `probabilities`: one per 512 samples; `n_samples`: the length of the recording.
    """
    tracker = SpeechTracker(options or VadOptions())
    tracker.push(probabilities)
    return tracker.regions(n_samples)
