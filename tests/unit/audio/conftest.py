"""Small files of every format, written with PyAV where its wheel can encode it."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

Writer = Callable[..., Path]


@pytest.fixture(scope="session")
def speechlike() -> Callable[..., np.ndarray]:
    """A sum of tones under 3.4 kHz that come and go: float32 [n], the same at every sampling rate."""

    def make(seconds: float, rate_hz: int = 16000, *, pitch: float = 1.0) -> np.ndarray:
        t = np.arange(round(seconds * rate_hz)) / rate_hz
        tones = sum(np.sin(2 * np.pi * hz * pitch * t + hz) for hz in (180, 410, 730, 1250))
        swell = 0.15 + 0.85 * np.sin(2 * np.pi * 1.3 * t) ** 2
        return (0.12 * tones * swell).astype(np.float32)

    return make


@pytest.fixture
def write_audio(tmp_path: Path) -> Writer:
    """`write_audio(name, samples [channels, n], rate, codec)`: the path; skips where the codec is lacking."""

    def write(
        name: str,
        samples: np.ndarray,
        rate_hz: int = 16000,
        codec: str = "pcm_s16le",
        *,
        bit_rate: int = 0,
    ) -> Path:
        try:
            encoder = av.Codec(codec, "w")
        except av.codec.codec.UnknownCodecError:
            pytest.skip(f"this build of PyAV cannot encode {codec}")
        rows = np.atleast_2d(samples).astype(np.float32)
        layout = {1: "mono", 2: "stereo", 6: "5.1"}[rows.shape[0]]
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=rate_hz, layout=layout)
            if bit_rate:
                stream.bit_rate = bit_rate
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(rows), format="fltp", layout=layout
            )
            frame.rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
            stream.codec_context.open(strict=False)
            wanted = (encoder.audio_formats or [av.AudioFormat("s16")])[0].name
            size = stream.codec_context.frame_size or 1024
            resampler = av.AudioResampler(wanted, layout, rate_hz, frame_size=size)
            for piece in resampler.resample(frame) + resampler.resample(None):
                container.mux(stream.encode(piece))
            container.mux(stream.encode(None))
        return path

    return write


@pytest.fixture
def write_video(tmp_path: Path) -> Callable[[], Path]:
    """A second of moving grey, without sound."""

    def write() -> Path:
        path = tmp_path / "silent.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width = stream.height = 32
            stream.pix_fmt = "yuv420p"
            for shade in range(10):
                picture = np.full((32, 32, 3), shade * 20, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
        return path

    return write


class QuickVoice:
    """Stands in for the network: hears a voice where it is loud, with a memory of the chunk before."""

    def __init__(self) -> None:
        self._before = 0.0

    def hear(self, chunks: np.ndarray) -> list[float]:
        return [self._hear_one(chunk) for chunk in chunks.tolist()]

    def _hear_one(self, samples: list[float]) -> float:
        now = min(1.0, 30 * (sum(x * x for x in samples[::8]) / 64) ** 0.5)
        self._before, before = now, self._before
        return max(now, 0.6 * before)


@pytest.fixture
def quick_voice(monkeypatch: pytest.MonkeyPatch):
    """Voice detection that costs nothing; its own tests use the real network."""
    monkeypatch.setattr("tercet.audio.voice._load_network", QuickVoice)
