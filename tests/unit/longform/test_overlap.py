"""Encoding in one thread while another decodes: what nobody may notice but by the clock."""

import gc
import threading
import time

import numpy as np
import pytest

from tercet.errors import AudioError, Cancelled, EngineError

HEAR_ALL = {"vad_filter": False, "language": "en"}


@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("language", ["en", None])
def test_results_are_the_same_with_and_without(fake, noise, paused, batch_size, language) -> None:
    broken = noise(50, 7)
    broken[40 * 16000] = np.nan
    sources = [paused(3), noise(100, 1), b"junk", broken, np.zeros(40 * 16000), noise(3, 2)]
    options = {"vad_filter": False, "language": language}
    heard = [
        dict(fake(batch_size, overlap=overlap).model.transcribe_many(sources, **options))
        for overlap in (False, True)
    ]
    for results in heard:
        assert {2, 3} == {i for i, one in results.items() if isinstance(one, AudioError)}
        results.update({i: str(results[i]) for i in (2, 3)})
    assert heard[0] == heard[1]


def test_the_next_windows_are_encoded_while_one_is_decoded(fake, paused) -> None:
    """The decoder waits for an encoder that only a thread of its own can bring on."""
    hearing = fake(batch_size=1)
    real_open = hearing.decoder.open
    third = threading.Event()
    real_encode = hearing.encoder.encode

    def encode(mel, **arguments):
        encoded = real_encode(mel, **arguments)
        if len(hearing.encoder.calls) == 3:
            third.set()
        return encoded

    def open_late(windows, **arguments):
        if not hearing.decoder.opened:
            assert third.wait(30)
        return real_open(windows, **arguments)

    hearing.encoder.encode, hearing.decoder.open = encode, open_late
    assert 4 == len(hearing.model.transcribe(paused(4), **HEAR_ALL).windows)


def test_without_overlap_everything_happens_in_the_callers_thread(fake, paused) -> None:
    seen = set()
    for overlap in (False, True):
        hearing = fake(overlap=overlap)
        real_encode = hearing.encoder.encode

        def encode(mel, real_encode=real_encode, overlap=overlap, **arguments):
            seen.add((overlap, threading.current_thread() is threading.main_thread()))
            return real_encode(mel, **arguments)

        hearing.encoder.encode = encode
        hearing.model.transcribe(paused(2), **HEAR_ALL)
    assert {(False, True), (True, False)} == seen


@pytest.mark.parametrize("error", [EngineError("out of memory"), ZeroDivisionError("a bug")])
@pytest.mark.parametrize("overlap", [False, True])
def test_what_fails_in_the_encoder_reaches_the_caller(
    fake, paused, working_ahead, error, overlap
) -> None:
    hearing = fake(batch_size=1, overlap=overlap)
    real_encode = hearing.encoder.encode

    def encode(mel, **arguments):
        if len(hearing.encoder.calls) == 4:
            raise error
        return real_encode(mel, **arguments)

    hearing.encoder.encode = encode
    heard = []
    with pytest.raises(type(error), match=str(error)) as raised:
        heard.extend(hearing.model.transcribe_many([paused(1), paused(8)], **HEAR_ALL))
    assert error is raised.value
    assert [0] == [index for index, _ in heard]
    assert [] == working_ahead()


def test_what_fails_in_the_decoder_stops_the_encoder(fake, paused, working_ahead) -> None:
    hearing = fake(batch_size=1)

    def fail(*_arguments, **_options):
        raise EngineError("out of memory")

    hearing.decoder.open = fail
    with pytest.raises(EngineError, match="out of memory"):
        hearing.model.transcribe(paused(12), **HEAR_ALL)
    assert [] == working_ahead()
    assert len(hearing.encoder.calls) < 12


@pytest.mark.parametrize("call", ["stream", "transcribe_many"])
@pytest.mark.parametrize("way", ["closed", "dropped", "never begun"])
def test_an_iterator_that_is_left_early_leaves_no_thread(
    fake, paused, working_ahead, call, way
) -> None:
    hearing = fake(batch_size=1)
    audio = paused(12)
    parts = (
        hearing.model.stream(audio, **HEAR_ALL)
        if call == "stream"
        else hearing.model.transcribe_many([paused(1), audio], **HEAR_ALL)
    )
    if way != "never begun":
        next(parts)
        assert 1 == len(working_ahead())
    if way == "closed":
        parts.close()
    else:
        del parts
        gc.collect()
    assert [] == working_ahead()
    n_encoded = len(hearing.encoder.calls)
    assert n_encoded < 12
    time.sleep(0.05)
    assert n_encoded == len(hearing.encoder.calls)


def test_a_stop_between_two_parts_leaves_no_thread(fake, paused, working_ahead) -> None:
    wanted = threading.Event()
    stream = fake(batch_size=1).model.stream(paused(12), should_cancel=wanted.is_set, **HEAR_ALL)
    next(stream)
    wanted.set()
    with pytest.raises(Cancelled):
        list(stream)
    assert [] == working_ahead()


def test_a_finished_run_leaves_no_thread(fake, paused, working_ahead) -> None:
    model = fake().model
    for _ in range(3):
        model.transcribe(paused(2), **HEAR_ALL)
    assert [] == working_ahead()


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_two_recordings_keep_their_languages_in_shared_batches(
    fake, paused, noise, batch_size, overlap
) -> None:
    """Each one's later windows sound like the other's language."""
    sources = [
        paused(3),
        np.concatenate([noise(12, 30), np.zeros(64000, np.float32), paused(2, 20)]),
    ]
    voices = []
    for source in sources:
        probe = fake(overlap=False)
        probe.model.transcribe(source, **HEAR_ALL)
        voices.append(probe.encoder.calls)
    first, second = voices
    assert not set(first) & set(second)
    hearing = fake(batch_size, overlap=overlap)
    hearing.decoder.languages = {
        **dict.fromkeys(first, "fr"),
        **dict.fromkeys(second, "de"),
        first[0]: "de",
        second[0]: "fr",
    }
    heard = dict(hearing.model.transcribe_many(sources, vad_filter=False))
    assert {0: "de", 1: "fr"} == {index: one.language for index, one in heard.items()}
    for index, source in enumerate(sources):
        alone = fake(1, overlap=False)
        alone.decoder.languages = hearing.decoder.languages
        assert alone.model.transcribe(source, vad_filter=False) == heard[index]
        assert heard[index].language_probability == pytest.approx(1.0)


@pytest.mark.parametrize("overlap", [False, True])
def test_a_stream_begins_with_small_batches_and_a_transcript_with_full_ones(
    fake, paused, overlap
) -> None:
    live, whole = fake(batch_size=4, overlap=overlap), fake(batch_size=4, overlap=overlap)
    parts = list(live.model.stream(paused(11), **HEAR_ALL))
    assert (
        "".join(part.text for part in parts) == whole.model.transcribe(paused(11), **HEAR_ALL).text
    )
    assert [1, 2, 4, 4] == live.decoder.opened
    assert [4, 4, 3] == whole.decoder.opened


def test_the_first_window_of_a_stream_does_not_wait_for_the_others(fake, paused) -> None:
    hearing = fake(batch_size=8, overlap=False)
    next(hearing.model.stream(paused(9), **HEAR_ALL))
    assert 1 == len(hearing.encoder.calls)
