"""The loop over sources, on an engine that computes nothing. Voices are detected only where it says so."""

import io
import tracemalloc
import wave
from itertools import pairwise

import numpy as np
import pytest

from tercet.audio.load import load
from tercet.errors import AudioError, Cancelled, EngineError, OptionError
from tercet.results import Progress, Transcript

HEAR_ALL = {"vad_filter": False, "language": "en"}


def wav_bytes(samples: np.ndarray, rate_hz: int = 16000) -> bytes:
    """16-bit WAV of [n] or [channels, n]."""
    rows = np.atleast_2d(samples)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(len(rows))
        writer.setsampwidth(2)
        writer.setframerate(rate_hz)
        writer.writeframes((np.clip(rows.T, -1, 1) * 32767).astype("<i2").tobytes())
    return file.getvalue()


class Breaking(io.BytesIO):
    """A file that cannot be read beyond some byte."""

    def __init__(self, content: bytes, until: int) -> None:
        super().__init__(content)
        self.until = until

    def read(self, size=-1):
        if self.tell() >= self.until:
            raise OSError("the disk is gone")
        return super().read(min(size, self.until - self.tell()) if size >= 0 else -1)


def test_windows_of_several_sources_share_their_batches(fake, paused) -> None:
    hearing = fake(batch_size=4)
    sources = [paused(2, 0), paused(1, 10), paused(3, 20)]
    results = dict(hearing.model.transcribe_many(sources, **HEAR_ALL))
    assert [4, 2] == hearing.decoder.opened
    for index, source in enumerate(sources):
        alone = fake(batch_size=1).model.transcribe(source, **HEAR_ALL)
        assert alone == results[index]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8, 100])
def test_the_batch_is_never_larger_than_asked_for_and_changes_nothing(
    fake, noise, batch_size: int
) -> None:
    samples = noise(100)
    expected = fake(batch_size=8).model.transcribe(samples, **HEAR_ALL)
    hearing = fake(batch_size=batch_size)
    assert expected == hearing.model.transcribe(samples, **HEAR_ALL)
    assert max(hearing.decoder.opened) <= batch_size
    assert len(hearing.encoder.calls) == sum(hearing.decoder.opened)


def test_pieces_come_in_order_and_ids_count_on_over_windows(fake, paused) -> None:
    def two_segments(voice, tokenizer):
        begin = tokenizer.timestamp_begin
        return [begin, voice, begin + 50, begin + 50, voice + 1, begin + 200]

    parts = list(fake(3, two_segments).model.stream(paused(5), **HEAR_ALL))
    assert 5 == len(parts)
    segments = [segment for part in parts for segment in part.segments]
    assert list(range(10)) == [segment.id for segment in segments]
    for one, two in pairwise(segments):
        assert one.start < one.end <= two.start
    starts = [part.windows[0].start_s for part in parts]
    ends = [part.windows[0].end_s for part in parts]
    assert [0.0, *ends[:-1]] == starts
    assert 5 * 28.0 == ends[-1]


def test_the_parts_of_a_stream_are_the_whole_transcript(fake, noise) -> None:
    samples = noise(130)
    whole = fake().model.transcribe(samples, **HEAR_ALL)
    parts = list(fake().model.stream(samples, **HEAR_ALL))
    assert len(parts) > 2
    assert whole.text == "".join(part.text for part in parts)
    assert whole.segments == tuple(s for part in parts for s in part.segments)
    assert whole.windows == tuple(w for part in parts for w in part.windows)
    assert whole.duration_s == parts[-1].duration_s == 130.0


def bad_sources(noise) -> dict[str, object]:
    broken = noise(50, 7)
    broken[40 * 16000] = np.nan
    content = wav_bytes(noise(50, 8))
    return {
        "junk": b"this is no sound at all",
        "missing": "no-such-file.wav",
        "NaN midway": broken,
        "unreadable midway": Breaking(content, until=40 * 32000),
    }


@pytest.mark.parametrize("kind", ["junk", "missing", "NaN midway", "unreadable midway"])
@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_a_bad_source_harms_no_other(fake, noise, paused, kind: str, batch_size: int) -> None:
    bad = bad_sources(noise)[kind]
    good = [paused(2, 0), noise(70, 3), paused(1, 9)]
    alone = [fake().model.transcribe(source, **HEAR_ALL) for source in good]
    sources = [good[0], bad, good[1], good[2]]
    results = dict(fake(batch_size).model.transcribe_many(sources, **HEAR_ALL))
    assert isinstance(results.pop(1), AudioError)
    assert {0: alone[0], 2: alone[1], 3: alone[2]} == results


def heard_until_it_fails(parts, error: type[Exception]) -> tuple[list, str]:
    """What an iterator gives before it raises, and the message."""
    heard = []
    try:
        for part in parts:
            heard.append(part)
    except error as raised:
        return heard, str(raised)
    pytest.fail("it did not raise")


@pytest.mark.parametrize("overlap", [False, True])
def test_a_stream_that_fails_midway_gives_what_came_before(fake, noise, paused, overlap) -> None:
    content = wav_bytes(paused(6))
    whole = list(fake(1).model.stream(content, **HEAR_ALL))
    hearing = fake(1, overlap=overlap)
    stream = hearing.model.stream(Breaking(content, until=150 * 32000), **HEAR_ALL)
    heard, message = heard_until_it_fails(stream, AudioError)
    n_read = len(hearing.encoder.calls)
    assert 3 <= n_read < 6
    assert len(heard) in (n_read - 1, n_read)  # the last one may still wait for company
    assert whole[: len(heard)] == heard
    assert message.startswith("<file>: cannot be read")
    assert "\n" not in message
    # Behind a seam, nothing is sure before the next window has come.
    cut_in_seams = Breaking(wav_bytes(noise(84)), until=50 * 32000)
    stream = fake(1, overlap=overlap).model.stream(cut_in_seams, **HEAR_ALL)
    assert [] == heard_until_it_fails(stream, AudioError)[0]


def test_transcribe_raises_what_is_wrong_with_its_only_source(fake) -> None:
    with pytest.raises(AudioError):
        fake().model.transcribe(b"junk")


def test_what_fails_in_the_engine_is_charged_to_no_source(fake, paused) -> None:
    hearing = fake(batch_size=2)

    def fail(states, *, align=False):
        raise EngineError("out of memory")

    hearing.decoder.open = fail
    with pytest.raises(EngineError, match="out of memory"):
        list(hearing.model.transcribe_many([paused(1), paused(2)], **HEAR_ALL))


def test_each_channel_has_a_transcript_of_its_own(fake, noise) -> None:
    left, right = noise(40, 1), noise(40, 2)
    both = fake().model.transcribe(np.stack([left, right]), channel="each", **HEAR_ALL)
    assert [0, 1] == [transcript.channel for transcript in both]
    for alone, heard in zip([left, right], both, strict=True):
        expected = fake().model.transcribe(alone, **HEAR_ALL)
        assert (expected.text, expected.windows) == (heard.text, heard.windows)


def test_channels_stay_in_their_order_where_a_silent_one_is_done_first(fake, noise) -> None:
    with_voice = np.stack([noise(20), np.zeros(20 * 16000, np.float32)])
    hearing = fake(batch_size=8)
    # Silero takes noise for no voice, so the loop is fed what it would find.
    both = hearing.model.transcribe(with_voice, channel="each", vad_parameters={"threshold": 0.5})
    assert [0, 1] == [transcript.channel for transcript in both]


def test_channels_of_one_file_object_do_not_disturb_each_other(fake, noise) -> None:
    content = wav_bytes(np.stack([noise(75, 1), noise(75, 2)]))
    expected = fake().model.transcribe(content, channel="each", **HEAR_ALL)
    assert 2 == len(expected)
    assert expected == fake().model.transcribe(io.BytesIO(content), channel="each", **HEAR_ALL)


def test_each_channel_of_a_pipe_is_refused_since_it_can_be_read_once(fake, noise) -> None:
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

    pipe = Pipe(wav_bytes(np.stack([noise(3, 1), noise(3, 2)])))
    with pytest.raises(OptionError, match="save it to a file first"):
        fake().model.transcribe(pipe, channel="each", **HEAR_ALL)
    mono = Pipe(wav_bytes(noise(3)))
    assert 1 == len(fake().model.transcribe(mono, channel="each", **HEAR_ALL))
    with pytest.raises(OptionError, match="save it to a file first"):
        fake().model.transcribe(Pipe(wav_bytes(noise(3))), mel_floor="file", **HEAR_ALL)


def test_one_channel_is_heard_alone(fake, noise) -> None:
    left, right = noise(5, 1), noise(5, 2)
    heard = fake().model.transcribe(np.stack([left, right]), channel=1, **HEAR_ALL)
    assert 1 == heard.channel
    assert fake().model.transcribe(right, **HEAR_ALL).text == heard.text
    mixed = fake().model.transcribe(np.stack([left, right]), **HEAR_ALL)
    assert mixed.channel is None
    assert fake().model.transcribe((left + right) / 2, **HEAR_ALL).text == mixed.text


def test_silence_is_not_decoded_and_has_no_language(fake) -> None:
    hearing = fake()
    heard = hearing.model.transcribe(np.zeros(70 * 16000, np.float32))
    assert ("", "und", None, ()) == (
        heard.text,
        heard.language,
        heard.language_probability,
        heard.segments,
    )
    assert ["no speech heard"] * 3 == [window.reason for window in heard.windows]
    assert ([], []) == (hearing.encoder.calls, hearing.decoder.opened)


def test_only_windows_with_speech_are_encoded(fake, clips_dir) -> None:
    speech = load(clips_dir / "librispeech-7127-75946-0006.opus").read()
    silence = np.zeros(65 * 16000, np.float32)
    samples = np.concatenate([speech, silence, speech])
    hearing = fake()
    heard = hearing.model.transcribe(samples, language="en")
    with_speech = [window.has_speech for window in heard.windows]
    assert (2, True, True) == (sum(with_speech), with_speech[0], with_speech[-1])
    assert len(with_speech) > 2
    assert 2 == len(hearing.encoder.calls)


def test_the_language_is_that_of_the_first_window_with_speech(fake, paused) -> None:
    hearing = fake(batch_size=8)
    heard = hearing.model.transcribe(paused(3), vad_filter=False)
    assert "de" == heard.language
    assert heard.language_probability == pytest.approx(1.0)
    assert [3] == hearing.decoder.opened  # detected on the way
    given = fake().model.transcribe(paused(1), vad_filter=False, language="French")
    assert ("fr", None) == (given.language, given.language_probability)


def test_real_frames_are_those_with_sound(fake, noise) -> None:
    hearing = fake()
    hearing.model.transcribe(noise(1.01), **HEAR_ALL)
    assert [51] == hearing.encoder.real_frames


@pytest.mark.parametrize("after", [0, 1, 5])
@pytest.mark.parametrize("overlap", [False, True])
def test_the_caller_can_stop_it(fake, noise, working_ahead, after: int, overlap: bool) -> None:
    asked = []

    def should_cancel() -> bool:
        asked.append(True)
        return len(asked) > after

    hearing = fake(batch_size=2, overlap=overlap)
    with pytest.raises(Cancelled):
        hearing.model.transcribe(noise(600), should_cancel=should_cancel, **HEAR_ALL)
    # It is asked about each window that has been heard; a window brings a bridge along.
    n_ahead = 2 * 2 + 1 if overlap else 0  # two batches, and the window that is being encoded
    assert len(hearing.encoder.calls) <= 2 * (after + n_ahead)
    assert len(asked) == after + 1
    assert [] == working_ahead()


def test_what_is_finished_before_the_stop_is_handed_out(fake, paused) -> None:
    hearing = fake(batch_size=1, overlap=False)
    seen: list[Progress] = []
    outcomes = hearing.model.transcribe_many(
        [paused(1), paused(1, 5)],
        on_progress=seen.append,
        should_cancel=lambda: bool(seen),
        **HEAR_ALL,
    )
    heard, _ = heard_until_it_fails(outcomes, Cancelled)
    assert [0] == [index for index, _ in heard]


@pytest.mark.parametrize("overlap", [False, True])
def test_a_stop_after_the_first_result_loses_only_what_was_not_finished(
    fake, paused, overlap: bool
) -> None:
    heard: list[int] = []
    outcomes = fake(batch_size=1, overlap=overlap).model.transcribe_many(
        [paused(1), paused(9, 5)], should_cancel=lambda: bool(heard), **HEAR_ALL
    )
    with pytest.raises(Cancelled):
        heard.extend(index for index, _ in outcomes)
    assert [0] == heard


@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("channel", ["mean", "each"])
def test_progress_only_grows_and_ends_at_the_end(fake, noise, batch_size, channel) -> None:
    seen: list[Progress] = []
    sources = [np.stack([noise(70, 1), noise(70, 2)]), np.stack([noise(95, 3), noise(95, 4)])]
    options = {"channel": channel, "on_progress": seen.append, **HEAR_ALL}
    list(fake(batch_size).model.transcribe_many(sources, **options))
    for index, length_s in enumerate([70.0, 95.0]):
        done = [progress.done_s for progress in seen if progress.source_index == index]
        assert length_s == done[-1]
        assert 3 <= len(done)
        for earlier, later in pairwise(done):
            assert earlier < later
    assert {70.0, 95.0} == {progress.total_s for progress in seen}


def test_the_length_of_a_pipe_is_not_known(fake, noise) -> None:
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

    header_without_size = bytearray(wav_bytes(noise(31)))
    header_without_size[40:44] = b"\xff\xff\xff\xff"
    seen: list[Progress] = []
    pipe = Pipe(bytes(header_without_size))
    fake().model.transcribe(pipe, on_progress=seen.append, **HEAR_ALL)
    for progress in seen:
        assert progress.total_s is None or progress.total_s >= progress.done_s


def test_every_seam_is_heard_again_and_reported(fake, noise) -> None:
    hearing = fake(batch_size=100)
    heard = hearing.model.transcribe(noise(100), **HEAR_ALL)
    cuts = [window.cut for window in heard.windows]
    assert ["seam"] * (len(cuts) - 1) + ["end"] == cuts
    assert 2 * len(cuts) - 1 == len(hearing.encoder.calls)
    assert ["seam not confirmed"] * (len(cuts) - 1) + [None] == [w.reason for w in heard.windows]


def test_a_pause_is_not_heard_again(fake, paused) -> None:
    hearing = fake()
    heard = hearing.model.transcribe(paused(3), **HEAR_ALL)
    assert ["pause", "pause", "end"] == [window.cut for window in heard.windows]
    assert 3 == len(hearing.encoder.calls)


def test_words_that_the_bridge_heard_join_the_windows(fake, noise) -> None:
    """The engine hears one window, the bridge, and the other, in this order."""
    texts = [[600, 601, 602, 999], [601, 602, 603, 604, 605, 606], [998, 605, 606, 607]]
    order: list[int] = []

    def write(voice, tokenizer):
        if voice not in order:
            order.append(voice)
        begin = tokenizer.timestamp_begin
        # Spoken around the border, which lies 12 s into the bridge.
        spans = [(end_step - 100, end_step), (600 - 100, 600 + 100), (0, 100)]
        which = order.index(voice)
        start, end = spans[which]
        return [begin + start, *texts[which], begin + end]

    samples = noise(40)
    end_step = round(fake().model.transcribe(samples, **HEAR_ALL).windows[0].end_s * 50)
    options = {"max_initial_timestamp": None, **HEAR_ALL}
    heard = fake(3, write).model.transcribe(samples, **options)
    assert " w600 w601 w602 w603 w604 w605 w606 w607" == heard.text
    assert ["joined at the seam", None] == [window.reason for window in heard.windows]


MINUTE_MIB = 60 * 16000 * 4 / 2**20


def test_a_long_recording_takes_no_more_memory_than_a_short_one(fake, noise) -> None:
    """Seams all the way, so that each window hangs on the next one. One thread: always the same peak."""

    def peak_mib(minutes: int) -> float:
        samples = noise(60 * minutes)
        model = fake(4, overlap=False).model
        tracemalloc.start()
        try:
            model.transcribe(samples, **HEAR_ALL)
            return tracemalloc.get_traced_memory()[1] / 2**20
        finally:
            tracemalloc.stop()

    peak_mib(1)  # what is made once and kept
    assert peak_mib(8) < peak_mib(2) + MINUTE_MIB  # six minutes more of sound, not one of them held


def test_working_ahead_holds_no_more_of_a_long_recording_than_of_a_short_one(
    fake, noise, held_mib
) -> None:
    """With two threads, the peak would depend on whether both need most at the same moment."""

    def most_held_mib(minutes: int) -> float:
        held: list[float] = []

        def write(voice: int, tokenizer) -> list[int]:
            held.append(held_mib())  # as windows are decoded: as many as can be are ready
            return [tokenizer.timestamp_begin, voice, tokenizer.timestamp_begin + 100]

        samples = noise(60 * minutes)
        model = fake(4, write).model
        tracemalloc.start()
        try:
            model.transcribe(samples, **HEAR_ALL)
            return max(held)
        finally:
            tracemalloc.stop()

    most_held_mib(1)  # what is made once and kept
    # Five minutes are more than both threads may have in hand.
    assert most_held_mib(11) < most_held_mib(5) + MINUTE_MIB


@pytest.mark.parametrize(("overlap", "n_ahead"), [(False, 2), (True, 5)])
def test_results_come_as_they_are_finished(fake, paused, overlap: bool, n_ahead: int) -> None:
    """With two batches of lookahead, and two more that are encoded meanwhile."""

    class Watched(io.BytesIO):
        was_read = False

        def read(self, size=-1):
            self.was_read = True
            return super().read(size)

    rest = [Watched(wav_bytes(paused(1, 5))) for _ in range(8)]
    model = fake(batch_size=1, overlap=overlap).model
    outcomes = model.transcribe_many([paused(2), *rest], **HEAR_ALL)
    index, first = next(outcomes)
    assert (0, 56.0) == (index, first.duration_s)
    assert n_ahead >= sum(source.was_read for source in rest)
    assert list(range(1, 9)) == [index for index, _ in outcomes]
    assert all(source.was_read for source in rest)


def test_a_consumer_that_stops_early_leaves_the_model_as_it_was(
    fake, paused, working_ahead
) -> None:
    hearing = fake(batch_size=3)
    sources = [paused(2, 0), paused(2, 5), paused(2, 9)]
    expected = dict(fake(batch_size=3).model.transcribe_many(sources, **HEAR_ALL))
    for index, outcome in hearing.model.transcribe_many(sources, **HEAR_ALL):
        assert expected[index] == outcome
        break
    next(hearing.model.stream(sources[1], **HEAR_ALL))
    assert [] == working_ahead()
    assert expected == dict(hearing.model.transcribe_many(sources, **HEAR_ALL))


def test_no_sources_give_no_results(fake) -> None:
    assert [] == list(fake().model.transcribe_many([]))


def test_chances_depend_on_the_place_in_the_recording_alone(fake, paused) -> None:
    def undecided(voice, tokenizer):
        return [tokenizer.timestamp_begin, voice, tokenizer.timestamp_begin + 100]

    samples = paused(3)
    options = {**HEAR_ALL, "temperature": 8.0}  # flattens even the fake's certainty
    results = {
        batch_size: fake(batch_size, undecided).model.transcribe(samples, **options).text
        for batch_size in (1, 2, 8)
    }
    assert 1 == len(set(results.values()))
    other_seed = fake(1, undecided).model.transcribe(samples, seed=1, **options).text
    assert other_seed != results[1]


@pytest.mark.parametrize("task", ["transcribe", "translate"])
def test_the_result_says_what_was_asked_for(fake, noise, task: str) -> None:
    heard = fake().model.transcribe(noise(5), task=task, **HEAR_ALL)
    assert isinstance(heard, Transcript)
    assert task == heard.task
