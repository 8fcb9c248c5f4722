"""PNG and SVG by matplotlib."""

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable

import av
import numpy as np
import pytest

from tercet.errors import EngineError
from tercet.picture import draw as module
from tercet.picture.scene import Scene

Make = Callable[..., Scene]


@pytest.fixture
def draw() -> Callable[..., tuple[bytes, bool]]:
    pytest.importorskip("matplotlib")
    return module.draw


def pixels(png: bytes) -> np.ndarray:
    with av.open(io.BytesIO(png)) as file:
        (frame,) = file.decode(video=0)
        return frame.to_ndarray(format="rgb24")


def test_a_png_is_as_wide_as_asked_and_shows_each_reading_in_its_colour(
    draw: Callable[..., tuple[bytes, bool]], scene: Make
) -> None:
    from tercet.picture.colours import LANES, code_colours

    shown = scene(codes=np.full(250, 5), heard=((1.0, 9.0, "Rain", 1.0),))
    content, is_complete = draw(shown, format_name="png", width=800)
    picture = pixels(content)
    assert (800, True) == (picture.shape[1], is_complete)

    def area(colour: list[int]) -> int:
        return int((np.abs(picture.astype(int) - colour).max(axis=2) <= 3).sum())

    lane = [int(LANES[0][0][i : i + 2], 16) for i in (1, 3, 5)]
    on_paper = [round(0.85 * c + 0.15 * 255) for c in lane]
    assert 4000 < area(on_paper)
    assert 5000 < area(code_colours(np.array([5]))[0, :3].tolist())
    without, _ = draw(scene(said=None, heard=None, codes=None), format_name="png", width=800)
    assert pixels(without).shape[0] < picture.shape[0]


def test_an_svg_holds_the_words_as_text(
    draw: Callable[..., tuple[bytes, bool]], scene: Make
) -> None:
    content, _ = draw(scene(title="a < b & $x_1$"), format_name="svg", width=800)
    words = "".join(ET.fromstring(content).itertext())
    for expected in ("Come here.", "Good dog.", "Bark", "a < b & $x_1$", "0:04"):
        assert expected in words


def test_the_same_scene_is_the_same_file(
    draw: Callable[..., tuple[bytes, bool]], scene: Make
) -> None:
    for name in ("png", "svg"):
        first, second = (draw(scene(), format_name=name, width=600)[0] for _ in range(2))
        assert first == second
    assert not re.search(rb"<dc:date>", first)


def test_letters_that_no_font_has_are_told(
    draw: Callable[..., tuple[bytes, bool]], scene: Make
) -> None:
    private = scene(said=((0.0, 3.0, "\U000f1234 in no font"),))
    assert False is draw(private, format_name="png", width=600)[1]


def test_an_excerpt_of_a_blink_can_be_drawn(
    draw: Callable[..., tuple[bytes, bool]], scene: Make
) -> None:
    content, _ = draw(scene(0.0, 0.01), format_name="png", width=400)
    assert 400 == pixels(content).shape[1]


def test_without_matplotlib_one_line_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, scene: Make
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r'a png needs matplotlib: pip install "tercet\[eval\]"'):
        module.draw(scene(), format_name="png", width=800)
