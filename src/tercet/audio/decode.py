"""Encoded audio to samples, by FFmpeg through PyAV: any container and codec it reads. No resampling."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError

from tercet.audio.arrays import check_channels, check_rate, to_float
from tercet.audio.resample import Chunks
from tercet.audio.sources import Opened
from tercet.errors import AudioUnreadableError, EmptyAudioError, UndecodableAudioError

_CHUNK_S = 1.0  # frames are gathered to this length: one step in Python per second, not per 20 ms
_MICROSECONDS = 1_000_000

# A playlist could name other files or addresses: nothing but the bytes at hand is ever opened.
_OPTIONS = {"protocol_whitelist": "none"}


@dataclass(frozen=True, slots=True)
class Header:
    """What a container says of itself, before anything is decoded. It may be wrong."""

    duration_s: float | None


class Decoder:
    """One pass over one encoded recording."""

    def __init__(self, opened: Opened, name: str) -> None:
        """Open the container.

        Raises:
            AudioError: it holds no audio that can be decoded.
        """
        self._opened = opened
        self._name = name
        self._has_content = False
        try:
            self._container: InputContainer = av.open(
                opened.file, mode="r", metadata_errors="ignore", options=dict(_OPTIONS)
            )
        except FFmpegError:
            raise self._refusal() from None
        except (OSError, ValueError) as error:
            raise AudioUnreadableError(f"{name}: cannot be read ({error}).") from None
        self._stream = self._audio_stream()
        self.header = Header(self._duration_s())

    def close(self) -> None:
        """Free the container, and the file if it is ours."""
        self._container.close()
        self._opened.close()

    def chunks(self) -> Chunks:
        """float32 [channels, n] with the sampling rate, about a second each, as long as both stay the same.

        A damaged or truncated stream gives what can be decoded of it.

        Raises:
            UndecodableAudioError: nothing could be decoded.
            EmptyAudioError: there was nothing to decode.
            AudioUnreadableError: reading the file failed midway.
        """
        gathered: list[np.ndarray] = []
        size = rate_hz = 0
        is_empty = True
        try:
            for frame in self._frames():
                samples = self._samples(frame)
                is_empty = is_empty and samples.shape[1] == 0
                if gathered and (frame.rate != rate_hz or samples.shape[0] != gathered[0].shape[0]):
                    yield np.concatenate(gathered, axis=1), rate_hz
                    gathered, size = [], 0
                gathered.append(samples)
                size += samples.shape[1]
                rate_hz = frame.rate
                if size >= _CHUNK_S * rate_hz:
                    yield np.concatenate(gathered, axis=1), rate_hz
                    gathered, size = [], 0
        finally:
            self.close()
        if gathered:
            yield np.concatenate(gathered, axis=1), rate_hz
        if is_empty:
            raise self._nothing()

    def _frames(self) -> Iterator[AudioFrame]:
        """Decoded frames; a packet that is damaged is skipped, as players do."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except FFmpegError:
                self._has_content = True
                packet = None
            except (OSError, ValueError) as error:
                raise AudioUnreadableError(f"{self._name}: cannot be read ({error}).") from None
            self._has_content = self._has_content or (packet is not None and packet.size > 0)
            try:
                frames = self._stream.codec_context.decode(packet)
            except FFmpegError:  # damaged, or the decoder's way to say that it has ended
                frames = []
            yield from frames
            if packet is None:
                return

    def _samples(self, frame: AudioFrame) -> np.ndarray:
        check_rate(frame.rate, self._name)
        channels = check_channels(frame.layout.nb_channels, self._name)
        values = frame.to_ndarray()
        if not frame.format.is_planar:
            values = values.reshape(-1, channels).T
        return to_float(values, self._name)

    def _audio_stream(self) -> AudioStream:
        streams = self._container.streams
        stream = streams.best("audio")
        if isinstance(stream, AudioStream) and stream.codec_context is not None:
            return stream
        has_pictures_only = bool(streams.video) and not streams.audio
        self._container.close()  # its streams must not be touched after this
        if has_pictures_only:
            self._opened.close()
            raise UndecodableAudioError(
                f"{self._name}: has pictures but no audio stream; give a file with sound."
            )
        raise self._refusal()

    def _duration_s(self) -> float | None:
        if self._stream.duration is not None and self._stream.time_base is not None:
            return float(self._stream.duration * self._stream.time_base)
        if self._container.duration is not None:
            return self._container.duration / _MICROSECONDS
        return None

    def _refusal(self) -> Exception:
        """Why FFmpeg would not open it: a WAVE header may tell, else all we know is that it is not audio."""
        head = self._opened.head
        self._opened.close()
        if head[:4] == b"RIFF" and head[8:16] == b"WAVEfmt " and len(head) >= 28:
            channels, rate_hz = struct.unpack("<HI", head[22:28])
            try:
                check_channels(channels, self._name)
                check_rate(rate_hz, self._name)
            except ValueError as fault:
                return fault
        return UndecodableAudioError(
            f"{self._name}: is not audio that can be decoded, or is damaged; convert it to WAV or FLAC."
        )

    def _nothing(self) -> Exception:
        if self._has_content:
            return UndecodableAudioError(
                f"{self._name}: nothing in it can be decoded; it is damaged or cut off. Get a whole copy."
            )
        return EmptyAudioError(
            f"{self._name}: holds no samples; it is empty, or cut off after its header. Get a whole copy."
        )
