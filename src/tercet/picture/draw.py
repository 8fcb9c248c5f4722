"""A scene as PNG or SVG, by matplotlib (extra `eval`). What goes where is `layout.py`'s business."""

import warnings
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from tercet.errors import EngineError
from tercet.picture.colours import BOX, INK, LANES, LINE, MEL, PAPER, QUIET, code_colours
from tercet.picture.layout import GUTTER, MARGIN, TEXT_PX, Box, Page, Row, Words, lay_out
from tercet.picture.scene import Lane, Scene
from tercet.picture.wording import lane_note, short_label, subtitle, tick_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DPI = 100.0
_PT = 72.0 / _DPI  # points in a pixel
_FONTS = (
    "DejaVu Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans Arabic", "Noto Sans Devanagari",
    "Noto Sans", "Hiragino Sans", "PingFang SC", "Yu Gothic", "Microsoft YaHei", "Arial Unicode MS",
)  # fmt: skip
_HINTED = 1.04  # letters on whole pixels take more room than their outlines
_SHADES = 32  # of the spectrogram: more are not seen, and cost twice the bytes
_MISSING_GLYPH = "missing from"


def check_installed(format_name: str) -> None:
    """Whether this machine can draw at all.

    Raises:
        EngineError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise EngineError(
            f'a {format_name} needs matplotlib: pip install "tercet[eval]"; html needs nothing more'
        )


def draw(scene: Scene, *, format_name: str, width: int) -> tuple[bytes, bool]:
    """Draw a scene.

    Args:
        scene: What is shown.
        format_name: "png" or "svg".
        width: Pixels; the height follows from what there is to show.

    Returns:
        The file's bytes, and whether every letter had a shape in this machine's fonts.

    Raises:
        EngineError: matplotlib is not installed.
    """
    check_installed(format_name)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    page = lay_out(scene, width=width, measure=_measure)
    settings: Any = {"font.family": _families(), "svg.fonttype": "none", "svg.hashsalt": "tercet"}
    with mpl.rc_context(settings), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        figure = Figure(figsize=(page.width / _DPI, page.height / _DPI), dpi=_DPI)
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_xlim(0.0, page.width)
        axes.set_ylim(page.height, 0.0)
        axes.set_axis_off()
        figure.set_facecolor(PAPER[0])
        _draw_page(axes, scene, page)
        file = BytesIO()
        # No date: the same scene gives the same bytes.
        metadata: dict[str, Any] = (
            {"Date": None, "Creator": None} if format_name == "svg" else {"Software": None}
        )
        packing: Any = {"pil_kwargs": {"optimize": True}} if format_name == "png" else {}
        figure.savefig(file, format=format_name, dpi=_DPI, metadata=metadata, **packing)
    return file.getvalue(), not any(_MISSING_GLYPH in str(each.message) for each in told)


def _families() -> list[str]:
    """Fonts that are there, for more scripts than one."""
    from matplotlib import font_manager

    there = {font.name for font in font_manager.fontManager.ttflist}
    return [name for name in _FONTS if name in there] or ["sans-serif"]


@cache
def _measure(text: str) -> float:
    """The width of a text in pixels, set in `TEXT_PX`."""
    from matplotlib import font_manager

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of letters without a shape; said once, when they are drawn
        font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
        font.set_size(TEXT_PX, 72)
        font.set_text(text, 0.0)
        return _HINTED * float(font.get_width_height()[0]) / 64.0


def _draw_page(axes: "Axes", scene: Scene, page: Page) -> None:
    _write(axes, MARGIN, MARGIN + 9.0, scene.title, size=16.0, weight="bold")
    _write(axes, MARGIN, MARGIN + 28.0, subtitle(scene), colour=QUIET[0], size=11.0)
    for row in page.rows:
        _draw_grid(axes, scene, row)
        _draw_mel(axes, scene, row)
        for words in row.words:
            _draw_words(axes, words)
        for n, (lane, box) in enumerate(zip(scene.lanes or (), row.lanes, strict=True)):
            _draw_lane(axes, lane, LANES[n % len(LANES)][0], row, box)
        _draw_strip(axes, scene, row)
        _draw_names(axes, scene, row)
    if note := lane_note(scene):
        _write(
            axes, page.width - MARGIN, MARGIN + 28.0, note, colour=QUIET[0], size=11.0, ha="right"
        )


def _write(
    axes: "Axes", x: float, y: float, text: str, *, size: float, colour: str = INK[0], **more: Any
) -> None:
    style = {"ha": "left", "va": "center", "parse_math": False, **more}
    axes.text(x, y, text, fontsize=size * _PT, color=colour, **style)


def _fill(axes: "Axes", box: Box, colour: str, *, alpha: float = 1.0, radius: float = 0.0) -> None:
    from matplotlib.patches import FancyBboxPatch

    radius = min(radius, box.w / 2, box.h / 2)
    style = f"round,pad=0,rounding_size={radius}" if radius > 0 else "square,pad=0"
    axes.add_patch(
        FancyBboxPatch(
            (box.x, box.y), box.w, box.h, boxstyle=style, facecolor=colour, alpha=alpha, linewidth=0
        )
    )


def _draw_grid(axes: "Axes", scene: Scene, row: Row) -> None:
    """Times above, faint lines below them; window borders of the codes."""
    for time_s in row.ticks_s:
        x = row.x_of(time_s)
        axes.plot(
            [x, x], [row.axis.bottom - 4.0, row.bottom], color=LINE[0], linewidth=0.7, zorder=0
        )
        _write(
            axes, x, row.axis.y + 7.0, tick_text(time_s), colour=QUIET[0], size=10.0, ha="center"
        )
    for border_s in () if scene.strip is None else scene.strip.borders_s:
        if row.start_s < border_s < row.end_s:
            x = row.x_of(border_s)
            axes.plot(
                [x, x], [row.mel.y, row.bottom], color=INK[0], linewidth=0.9, linestyle=(0, (2, 3)),
                alpha=0.55,
            )  # fmt: skip


def _draw_mel(axes: "Axes", scene: Scene, row: Row) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    first = max(0, round((row.start_s - scene.start_s) / scene.column_s))
    last = round((row.end_s - scene.start_s) / scene.column_s)
    part = scene.mel[:, first:last]
    if not part.shape[1]:
        return
    right = row.x_of(row.start_s + part.shape[1] * scene.column_s)
    ink = LinearSegmentedColormap.from_list(
        "ink", [PAPER[0], "#c3c6e6", "#6f74b8", MEL[0]], _SHADES
    )
    _fill(axes, Box(row.mel.x, row.mel.y, right - row.mel.x, row.mel.h), PAPER[0])
    axes.imshow(
        part, cmap=ink, vmin=0.25, vmax=1.0, aspect="auto", origin="lower", zorder=1,
        interpolation="bilinear", interpolation_stage="data",
        extent=(row.mel.x, right, row.mel.bottom, row.mel.y),
    )  # fmt: skip
    axes.set_xlim(0.0, axes.figure.bbox.width)
    axes.set_ylim(axes.figure.bbox.height, 0.0)


def _draw_words(axes: "Axes", words: Words) -> None:
    from matplotlib.patches import Rectangle

    box = words.box
    _fill(axes, box, BOX[0], radius=4.0)
    for n, line in enumerate(words.lines):
        x, y = box.x + 6.0, box.y + 5.0 + 16.0 * (n + 0.5)
        axes.text(
            x, y, line, fontsize=TEXT_PX * _PT, color=INK[0], va="center", parse_math=False,
            clip_path=Rectangle((box.x, box.y), box.w + 1.0, box.h, transform=axes.transData),
        )  # fmt: skip


def _draw_lane(axes: "Axes", lane: Lane, colour: str, row: Row, box: Box) -> None:
    axes.plot([box.x, box.x + box.w], [box.bottom] * 2, color=LINE[0], linewidth=0.7, zorder=0)
    for event in lane.events:
        if event.end_s > row.start_s and event.start_s < row.end_s:
            left, right = row.x_of(event.start_s), row.x_of(event.end_s)
            bar = Box(left, box.y + 3.0, max(2.0, right - left), box.h - 6.0)
            _fill(axes, bar, colour, alpha=0.2 + 0.65 * event.score, radius=4.0)
    if lane.curve is not None:
        x, y = _curve_points(lane, row, box)
        axes.plot(x, y, color=colour, linewidth=0.8, alpha=0.75, zorder=3)
        axes.fill_between(x, y, box.bottom, color=colour, alpha=0.08, linewidth=0)


def _curve_points(lane: Lane, row: Row, box: Box) -> tuple[list[float], np.ndarray]:
    """A step per row of scores, within the row of the picture."""
    curve = lane.curve
    assert curve is not None
    starts = curve.start_s + curve.frame_s * np.arange(len(curve.scores))
    there = (starts + curve.frame_s > row.start_s) & (starts < row.end_s)
    middles = starts[there] + curve.frame_s / 2
    return [row.x_of(s) for s in middles], box.bottom - 1.0 - (box.h - 2.0) * curve.scores[there]


def _draw_strip(axes: "Axes", scene: Scene, row: Row) -> None:
    strip = scene.strip
    if strip is None or row.strip is None:
        return
    first = max(0, round((row.start_s - strip.start_s) * strip.rate_hz))
    last = round((row.end_s - strip.start_s) * strip.rate_hz)
    ids = strip.ids[first:last]
    if not len(ids):
        return
    left = row.x_of(strip.start_s + first / strip.rate_hz)
    right = row.x_of(strip.start_s + (first + len(ids)) / strip.rate_hz)
    axes.imshow(
        code_colours(ids.T, mask_code=strip.mask_code), aspect="auto", interpolation="nearest",
        extent=(left, right, row.strip.bottom, row.strip.y), zorder=1,
    )  # fmt: skip
    axes.set_xlim(0.0, axes.figure.bbox.width)
    axes.set_ylim(axes.figure.bbox.height, 0.0)


def _draw_names(axes: "Axes", scene: Scene, row: Row) -> None:
    """What each part of a row is, in the gutter."""
    x = MARGIN + GUTTER - 10.0
    named = [(row.mel, "log-mel", QUIET[0]), (row.text, "text", QUIET[0])]
    named.append((row.strip, "tokens", QUIET[0]))
    named += [
        (box, short_label(lane.label), LANES[n % len(LANES)][0])
        for n, (lane, box) in enumerate(zip(scene.lanes or (), row.lanes, strict=True))
    ]
    for box, name, colour in named:
        if box is not None:
            shown = _shortened(name, GUTTER - 12.0)
            _write(axes, x, box.y + box.h / 2, shown, colour=colour, size=11.0, ha="right")


def _shortened(text: str, width: float) -> str:
    scale = 11.0 / TEXT_PX
    if _measure(text) * scale <= width:
        return text
    while text and _measure(text + "…") * scale > width:
        text = text[:-1]
    return text.rstrip(" ,") + "…"
