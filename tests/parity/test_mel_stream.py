"""A whole recording's log-mel in slices, against openai-whisper's function on the whole of it."""

import importlib

import numpy as np
import pytest

from tercet.audio.mel import log_mel_maximum
from tercet.audio.mel_stream import mel_slices


@pytest.fixture(scope="module")
def whole_mel(peer):
    """`whole_mel(samples, n_mels)`: with 30 s of zeros behind the sound, as `transcribe` computes it."""
    audio, torch = peer("whisper.audio"), peer("torch")

    def compute(samples: np.ndarray, n_mels: int) -> np.ndarray:
        sound = torch.from_numpy(samples)
        return audio.log_mel_spectrogram(sound, n_mels, padding=480000).numpy()

    return compute


def sound(n_samples: int) -> np.ndarray:
    """A chirp in noise that comes and goes, loudest late: the floor of the first slice is the file's."""
    t = np.arange(n_samples) / 16000
    swell = (np.sin(2 * np.pi * 0.7 * t) > 0) * (0.05 + 0.4 * t / max(1.0, n_samples / 16000))
    noise = 0.01 * np.random.default_rng(7).standard_normal(n_samples)
    return (swell * np.sin(2 * np.pi * (200 + 40 * t) * t) + noise).astype(np.float32)


def sliced(samples: np.ndarray, n_mels: int, block_samples: int, slice_frames: int = 3000):
    blocks = [
        samples[at : at + block_samples] for at in range(0, max(1, samples.size), block_samples)
    ]
    maximum = log_mel_maximum(blocks, n_mels=n_mels)
    return list(mel_slices(blocks, floor_max=maximum, n_mels=n_mels, slice_frames=slice_frames))


def check(expected: np.ndarray, slices, n_samples: int, slice_frames: int) -> None:
    """Each slice is what `mel[:, seek : seek + slice_frames]` gives, for every seek in the recording."""
    content_frames = expected.shape[1] - 3000
    assert n_samples // 160 == content_frames
    seeks = list(range(0, content_frames, slice_frames))
    assert seeks == [each.start_frame for each in slices]
    for seek, each in zip(seeks, slices, strict=True):
        assert min(slice_frames, content_frames - seek) == each.real_frames
        wanted = expected[:, seek : seek + slice_frames]
        # Two float32 FFTs differ beside loud tones, in one value of a thousand by more than 1e-5.
        np.testing.assert_allclose(wanted, each.mel, atol=1e-4)
        assert np.abs(wanted - each.mel).mean() < 3e-6


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize(
    "n_samples",
    [0, 159, 160, 200, 201, 320, 400, 16000, 479839, 479840, 480000, 480160, 480361, 1050001],
)
def test_slices_are_openai_whispers(whole_mel, n_mels, n_samples):
    samples = sound(n_samples)
    check(whole_mel(samples, n_mels), sliced(samples, n_mels, 7777), n_samples, 3000)


@pytest.mark.parametrize(("block", "frames"), [(1, 100), (160, 7), (401, 1), (16001, 2999)])
def test_for_blocks_and_slices_of_any_size(whole_mel, block, frames):
    samples = sound(17000)
    check(whole_mel(samples, 80), sliced(samples, 80, block, frames), 17000, frames)


@pytest.mark.parametrize("level", [0.0, 1e-4, 1.0])
def test_at_every_level_down_to_digital_silence(whole_mel, level):
    samples = sound(500000) * np.float32(level)
    check(whole_mel(samples, 80), sliced(samples, 80, 16000), 500000, 3000)


def test_for_real_speech(whole_mel, clips_dir):
    load = importlib.import_module("tercet.audio.load").load
    samples = load(clips_dir / "librispeech-chapter-1320-122612.opus").read()
    assert samples.size > 480000
    check(whole_mel(samples, 80), sliced(samples, 80, 16000), samples.size, 3000)
