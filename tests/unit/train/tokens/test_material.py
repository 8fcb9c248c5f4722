"""Windows of utterances: which rows, how long, how loud, how noisy."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet.errors import DataError, OptionError
from tercet.train.tokens.material import make_sound, orders, splits
from tercet.train.tokens.recipe import DataRecipe, SetRecipe, WindowsRecipe

SET = SetRecipe(manifest="voices", field="speaker", held_out=("3",))


def divided(voices: Path, windows: Any = None, **changes: Any) -> Any:
    of = SetRecipe(**{"manifest": "voices", "field": "speaker", "held_out": ("3",), **changes})
    data = DataRecipe(sets=(of,), windows=WindowsRecipe(**(windows or {})))
    (split,) = splits(data, voices)
    return split


def names(order: Any) -> list[str]:
    return [row.audio.stem for row in order.rows]


def test_each_row_is_used_once_and_nobody_who_is_held_out_is_trained_on(voices: Path) -> None:
    split = divided(voices)
    used = Counter(name for order in split.train for name in names(order))
    assert {f"{number:02d}": 1 for number in range(12)} == dict(used)
    assert {"12", "13", "14", "15"} == {name for each in split.held_out for name in names(each)}


def test_windows_are_single_utterances_or_neighbours_of_one_speaker(voices: Path) -> None:
    assert {1} == {len(order.rows) for order in divided(voices, {"single_share": 1.0}).train}
    joined = divided(
        voices, {"single_share": 0.0, "shortest_s": 29.0, "longest_s": 29.0, "gap_s": (0.0, 0.0)}
    ).train
    assert [["00", "01", "02", "03"], ["04", "05", "06", "07"], ["08", "09", "10", "11"]] == sorted(
        names(order) for order in joined
    )
    short = divided(voices, {"single_share": 0.0, "shortest_s": 4.0, "longest_s": 4.0}).train
    assert 4.0 >= max(sum(row.duration_s for row in order.rows) for order in short)


def test_as_many_windows_as_are_wanted_with_keys_of_their_own(voices: Path) -> None:
    of = SetRecipe(manifest="voices", windows=50, development=3, field="speaker", held_out=("3",))
    (split,) = splits(DataRecipe(sets=(of,)), voices)
    assert (50, 3) == (len(split.train), len(split.held_out))
    assert 53 == len({order.key for order in (*split.train, *split.held_out)})
    assert split == splits(DataRecipe(sets=(of,)), voices)[0]


def test_a_windows_text_is_its_rows_texts(voices: Path) -> None:
    order = next(
        each for each in divided(voices, {"single_share": 1.0}).train if names(each) == ["02"]
    )
    assert ("w302 w402", "en") == (order.text, order.language)


def test_sound_has_its_rows_lengths_and_gaps_and_the_gain_that_was_asked_for(voices: Path) -> None:
    recipe = {"single_share": 0.0, "longest_s": 29.0, "shortest_s": 29.0, "gain_db": (-6.0, -6.0)}
    order = divided(voices, {**recipe, "gap_s": (0.5, 0.5)}).train[0]
    sound = make_sound(order, WindowsRecipe(**recipe, gap_s=(0.5, 0.5)), ())
    assert 16000 * (1.0 + 1.5 + 2.0 + 2.5 + 3 * 0.5) == sound.clean.size
    assert pytest.approx(10 ** (-6 / 20), rel=1e-4) == float(np.abs(sound.clean).max())
    assert 0 == np.abs(sound.clean[16000:24000]).max()
    assert sound.noisy is None


def test_speed_changes_the_length(voices: Path) -> None:
    order = next(
        each for each in divided(voices, {"single_share": 1.0}).train if names(each) == ["02"]
    )
    faster = make_sound(order, WindowsRecipe(speed=(1.25, 1.25)), ())
    assert 16000 * 2.0 / 1.25 == faster.clean.size


def test_noise_has_the_level_that_was_asked_for_and_the_teacher_does_not_hear_it(
    voices: Path,
) -> None:
    order = divided(voices).train[0]
    recipe = WindowsRecipe(noise_share=1.0, snr_db=(10.0, 10.0), gain_db=(-20.0, -20.0))
    sound = make_sound(order, recipe, [voices / "voices" / "15.wav"])
    assert sound.noisy is not None
    noise = sound.noisy - sound.clean
    snr_db = 10 * np.log10((sound.clean**2).mean() / (noise**2).mean())
    assert pytest.approx(10.0, abs=0.3) == float(snr_db)
    quiet = make_sound(order, WindowsRecipe(gain_db=(-20.0, -20.0)), ())
    np.testing.assert_array_equal(quiet.clean, sound.clean)


def test_the_same_order_is_the_same_sound_and_another_seed_is_another(voices: Path) -> None:
    order = divided(voices).train[0]
    recipe = WindowsRecipe(gain_db=(-20.0, 0.0))
    first, again = (make_sound(order, recipe, ()).clean for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, make_sound(order, recipe, (), seed=7).clean)


def test_rows_of_other_languages_are_left_out(voices: Path) -> None:
    with pytest.raises(DataError, match=r"voices: no row is left to train on"):
        splits(DataRecipe(sets=(SET,), languages=("de",)), voices)


def test_a_set_without_held_out_rows_has_no_development_windows(voices: Path) -> None:
    (split,) = splits(DataRecipe(sets=(SetRecipe(manifest="voices"),)), voices)
    assert ((), 16) == (split.held_out, sum(len(order.rows) for order in split.train))


def test_no_windows_are_made_of_no_rows() -> None:
    assert [] == orders([], SET, WindowsRecipe(), 0, seed=1)


@pytest.mark.parametrize(
    ("kind", "change", "told"),
    [
        (WindowsRecipe, {"single_share": 2.0}, "single_share is 2.0; give 0..1"),
        (WindowsRecipe, {"shortest_s": 40.0}, "shortest_s and longest_s in 0..30"),
        (WindowsRecipe, {"snr_db": (9.0, 3.0)}, "give the smaller number first"),
        (WindowsRecipe, {"gap_s": (-1.0, 3.0)}, "gap_s starts at 0"),
        (SetRecipe, {"manifest": "x", "field": "fold"}, "field and held_out belong together"),
        (SetRecipe, {"manifest": "x", "every": 0}, "every is 0; give at least 1"),
        (DataRecipe, {"sets": ()}, "no set of speech"),
        (DataRecipe, {"sets": (SET,), "only_encoded": True}, "only_encoded needs a folder"),
        (DataRecipe, {"sets": (SET,), "timestamps_share": 3}, "timestamps_share is 3; give 0..1"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(kind: Any, change: Any, told: str) -> None:
    with pytest.raises(OptionError, match=told):
        kind(**change)
