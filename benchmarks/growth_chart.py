"""Draws the figures of growth.py: a chart in SVG, without a plotting library, and a Markdown table."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import NamedTuple

WIDTH, HEIGHT = 300, 190  # of one panel's inside, in pixels
LEFT, TOP, GAP_X, GAP_Y = 64, 34, 84, 84
# Greys that can be read on white and on black; a browser that knows its background does better.
STYLE = """
  @media (prefers-color-scheme: light) { text { fill: #333; } }
  @media (prefers-color-scheme: dark) { text { fill: #ccc; } }
"""
TEXT = 'font-family="system-ui, sans-serif" font-size="12" fill="#767676"'
GRID = 'stroke="#808080" stroke-opacity="0.25"'
GUIDE = 'stroke="#808080" stroke-dasharray="4 4"'
COLOUR = "#2f81d8"


KINDS = {
    "files": "short recordings in one run",
    "mixed": "short recordings, a tenth of them speech",
    "minutes": "minutes of one recording",
}


class Point(NamedTuple):
    """One measured run."""

    kind: str  # one of `KINDS`
    size: int
    audio_s: float
    wall_s: float
    cpu_s: float
    peak_mb: float


@dataclass(frozen=True)
class Axis:
    """From values to pixels, logarithmic or from zero."""

    low: float
    high: float
    pixels: int
    is_log: bool

    def at(self, value: float) -> float:
        if self.is_log:
            return self.pixels * (log10(value) - log10(self.low)) / log10(self.high / self.low)
        return self.pixels * (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        if self.is_log:
            return [10.0**n for n in range(ceil(log10(self.low)), floor(log10(self.high)) + 1)]
        step = next(s for s in (50, 100, 200, 500, 1000, 2000, 5000) if self.high / s <= 6)
        return [float(value) for value in range(0, int(self.high) + 1, step)]


def decades(values: Sequence[float], pixels: int) -> Axis:
    """A logarithmic axis of whole decades."""
    low, high = 10.0 ** floor(log10(min(values))), 10.0 ** ceil(log10(max(values)))
    return Axis(low, max(high, 10 * low), pixels, is_log=True)


def chart(points: Sequence[Point]) -> str:
    """Time above and memory below, over the number of files and over the length of one recording."""
    panels = []
    kinds = [kind for kind in KINDS if any(point.kind == kind for point in points)]
    for column, kind in enumerate(kinds):
        x_name = KINDS[kind]
        rows = sorted((point for point in points if point.kind == kind), key=lambda p: p.size)
        x = LEFT + column * (WIDTH + GAP_X)
        sizes = [row.size for row in rows]
        across = decades([*sizes, 1], WIDTH)
        times = [row.wall_s for row in rows]
        memory = [row.peak_mb for row in rows]
        up = decades(times, HEIGHT)
        panels.append(_panel(x, TOP, across, up, sizes, times, ("seconds", x_name), guide=True))
        up = Axis(0, 1.25 * max(memory), HEIGHT, is_log=False)
        y = TOP + HEIGHT + GAP_Y
        panels.append(_panel(x, y, across, up, sizes, memory, ("peak memory, MB", x_name)))
    columns = max(1, len(kinds))
    width, height = LEFT + columns * (WIDTH + GAP_X) - GAP_X + 30, TOP + 2 * HEIGHT + GAP_Y + 44
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" {TEXT}>'
    )
    label = "<title>Time and memory against the number and the length of recordings</title>"
    return "\n".join([head, label, f"<style>{STYLE}</style>", *panels, "</svg>\n"])


def _panel(
    x: int,
    y: int,
    across: Axis,
    up: Axis,
    sizes: Sequence[float],
    values: Sequence[float],
    names: tuple[str, str],
    *,
    guide: bool = False,
) -> str:
    parts = [f'<g transform="translate({x} {y})">']
    parts.append(f'<text font-weight="600" x="0" y="-12">{names[0]}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT + 36}" text-anchor="middle">{names[1]}</text>')
    for tick in across.ticks():
        at = across.at(tick)
        parts.append(_line(GRID, at, 0, at, HEIGHT))
        text = f'<text x="{at:.1f}" y="{HEIGHT + 18}" text-anchor="middle">{_number(tick)}</text>'
        parts.append(text)
    for tick in up.ticks():
        at = HEIGHT - up.at(tick)
        parts.append(_line(GRID, 0, at, WIDTH, at))
        parts.append(f'<text x="-8" y="{at + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    if guide:
        parts.append(_proportional(across, up, sizes[-1], values[-1]))
    places = [(across.at(s), HEIGHT - up.at(value)) for s, value in zip(sizes, values, strict=True)]
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
    parts.append(f'<polyline fill="none" stroke="{COLOUR}" stroke-width="2" points="{path}"/>')
    parts += [f'<circle fill="{COLOUR}" cx="{a:.1f}" cy="{b:.1f}" r="3.5"/>' for a, b in places]
    return "\n".join([*parts, "</g>"])


def _proportional(across: Axis, up: Axis, size: float, value: float) -> str:
    """What would grow exactly with the size, through the largest point."""
    start = max(across.low, size * up.low / value)
    a, b = across.at(start), HEIGHT - up.at(value * start / size)
    return _line(GUIDE, a, b, across.at(size), HEIGHT - up.at(value))


def _line(look: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line {look} x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _number(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ") if value >= 1 else f"{value:g}"


def table(points: Sequence[Point]) -> str:
    """All points as Markdown."""
    lines = [
        "| recordings | audio | time | x real time | CPU time | peak memory |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for point in sorted(points):
        names = {"files": "short", "mixed": "short, a tenth of them speech"}
        what = f"{_number(point.size)} {names[point.kind]}" if point.kind in names else "one"
        lines.append(
            f"| {what} | {_duration(point.audio_s)} | {_duration(point.wall_s)} | "
            f"{point.audio_s / point.wall_s:.1f} | {_duration(point.cpu_s)} | "
            f"{point.peak_mb:.0f} MB |"
        )
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.2f} h"
