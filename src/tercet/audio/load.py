"""The front door for sound: any source to mono (or per-channel) float32 at 16 kHz, in blocks of 10 s."""

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self, final

import numpy as np

from tercet.audio.arrays import RATE_HZ, Samples, check_rate
from tercet.audio.decode import Decoder
from tercet.audio.pushed import Pushed
from tercet.audio.resample import ChannelChoice, Chunks, check_choice, resampled
from tercet.audio.sources import AudioSource, Encoded, recognise
from tercet.errors import AudioUnreadableError, EmptyAudioError

BLOCK_SAMPLES = 10 * RATE_HZ


def load(
    source: AudioSource, *, sampling_rate: int | None = None, channel: ChannelChoice = "mean"
) -> "Recording":
    """Open a recording; its sound is decoded as `Recording.blocks` is read.

    `source` is one of
    - a path, `shard.tar::name.flac` for a recording in a tar archive, or "-" for standard input;
    - `bytes`, `bytearray`, `memoryview`, or a binary file object (one that can seek is read from its start):
      the content of a file of any format that FFmpeg reads;
    - samples: a NumPy array, a torch tensor or a list. Floats lie in [-1, 1]; 8-, 16- and 32-bit integers are
      PCM. [n], or two axes, of which the shorter one holds the channels (the first where both are alike).
      `sampling_rate` is theirs; without it they are taken for 16 kHz, as openai-whisper and faster-whisper
      do;
    - an iterator of such arrays, which are heard as they come (a microphone, a socket); `sampling_rate` as
      for samples;
    - a data set's dictionary: {"array", "sampling_rate"}, or {"bytes"} or {"path"} where it is not decoded.

    `channel` is "mean" (all of them mixed), a number from 0 on, or "each" (blocks then have one row per
    channel).

    The first 10 s are decoded at once, so that most bad inputs fail here and not later.

    Raises:
        AudioNotFoundError: there is no such file.
        AudioUnreadableError: a folder, no permission, a closed input, a file object opened as text.
        UndecodableAudioError: not audio, no audio stream, or nothing that can be decoded.
        EmptyAudioError: no bytes, or no samples.
        NonFiniteAudioError: NaN or infinity among the samples.
        SampleRateError: outside 8000..192000 Hz; missing from a dictionary; given for a file, which states
            its own.
        ChannelError: more than 64 channels, or not the one that was asked for.
        OptionError: `channel` is something else.
    """
    found = recognise(source, sampling_rate)
    if isinstance(found, Samples):
        return Recording(found.name, lambda: _Pass.over_samples(found), channel)
    if isinstance(found, Pushed):
        blocks = _Pass(found.chunks(), None, can_reopen=False)
        return Recording(found.name, lambda: blocks, channel)
    return Recording(found.name, lambda: _Pass.over_file(found), channel)


@final
class _Pass:
    """One way through the source: chunks of its own rate and channels, and what its header says."""

    def __init__(self, chunks: Chunks, duration_s: float | None, *, can_reopen: bool) -> None:
        self.chunks = chunks
        self.duration_s = duration_s
        self.can_reopen = can_reopen

    @classmethod
    def over_samples(cls, samples: Samples) -> Self:
        duration_s = samples.values.shape[1] / samples.rate_hz
        return cls(samples.chunks(), duration_s, can_reopen=True)

    @classmethod
    def over_file(cls, encoded: Encoded) -> Self:
        opened = encoded.open()
        decoder = Decoder(opened, encoded.name)
        return cls(decoder.chunks(), decoder.header.duration_s, can_reopen=opened.is_seekable)


@final
class Recording:
    """Sound that can be read. Made by `load`.

    `name`: for messages: the path, "<bytes>", "<stdin>", "<array>".
    `channels`: how many the source has.
    `duration_s`: exact for arrays and for what is shorter than 10 s; else what the header says, which may be
    wrong; None where it says nothing.
    `reopenable`: whether `blocks` may be called again.
    """

    def __init__(self, name: str, start: Callable[[], _Pass], channel: ChannelChoice) -> None:
        self.name = name
        self._start = start
        self._channel = channel
        first_pass = start()
        self.reopenable = first_pass.can_reopen
        first, self.channels, rest = self._begin(first_pass)
        self._ready: Iterator[np.ndarray] | None = self._shaped(first, rest)
        is_whole = first.shape[1] < BLOCK_SAMPLES
        self.duration_s = first.shape[1] / RATE_HZ if is_whole else first_pass.duration_s

    def blocks(self) -> Iterator[np.ndarray]:
        """float32 at 16 kHz, 10 s each and a shorter last one: [n], or [channels, n] for channel="each".

        Raises:
            AudioError: the sound turns out to be bad midway, or cannot be read a second time.
        """
        ready, self._ready = self._ready, None
        if ready is not None:
            return ready
        if not self.reopenable:
            raise AudioUnreadableError(
                f"{self.name}: can be read only once; save it to a file first."
            )
        first, _, rest = self._begin(self._start())
        return self._shaped(first, rest)

    def read(self) -> np.ndarray:
        """All of it in one array, [n] or [channels, n]."""
        return np.concatenate(list(self.blocks()), axis=-1)

    def close(self) -> None:
        """Let go of an opened file whose blocks will not be read."""
        self._ready = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _begin(self, source: _Pass) -> tuple[np.ndarray, int, Iterator[np.ndarray]]:
        """Decode the first block now: that block, the source's channels, and what follows."""
        first_chunk = next(source.chunks)
        channels = first_chunk[0].shape[0]
        check_rate(first_chunk[1], self.name)
        check_choice(self._channel, channels, self.name)
        chunks = _chain(first_chunk, source.chunks)
        blocks = _reblocked(resampled(chunks, self._channel, channels, self.name))
        first = next(blocks, None)
        if first is None:
            raise EmptyAudioError(f"{self.name}: is shorter than one sample at 16 kHz; give more.")
        return first, channels, blocks

    def _shaped(self, first: np.ndarray, rest: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        yield first if self._channel == "each" else first[0]
        for block in rest:
            yield block if self._channel == "each" else block[0]


def _chain(first: tuple[np.ndarray, int], rest: Chunks) -> Chunks:
    yield first
    yield from rest


def _reblocked(pieces: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Blocks of 160000 samples, whatever the pieces' lengths; only the last one is shorter."""
    held: list[np.ndarray] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += piece.shape[1]
        while size >= BLOCK_SAMPLES:
            joined = np.concatenate(held, axis=1)
            yield joined[:, :BLOCK_SAMPLES]
            held = [joined[:, BLOCK_SAMPLES:]]
            size -= BLOCK_SAMPLES
    if size:
        yield np.concatenate(held, axis=1)
