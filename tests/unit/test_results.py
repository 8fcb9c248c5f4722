"""Results of sounds and codes: what they say of themselves."""

import json

import numpy as np
import pytest

from tercet.dataset.token_text import parse_token_text
from tercet.results import Hearing, SoundEvent, SoundEvents, SpeechTokens


def tokens(ids, starts=(0,), **more) -> SpeechTokens:
    given = {"codebook_size": 2561, "codebook": "0123456789abcdef", "duration_s": 1.0}
    return SpeechTokens(ids=np.array(ids, np.int32), window_starts=starts, **given | more)


def test_codes_are_written_as_ichigo_writes_them() -> None:
    expected = "<|sound_start|><|sound_0007|><|sound_2560|><|sound_end|>"
    assert expected == str(tokens([7, 2560]))


def test_each_window_is_a_group() -> None:
    expected = (
        "<|sound_start|><|sound_0001|><|sound_end|><|sound_start|><|sound_0002|><|sound_end|>"
    )
    assert expected == str(tokens([1, 2], (0, 1)))
    joined = "<|sound_start|><|sound_0001|><|sound_0002|><|sound_end|>"
    assert joined == tokens([1, 2], (0, 1)).to_text(joined=True)
    assert "<|sound_0001|><|sound_0002|>" == tokens([1, 2], (0, 1)).to_text(marks=False)


def test_repeated_codes_can_be_written_with_their_duration() -> None:
    heard = tokens([5, 5, 5, 6] + [7] * 101)
    expected = (
        "<|duration_03|><|sound_0005|><|sound_0006|>"
        "<|duration_99|><|sound_0007|><|duration_02|><|sound_0007|>"
    )
    assert expected == heard.to_text(marks=False, durations=True)
    (group,) = parse_token_text(heard.to_text(durations=True), name="x").groups
    assert heard.ids.tolist() == group.tolist()


def test_levels_of_a_residual_quantizer_come_time_by_time() -> None:
    deep = tokens([[1, 2], [3, 4]])
    assert "<|sound_0001|><|sound_0002|><|sound_0003|><|sound_0004|>" == deep.to_text(marks=False)
    assert 2 == deep.depth
    assert 2 == len(deep)


@pytest.mark.parametrize(("ids", "bits"), [([1, 2], 283.06), ([[1, 2]], 566.12)])
def test_bits_per_second_are_rate_times_depth_times_log2_of_the_codebook(ids, bits) -> None:
    assert bits == pytest.approx(tokens(ids).bits_per_second, abs=0.01)


def test_codes_lie_on_the_recordings_clock() -> None:
    heard = tokens([1, 2, 3], (0, 2), start_s=0.4)
    assert [0.4, 0.44, 0.48] == pytest.approx(heard.times_s().tolist())
    assert [(0.4, [1, 2]), (0.48, [3])] == [(s, ids.tolist()) for s, ids in heard.windows]


def events() -> SoundEvents:
    bark = SoundEvent(start_s=3.2, end_s=4.8, label="Bark", score=0.9, label_id=1)
    frames = np.array([[0.1, 0.9]], np.float32)
    return SoundEvents(events=(bark,), frames=frames, labels=("Speech", "Bark"), duration_s=5.0)


def test_events_can_be_gone_through_and_counted() -> None:
    assert ["Bark"] == [event.label for event in events()]
    assert 1 == len(events())


def test_the_grid_is_in_the_json_if_it_is_asked_for() -> None:
    assert "frames" not in events().to_json()
    told = json.loads(json.dumps(events().to_json(frames=True)))
    assert [[0.1, 0.9]] == [pytest.approx(row, abs=1e-6) for row in told["frames"]]
    assert {"start_s": 3.2, "end_s": 4.8, "label": "Bark", "score": 0.9, "label_id": 1} == (
        told["events"][0]
    )


def test_a_label_track_for_audacity() -> None:
    assert "3.200000\t4.800000\tBark\n" == events().to_audacity()


def test_a_hearing_says_only_what_was_asked_for() -> None:
    heard = Hearing(
        transcript=None,
        tags=events(),
        speech_tokens=None,
        duration_s=5.0,
        encoder_passes=(("tags",),),
    )
    assert ("", None, ()) == (heard.text, heard.language, tuple(heard.segments))
    told = heard.to_json()
    assert {"schema", "duration_s", "encoder_passes", "sound_events"} == set(told)
