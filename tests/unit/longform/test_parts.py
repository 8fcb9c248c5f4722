"""What is kept of a window, up to where it must be heard, and when it may leave."""

from dataclasses import replace

import numpy as np
import pytest

from tercet.audio.vad import VadOptions
from tercet.audio.windows import Window
from tercet.longform.parts import Job, Part, bridge_between
from tercet.longform.tracks import Track
from tercet.results import Segment

RATE_HZ = 16000
PADDED = VadOptions()  # 0.4 s on both sides of speech


def window(start_s=0.0, length_s=28.0, cut="seam", speech=None, sound=None) -> Window:
    start = round(start_s * RATE_HZ)
    n_samples = round(length_s * RATE_HZ)
    if sound is None:
        sound = np.random.default_rng(0).normal(0, 0.1, n_samples).astype(np.float32)
    if speech is None:
        speech = [(start_s, start_s + length_s)]
    ranges = tuple((round(a * RATE_HZ), round(b * RATE_HZ)) for a, b in speech)
    return Window(start, sound, cut, ranges)


def quiet_after(length_s: float, until_s: float) -> np.ndarray:
    drawn = np.random.default_rng(0).normal(0, 0.1, round(length_s * RATE_HZ))
    drawn[round(until_s * RATE_HZ) :] *= 1e-3
    return drawn.astype(np.float32)


def test_speech_that_ends_before_the_window_must_be_heard_but_not_its_padding() -> None:
    part = Part.of(window(100, 25, "pause", speech=[(101.0, 120.4)]), PADDED)
    assert (20.0, 120.4) == (part.hear_until_s, part.speech_end_s)


def test_speech_that_goes_on_beyond_the_window_must_be_heard_to_its_end() -> None:
    assert 25.0 == Part.of(window(100, 25), PADDED).hear_until_s


@pytest.mark.parametrize("cut", ["pause", "end", "seam"])
def test_the_pause_at_a_windows_end_need_not_be_heard(cut: str) -> None:
    """Silence under 2 s counts as speech, as in faster-whisper: nothing may be invented for it."""
    sound = quiet_after(25, 23.2)
    assert (
        pytest.approx(23.2, abs=0.03)
        == Part.of(window(0, 25, cut, sound=sound), PADDED).hear_until_s
    )


def test_a_window_shorter_than_one_level_is_no_trouble() -> None:
    short_s = 100 / RATE_HZ
    sound = np.full(100, 0.1, np.float32)
    part = Part.of(window(0, short_s, "end", sound=sound), PADDED)
    assert short_s == part.hear_until_s


def test_nobody_listened_so_nothing_has_to_be_heard() -> None:
    assert Part.of(window(), None).hear_until_s is None


def test_a_window_without_speech_is_done_at_once() -> None:
    part = Part.of(window(speech=[]), PADDED)
    assert (True, None, None) == (part.is_done, part.speech_end_s, part.hear_until_s)
    report = part.report()
    assert (False, "no speech heard", None) == (
        report.has_speech,
        report.reason,
        report.temperature,
    )


def test_a_bridge_holds_twelve_seconds_of_both_sides() -> None:
    left, right = window(0, 28), window(28, 20, "end")
    bridge = bridge_between(left, right)
    assert bridge is not None
    assert (16.0, 40.0) == (bridge.start_s, bridge.end_s)
    expected = np.concatenate([left.samples[-12 * RATE_HZ :], right.samples[: 12 * RATE_HZ]])
    np.testing.assert_array_equal(expected, bridge.samples)


def test_a_bridge_knows_where_speech_is() -> None:
    left, right = window(0, 28), window(28, 20, "end", speech=[(28, 31), (45, 48)])
    bridge = bridge_between(left, right)
    assert bridge is not None
    assert [(16.0, 28.0), (28.0, 31.0)] == [(a / RATE_HZ, b / RATE_HZ) for a, b in bridge.speech]
    assert pytest.approx(31.0 - 0.4 - 16.0) == Part.of(bridge, PADDED).hear_until_s


def test_a_short_last_window_gives_what_it_has() -> None:
    bridge = bridge_between(window(0, 28), window(28, 4.5, "end"))
    assert bridge is not None
    assert (16.0, 32.5) == (bridge.start_s, bridge.end_s)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (window(0, 28, "pause"), window(28, 20)),
        (window(0, 28, speech=[]), window(28, 20)),
        (window(0, 28), window(28, 20, speech=[])),
        (window(0, 28, speech=[(0, 20)]), window(28, 20)),
        (window(0, 28), window(28, 20, speech=[(35, 48)])),
    ],
    ids=["a pause", "silence left", "silence right", "speech ends before", "speech starts later"],
)
def test_a_border_that_cuts_no_speech_needs_no_bridge(left: Window, right: Window) -> None:
    assert bridge_between(left, right) is None


def job_of(*parts: Part, is_read: bool = False) -> Job:
    job = Job(Track(0, None, 1, None, iter(()), None), "en")
    job.parts.extend(parts)
    job.is_read = is_read
    return job


def part_at(start_s: float, cut: str, *, done: bool = True, is_bridge: bool = False) -> Part:
    part = Part.of(window(start_s, 28, cut), None, is_bridge=is_bridge)
    part.is_done = done
    part.segments = (
        Segment(
            id=0, seek=0, start=start_s, end=start_s + 1, text=f" at {start_s:.0f}", tokens=(),
            temperature=0.0, avg_logprob=0.0, compression_ratio=1.0, no_speech_prob=0.0,
        ),
    )  # fmt: skip
    return part


def starts(job: Job) -> list[float]:
    return [part.start_s for part in job.take_ready("en", lambda text: [])]


def test_a_window_that_is_not_decoded_holds_back_those_behind_it() -> None:
    job = job_of(part_at(0, "pause"), part_at(28, "pause", done=False), part_at(56, "end"))
    assert [0.0] == starts(job)
    job.parts[0].is_done = True
    assert [28.0, 56.0] == starts(job)


def test_a_window_before_a_seam_waits_for_the_bridge_and_its_neighbour_only() -> None:
    bridge = part_at(16, "seam", done=False, is_bridge=True)
    right = part_at(28, "seam", done=False)
    job = job_of(part_at(0, "seam"), bridge, right)
    assert [] == starts(job)
    bridge.is_done = True
    assert [] == starts(job)
    right.is_done = True
    assert [0.0] == starts(job)  # and the next one waits for its own bridge
    job.is_read = True
    assert [28.0] == starts(job)
    assert job.is_finished


def test_a_seam_without_a_bridge_holds_nothing_back_once_the_next_window_is_there() -> None:
    job = job_of(part_at(0, "seam"))
    assert [] == starts(job)
    job.parts.append(part_at(28, "end", done=False))
    assert [0.0] == starts(job)


def test_a_chunk_waits_for_the_next_one_to_be_decoded() -> None:
    job = job_of(part_at(0, "stride"))
    assert [] == starts(job)
    job.parts.append(part_at(20, "end", done=False))
    assert [] == starts(job)
    job.parts[1].is_done = True
    assert [0.0, 20.0] == starts(job)


def test_what_the_gate_dropped_where_two_chunks_overlap_is_told_once() -> None:
    left, right = part_at(0, "stride"), part_at(20, "end")  # both heard 20 to 28 s
    said = left.segments[0]
    at = [replace(said, start=start_s, end=start_s + 1) for start_s in (5.0, 21.0, 26.0, 40.0)]
    left.dropped, right.dropped = tuple(at[:3]), tuple(at[1:])
    job_of(left, right).take_ready("en", lambda text: [])
    assert (tuple(at[:2]), tuple(at[2:])) == (left.dropped, right.dropped)


def test_ids_count_on_from_one_call_to_the_next() -> None:
    job = job_of(part_at(0, "pause"), part_at(28, "pause"))
    first = job.take_ready("en", lambda text: [])
    job.parts.append(part_at(56, "end"))
    second = job.take_ready("en", lambda text: [])
    assert [0, 1, 2] == [segment.id for part in (*first, *second) for segment in part.segments]
