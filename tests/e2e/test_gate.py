"""The gate on the shipped model and real clips: sounds yield no words, and speech loses none."""

import json

import numpy as np
import pytest

SOUNDS = ("esc10-Dog_bark", "esc10-Rain", "esc10-Clock_tick", "esc10-Rooster")
SPOKEN = (
    "librispeech-1089", "librispeech-7127", "speechocean762-008130100", "speechocean762-010760038",
    "speechocean762-024300001", "speechocean762-096110008", "azure-de",
)  # fmt: skip


def test_sounds_noise_tones_and_silence_yield_no_words(shipped, sound) -> None:
    rng = np.random.default_rng(0)
    times = np.arange(5 * 16000) / 16000
    made = {
        "silence": np.zeros(5 * 16000),
        "noise": rng.normal(0, 0.1, 5 * 16000),
        "tone": 0.2 * np.sin(2 * np.pi * 440 * times),
        "square": 0.2 * np.sign(np.sin(2 * np.pi * 150 * times)),
    }
    heard = made | {name: sound(name) for name in SOUNDS}
    texts = {
        name: shipped.transcribe(samples.astype(np.float32), language="en", gate=True).text
        for name, samples in heard.items()
    }
    assert dict.fromkeys(heard, "") == texts


@pytest.mark.parametrize("name", SPOKEN)
def test_speech_loses_no_word_to_the_gate(shipped, sound, name) -> None:
    off = shipped.transcribe(sound(name), gate=False)
    gated = shipped.transcribe(sound(name), gate=True)
    assert off.text == gated.text
    assert () == gated.dropped


def test_a_chapter_joined_at_seams_loses_no_word_to_the_gate(shipped, sound) -> None:
    chapter = sound("librispeech-chapter")
    off = shipped.transcribe(chapter, language="en", gate=False)
    gated = shipped.transcribe(chapter, language="en", gate=True)
    assert off.text == gated.text
    assert [each.reason for each in off.windows] == [each.reason for each in gated.windows]


def test_what_is_dropped_keeps_its_words_and_its_reason_in_json(shipped, sound) -> None:
    # Asked to write whatever is there, the decoder writes about a rooster.
    loose = {"language": "en", "no_speech_threshold": None, "temperature": 1.0, "seed": 1}
    rooster = sound("esc10-Rooster")
    off = shipped.transcribe(rooster, vad_filter=False, gate=False, **loose)
    gated = shipped.transcribe(rooster, vad_filter=False, gate=True, **loose)
    assert "" != off.text
    assert "" == gated.text
    in_json = json.loads(json.dumps(gated.to_json()))["dropped_segments"]
    assert off.text == "".join(segment["text"] for segment in in_json)
    assert all("unsure_text" in segment["reason"].split("+") for segment in in_json)
    assert "dropped: " in gated.windows[0].reason
