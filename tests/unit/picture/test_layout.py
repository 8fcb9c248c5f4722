"""What goes where: rows of readable length, every word in one of them, nothing over anything else."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from tercet.picture.layout import MARGIN, Box, lay_out, pieces_of, row_times, wrapped
from tercet.picture.scene import Scene, Spoken

Make = Callable[..., Scene]


def measure(text: str) -> float:
    """Every letter is 7 pixels wide."""
    return 7.0 * len(text)


@pytest.mark.parametrize(
    ("expected", "start_s", "end_s", "inner_px"),
    [
        ([(0.0, 10.0)], 0.0, 10.0, 1000.0),
        ([(0.0, 18.0), (18.0, 36.0)], 0.0, 35.0, 1060.0),
        ([(60.0, 70.0), (70.0, 80.0), (80.0, 90.0)], 60.0, 90.0, 700.0),
        ([(0.0, 4.0), (4.0, 8.0), (8.0, 12.0)], 0.0, 11.5, 250.0),
    ],
)
def test_rows_are_as_few_and_as_equal_as_readable_words_allow(
    expected: list[tuple[float, float]], start_s: float, end_s: float, inner_px: float
) -> None:
    assert expected == row_times(start_s, end_s, inner_px)


@pytest.mark.parametrize("seconds", [0.05, 1.0, 59.9, 120.0, 600.0])
@pytest.mark.parametrize("inner_px", [100.0, 460.0, 1060.0, 3800.0])
def test_rows_follow_each_other_and_hold_all_of_the_sound(seconds: float, inner_px: float) -> None:
    rows = row_times(7.0, 7.0 + seconds, inner_px)
    assert 7.0 == rows[0][0]
    assert all(before[1] == after[0] for before, after in pairwise(rows))
    assert rows[-2:-1] == [] or rows[-1][0] < 7.0 + seconds
    assert 7.0 + seconds <= rows[-1][1] + 1e-9


def test_a_text_that_crosses_rows_is_parted_between_words_in_proportion() -> None:
    first, second = pieces_of([Spoken(8.0, 12.0, "aaa bbb ccc ddd")], [0.0, 10.0], 20.0)
    assert [("aaa bbb", 8.0, 10.0, True, False)] == [
        (p.text, p.start_s, p.end_s, p.opens, p.closes) for p in first
    ]
    assert [("ccc ddd", 10.0, 12.0, False, True)] == [
        (p.text, p.start_s, p.end_s, p.opens, p.closes) for p in second
    ]


def test_a_script_without_blanks_is_parted_between_letters() -> None:
    rows = pieces_of([Spoken(0.0, 20.0, "今日は良い天気ですね" * 3)], [0.0, 10.0], 20.0)
    assert ["今日は良い天気ですね今日は良い", "天気ですね今日は良い天気ですね"] == [
        piece.text for row in rows for piece in row
    ]


def test_no_word_is_lost_whatever_the_rows() -> None:
    rng = np.random.default_rng(0)
    words = [f"w{n}" for n in range(200)]
    cuts = [0, *sorted(rng.choice(np.arange(1, 200), 20, replace=False).tolist()), 200]
    segments = [
        Spoken(first / 4, last / 4, " ".join(words[first:last])) for first, last in pairwise(cuts)
    ]
    rows = pieces_of(segments, [0.0, 13.0, 26.0, 39.0], 50.0)
    assert words == " ".join(piece.text for row in rows for piece in row).split()


def test_lines_are_no_wider_than_allowed_and_keep_every_letter() -> None:
    assert ("aa bb", "cc") == wrapped("aa bb cc", 35.0, measure)
    assert ("abcd", "efgh", "i") == wrapped("abcdefghi", 28.0, measure)


def test_nothing_overlaps_and_all_is_on_the_page(scene: Make) -> None:
    said = tuple((n * 2.0, n * 2.0 + 2.0, "several words that are said quickly") for n in range(20))
    heard = ((1.0, 2.0, "Bark", 0.9), (3.0, 30.0, "Rain", 0.5))
    shown = scene(0.0, 40.0, said=said, heard=heard, duration_s=40.0)
    page = lay_out(shown, width=900.0, measure=measure)
    assert 4 == len(page.rows)
    tops = MARGIN
    for row in page.rows:
        boxes = [row.axis, row.mel, row.text, *row.lanes, row.strip]
        assert all(isinstance(box, Box) for box in boxes)
        for box in boxes:
            assert box is not None
            assert tops <= box.y
            assert box.x >= MARGIN
            assert box.x + box.w <= page.width - MARGIN + 1e-6
            tops = box.bottom
        for words in row.words:
            assert row.text is not None
            assert row.text.y <= words.box.y
            assert words.box.bottom <= row.text.bottom
        for left, right in pairwise(sorted(row.words, key=lambda words: words.box.x)):
            assert left.box.x + left.box.w <= right.box.x
    assert tops <= page.height - MARGIN + 1e-6


def test_a_reading_that_is_not_there_takes_no_room(scene: Make) -> None:
    (row,) = lay_out(scene(said=None, heard=None, codes=None), width=1000.0, measure=measure).rows
    assert (None, None, (), ()) == (row.text, row.strip, row.lanes, row.words)


def test_a_time_stands_where_its_share_of_the_row_is(scene: Make) -> None:
    (row,) = lay_out(scene(), width=1000.0, measure=measure).rows
    assert row.mel.x == row.x_of(0.0) == row.x_of(-5.0)
    assert row.mel.x + row.mel.w / 4 == pytest.approx(row.x_of(2.5))
    assert row.mel.x + row.mel.w == row.x_of(10.0) == row.x_of(99.0)
    assert (0.0, 1.0, 2.0) == row.ticks_s[:3]


def test_a_word_that_is_said_quickly_reaches_into_the_silence_behind_it(scene: Make) -> None:
    said = ((1.0, 1.2, "extraordinarily"), (4.0, 4.2, "extraordinarily"), (4.5, 9.0, "quick"))
    (row,) = lay_out(scene(said=said), width=1000.0, measure=measure).rows
    free, hemmed, _ = row.words
    assert ("extraordinarily",) == free.lines
    assert measure("extraordinarily") < free.box.w < 130
    assert 1 < len(hemmed.lines)
    assert hemmed.box.x + hemmed.box.w <= row.words[2].box.x
    assert "extraordinarily" == "".join(hemmed.lines)
