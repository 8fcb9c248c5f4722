"""Every option of `Model.listen` on the shipped model: a difference that it makes, or an error.

What the values may be is tested in tests/unit/longform/test_listener.py.
"""

import json
from itertools import pairwise

import numpy as np
import pytest

import tercet
from tercet.evaluate.word_errors import Utterance, word_errors

CLIP = "librispeech-4507"
GREEDY = {"language": "en", "temperature": 0.0}
SPOKEN = " Why should one not explore everything and study everything?"


@pytest.fixture(scope="module")
def speech(sound) -> np.ndarray:
    return sound(CLIP)


@pytest.fixture(scope="module")
def chapter(sound) -> np.ndarray:
    """78 s of one reader."""
    return sound("librispeech-chapter")


@pytest.fixture(scope="module")
def spoken(clips_dir) -> str:
    """What is said in `chapter`."""
    lines = (clips_dir / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return next(row["text"] for row in map(json.loads, lines) if "chapter" in row["path"])


@pytest.fixture(scope="module")
def plain(shipped, speech) -> tercet.Transcript:
    """The clip as it is heard without any option but its language."""
    return shipped.transcribe(speech, language="en")


def reason_of(heard: tercet.Transcript) -> str | None:
    (window,) = heard.windows
    return window.reason


def test_without_options_the_clip_is_heard(plain) -> None:
    assert (SPOKEN, "en", None) == (plain.text, plain.language, plain.language_probability)
    assert (0.0, None) == (plain.segments[0].temperature, reason_of(plain))


@pytest.mark.option("--language")
def test_language(shipped, sound, clip) -> None:
    german = clip("kerstin-de_rhasspy-0243")
    heard = shipped.transcribe(german)
    assert "de" == heard.language
    assert heard.language_probability > 0.9
    assert "Ich denke" in heard.text
    forced = shipped.transcribe(german, language="en", temperature=0)
    assert "en" == forced.language
    assert heard.text != forced.text


@pytest.mark.option("--task")
def test_task(shipped, clip) -> None:
    german = clip("kerstin-de_rhasspy-0243")
    english = shipped.transcribe(german, language="de", task="translate")
    assert "I think" in english.text
    assert "translate" == english.task


@pytest.mark.option("--temperature")
@pytest.mark.option("--seed")
def test_temperature_and_seed(shipped, sound) -> None:
    sample = sound("librispeech-61-70968")
    texts = [
        shipped.transcribe(sample, language="en", temperature=1.0, seed=seed).segments
        for seed in (1, 1, 2)
    ]
    greedy = shipped.transcribe(sample, language="en", temperature=0.0)
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]
    assert {1.0} == {segment.temperature for segment in texts[0]}
    assert greedy.segments[0].avg_logprob > texts[0][0].avg_logprob


@pytest.mark.option("--temperature_increment_on_fallback")
@pytest.mark.option("--logprob_threshold")
def test_logprob_threshold_and_the_temperatures_after_the_first(shipped, speech) -> None:
    strict = {"language": "en", "logprob_threshold": -0.01}
    heard = shipped.transcribe(speech, temperature=(0.0, 0.2), **strict)
    assert ("low log-probability", 0.2) == (reason_of(heard), heard.windows[0].temperature)
    once = shipped.transcribe(speech, temperature=0.0, **strict)
    assert ("low log-probability", 0.0) == (reason_of(once), once.windows[0].temperature)


@pytest.mark.option("--compression_ratio_threshold")
def test_compression_ratio_threshold(shipped, speech) -> None:
    options = {"language": "en", "temperature": (0.0, 0.2)}
    heard = shipped.transcribe(speech, compression_ratio_threshold=0.5, **options)
    assert ("repetitive", 0.2) == (reason_of(heard), heard.windows[0].temperature)
    never = shipped.transcribe(speech, compression_ratio_threshold=None, **options)
    assert reason_of(never) is None


@pytest.mark.option("--no_speech_threshold")
def test_no_speech_threshold(shipped, speech, plain) -> None:
    probability = plain.segments[0].no_speech_prob
    doubtful = {"language": "en", "temperature": 0.0, "logprob_threshold": -0.01}
    dropped = shipped.transcribe(speech, no_speech_threshold=probability / 2, **doubtful)
    assert ("", "no speech") == (dropped.text, reason_of(dropped))
    kept = shipped.transcribe(speech, no_speech_threshold=None, **doubtful)
    assert SPOKEN == kept.text


@pytest.mark.option("--suppress_tokens")
def test_suppress_tokens(shipped, speech) -> None:
    (study,) = shipped.tokenizer.encode(" study")
    heard = shipped.transcribe(
        speech, language="en", temperature=0.0, suppress_tokens=f"-1,{study}"
    )
    assert " study" in SPOKEN
    assert " study" not in heard.text


def all_but(shipped: tercet.Model, *words: str) -> list[int]:
    """Every id but those of a few words, the end and the timestamps."""
    kept = {token for word in words for token in shipped.tokenizer.encode(word)}
    kept.add(shipped.tokenizer.eot)
    return [token for token in range(shipped.tokenizer.timestamp_begin) if token not in kept]


@pytest.mark.option("--suppress_blank")
def test_suppress_blank(shipped) -> None:
    """Of a blank, one word and the end, only the word may come first."""
    hiss = np.random.default_rng(0).normal(0, 0.003, 16000).astype(np.float32)
    tokenizer = shipped.tokenizer
    timestamps = range(tokenizer.timestamp_begin, tokenizer.vocab_size)
    options = {
        "language": "en",
        "temperature": 0.0,
        "without_timestamps": True,
        "vad_filter": False,
        "no_speech_threshold": None,
        "suppress_tokens": [*all_but(shipped, " ", " quantum"), *timestamps],
    }
    assert shipped.transcribe(hiss, **options).text.startswith(" quantum")
    assert "" == shipped.transcribe(hiss, suppress_blank=False, **options).text


@pytest.mark.option("--without_timestamps")
def test_without_timestamps(shipped, speech, plain) -> None:
    begin = shipped.tokenizer.timestamp_begin
    heard = shipped.transcribe(speech, language="en", without_timestamps=True)
    assert SPOKEN == heard.text
    assert max(heard.segments[0].tokens) < begin <= max(plain.segments[0].tokens)


@pytest.mark.option("--max_initial_timestamp")
def test_max_initial_timestamp(shipped, speech) -> None:
    """At a high temperature any timestamp is as likely as the other."""
    options = {
        "language": "en",
        "temperature": 1000.0,
        "suppress_tokens": all_but(shipped, " the"),
        "no_speech_threshold": None,
    }

    def earliest_and_latest(limit: float | None) -> tuple[float, float]:
        starts = []
        for seed in range(3):
            heard = shipped.transcribe(speech, max_initial_timestamp=limit, seed=seed, **options)
            starts += [segment.start for segment in heard.segments[:1]]
        return min(starts), max(starts)

    assert (0.0, 0.0) == earliest_and_latest(0.0)
    earliest, latest = earliest_and_latest(1.0)
    assert 0.0 < earliest <= latest <= 1.0
    assert earliest_and_latest(None)[1] > 1.0


@pytest.mark.option("--vad_filter")
def test_vad_filter(shipped, sound) -> None:
    rain = sound("esc10-Rain")
    filtered = shipped.transcribe(rain, temperature=0.0)
    assert ("", "und", [False]) == (
        filtered.text,
        filtered.language,
        [window.has_speech for window in filtered.windows],
    )
    unfiltered = shipped.transcribe(rain, temperature=0.0, vad_filter=False)
    assert [True] == [window.has_speech for window in unfiltered.windows]
    assert "und" != unfiltered.language


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("threshold", 1.0, marks=pytest.mark.option("--vad_threshold")),
        pytest.param(
            "min_speech_duration_ms",
            60000,
            marks=pytest.mark.option("--vad_min_speech_duration_ms"),
        ),
    ],
)
def test_vad_parameters_that_hear_nobody(shipped, speech, name: str, value: float) -> None:
    heard = shipped.transcribe(speech, vad_parameters={name: value})
    assert ("", ["no speech heard"]) == (heard.text, [w.reason for w in heard.windows])


def speech_seen(monkeypatch, shipped, samples, **parameters) -> list[tuple[float, float]]:
    """The regions of speech, in seconds, that the loop is given."""
    from tercet.longform import parts

    seen: list[tuple[float, float]] = []
    original = parts._hear_until_s

    def watch(window, vad):
        seen.extend((start / 16000, end / 16000) for start, end in window.speech)
        return original(window, vad)

    monkeypatch.setattr(parts, "_hear_until_s", watch)
    shipped.transcribe(samples, language="en", temperature=0.0, vad_parameters=parameters)
    monkeypatch.undo()
    return seen


@pytest.fixture
def twice(speech) -> np.ndarray:
    """The clip, 0.8 s of silence, the clip."""
    return np.concatenate([speech, np.zeros(12800, np.float32), speech])


@pytest.mark.option("--vad_min_silence_duration_ms")
def test_vad_min_silence(monkeypatch, shipped, twice) -> None:
    assert 1 == len(speech_seen(monkeypatch, shipped, twice))
    assert 2 == len(speech_seen(monkeypatch, shipped, twice, min_silence_duration_ms=700))


@pytest.mark.option("--vad_speech_pad_ms")
def test_vad_speech_pad(monkeypatch, shipped, twice) -> None:
    def gap_s(pad_ms: float) -> float:
        options = {"min_silence_duration_ms": 700, "speech_pad_ms": pad_ms}
        (_, end), (start, _) = speech_seen(monkeypatch, shipped, twice, **options)
        return start - end

    assert 0.4 == pytest.approx(gap_s(0) - gap_s(200), abs=0.01)


@pytest.mark.option("--vad_max_speech_duration_s")
def test_vad_max_speech(monkeypatch, shipped, twice) -> None:
    regions = speech_seen(monkeypatch, shipped, twice, max_speech_duration_s=5)
    assert len(regions) > 1
    assert max(end - start for start, end in regions) < 5.9


@pytest.mark.option("--vad_neg_threshold")
def test_vad_neg_threshold(monkeypatch, shipped, twice) -> None:
    def total_s(neg_threshold: float) -> float:
        options = {"min_silence_duration_ms": 50, "speech_pad_ms": 0}
        options["neg_threshold"] = neg_threshold
        regions = speech_seen(monkeypatch, shipped, twice, **options)
        return sum(end - start for start, end in regions)

    assert total_s(0.5) < total_s(0.01)


@pytest.mark.option("--mel_floor")
def test_mel_floor(shipped, speech) -> None:
    """A whisper after a shout: the floor of the whole file hides what the window's own keeps."""
    shout = np.clip(speech * 8, -1, 1)
    silence = np.zeros(22 * 16000, np.float32)
    samples = np.concatenate([shout, silence, speech * 3e-3])
    options = {"language": "en", "vad_filter": False, "temperature": 0.0}
    window, file = (
        shipped.transcribe(samples, mel_floor=floor, **options) for floor in ("window", "file")
    )
    assert "explore" in window.segments[-1].text
    assert file.segments[-1].start < 20 < window.segments[-1].start


@pytest.mark.option("--channel")
def test_channel(shipped, clip) -> None:
    call = clip("telephone")
    each = shipped.transcribe(call, channel="each", language="en")
    assert "no good reason" in each[0].text
    assert "no such attempt" in each[1].text
    for number in (0, 1):
        alone = shipped.transcribe(call, channel=number, language="en")
        assert (each[number].text, number) == (alone.text, alone.channel)
    mixed = shipped.transcribe(call, language="en")
    scores = [heard.segments[0].avg_logprob for heard in (*each, mixed)]
    assert 3 == len(set(scores))
    with pytest.raises(tercet.ChannelError, match="channels 0 to 1"):
        shipped.transcribe(call, channel=2)


@pytest.mark.option("--longform")
def test_longform(shipped, speech, chapter) -> None:
    with pytest.raises(tercet.OptionError, match="later release"):
        shipped.transcribe(speech, longform="sequential")
    windows, chunks = (
        [window.cut for window in shipped.transcribe(chapter, **how, **GREEDY).windows]
        for how in ({}, {"longform": "chunked"})
    )
    assert "stride" not in windows
    assert ["stride"] * 3 + ["end"] == chunks


@pytest.mark.option("--chunk_length")
@pytest.mark.option("--stride")
def test_chunk_length_and_stride(shipped, chapter, spoken) -> None:
    heard = shipped.transcribe(chapter, longform="chunked", chunk_length_s=20, **GREEDY)
    # 20 s less 3.33 s on both sides: 13.33 s from one to the next, in 78 s.
    assert [0.0, 13.33, 26.67, 40.0, 53.33, 66.67] == [round(w.start_s, 2) for w in heard.windows]
    narrow = shipped.transcribe(
        chapter, longform="chunked", chunk_length_s=20, stride_length_s=(1, 2), **GREEDY
    )
    assert [0.0, 17.0, 34.0, 51.0, 68.0] == [window.start_s for window in narrow.windows]
    for each in (heard, narrow):
        assert word_errors([Utterance(spoken, each.text, "en")]).rate < 0.12
        for one, two in pairwise(each.segments):
            assert one.end <= two.start


@pytest.mark.option("--match")
def test_match_of_chunks(shipped, speech) -> None:
    """Silence is heard as sound there, and no voice is looked for; how sure it was differs."""
    how = {"longform": "chunked", "language": "en"}
    ours, theirs = (shipped.transcribe(speech, match=match, **how) for match in (None, "hf"))
    assert SPOKEN == ours.text == theirs.text
    assert ours.segments[0].avg_logprob != theirs.segments[0].avg_logprob
    silence = np.zeros(16000 * 5, np.float32)
    ours, theirs = (shipped.transcribe(silence, match=match, **how) for match in (None, "hf"))
    assert ("", True) == (ours.text, theirs.text != "")


@pytest.mark.option("--batch_size")
def test_batch_size(shipped, speech, monkeypatch) -> None:
    rows: list[int] = []
    original = shipped._instruments.decoder.open

    def watch(states, *, align=False):
        rows.append(len(states))
        return original(states, align=align)

    monkeypatch.setattr(shipped._instruments.decoder, "open", watch)
    sources = [speech, speech[8000:]]
    for size, expected in ((1, [1, 1]), (8, [2])):
        rows.clear()
        options = {"language": "en", "temperature": 0.0, "batch_size": size}
        list(shipped.transcribe_many(sources, **options))
        assert expected == rows


def test_sampling_rate(shipped, speech) -> None:
    half = speech[::2]
    heard = shipped.transcribe(half, sampling_rate=8000, language="en")
    assert "explore everything" in heard.text
    assert heard.duration_s == pytest.approx(speech.size / 16000, abs=0.01)
    fast = shipped.transcribe(half, language="en", temperature=0)
    assert fast.duration_s == pytest.approx(speech.size / 32000, abs=0.01)


def test_a_stream_gives_one_part_per_window(shipped, clip) -> None:
    chapter = clip("librispeech-chapter")
    parts = list(shipped.stream(chapter, language="en", temperature=0.0))
    text = "".join(part.text for part in parts)
    assert 3 == len(parts)
    assert text.startswith(" Since the period of our tale")
    assert "had he spoken" in text[-40:]
    segments = [segment for part in parts for segment in part.segments]
    for one, two in pairwise(segments):
        assert one.end <= two.start


# --- sounds and speech tokens: random heads hear nothing in particular, but always the same -------


@pytest.fixture(scope="module")
def three(base_model, tag_head, quantizer) -> tercet.Model:
    """The shipped model with both heads."""
    return tercet.load_model(base_model, tags=tag_head, tokens=quantizer, threads=2)


@pytest.fixture(scope="module")
def bark(sound) -> np.ndarray:
    return sound("esc10-Dog_bark")


@pytest.mark.option("--only")
@pytest.mark.option("--tags")
@pytest.mark.option("--tokens")
def test_only(three, shipped, speech) -> None:
    whole = three.listen(speech, language="en")
    assert SPOKEN == whole.text
    assert whole.tags is not None
    assert whole.speech_tokens is not None
    assert (("text", "tags", "tokens"),) == whole.encoder_passes
    tags = three.listen(speech, only="tags")
    assert (None, None) == (tags.transcript, tags.speech_tokens)
    assert np.array_equal(whole.tags.frames, tags.tags.frames)
    with pytest.raises(tercet.HeadError, match="has no tag head"):
        shipped.listen(speech, only="tags")


@pytest.mark.option("--labels")
def test_labels(three, bark) -> None:
    assert {"Speech", "Dog"} == {
        event.label for event in three.tag(bark, labels=["Dog", "Speech"], threshold=0.0)
    }
    with pytest.raises(tercet.LabelError, match="did you mean 'Bark'"):
        three.tag(bark, labels=["Bakr"])


@pytest.mark.option("--top_k")
def test_top_k(three, bark) -> None:
    found = three.tag(bark, top_k=1, threshold=0.0, off_threshold=0.0, min_gap_s=0.0)
    highest = found.frames.argmax(axis=1)
    assert set(highest.tolist()) == {event.label_id for event in found}
    assert len(three.tag(bark, threshold=0.0)) > len(found)


@pytest.mark.option("--threshold")
@pytest.mark.option("--off_threshold")
def test_thresholds(three, bark) -> None:
    scored = three.tag(bark, window_s=0.4)
    dog = scored.frames[:, scored.labels.index("Dog")]
    middle = float(np.sort(dog)[len(dog) // 2])
    options = {"labels": ["Dog"], "window_s": 0.4, "min_gap_s": 0.0}
    strict = three.tag(bark, threshold=middle, off_threshold=middle, **options)
    heard_s = sum(event.end_s - event.start_s for event in strict)
    assert heard_s == pytest.approx(0.4 * np.count_nonzero(dog >= np.float32(middle)), abs=0.41)
    lax = three.tag(bark, threshold=middle, off_threshold=0.0, **options)
    assert 1 == len(lax)
    assert heard_s < sum(event.end_s - event.start_s for event in lax)
    assert 0 == len(three.tag(bark, threshold={"Dog": 1.0}, **options))


@pytest.mark.option("--min_duration")
@pytest.mark.option("--min_gap")
def test_min_duration_and_min_gap(three, sound) -> None:
    chapter = sound("librispeech-chapter")
    options = {"labels": ["Dog"], "window_s": 0.4}
    scored = three.tag(chapter, **options)
    middle = float(np.median(scored.frames[:, scored.labels.index("Dog")]))
    options |= {"threshold": middle, "off_threshold": middle}
    ragged = three.tag(chapter, min_gap_s=0.0, **options)
    bridged = three.tag(chapter, min_gap_s=2.0, **options)
    assert len(bridged) < len(ragged)
    long = three.tag(chapter, min_gap_s=0.0, min_duration_s=1.2, **options)
    expected = [(e.start_s, e.end_s) for e in ragged if e.end_s - e.start_s > 1.2 - 1e-6]
    assert expected == [(event.start_s, event.end_s) for event in long]
    assert len(long) < len(ragged)


@pytest.mark.option("--at_time_res")
@pytest.mark.option("--window")
@pytest.mark.option("--hop")
def test_windows_of_scores(three, bark) -> None:
    plain = three.tag(bark)
    assert (13, 0.4) == (len(plain.frames), plain.frame_s)
    rows = three.tag(bark, at_time_res=2.0)
    assert (3, 2.0) == (len(rows.frames), rows.frame_s)
    short = three.tag(bark, window_s=2.0)
    often = three.tag(bark, window_s=2.0, hop_s=0.4)
    assert plain.frames.shape == short.frames.shape == often.frames.shape
    assert not np.allclose(plain.frames, short.frames, atol=1e-3)
    assert not np.allclose(short.frames, three.tag(bark, window_s=2.0, hop_s=2.0).frames, atol=1e-3)
    with pytest.raises(tercet.OptionError, match="at_time_res"):
        three.tag(bark, at_time_res=2.0, hop_s=0.4)


@pytest.mark.option("--label_language")
def test_label_language(three, bark) -> None:
    english = three.tag(bark, labels=["Dog"], threshold=0.0)
    chinese = three.tag(bark, labels=["Dog"], threshold=0.0, label_language="zh")
    assert {"Dog"} == {event.label for event in english}
    assert {"Dog"}.isdisjoint(event.label for event in chinese)
    assert [event.start_s for event in english] == [event.start_s for event in chinese]


@pytest.mark.option("--match")
def test_match(three, bark) -> None:
    ours, theirs = three.tag(bark), three.tag(bark, match="whisper-at")
    assert ours.frames.shape != theirs.frames.shape or not np.allclose(ours.frames, theirs.frames)
    codes, ichigo = three.tokenize(bark), three.tokenize(bark, match="ichigo")
    assert 125 == len(codes)
    assert codes.ids.tolist() != ichigo.ids.tolist()
