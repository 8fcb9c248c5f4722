"""A finished JSON as a result again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet.errors import AudioError, AudioUnreadableError
from tercet.picture.heard_file import read_heard

_ONE_CODE = {"windows": [{"ids": [1]}], "codebook_size": 2, "rate_hz": 25}


def written(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_what_listen_wrote_is_read_back(tmp_path: Path, hear: Any) -> None:
    heard = hear(codes=np.arange(250), windows=(0, 100))
    back = read_heard(written(tmp_path / "a.json", heard.to_json()))
    assert back.tags is not None
    assert back.speech_tokens is not None
    assert [(0.0, 3.0, " Come here."), (6.0, 9.5, " Good dog.")] == [
        (each.start, each.end, each.text) for each in back.segments
    ]
    assert [(3.4, 4.2, "Bark", 0.75)] == [
        (each.start_s, each.end_s, each.label, each.score) for each in back.tags
    ]
    assert heard.speech_tokens.to_json() == back.speech_tokens.to_json()
    assert ("en", 10.0, 0) == (back.language, back.duration_s, len(back.tags.frames))


def test_codes_of_two_levels_and_empty_windows_come_back(tmp_path: Path, hear: Any) -> None:
    heard = hear(codes=np.arange(500).reshape(250, 2), windows=(0, 100, 100))
    back = read_heard(written(tmp_path / "a.json", heard.to_json()))
    assert back.speech_tokens is not None
    np.testing.assert_array_equal(heard.speech_tokens.ids, back.speech_tokens.ids)
    assert (0, 100, 100) == back.speech_tokens.window_starts


def test_openai_whispers_own_json_is_enough(tmp_path: Path) -> None:
    value = {
        "text": " Hi.",
        "language": "en",
        "segments": [{"start": 0, "end": 1.5, "text": " Hi."}],
    }
    back = read_heard(written(tmp_path / "a.json", value))
    assert (1.5, None, None) == (back.duration_s, back.tags, back.speech_tokens)


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        ("it is no JSON", "{"),
        ("it is no JSON", "[" * 100_000),
        ("it has none of segments, sound_events, speech_tokens", []),
        ("it has none of segments, sound_events, speech_tokens", {"text": "x"}),
        ("'end' is missing", {"segments": [{"start": 0, "text": "x"}]}),
        ("is no time", {"segments": [{"start": 0, "end": 1e999, "text": "x"}]}),
        ("could not convert", {"sound_events": [{"start_s": "x", "end_s": 1, "label": "a"}]}),
        ("", {"segments": 3}),
        ("", {"segments": [None]}),
        ("", {"speech_tokens": {"windows": [{"ids": ["a"]}], "codebook_size": 2, "rate_hz": 25}}),
        ("rate_hz", {"speech_tokens": {"windows": [], "codebook_size": 2, "rate_hz": 0}}),
        ("dimension", {"speech_tokens": {**_ONE_CODE, "depth": 2}}),
    ],
)  # fmt: skip
def test_what_is_no_result_is_one_line_that_says_why(
    tmp_path: Path, expected: str, value: Any
) -> None:
    path = written(tmp_path / "a.json", value)
    with pytest.raises(AudioError) as caught:
        read_heard(path)
    assert 1 == len(str(caught.value).splitlines())
    assert str(caught.value).startswith(f"{path}: is no result of tercet listen -f json (")
    assert expected in str(caught.value)


def test_a_folder_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(AudioUnreadableError, match="cannot be read"):
        read_heard(tmp_path)
