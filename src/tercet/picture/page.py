"""A scene as one HTML file with its sound: nothing is fetched, ever. What moves in it is data/page.js.

The page lays its rows out itself, to the width of its window; what it is given are times, texts and images.
"""

import base64
import html
import json
from collections.abc import Iterator
from importlib.resources import files
from string import Template
from typing import Any

import numpy as np

from tercet.picture import colours
from tercet.picture.excerpt import Excerpt
from tercet.picture.png import mask_png, rgba_png
from tercet.picture.scene import Lane, Scene, Strip
from tercet.picture.sound import playable
from tercet.picture.wording import lane_note, short_label, subtitle, tick_text
from tercet.text.timeline import CUE_LINE

_CHUNK_S = 10.0  # of spectrogram in one image: no browser minds its width
_QUIET = 0.25  # levels below are paper


def page(scene: Scene, excerpt: Excerpt) -> str:
    """The whole file."""
    sound = playable(excerpt.samples)
    fields = {
        "title": html.escape(scene.title),
        "subtitle": html.escape(subtitle(scene)),
        "note": html.escape(lane_note(scene)),
        "language": html.escape(scene.language or "und", quote=True),
        "colours": _colours(),
        "style": _part("page.css"),
        "script": _part("page.js"),
        "sound": _data_url(sound.mime, sound.content),
        "timeline": "".join(_timeline(scene)),
        "scene": _inert(_content(scene)),
    }
    return Template(_part("page.html")).substitute(fields)


def _part(name: str) -> str:
    return files("tercet.picture").joinpath(f"data/{name}").read_text(encoding="utf-8")


def _colours() -> str:
    """Custom properties: light paper, and dark paper where the reader's system is dark."""
    names = {
        "paper": colours.PAPER,
        "ink": colours.INK,
        "quiet": colours.QUIET,
        "line": colours.LINE,
        "box": colours.BOX,
        "mel": colours.MEL,
        **{f"lane-{n}": pair for n, pair in enumerate(colours.LANES)},
    }
    light, dark = ("".join(f"--{k}:{v[n]};" for k, v in names.items()) for n in (0, 1))
    return f":root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"


def _timeline(scene: Scene) -> Iterator[str]:
    """The list below the picture, which works without any script."""
    for line in scene.lines:
        kind = "cue" if line.kind == CUE_LINE else "said"
        start, end = _on_page(scene, line.time_s), _on_page(scene, line.end_s)
        yield (
            f'<li class="{kind}"><button class="moment" data-start="{start}" data-end="{end}">'
            f"<time>{tick_text(line.time_s)}</time>"
            f'<span dir="auto">{html.escape(line.text)}</span></button></li>\n'
        )


def _content(scene: Scene) -> dict[str, Any]:
    """What the script draws. Times are seconds of the embedded sound; shown ones have `offset` added."""
    return {
        "offset": round(scene.start_s, 3),
        "duration": _on_page(scene, scene.end_s),
        "mel": list(_mel_chunks(scene)),
        "segments": None
        if scene.segments is None
        else [
            [_on_page(scene, each.start_s), _on_page(scene, each.end_s), each.text]
            for each in scene.segments
        ],
        "lanes": None
        if scene.lanes is None
        else [_lane(scene, n, lane) for n, lane in enumerate(scene.lanes)],
        "strip": None if scene.strip is None else _strip(scene, scene.strip),
    }


def _mel_chunks(scene: Scene) -> Iterator[dict[str, Any]]:
    per_chunk = round(_CHUNK_S / scene.column_s)
    inked = np.clip((scene.mel - _QUIET) / (1.0 - _QUIET), 0.0, 1.0)
    for first in range(0, inked.shape[1], per_chunk):
        part = inked[::-1, first : first + per_chunk]
        yield {
            "start": round(first * scene.column_s, 3),
            "seconds": round(part.shape[1] * scene.column_s, 3),
            "image": _data_url("image/png", mask_png(part)),
        }


def _lane(scene: Scene, n: int, lane: Lane) -> dict[str, Any]:
    curve = lane.curve
    return {
        "label": lane.label,
        "short": short_label(lane.label),
        "colour": n % len(colours.LANES),
        "events": [
            [_on_page(scene, each.start_s), _on_page(scene, each.end_s), round(each.score, 3)]
            for each in lane.events
        ],
        "curve": None
        if curve is None
        else {
            "start": round(curve.start_s - scene.start_s, 3),
            "step": curve.frame_s,
            "scores": [round(float(score), 3) for score in curve.scores],
        },
    }


def _strip(scene: Scene, strip: Strip) -> dict[str, Any]:
    image = colours.code_colours(strip.ids.T, mask_code=strip.mask_code)
    return {
        "start": round(strip.start_s - scene.start_s, 3),
        "seconds": round(len(strip.ids) / strip.rate_hz, 3),
        "rate": strip.rate_hz,
        "depth": strip.ids.shape[1],
        "codes": strip.ids[:, 0].tolist() if strip.ids.shape[1] == 1 else strip.ids.tolist(),
        "borders": [_on_page(scene, border) for border in strip.borders_s],
        "image": _data_url("image/png", rgba_png(image)) if image.size else None,
    }


def _on_page(scene: Scene, time_s: float) -> float:
    """Seconds of the embedded sound, kept within it."""
    return round(min(max(time_s, scene.start_s), scene.end_s) - scene.start_s, 3)


def _inert(value: Any) -> str:
    """JSON that nothing in it can end: a label may hold `</script>`."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _data_url(mime: str, content: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"
