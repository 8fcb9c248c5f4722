"""Colours of codes, PNG files made by hand, and a sound that browsers play."""

import io

import av
import numpy as np
import pytest

from tercet.picture import sound
from tercet.picture.colours import LANES, PAPER, code_colours
from tercet.picture.png import mask_png, rgba_png
from tercet.picture.sound import playable


def decoded(png: bytes) -> np.ndarray:
    """The pixels as FFmpeg reads them, uint8 [height, width, 4]."""
    with av.open(io.BytesIO(png)) as file:
        (frame,) = file.decode(video=0)
        return frame.to_ndarray(format="rgba")


def test_pixels_come_back_as_they_were() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 17, 4), np.uint8)
    np.testing.assert_array_equal(pixels, decoded(rgba_png(pixels)))


def test_a_mask_is_black_that_is_as_opaque_as_its_levels() -> None:
    levels = np.array([[0.0, 0.25, 1.0], [1.5, -1.0, 0.5]], np.float32)
    shown = decoded(mask_png(levels))
    assert not shown[..., :3].any()
    assert [0, 255, 255, 0] == shown[[0, 0, 1, 1], [0, 2, 0, 1], 3].tolist()
    np.testing.assert_allclose([0.25, 0.5], shown[[0, 1], [1, 2], 3] / 255, atol=1 / 62 + 1 / 510)


def test_a_code_has_one_colour_and_most_codes_another() -> None:
    codes = np.array([[7, 2560, 7], [0, 1, 2]])
    colours = code_colours(codes)
    assert ((2, 3, 4), np.uint8) == (colours.shape, colours.dtype)
    assert colours[0, 0].tolist() == colours[0, 2].tolist()
    np.testing.assert_array_equal(colours[0, 1], code_colours(np.array([2560]))[0])
    all_of_them = code_colours(np.arange(2561))
    assert 2000 < len(np.unique(all_of_them, axis=0))
    assert (255 == all_of_them[:, 3]).all()


def test_codes_can_be_seen_on_light_and_dark_paper() -> None:
    def luminance(rgb: np.ndarray) -> np.ndarray:
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    shown = luminance(code_colours(np.arange(2561))[:, :3] / 255)
    for paper in PAPER:
        ground = luminance(np.array([int(paper[i : i + 2], 16) for i in (1, 3, 5)]) / 255)
        low, high = np.minimum(shown, ground), np.maximum(shown, ground)
        assert 1.5 < ((high + 0.05) / (low + 0.05)).min()


def test_the_code_for_no_speech_is_pale() -> None:
    colours = code_colours(np.array([1, 512]), mask_code=512)
    assert (255, True) == (int(colours[0, 3]), bool(colours[1, 3] < 128))


def test_neighbouring_lanes_have_different_colours_on_both_papers() -> None:
    for paper in (0, 1):
        assert len(LANES) == len({pair[paper] for pair in LANES})


def heard(content: bytes) -> tuple[int, np.ndarray]:
    with av.open(io.BytesIO(content)) as file:
        frames = [frame.to_ndarray() for frame in file.decode(audio=0)]
        rate_hz = file.streams.audio[0].rate
    samples = np.concatenate([frame.reshape(1, -1)[0] for frame in frames])
    return rate_hz, samples / 32768 if samples.dtype == np.int16 else samples


def tone(seconds: float) -> np.ndarray:
    n = round(16000 * seconds)
    silence = np.zeros(8000, np.float32)
    return np.concatenate([silence, np.sin(np.arange(n - 8000) * 0.3).astype(np.float32)])


def test_the_sound_is_an_mp3_that_begins_when_it_does() -> None:
    mime, content = playable(tone(12.0))
    rate_hz, samples = heard(content)
    assert ("audio/mpeg", 16000) == (mime, rate_hz)
    onset_s = int(np.argmax(np.abs(samples) > 0.3)) / rate_hz
    assert onset_s == pytest.approx(0.5, abs=0.05)
    assert samples.size / rate_hz == pytest.approx(12.0, abs=0.15)
    assert len(content) < 12.5 * 64000 / 8


def test_without_an_mp3_encoder_it_is_a_wav(monkeypatch: pytest.MonkeyPatch) -> None:
    encode = sound._encoded

    def refuse(pcm: np.ndarray, container: str, codec: str) -> bytes:
        if codec == "libmp3lame":
            raise ValueError("unknown codec")
        return encode(pcm, container, codec)

    monkeypatch.setattr(sound, "_encoded", refuse)
    mime, content = playable(1.5 * tone(1.0))
    rate_hz, samples = heard(content)
    assert ("audio/wav", 16000, 16000) == (mime, rate_hz, samples.size)
    np.testing.assert_allclose(np.clip(1.5 * tone(1.0), -1, 1), samples, atol=1e-4)
