"""Samples as a file that every browser plays. Reads none."""

import io
from typing import NamedTuple

import av
import numpy as np
from av.audio.stream import AudioStream
from av.error import FFmpegError

from tercet.audio.mel import RATE_HZ

_BITS_PER_S = 64_000  # of speech in mono: as good as the model's own 16 kHz


class Playable(NamedTuple):
    """An encoded sound."""

    mime: str
    content: bytes


def playable(samples: np.ndarray) -> Playable:
    """MP3, which all browsers know; WAV where FFmpeg was built without it.

    `samples` is float32 [n], mono, 16 kHz; what lies outside of [-1, 1] is cut.
    """
    pcm = np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype(np.int16)
    try:
        return Playable("audio/mpeg", _encoded(pcm, "mp3", "libmp3lame"))
    except (FFmpegError, ValueError, LookupError):
        return Playable("audio/wav", _encoded(pcm, "wav", "pcm_s16le"))


def _encoded(pcm: np.ndarray, container: str, codec: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=RATE_HZ, layout="mono")
        assert isinstance(stream, AudioStream)
        stream.bit_rate = _BITS_PER_S
        for first in range(0, pcm.size, 10 * RATE_HZ):
            block = pcm[None, first : first + 10 * RATE_HZ]
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(block), format="s16", layout="mono"
            )
            frame.rate = RATE_HZ
            frame.pts = first
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()
