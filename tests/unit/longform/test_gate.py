"""The gate: text on joint evidence of speech alone; what is dropped or doubted says why."""

from dataclasses import replace

import numpy as np
import pytest

from tercet.audio.convention import WHISPER_AT_TRAINING
from tercet.audio.vad import VadOptions
from tercet.audio.windows import Window, windows
from tercet.errors import OptionError
from tercet.longform.gate import (
    DECODER,
    NOTHING_HEARD,
    TAGS,
    VOICE,
    Evidence,
    Gate,
    Ramp,
    SpeechEvidence,
    evidence_of,
)
from tercet.longform.parts import bridge_between
from tercet.results import Segment

SEGMENT = Segment(
    id=3, seek=0, start=10.0, end=12.0, text=" words", tokens=(1,), temperature=0.0,
    avg_logprob=-0.2, compression_ratio=1.0, no_speech_prob=0.05,
)  # fmt: skip
SPEECH = Evidence(
    speech_score=0.95, voiced_s=1.5, avg_logprob=-0.25, no_speech_prob=0.05, compression_ratio=1.2
)
# What was measured of development clips (benchmarks/gate.py).
BARK = Evidence(
    speech_score=0.03, voiced_s=0.1, avg_logprob=-0.85, no_speech_prob=0.4, compression_ratio=1.0
)
CRY = Evidence(
    speech_score=0.05, voiced_s=3.0, avg_logprob=-0.67, no_speech_prob=0.4, compression_ratio=1.46
)


def test_an_opinion_is_a_straight_line_between_no_and_yes_and_goes_no_further() -> None:
    rising, falling = Ramp(0.0, 0.4), Ramp(0.9, 0.3)
    assert [-1, -1, 0, 1, 1] == [pytest.approx(rising.opinion(x)) for x in (-9, 0, 0.2, 0.4, 9)]
    assert [-1, -1, 0, 1, 1] == [pytest.approx(falling.opinion(x)) for x in (1, 0.9, 0.6, 0.3, 0)]


def test_speech_is_kept_without_a_reason() -> None:
    assert ("keep", None) == _told(Gate().verdict(SPEECH))


def test_a_bark_that_was_written_down_is_dropped_and_says_why() -> None:
    assert ("drop", f"{TAGS}+{VOICE}+{DECODER}") == _told(Gate().verdict(BARK))


def test_a_babys_cry_is_not_speech_though_it_is_a_voice() -> None:
    assert ("drop", f"{TAGS}+{DECODER}") == _told(Gate().verdict(CRY))


def test_a_voice_and_nothing_else_for_it_is_doubted() -> None:
    doubted = Gate().verdict(replace(CRY, speech_score=None))
    assert ("doubt", DECODER) == _told(doubted)


def test_a_text_that_nobody_is_against_and_nobody_sure_of_is_doubted_for_the_least_sure() -> None:
    weak = replace(SPEECH, speech_score=0.4, voiced_s=0.4, no_speech_prob=0.3)
    assert ("doubt", VOICE) == _told(Gate().verdict(weak))


@pytest.mark.parametrize("missing", ["speech_score", "voiced_s"])
def test_the_gate_does_with_the_witnesses_that_are_there(missing: str) -> None:
    assert "keep" == Gate().verdict(replace(SPEECH, **{missing: None})).decision
    assert "drop" == Gate().verdict(replace(BARK, **{missing: None})).decision


def test_a_decoder_alone_is_believed_where_it_is_sure() -> None:
    alone = {"speech_score": None, "voiced_s": None}
    assert ("keep", None) == _told(Gate().verdict(replace(SPEECH, **alone)))
    gone = replace(SPEECH, **alone, avg_logprob=-4.0)
    assert ("drop", DECODER) == _told(Gate().verdict(gone))


def test_one_witness_against_speech_does_not_outweigh_two_for_it() -> None:
    for change in ({"speech_score": 0.0}, {"voiced_s": 0.0}, {"avg_logprob": -3.0}):
        assert "drop" != Gate().verdict(replace(SPEECH, **change)).decision, change


@pytest.mark.parametrize(
    "change",
    [{"avg_logprob": -9.0}, {"no_speech_prob": 0.99}, {"compression_ratio": 9.0}],
)
def test_the_decoder_is_as_sure_as_its_weakest_sign(change: dict[str, float]) -> None:
    assert 1.0 == Gate().opinions(SPEECH)[DECODER]
    assert -1.0 == Gate().opinions(replace(SPEECH, **change))[DECODER]


def test_evidence_is_taken_from_the_segments_own_time() -> None:
    scores = np.zeros(75, np.float32)
    scores[27] = 0.9  # 10.8 s
    voice = np.zeros(3000, np.float32)
    voice[1100:1150] = 0.8
    heard = SpeechEvidence(scores, voice)
    inside = evidence_of(SEGMENT, heard)
    assert (pytest.approx(0.9), pytest.approx(0.5)) == (inside.speech_score, inside.voiced_s)
    later = evidence_of(replace(SEGMENT, start=20.0, end=22.0), heard)
    assert (0.0, 0.0) == (later.speech_score, later.voiced_s)
    shifted = evidence_of(replace(SEGMENT, start=40.0, end=42.0), heard, window_start_s=30.0)
    assert inside == shifted


def test_evidence_that_nobody_gave_is_none() -> None:
    nothing = evidence_of(SEGMENT, NOTHING_HEARD)
    assert (None, None) == (nothing.speech_score, nothing.voiced_s)
    assert (-0.2, 0.05, 1.0) == (
        nothing.avg_logprob, nothing.no_speech_prob, nothing.compression_ratio,
    )  # fmt: skip


def test_a_word_that_fills_its_short_recording_counts_as_a_voice() -> None:
    short = replace(SEGMENT, start=0.0, end=0.3)
    assert 0.7 <= evidence_of(short, SpeechEvidence(None, np.ones(30, np.float32))).voiced_s
    half = np.concatenate([np.ones(15), np.zeros(15)]).astype(np.float32)
    assert pytest.approx(0.35) == evidence_of(short, SpeechEvidence(None, half)).voiced_s
    assert 0.0 == evidence_of(short, SpeechEvidence(None, np.zeros(0, np.float32))).voiced_s


def test_a_segment_at_the_very_end_still_has_evidence() -> None:
    heard = SpeechEvidence(np.full(5, 0.7, np.float32), np.full(200, 0.9, np.float32))
    found = evidence_of(replace(SEGMENT, start=29.9, end=30.0), heard)
    assert pytest.approx(0.7) == found.speech_score


def test_a_windows_segments_are_judged_one_by_one() -> None:
    scores = np.concatenate([np.full(20, 0.95), np.full(30, 0.01)]).astype(np.float32)
    voice = np.concatenate([np.ones(800), np.zeros(1200)]).astype(np.float32)
    spoken = replace(SEGMENT, id=0, start=31.0, end=35.0)
    noise = replace(SEGMENT, id=1, start=43.0, end=46.0, avg_logprob=-0.9, no_speech_prob=0.5)
    judged = Gate().judge([spoken, noise], SpeechEvidence(scores, voice), window_start_s=30.0)
    assert (spoken,) == judged.kept
    (dropped,) = judged.dropped
    assert (" words", -1, f"{TAGS}+{VOICE}+{DECODER}") == (
        dropped.text, dropped.id, dropped.reason,
    )  # fmt: skip
    assert f"dropped: {dropped.reason}" == judged.noted(None)
    assert f"repetitive; dropped: {dropped.reason}" == judged.noted("repetitive")


# --- in the loop: a model whose words are names of sounds, a head that takes loud sound for speech ------

SPEECH_HEAD = {"labels": ("Speech",)}
PLAIN = {"vad_filter": False, "language": "en"}
AUTO = {**PLAIN, "gate": "auto"}


def hopeless(voice: int, tokenizer) -> list[int]:
    """Words that repeat themselves at every temperature."""
    return [tokenizer.timestamp_begin, *[voice] * 60, tokenizer.timestamp_begin + 100]


def quiet_hum(noise) -> np.ndarray:
    """Too quiet for the head above; a decoder asked to write will write."""
    return noise(4) * 1e-4


def test_the_gate_is_off_without_a_head_that_knows_speech(fake, noise) -> None:
    sound = quiet_hum(noise)
    for tags in (None, {}, {"labels": ("Bark",)}):
        text = fake(write=hopeless, tags=tags).model.transcribe(sound, **AUTO)
        assert () == text.dropped
        assert "" != text.text


def test_the_gate_does_not_encode_again_for_a_head_of_another_convention(fake, noise) -> None:
    foreign = {**SPEECH_HEAD, "convention": WHISPER_AT_TRAINING}
    sound = quiet_hum(noise)
    alone = fake(write=hopeless, tags=foreign)
    assert "" != alone.model.transcribe(sound, **AUTO).text  # off: nobody hears the head
    assert 1 == len(alone.encoder.calls)
    beside = fake(write=hopeless, tags=foreign)
    heard = beside.model.listen(sound, **AUTO)  # its pass is there: the tags are asked for
    assert (("text",), ("tags",)) == heard.encoder_passes
    assert f"{TAGS}+{DECODER}" == heard.transcript.dropped[0].reason


def test_text_alone_is_gated_by_a_head_that_knows_speech(fake, noise) -> None:
    gated = fake(write=hopeless, tags=SPEECH_HEAD)
    text = gated.model.transcribe(quiet_hum(noise), **AUTO)
    assert ("", ()) == (text.text, text.segments)
    (dropped,) = text.dropped
    assert f"{TAGS}+{DECODER}" == dropped.reason
    assert f"repetitive; dropped: {dropped.reason}" == text.windows[0].reason
    (in_json,) = text.to_json()["dropped_segments"]
    assert (dropped.text, dropped.reason) == (in_json["text"], in_json["reason"])
    off = fake(write=hopeless, tags=SPEECH_HEAD).model.transcribe(
        quiet_hum(noise), gate=False, **PLAIN
    )
    assert dropped.text == off.text
    assert "dropped_segments" not in off.to_json()


def test_the_gate_can_be_asked_for_without_a_head(fake, noise) -> None:
    text = fake(write=hopeless).model.transcribe(noise(4), gate=True, **PLAIN)
    assert ("", DECODER) == (text.text, text.dropped[0].reason)


def test_what_everybody_takes_for_speech_is_kept_as_it_was(fake, paused) -> None:
    sound = paused(2)
    expected = fake().model.transcribe(sound, **PLAIN)
    heard = fake(tags=SPEECH_HEAD).model.listen(sound, **AUTO)
    assert expected.segments == heard.transcript.segments
    assert [None, None] == [window.reason for window in heard.windows]


def test_the_gate_hears_the_same_whatever_is_asked_of_tags(fake, noise) -> None:
    sound = np.concatenate([quiet_hum(noise), noise(40)])
    gated = fake(write=hopeless, tags=SPEECH_HEAD)
    expected = gated.model.transcribe(sound, **AUTO)
    assert 0 < len(expected.dropped) < len(expected.windows)
    for options in ({}, {"at_time_res": 10.0}, {"window_s": 2.0, "hop_s": 0.4}):
        heard = gated.model.listen(sound, **AUTO, **options)
        assert expected.segments == heard.transcript.segments
        assert expected.dropped == heard.transcript.dropped


def test_text_alone_with_the_gate_costs_no_further_encoder_run(fake, paused) -> None:
    gated = fake(tags=SPEECH_HEAD)
    gated.model.transcribe(paused(2), **AUTO)
    assert 2 == len(gated.encoder.calls)


def test_parts_of_a_stream_hold_what_was_dropped(fake, noise) -> None:
    sound = np.concatenate([quiet_hum(noise), noise(30), quiet_hum(noise)])
    whole = fake(write=hopeless, tags=SPEECH_HEAD).model.listen(sound, **AUTO)
    parts = fake(write=hopeless, tags=SPEECH_HEAD).model.stream(sound, **AUTO)
    dropped = [segment for part in parts for segment in part.transcript.dropped]
    assert list(whole.transcript.dropped) == dropped
    assert 1 == len(dropped)


@pytest.mark.parametrize("value", ["on", None, 1])
def test_another_value_is_refused(fake, noise, value: object) -> None:
    with pytest.raises(OptionError, match=r"^gate is .*give True, False or 'auto'$"):
        fake().model.transcribe(noise(1), gate=value)


def _told(verdict: object) -> tuple[str, str | None]:
    return verdict.decision, verdict.reason  # type: ignore[attr-defined]


# --- what the voice detector tells of a window ------------------------------------------------


def test_a_window_says_how_likely_a_voice_is_every_10_ms_however_it_was_pushed(noise) -> None:
    sound = noise(40)
    whole = list(windows([sound], VadOptions()))
    pushed = list(windows(np.array_split(sound, 700), VadOptions()))
    assert [window.samples.size // 160 for window in whole] == [each.voice.size for each in whole]
    for one, other in zip(whole, pushed, strict=True):
        assert np.array_equal(one.voice, other.voice)
    assert [None] * len(whole) == [each.voice for each in windows([sound], None)]


def test_a_bridge_says_what_its_two_sides_say(noise) -> None:
    left, right = Window(0, noise(24), "seam", ((0, 384000),)), noise(24, 1)
    left = replace(left, voice=np.linspace(0, 1, 2400, dtype=np.float32))
    after = Window(384000, right, "end", ((384000, 768000),), np.zeros(2400, np.float32))
    bridge = bridge_between(left, after)
    assert np.array_equal(np.concatenate([left.voice[-1200:], after.voice[:1200]]), bridge.voice)
    assert bridge.samples.size // 160 == bridge.voice.size
