"""`longform="chunked"`: its options, and the loop on an engine that computes nothing."""

import math
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

import tercet
from tercet.audio.chunks import ChunkPlan
from tercet.errors import OptionError
from tercet.longform.chunked import chunk_plan

CHUNKED = {"longform": "chunked", "vad_filter": False, "language": "en"}
SIX = {**CHUNKED, "chunk_length_s": 6.0}  # strides of 1 s: a hop of 4 s
N_WORDS = 26  # one per second


class Untouched:
    """A file that must not be read."""

    def read(self, size=-1):
        raise AssertionError("the audio was opened")


@pytest.mark.parametrize(
    ("model", "length_s"),
    [
        ("base", 30),
        ("large-v3", 30),
        ("turbo", 30),
        ("a/folder", 30),
        ("distil-large-v2", 15),
        ("distil-medium.en", 15),
        ("distil-large-v3", 25),
        ("distil-whisper/distil-large-v3.5", 25),
    ],
)
def test_the_length_suits_the_model_and_strides_are_a_sixth_of_it(model, length_s) -> None:
    stride = round(length_s / 6 * 16000)
    expected = ChunkPlan(length=length_s * 16000, left=stride, right=stride)
    assert expected == chunk_plan("chunked", None, None, model=model)


@pytest.mark.parametrize("stride", [2, 2.0, (2, 2), [2, 2.0], np.float32(2)])
def test_a_stride_is_that_of_both_sides(stride) -> None:
    expected = ChunkPlan(length=320_000, left=32_000, right=32_000)
    assert expected == chunk_plan("chunked", 20, stride, model="base")
    assert (0, 80_000) == (
        chunk_plan("chunked", 20, (0, 5), model="base").left,
        chunk_plan("chunked", 20, (0, 5), model="base").right,
    )


NONSENSE = [
    {"chunk_length_s": 0},
    {"chunk_length_s": -5},
    {"chunk_length_s": 30.5},
    {"chunk_length_s": math.nan},
    {"chunk_length_s": "20"},
    {"chunk_length_s": True},
    {"stride_length_s": -1},
    {"stride_length_s": 15},
    {"stride_length_s": 20},
    {"stride_length_s": (20, 10)},
    {"stride_length_s": (5,)},
    {"stride_length_s": (1, 2, 3)},
    {"stride_length_s": "5"},
    {"stride_length_s": math.inf},
    {"stride_length_s": True},
    {"chunk_length_s": 10, "stride_length_s": 5},
    {"match": "openai"},
    {"match": "hf", "temperature": 0.2},
    {"match": "hf", "compression_ratio_threshold": 2.0},
    {"match": "hf", "logprob_threshold": -2.0},
    {"match": "hf", "no_speech_threshold": 0.5},
    {"match": "hf", "seed": 1},
    {"match": "hf", "vad_parameters": {"threshold": 0.4}},
    {"match": "hf", "gate": True},
    {"match": "hf", "mel_floor": "file"},
    {"longform": "parallel", "chunk_length_s": 20},
    {"longform": "parallel", "stride_length_s": 2},
    {"longform": "parallel", "match": "hf"},
]


@pytest.mark.parametrize("options", NONSENSE, ids=str)
def test_nonsense_is_refused_in_one_line_before_audio_is_opened(fake, options) -> None:
    model = fake().model
    for call in (model.transcribe, model.stream):
        with pytest.raises(OptionError) as raised:
            call(Untouched(), **{"longform": "chunked", **options})
        assert 20 < len(str(raised.value)) < 200
        assert "\n" not in str(raised.value)
        assert list(options)[-1] in str(raised.value)


@pytest.mark.parametrize("only", ["tags", "tokens", ("text", "tags")])
def test_other_readings_are_refused(fake, only) -> None:
    model = fake(tags={}, tokens={}).model
    with pytest.raises(OptionError, match="longform 'chunked' hears text alone"):
        model.listen(Untouched(), only=only, longform="chunked")
    with pytest.raises(OptionError, match="labels is about tags"):
        model.listen(Untouched(), labels="Loud", longform="chunked")


def test_codes_have_no_chunks(fake) -> None:
    with pytest.raises(OptionError, match="longform is about sound"):
        fake(tokens={}).model.detokenize([1, 2], longform="chunked")


def seconds(hearing, samples, *, match=None) -> None:
    """Let each chunk of 6 s say one word per second: second n is the token 300 + n."""
    model, encoder, decoder = hearing.model, hearing.encoder, hearing.decoder
    list(model.transcribe_many([samples], **SIX, match=match))  # to learn the chunks' numbers
    order = list(dict.fromkeys(encoder.calls))
    encoder.calls.clear()
    decoder.opened.clear()

    def write(voice, tokenizer) -> list[int]:
        begin, start = tokenizer.timestamp_begin, 4 * order.index(voice)
        end = min(start + 6, N_WORDS)
        return [begin, *range(300 + start, 300 + end), begin + 50 * (end - start)]

    decoder.write = write


@pytest.fixture
def whole() -> str:
    return "".join(f" w{300 + second}" for second in range(N_WORDS))


@pytest.mark.parametrize("match", [None, "hf"])
@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_every_word_is_written_once_whatever_the_batch(fake, noise, whole, match, batch_size):
    hearing, samples = fake(batch_size, overlap=False), noise(N_WORDS)
    seconds(hearing, samples, match=match)
    heard = hearing.model.transcribe(samples, **SIX, match=match)
    assert whole == heard.text
    assert 6 == len(hearing.encoder.calls) == len(heard.windows)
    assert ["stride"] * 5 + ["end"] == [window.cut for window in heard.windows]
    assert [None] * 6 == [window.reason for window in heard.windows]
    assert max(hearing.decoder.opened) == min(batch_size, 6)
    assert 26.0 == heard.segments[-1].end == heard.duration_s
    assert list(range(len(heard.segments))) == [segment.id for segment in heard.segments]


@pytest.mark.parametrize("match", [None, "hf"])
def test_recordings_heard_together_are_what_they_are_alone(fake, noise, match) -> None:
    sources = [noise(26, 1), noise(5, 2), noise(13, 3)]
    together = dict(fake(8).model.transcribe_many(sources, **SIX, match=match))
    for index, source in enumerate(sources):
        assert together[index] == fake(1).model.transcribe(source, **SIX, match=match)


@pytest.mark.parametrize("match", [None, "hf"])
def test_a_stream_laid_end_to_end_is_the_whole(fake, noise, whole, match) -> None:
    hearing, samples = fake(overlap=False), noise(N_WORDS)
    seconds(hearing, samples, match=match)
    parts = list(hearing.model.stream(samples, **SIX, match=match))
    assert whole == "".join(part.text for part in parts)
    assert [6.0, 10.0, 14.0, 18.0, 22.0, 26.0] == [part.duration_s for part in parts]
    again = hearing.model.transcribe(samples, **SIX, match=match)
    assert again.segments == tuple(segment for part in parts for segment in part.segments)


@pytest.mark.parametrize("match", [None, "hf"])
def test_without_timestamps_there_is_one_segment_per_chunk(fake, noise, whole, match) -> None:
    hearing, samples = fake(overlap=False), noise(N_WORDS)
    # The start sequence has one token more, so the first one is not seen.
    seconds(hearing, samples, match=match)
    heard = hearing.model.transcribe(samples, **SIX, match=match, without_timestamps=True)
    assert whole == heard.text
    assert 6 == len(heard.segments)
    for one, two in pairwise(heard.segments):
        assert one.start < one.end <= two.start < two.end
    assert (0.0, 26.0) == (heard.segments[0].start, heard.segments[-1].end)
    if match == "hf":
        assert [5.0, 9.0, 13.0, 17.0, 21.0, 26.0] == [segment.end for segment in heard.segments]


@pytest.mark.parametrize("match", [None, "hf"])
def test_chunks_with_nothing_in_common_are_cut_by_us_and_doubled_by_transformers(
    fake, noise, match
) -> None:
    hearing, samples = fake(overlap=False), noise(10)  # 0 to 6 s, 4 to 10 s
    seconds(hearing, samples, match=match)
    alike = hearing.decoder.write

    def write(voice, tokenizer) -> list[int]:
        begin, *words, end = alike(voice, tokenizer)
        return [begin, *(word + 1000 * (words[0] - 300) for word in words), end]

    hearing.decoder.write = write
    heard = hearing.model.transcribe(samples, **SIX, match=match)
    first = [f" w{300 + n}" for n in range(6)]
    second = [f" w{4304 + n}" for n in range(6)]
    if match == "hf":
        assert "".join([*first, *second]) == heard.text
    else:
        assert "".join([*first[:5], *second[1:]]) == heard.text
        assert "chunks cut by time" == heard.windows[0].reason


@pytest.mark.parametrize("match", [None, "hf"])
def test_a_recording_shorter_than_a_chunk_is_one_chunk(fake, noise, match) -> None:
    heard = fake().model.transcribe(noise(3), **SIX, match=match)
    assert [(0.0, 3.0, "end")] == [(w.start_s, w.end_s, w.cut) for w in heard.windows]
    assert 1 == len(heard.segments)


def test_a_language_is_the_first_chunks_but_for_transformers_each_chunks_own(fake, noise) -> None:
    options = {**SIX, "language": None}
    asked: dict[str | None, list[int]] = {}
    for match in (None, "hf"):
        hearing, samples = fake(1, overlap=False), noise(10)
        hearing.model.transcribe(samples, **options, match=match)
        hearing.decoder.languages = {hearing.encoder.calls[1]: "fr"}
        started: list[int] = []
        session = type(hearing.decoder.open([hearing.encoder.calls[0]]))
        step = session.step

        def watch(self, tokens, *, counts=None, keep=None, step=step, started=started):
            if self.lengths[0] == 1:  # the language comes second
                started.append(int(tokens[0, 0]))
            return step(self, tokens, counts=counts, keep=keep)

        session.step = watch
        try:
            heard = hearing.model.transcribe(samples, **options, match=match)
        finally:
            session.step = step
        asked[match] = started
        assert "de" == heard.language
    ids = hearing.model.tokenizer.language_ids
    assert {None: [ids["de"], ids["de"]], "hf": [ids["de"], ids["fr"]]} == asked


def test_transformers_goes_on_within_a_chunk_behind_its_last_pair(fake, noise) -> None:
    """The encoder hears the rest once more, from the closing timestamp on."""

    def write(voice, tokenizer) -> list[int]:
        begin = tokenizer.timestamp_begin
        is_first = voice == hearing.encoder.calls[0]
        return [begin, voice, begin + 100, begin + 100] if is_first else [begin, voice, begin + 50]

    hearing = fake(write=write, overlap=False)
    heard = hearing.model.transcribe(noise(5), **SIX, match="hf")
    first, second = hearing.encoder.calls
    assert f" w{first} w{second}" == heard.text
    assert (0.0, 2.0) == (heard.segments[0].start, heard.segments[0].end)
    again = fake(write=write, overlap=False)
    again.encoder.calls.append(first)
    assert 1 == len(again.model.transcribe(noise(5), **SIX).windows)
    assert 2 == len(again.encoder.calls)  # ours hears a chunk once


@pytest.mark.parametrize("match", [None, "hf"])
def test_each_channel_has_its_text(fake, noise, match) -> None:
    both = np.stack([noise(9, 1), noise(9, 2)])
    heard = fake().model.transcribe(both, **SIX, match=match, channel="each")
    for channel in (0, 1):
        alone = fake().model.transcribe(both[channel], **SIX, match=match)
        assert (channel, alone.text) == (heard[channel].channel, heard[channel].text)


@pytest.mark.parametrize("match", [None, "hf"])
def test_a_source_that_fails_harms_no_other(fake, noise, match) -> None:
    options = {**SIX, "match": match}
    results = dict(fake().model.transcribe_many([b"no sound", noise(9)], **options))
    assert isinstance(results[0], tercet.AudioError)
    assert results[1] == fake().model.transcribe(noise(9), **options)


@pytest.mark.parametrize("match", [None, "hf"])
def test_progress_reaches_the_end_and_can_be_stopped(fake, noise, match) -> None:
    told: list[float] = []
    options = {**SIX, "match": match}
    fake().model.transcribe(noise(26), **options, on_progress=lambda p: told.append(p.done_s))
    assert [6.0, 10.0, 14.0, 18.0, 22.0, 26.0] == told
    with pytest.raises(tercet.Cancelled):
        fake().model.transcribe(noise(26), **options, should_cancel=lambda: True)


def test_silence_is_not_decoded_by_us_and_is_by_transformers(fake) -> None:
    silence = np.zeros(16000 * 8, np.float32)
    options = {"longform": "chunked", "chunk_length_s": 6.0}
    ours, theirs = fake(), fake()
    assert "" == ours.model.transcribe(silence, **options).text
    assert [] == ours.decoder.opened
    assert "" != theirs.model.transcribe(silence, **options, match="hf").text


@pytest.mark.parametrize("match", [None, "hf"])
def test_what_is_held_does_not_grow_with_the_recording(fake, match) -> None:
    def peak_mib(minutes: int) -> float:
        rng = np.random.default_rng(0)
        blocks = (rng.normal(0, 0.1, 16000).astype(np.float32) for _ in range(60 * minutes))
        model = fake(2, overlap=False).model
        tracemalloc.start()
        try:
            model.transcribe(blocks, **{**CHUNKED, "chunk_length_s": 20.0}, match=match)
            return tracemalloc.get_traced_memory()[1] / 2**20
        finally:
            tracemalloc.stop()

    peak_mib(1)  # what is made once and kept
    minute_mib = 60 * 16000 * 4 / 2**20
    assert peak_mib(8) < peak_mib(2) + minute_mib
