"""What goes where on a picture, in pixels from its top left corner. Draws nothing; knows no library.

A recording is laid out in rows, as music is: each row has its time axis, its spectrogram, its words, its
lanes of sounds and its strip of codes.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tercet.picture.scene import Scene, Spoken

GUTTER, MARGIN = 118.0, 22.0  # names at the left; white around everything
TITLE_H, AXIS_H, MEL_H, LANE_H, STRIP_H = 46.0, 18.0, 92.0, 20.0, 12.0
LINE_H, TEXT_PAD = 16.0, 5.0  # of the words
GAP, ROW_GAP = 6.0, 26.0
TEXT_PX = 12.5
_PX_PER_S = 58.0  # wide enough for the words of quick speech in three lines
_MOST_LINES = 6
_TICKS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0)
_TICK_PX = 70.0  # apart, at least

Measure = Callable[[str], float]  # the width of a text in pixels


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle."""

    x: float
    y: float
    w: float
    h: float

    @property
    def bottom(self) -> float:
        """Where it ends."""
        return self.y + self.h


@dataclass(frozen=True, slots=True)
class Piece:
    """The part of a text that stands in one row."""

    start_s: float
    end_s: float
    text: str
    opens: bool  # it begins here
    closes: bool  # it ends here


@dataclass(frozen=True, slots=True)
class Words:
    """A piece, its box, and its lines as they are set."""

    piece: Piece
    box: Box
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the picture. A reading that is not shown has no box."""

    start_s: float
    end_s: float  # of the row's time, which may reach beyond the sound
    axis: Box
    mel: Box
    words: tuple[Words, ...]
    text: Box | None
    lanes: tuple[Box, ...]
    strip: Box | None
    ticks_s: tuple[float, ...]

    def x_of(self, time_s: float) -> float:
        """Where a time stands, kept within the row."""
        share = (time_s - self.start_s) / (self.end_s - self.start_s)
        return self.mel.x + self.mel.w * min(1.0, max(0.0, share))

    @property
    def bottom(self) -> float:
        """Where the row ends."""
        boxes = (self.axis, self.mel, self.text, self.strip, *self.lanes)
        return max(box.bottom for box in boxes if box is not None)


@dataclass(frozen=True, slots=True)
class Page:
    """The whole picture."""

    width: float
    height: float
    rows: tuple[Row, ...]


def lay_out(scene: Scene, *, width: float, measure: Measure) -> Page:
    """Place everything on a picture of this width; its height follows.

    Args:
        scene: What is shown.
        width: Pixels.
        measure: How wide a text is when it is set in `TEXT_PX`.
    """
    inner = width - 2 * MARGIN - GUTTER
    times = row_times(scene.start_s, scene.end_s, inner)
    pieces = pieces_of(scene.segments or (), [start for start, _ in times], scene.end_s)
    rows: list[Row] = []
    y = MARGIN + TITLE_H
    for (start_s, end_s), of_row in zip(times, pieces, strict=True):
        rows.append(_row(scene, of_row, (start_s, end_s), y, inner, measure))
        y = rows[-1].bottom + ROW_GAP
    return Page(width, y - ROW_GAP + MARGIN, tuple(rows))


def row_times(start_s: float, end_s: float, inner_px: float) -> list[tuple[float, float]]:
    """Rows of equal length, as few as keep words readable; whole seconds where there is more than one."""
    longest_s = max(2.0, inner_px / _PX_PER_S)
    count = max(1, math.ceil((end_s - start_s) / longest_s - 1e-9))
    if count == 1:
        return [(start_s, end_s)]
    length_s = min(math.ceil((end_s - start_s) / count), math.ceil(longest_s))
    count = math.ceil((end_s - start_s) / length_s - 1e-9)
    return [(start_s + n * length_s, start_s + (n + 1) * length_s) for n in range(count)]


def pieces_of(
    segments: Sequence[Spoken], row_starts_s: Sequence[float], end_s: float
) -> list[list[Piece]]:
    """Each row's texts; one that crosses rows is parted as if all of its letters were equally long."""
    rows: list[list[Piece]] = [[] for _ in row_starts_s]
    borders = [*row_starts_s[1:], math.inf]
    for segment in segments:
        of_row: dict[int, list[str]] = {}
        for word, middle_s in _spread(segment):
            row = min(bisect_right(borders, middle_s), len(rows) - 1)
            of_row.setdefault(row, []).append(word)
        first, last = min(of_row), max(of_row)
        for row, words in of_row.items():
            start = max(segment.start_s, row_starts_s[row])
            stop = min(segment.end_s, borders[row], end_s)
            joined = "".join(words).strip()
            rows[row].append(Piece(start, max(stop, start), joined, row == first, row == last))
    return rows


def _spread(segment: Spoken) -> Iterator[tuple[str, float]]:
    """Words and the middles of their times."""
    words = [f"{word} " for word in segment.text.split()]
    if len(words) < 3 and len(segment.text) > 24:  # a script without blanks
        words = list(segment.text)
    per_letter_s = (segment.end_s - segment.start_s) / sum(map(len, words))
    time_s = segment.start_s
    for word in words:
        yield word, time_s + per_letter_s * len(word) / 2
        time_s += per_letter_s * len(word)


def wrapped(text: str, width: float, measure: Measure) -> tuple[str, ...]:
    """Lines no wider than `width`; a word that is wider is parted."""
    lines = [""]
    for word in text.split():
        candidate = f"{lines[-1]} {word}".strip()
        if measure(candidate) <= width:
            lines[-1] = candidate
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and measure(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return tuple(lines)


def tick_step_s(px_per_s: float) -> float:
    """Seconds between the times that an axis names."""
    return next((step for step in _TICKS_S if step * px_per_s >= _TICK_PX), _TICKS_S[-1])


def _row(
    scene: Scene,
    pieces: Sequence[Piece],
    times: tuple[float, float],
    y: float,
    inner: float,
    measure: Measure,
) -> Row:
    start_s, end_s = times
    x, px_per_s = MARGIN + GUTTER, inner / (end_s - start_s)
    axis = Box(x, y, inner, AXIS_H)
    mel = Box(x, axis.bottom, inner, MEL_H)
    y = mel.bottom + GAP
    text: Box | None = None
    words: tuple[Words, ...] = ()
    if scene.segments is not None:
        words = _set(pieces, times, Box(x, y, inner, 0.0), measure)
        height = max((each.box.h for each in words), default=LINE_H + 2 * TEXT_PAD)
        text = Box(x, y, inner, height)
        y = text.bottom + GAP
    lanes = []
    for _ in scene.lanes or ():
        lanes.append(Box(x, y, inner, LANE_H))
        y += LANE_H + GAP / 2
    strip = None
    if scene.strip is not None:
        depth = max(1, scene.strip.ids.shape[1])
        strip = Box(x, y + GAP / 2, inner, STRIP_H if depth == 1 else 6.0 * depth)
    step_s = tick_step_s(px_per_s)
    n_first, n_last = math.ceil(start_s / step_s - 1e-9), math.floor(end_s / step_s + 1e-9)
    ticks = tuple(n * step_s for n in range(n_first, n_last + 1))
    return Row(
        start_s=start_s, end_s=end_s, axis=axis, mel=mel, words=words, text=text,
        lanes=tuple(lanes), strip=strip, ticks_s=ticks,
    )  # fmt: skip


def _set(
    pieces: Sequence[Piece], times: tuple[float, float], row: Box, measure: Measure
) -> tuple[Words, ...]:
    """Set the texts of a row, in boxes of one height from `row`'s upper edge on."""
    px_per_s = row.w / (times[1] - times[0])
    ordered = sorted(pieces, key=lambda piece: piece.start_s)
    lefts = [row.x + (piece.start_s - times[0]) * px_per_s + 1.0 for piece in ordered]
    found: list[tuple[Piece, float, float, tuple[str, ...]]] = []
    for piece, left, following in zip(
        ordered, lefts, [*lefts[1:], row.x + row.w + 1.0], strict=False
    ):
        width = max(6.0, (piece.end_s - piece.start_s) * px_per_s - 2.0)
        # A word that is said quickly may reach into the silence behind it.
        longest = max(measure(word) for word in piece.text.split() or [""])
        wanted = min(longest + 2 * TEXT_PAD + 4.0, following - left - 2.0)
        width = max(width, wanted)
        lines = wrapped(piece.text, max(14.0, width - 2 * TEXT_PAD - 2.0), measure)
        if len(lines) > _MOST_LINES:
            lines = (*lines[: _MOST_LINES - 1], lines[_MOST_LINES - 1].rstrip() + "…")
        found.append((piece, left, width, lines))
    most = max((len(lines) for *_, lines in found), default=1)
    height = LINE_H * most + 2 * TEXT_PAD
    return tuple(Words(piece, Box(x, row.y, w, height), lines) for piece, x, w, lines in found)
