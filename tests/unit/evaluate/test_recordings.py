from collections.abc import Callable
from pathlib import Path

import pytest

from tercet.dataset.manifests import Manifest, Row
from tercet.errors import DataError
from tercet.evaluate.recordings import chosen, samples_of


def test_a_row_is_its_own_part_of_the_recording(sound_row: Callable[..., Row]) -> None:
    assert 3200 == samples_of(sound_row("a")).size
    assert 800 == samples_of(sound_row("a", start_s=0.1, duration_s=0.05)).size
    assert 1600 == samples_of(sound_row("a", start_s=0.1, duration_s=9.0)).size


def test_a_part_behind_the_end_is_one_line(sound_row: Callable[..., Row]) -> None:
    with pytest.raises(DataError, match=r"a\.wav: starts at 3 s, and lasts 0\.20 s; mend"):
        samples_of(sound_row("a", start_s=3.0))


def manifest() -> Manifest:
    rows = [
        Row(audio=Path(f"{n}.wav"), speaker=f"libri-{n}", split="dev", extra={"fold": n % 5})
        for n in range(20)
    ]
    return Manifest(Path("m.csv"), tuple(rows))


@pytest.mark.parametrize(
    ("expected", "where", "every"),
    [
        (["9", "19"], {"speaker": "*9"}, 1),
        (["4", "9", "14", "19"], {"fold": "4"}, 1),
        (["4", "14"], {"fold": "4"}, 2),
        (["19"], {"fold": "4", "name": "1?", "speaker": "*[6-9]"}, 1),
        (["0", "7", "14"], {}, 7),
    ],
)
def test_rows_are_chosen_by_patterns(
    expected: list[str], where: dict[str, str], every: int
) -> None:
    assert expected == [row.audio.stem for row in chosen(manifest(), where, every)]


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (r"m\.csv: no row has fold '7' \(it is 0, 1, 2, 3, 4\)", {"fold": "7"}),
        (r"no row has mood 'good' \(it is nowhere\)", {"mood": "good"}),
        (r"no row has name 'x' \(it is 0, 1, 10, 11, 12 \.\.\.\)", {"name": "x"}),
    ],
)
def test_a_pattern_that_nothing_matches_says_what_there_is(
    words: str, where: dict[str, str]
) -> None:
    with pytest.raises(DataError, match=words):
        chosen(manifest(), where)
