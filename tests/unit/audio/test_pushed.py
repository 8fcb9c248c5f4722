"""Sound that comes in blocks from somebody else."""

import numpy as np
import pytest

from tercet.audio.load import load
from tercet.errors import (
    ChannelError,
    EmptyAudioError,
    NonFiniteAudioError,
    OptionError,
    SampleRateError,
    TercetError,
    UndecodableAudioError,
)


@pytest.mark.parametrize("sizes", [[160], [1, 7, 40000], [399, 0, 16000]])
def test_blocks_of_any_size_are_the_sound_laid_end_to_end(sizes: list[int]) -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, 50000).astype(np.float32)
    edges = np.cumsum(np.resize(sizes, 400))
    blocks = np.split(sound, edges[edges < sound.size])
    assert np.array_equal(sound, load(iter(blocks)).read())


def test_blocks_are_resampled_as_the_whole_would_be() -> None:
    sound = np.sin(np.arange(24000) * 0.05).astype(np.float32)
    expected = load(sound, sampling_rate=24000).read()
    heard = load(iter(np.split(sound, 10)), sampling_rate=24000).read()
    assert np.allclose(expected, heard, atol=1e-6)


def test_integers_and_channels_are_understood_as_in_arrays() -> None:
    block = np.full((2, 800), 16384, np.int16)
    heard = load(iter([block, block]), channel="each").read()
    assert (2, 1600) == heard.shape
    assert 0.5 == heard.max()


def test_a_block_is_not_asked_for_before_it_is_needed() -> None:
    asked = []

    def blocks():
        for number in range(100):
            asked.append(number)
            yield np.zeros(16000, np.float32)

    recording = load(blocks())
    assert 12 > len(asked)  # ten seconds are looked at
    recording.close()


@pytest.mark.parametrize(
    ("blocks", "error"),
    [
        ([], EmptyAudioError),
        ([np.zeros(0, np.float32)], EmptyAudioError),
        ([np.array(["a"])], UndecodableAudioError),
        ([np.zeros((2, 800)), np.zeros(800)], ChannelError),
        ([np.full(800, np.nan)], NonFiniteAudioError),
    ],
)
def test_what_is_no_sound_is_one_clear_line(blocks, error: type[TercetError]) -> None:
    with pytest.raises(error) as raised:
        load(iter(blocks)).read()
    assert "<blocks>" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_strange_rate_is_refused() -> None:
    with pytest.raises(SampleRateError):
        load(iter([np.zeros(800)]), sampling_rate=5)


def test_what_needs_a_second_pass_is_refused() -> None:
    recording = load(iter([np.zeros(800, np.float32)]))
    recording.read()
    with pytest.raises((OptionError, TercetError), match="only once"):
        recording.read()
