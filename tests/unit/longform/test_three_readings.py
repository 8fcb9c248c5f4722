"""Text, tags and tokens from one pass: how often the encoder runs, and on whose clock the results lie."""

import json
import tracemalloc

import numpy as np
import pytest

import tercet
from tercet.audio.convention import ICHIGO
from tercet.audio.mel import log_mel
from tercet.decoding.fallback import decode_with_fallback
from tercet.listener import FALLBACK_TEMPERATURES

ALL = {"tags": {}, "tokens": {}}
PLAIN = {"vad_filter": False, "language": "en"}


def test_three_readings_cost_one_encoder_run_per_window(fake, paused) -> None:
    everything = fake(**ALL)
    heard = everything.model.listen(paused(2), **PLAIN)
    assert (("text", "tags", "tokens"),) == heard.encoder_passes
    assert len(heard.transcript.windows) == len(everything.encoder.calls) == 2


def test_a_head_of_another_convention_costs_a_second_run_and_the_result_says_so(
    fake, paused
) -> None:
    foreign = fake(tags={}, tokens={"convention": ICHIGO})
    heard = foreign.model.listen(paused(2), **PLAIN)
    assert (("text", "tags"), ("tokens",)) == heard.encoder_passes
    assert 4 == len(foreign.encoder.calls)
    assert [["text", "tags"], ["tokens"]] == heard.to_json()["encoder_passes"]


def test_what_is_not_asked_for_is_not_done(fake, paused) -> None:
    everything = fake(**ALL)
    heard = everything.model.listen(paused(2), only="tags", vad_filter=False)
    assert heard.transcript is None
    assert heard.speech_tokens is None
    assert [] == everything.decoder.opened
    assert [] == everything.coder.allowed_mask
    assert 2 == len(everything.encoder.calls)
    assert 1 == len(heard.tags.labels)


def test_windows_without_speech_are_heard_for_sounds_but_not_for_text(fake, paused) -> None:
    everything = fake(**ALL)
    heard = everything.model.listen(paused(2))  # noise: the voice detector hears nobody
    assert "" == heard.text
    assert [] == everything.decoder.opened
    assert 2 == len(everything.encoder.calls)
    assert 0 < len(heard.speech_tokens)
    text_alone = fake()
    assert "" == text_alone.model.transcribe(paused(2)).text
    assert [] == text_alone.encoder.calls


def test_the_text_is_the_same_whatever_is_heard_beside_it(fake, paused) -> None:
    sound = paused(3)
    expected = fake().model.transcribe(sound, **PLAIN)
    heard = fake(**ALL).model.listen(sound, **PLAIN)
    # The fake's words are names of the sound; states of another shape do not change them.
    assert expected.text == heard.text
    assert expected.segments == heard.transcript.segments


def test_codes_cover_the_recording_on_its_clock(fake, paused) -> None:
    everything = fake(**ALL)
    sound = paused(2)[: 16000 * 50 + 700]
    tokens = everything.model.tokenize(sound)
    assert sound.size // 640 == len(tokens)
    assert len(tokens.window_starts) == 2
    for start_s, ids in tokens.windows:
        assert 1 == len(set(ids.tolist()))  # one window, one number
        assert 0 == round(start_s * 1000) % 400
    assert np.allclose(np.arange(len(tokens)) * 0.04, tokens.times_s())


@pytest.mark.parametrize(("samples", "codes"), [(1, 0), (639, 0), (640, 1), (1279, 1), (16000, 25)])
def test_very_short_clips_give_the_codes_that_they_hold(fake, samples, codes) -> None:
    tokens = fake(**ALL).model.tokenize(np.full(samples, 0.1, np.float32))
    assert codes == len(tokens)


def test_frames_cover_the_recording_on_its_clock(fake, paused) -> None:
    sound = paused(2)[: 16000 * 50 + 700]
    tags = fake(**ALL).model.tag(sound)
    assert 0.4 == tags.frame_s
    assert -(-sound.size // 6400) == len(tags.frames)
    # 24 s of noise, 4 s of silence: silence has no loud frame.
    silent = np.arange(len(tags.frames)) * 0.4
    silent = (silent >= 24.4) & (silent < 27.2)
    assert tags.frames[silent].max() < 0.2
    assert tags.frames[:50].min() > 0.9


def test_windows_of_the_head_reach_across_every_border_of_the_encoders(fake, noise) -> None:
    gains = np.random.default_rng(1).uniform(0.4, 1, 175).astype(np.float32)  # of taps; no pause
    sound = noise(70) * np.repeat(gains, 6400)
    everything = fake(tags={"window_frames": 5}, tokens={})
    heard = everything.model.listen(sound, **PLAIN)
    assert ["seam", "seam", "end"] == [window.cut for window in heard.transcript.windows]
    taps = everything.model.tag(sound, at_time_res=0.4).logits[:, 0]  # a window's is its loudest's
    windows = [taps[max(0, end - 5) : end].max() for end in range(1, 175 + 5)]
    windows = 1 / (1 + np.exp(-np.array(windows)))
    expected = [windows[frame : frame + 5].mean() for frame in range(175)]
    np.testing.assert_allclose(expected, heard.tags.frames[:, 0], atol=1e-5)


def test_a_loud_stretch_is_one_event_from_its_onset_to_its_offset(fake) -> None:
    sound = np.zeros(16000 * 40, np.float32)
    sound[16000 * 26 : 16000 * 34] = 0.3  # across the border of two windows
    sound[16000 * 26 : 16000 * 34] *= np.random.default_rng(0).normal(0, 1, 16000 * 8)
    (event,) = fake(**ALL).model.tag(sound)
    assert "Loud" == event.label
    assert abs(event.start_s - 26.0) <= 0.4
    assert abs(event.end_s - 34.0) <= 0.4


def test_events_end_with_the_recording(fake, noise) -> None:
    (event,) = fake(**ALL).model.tag(noise(3.1))
    assert (0.0, 3.1) == (event.start_s, event.end_s)


def test_parts_of_a_stream_laid_end_to_end_are_the_whole(fake, paused) -> None:
    sound = paused(3)
    whole = fake(**ALL).model.listen(sound, **PLAIN)
    parts = list(fake(**ALL).model.stream(sound, **PLAIN))
    assert 3 == len(parts)
    assert whole.text == "".join(part.text for part in parts)
    assert np.array_equal(whole.tags.frames, np.concatenate([p.tags.frames for p in parts]))
    assert whole.tags.events == tuple(event for part in parts for event in part.tags)
    ids = np.concatenate([part.speech_tokens.ids for part in parts])
    assert np.array_equal(whole.speech_tokens.ids, ids)
    starts = [part.speech_tokens.start_s for part in parts]
    assert [s for s, _ in whole.speech_tokens.windows] == starts


def test_many_recordings_give_what_each_gives_alone(fake, paused, noise) -> None:
    sounds = [paused(2), noise(3, 5), paused(1, 9)]
    alone = [fake(**ALL).model.listen(sound, **PLAIN) for sound in sounds]
    together = dict(fake(**ALL).model.listen_many(sounds, **PLAIN))
    for index, expected in enumerate(alone):
        heard = together[index]
        assert expected.text == heard.text
        assert expected.tags.events == heard.tags.events
        assert np.array_equal(expected.tags.frames, heard.tags.frames)
        assert np.array_equal(expected.speech_tokens.ids, heard.speech_tokens.ids)


def test_a_bad_recording_harms_no_other(fake, noise) -> None:
    outcomes = dict(fake(**ALL).model.listen_many([b"no sound", noise(2)], **PLAIN))
    assert isinstance(outcomes[0], tercet.AudioError)
    assert 50 == len(outcomes[1].speech_tokens)


def test_each_channel_has_its_own_readings(fake, noise) -> None:
    sound = np.stack([noise(3), np.zeros(48000, np.float32)])
    left, right = fake(**ALL).model.listen(sound, channel="each", **PLAIN)
    assert (0, 1) == (left.channel, right.channel) == (left.tags.channel, right.tags.channel)
    assert (1, 0) == (len(left.tags), len(right.tags))
    tags = fake(**ALL).model.tag(sound, channel="each")
    assert [1, 0] == [len(each) for each in tags]


def test_codes_become_text_again_window_by_window(fake, paused) -> None:
    everything = fake(**ALL)
    tokens = everything.model.tokenize(paused(2))
    text = everything.model.detokenize(tokens, language="en")
    assert [len(ids) for _, ids in tokens.windows] == [len(ids) for ids in everything.coder.decoded]
    words = [everything.model.tokenizer.decode([300 + int(ids[0])]) for _, ids in tokens.windows]
    assert words == [segment.text for segment in text.segments]
    starts = [start_s for start_s, _ in tokens.windows]
    assert starts == [segment.start for segment in text.segments]
    assert "en" == text.language


@pytest.mark.parametrize("form", ["text", "json", "json text", "list"])
def test_codes_are_understood_in_every_form(fake, noise, form) -> None:
    everything = fake(**ALL)
    tokens = everything.model.tokenize(noise(3))
    given = {
        "text": str(tokens),
        "json": tokens.to_json(),
        "json text": json.dumps(tokens.to_json(), indent=1),
        "list": tokens.ids.tolist(),
    }[form]
    expected = everything.model.detokenize(tokens, language="en").text
    assert expected == everything.model.detokenize(given, language="en").text


@pytest.mark.parametrize(
    "options",
    [
        {"channel": "each"},
        {"sampling_rate": 8000},
        {"mel_floor": "file"},
        {"vad_filter": False},
        {"vad_parameters": {"threshold": 0.7}},
    ],
)
def test_options_about_sound_are_refused_where_codes_are_given(fake, options) -> None:
    (name,) = options
    with pytest.raises(tercet.OptionError, match=f"{name} is about sound"):
        fake(**ALL).model.detokenize([1, 2], **options)


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_a_windows_chances_and_language_do_not_depend_on_the_batch(
    fake, monkeypatch, batch_size
) -> None:
    keys, languages = [], []

    def decode(*given, **options):
        keys.extend(options["row_keys"])
        outcomes = decode_with_fallback(*given, **options)
        languages.extend(outcome.decoded.language for outcome in outcomes)
        return outcomes

    monkeypatch.setattr("tercet.longform.detokenizing.decode_with_fallback", decode)
    everything = fake(**ALL)
    everything.decoder.languages = {301: "fr", 302: "en"}
    codes = [1] * 750 + [2] * 750 + [3] * 750
    assert "fr" == everything.model.detokenize(codes, batch_size=batch_size).language
    assert ([0, 1, 2], ["fr"] * 3) == (keys, languages)


def test_reading_codes_can_be_cancelled(fake) -> None:
    everything = fake(**ALL)
    with pytest.raises(tercet.Cancelled):
        everything.model.detokenize([1, 2], should_cancel=lambda: True)
    assert [] == everything.coder.decoded


def test_match_lets_the_mask_be_chosen(fake, noise) -> None:
    everything = fake(**ALL)
    everything.model.tokenize(noise(2))
    everything.model.tokenize(noise(2), match="ichigo")
    assert [False, True] == everything.coder.allowed_mask


def test_match_stops_at_30_s_as_the_original_does(fake, noise) -> None:
    everything = fake(**ALL)
    assert 750 == len(everything.model.tokenize(noise(41), match="ichigo"))
    assert 1025 == len(everything.model.tokenize(noise(41)))


@pytest.mark.parametrize("seconds", [29.9, 30.0, 30.02, 30.03, 41.0, 73.001])
@pytest.mark.parametrize("loudest", ["start", "end"])
def test_match_floors_the_log_mel_at_all_of_the_recording(fake, noise, seconds, loudest) -> None:
    sound = 0.001 * noise(seconds)
    sound[slice(None, 30) if loudest == "start" else slice(-30, None)] = 1.0  # an edge: reflected
    seen: list[np.ndarray] = []
    everything = fake(**ALL)
    encode = everything.encoder.encode
    everything.encoder.encode = lambda mel: seen.append(mel) or encode(mel)
    tokens = everything.model.tokenize(iter(np.array_split(sound, 9)), match="ichigo")
    whole = log_mel(sound, pad_to=None)[:, :3000]
    expected = np.pad(whole, ((0, 0), (0, 3000 - whole.shape[1])), constant_values=-1.5)
    np.testing.assert_allclose(expected, seen[0], atol=1e-5)
    assert min(seconds, 30.0) == pytest.approx(tokens.duration_s, abs=1e-4)


def test_match_holds_no_more_of_ten_minutes_than_of_one(fake, noise) -> None:
    def peak_mib(minutes: int) -> float:
        model = fake(**ALL).model
        blocks = (noise(10, seed) for seed in range(6 * minutes))
        tracemalloc.start()
        try:
            model.tokenize(blocks, match="ichigo")
            return tracemalloc.get_traced_memory()[1] / 2**20
        finally:
            tracemalloc.stop()

    peak_mib(1)  # what is made once
    assert peak_mib(10) < peak_mib(1) + 1.0  # one thread: nothing of it depends on time


@pytest.mark.parametrize(
    ("seconds", "resolution_s", "rows"), [(65, None, 7), (65, 2, 33), (30, 10, 3), (3, 12, 1)]
)
def test_match_gives_whisper_ats_rows(fake, noise, seconds, resolution_s, rows) -> None:
    given = {} if resolution_s is None else {"at_time_res": resolution_s}
    tags = fake(**ALL).model.tag(noise(seconds), match="whisper-at", **given)
    assert (rows, 1) == tags.frames.shape == tags.logits.shape
    assert np.allclose(1 / (1 + np.exp(-tags.logits)), tags.frames)
    assert (resolution_s or 10) == tags.frame_s


def test_a_reading_that_the_model_lacks_says_how_to_get_one(fake, noise) -> None:
    model = fake().model
    for call in (
        lambda: model.tag(noise(1)),
        lambda: model.listen(noise(1), only="text,tags"),
        lambda: model.stream(noise(1), only="tags"),
    ):
        with pytest.raises(tercet.HeadError, match=r"load_model\(\.\.\., tags=FILE\)"):
            call()
    for call in (lambda: model.tokenize(noise(1)), lambda: model.detokenize([1, 2])):
        with pytest.raises(tercet.HeadError, match=r"load_model\(\.\.\., tokens=FILE\)"):
            call()


def test_a_model_says_what_it_can_read(fake) -> None:
    assert ("text",) == fake().model.readings
    assert ("text", "tokens") == fake(tokens={}).model.readings
    assert ("text", "tags", "tokens") == fake(**ALL).model.readings


@pytest.mark.parametrize(
    ("call", "options"),
    [
        ("listen", {"only": "words"}),
        ("listen", {"only": "text", "labels": "Loud"}),
        ("listen", {"only": "tags", "language": "de"}),
        ("listen", {"only": "tags,tokens", "temperature": 0.0}),
        ("stream", {"only": "tokens", "mel_floor": "file"}),
        ("tag", {"match": "ichigo"}),
        ("tokenize", {"match": "whisper-at"}),
        ("tag", {"at_time_res": 1.0}),
        ("tag", {"at_time_res": 2.0, "hop_s": 0.4}),
        ("tag", {"window_s": 2.0, "hop_s": 1.2}),
        ("tag", {"labels": "Luod"}),
        ("tag", {"label_language": "tlh"}),
        ("tag", {"label_language": ""}),
        ("tag", {"threshold": 2.0}),
        ("tag", {"top_k": 0}),
        ("tag", {"match": "whisper-at", "window_s": 2.0}),
        ("tag", {"match": "whisper-at", "at_time_res": 0}),
        ("tag", {"match": "whisper-at", "on_progress": 3}),
        ("tokenize", {"match": "ichigo", "should_cancel": "yes"}),
        ("listen", {"only": 3}),
    ],
)
def test_nonsense_is_refused_before_audio_is_opened(fake, call, options) -> None:
    with pytest.raises(tercet.OptionError) as raised:
        getattr(fake(**ALL).model, call)("no-such-file.wav", **options)
    assert "\n" not in str(raised.value)


def test_options_about_text_at_their_defaults_are_let_through(fake, noise) -> None:
    defaults = {"language": None, "task": "transcribe", "temperature": FALLBACK_TEMPERATURES}
    assert 3 == fake(**ALL).model.listen(noise(3), only="tags", **defaults).duration_s


def test_a_file_that_can_be_read_once_is_heard_in_one_pass(fake, noise) -> None:
    blocks = iter(np.split(noise(3), 3))
    assert 75 == len(fake(**ALL).model.tokenize(blocks))


def test_sounds_and_codes_of_a_long_stream_take_no_more_memory_than_of_a_short_one(
    fake, noise, held_mib
) -> None:
    """whisper-at keeps every segment's graph: some 100 MB per 30 s."""

    def most_held_mib(minutes: int) -> float:
        blocks = (noise(60, seed) for seed in range(minutes))
        model = fake(**ALL).model
        tracemalloc.start()
        try:
            return max(held_mib() for _ in model.stream(blocks, only="tags,tokens"))
        finally:
            tracemalloc.stop()

    most_held_mib(1)  # what is made once and kept
    # Not one minute of sound more.
    assert most_held_mib(12) < most_held_mib(5) + 60 * 16000 * 4 / 2**20


@pytest.mark.parametrize(("call", "match"), [("tag", "whisper-at"), ("tokenize", "ichigo")])
def test_progress_and_cancelling_work_under_match_too(fake, noise, call, match) -> None:
    seen = []
    getattr(fake(**ALL).model, call)(noise(65), match=match, on_progress=seen.append)
    assert seen[-1].done_s == pytest.approx(65 if call == "tag" else 30)
    with pytest.raises(tercet.Cancelled):
        getattr(fake(**ALL).model, call)(noise(3), match=match, should_cancel=lambda: True)


@pytest.mark.parametrize("match", [None, "ichigo"])
def test_sound_too_short_for_a_code_gives_one_empty_window(fake, noise, match) -> None:
    model = fake(**ALL).model
    tokens = model.tokenize(noise(0.039), match=match)
    (window,) = tokens.windows
    assert (0.0, [], 0.039) == (window[0], window[1].tolist(), tokens.duration_s)
    (part,) = model.stream(noise(0.039), only="tokens")
    assert 0 == len(part.speech_tokens)
    assert "" == model.detokenize(tokens).text
    assert "" == model.detokenize(str(tokens)).text
