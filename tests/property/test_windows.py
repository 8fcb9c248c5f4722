"""What holds of windows for any audio, however it is pushed."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tercet.audio.load import load
from tercet.audio.vad import VadOptions
from tercet.audio.windows import Window, Windower, windows

RATE = 16000
QUICK = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def recordings(draw) -> np.ndarray:
    """Up to 110 s of stretches of noise, each of its own level (silence among them)."""
    stretches = draw(
        st.lists(
            st.tuples(st.integers(1, 20 * RATE), st.sampled_from([0.0, 1e-4, 1e-2, 0.1, 0.5])),
            max_size=25,
        )
    )
    random = np.random.default_rng(draw(st.integers(0, 9)))
    pieces = [level * random.standard_normal(size) for size, level in stretches]
    joined = np.concatenate([np.zeros(0), *pieces])[: 110 * RATE]
    return joined.astype(np.float32)


def pushed(samples: np.ndarray, sizes: list[int], vad: VadOptions | None) -> list[Window]:
    """Windows of `samples` pushed in these sizes, over and over."""
    windower = Windower(vad)
    found, at, turn = [], 0, 0
    while at < samples.size:
        size = sizes[turn % len(sizes)]
        found += windower.push(samples[at : at + size])
        at, turn = at + size, turn + 1
    return found + windower.finish()


def same(ours: list[Window], expected: list[Window]) -> None:
    assert [(w.start, w.cut, w.speech) for w in ours] == [
        (w.start, w.cut, w.speech) for w in expected
    ]
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)


@QUICK
@given(samples=recordings())
def test_every_sample_is_in_exactly_one_window(samples):
    found = list(windows([samples], None))

    np.testing.assert_array_equal(
        np.concatenate([np.zeros(0, np.float32), *(w.samples for w in found)]), samples
    )
    assert [w.start for w in found] == [0, *(w.end for w in found)][: len(found)]
    assert all(1 <= w.samples.size <= 30 * RATE and w.start % 6400 == 0 for w in found)
    assert [w.cut == "end" for w in found] == [False] * (len(found) - 1) + [True] * bool(found)


@QUICK
@given(samples=recordings(), sizes=st.lists(st.integers(1, 700_000), min_size=1, max_size=5))
def test_windows_do_not_depend_on_the_pushes(samples, sizes):
    sizes = [*sizes, 50_000]  # so that no example takes a million pushes
    same(pushed(samples, sizes, None), list(windows([samples], None)))


@pytest.fixture(scope="module")
def talk(clips_dir) -> np.ndarray:
    """Reading, a pause, rain, and some of the reading again: 60 + 12 + 5 + 10 s."""
    chapter = load(clips_dir / "librispeech-chapter-1320-122612.opus").read()
    rain = load(clips_dir / "esc10-Rain-1-26222-A.opus").read()
    return np.concatenate(
        [chapter[: 60 * RATE], np.zeros(12 * RATE, np.float32), rain, chapter[: 10 * RATE]]
    )


@pytest.fixture(scope="module")
def talk_windows(talk) -> list[Window]:
    return list(windows([talk], VadOptions()))


def test_real_speech_in_pushes_of_ten_milliseconds_gives_the_same_windows(talk, talk_windows):
    same(pushed(talk, [160], VadOptions()), talk_windows)
    assert len(talk_windows) >= 3


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


VOICE_OPTIONS = st.builds(
    VadOptions,
    threshold=st.sampled_from([0.2, 0.5]),
    min_silence_duration_ms=st.sampled_from([0, 200, 2000, 9000]),
    min_speech_duration_ms=st.sampled_from([0, 300]),
    speech_pad_ms=st.sampled_from([0, 400]),
    max_speech_duration_s=st.sampled_from([float("inf"), 3.0]),
)


@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(1, 100_000), min_size=1, max_size=4), vad=VOICE_OPTIONS)
def test_real_speech_in_random_pushes_gives_the_same_windows(talk, sizes, vad):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tercet.audio.voice._load_network", QuickVoice)
        whole = list(windows([talk], vad))
        same(pushed(talk, [*sizes, 4000], vad), whole)
        assert any(w.has_speech for w in whole)


def test_real_speech_is_neither_lost_nor_doubled(talk, talk_windows):
    np.testing.assert_array_equal(np.concatenate([w.samples for w in talk_windows]), talk)
