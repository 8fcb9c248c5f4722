"""The page: one file, nothing fetched, nothing in a text that a browser would obey."""

import base64
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from tercet.picture.page import page
from tercet.picture.scene import Scene

Make = Callable[..., Scene]


class Parsed(HTMLParser):
    """Tags with their attributes, and the text of each element that has an id or class."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        if self.tags and data.strip():
            self.texts.append((self.tags[-1][0], data))


@pytest.fixture
def render(scene: Make, excerpt: Any) -> Callable[..., str]:
    def make(start_s: float = 0.0, end_s: float = 10.0, **given: Any) -> str:
        return page(scene(start_s, end_s, **given), excerpt(start_s, end_s))

    return make


def content_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="scene">(.*?)</script>', text, re.DOTALL)
    assert found
    value: dict[str, Any] = json.loads(found[1])
    return value


def test_the_script_is_given_times_of_the_embedded_sound(render: Callable[..., str]) -> None:
    content = content_of(render(2.0, 8.0))
    assert (2.0, 6.0) == (content["offset"], content["duration"])
    assert [[0.0, 1.0, "Come here."], [4.0, 6.0, "Good dog."]] == content["segments"]
    (lane,) = content["lanes"]
    assert ("Bark", [[1.4, 2.2, 0.75]]) == (lane["label"], lane["events"])
    assert (0.0, 0.4, 15) == (
        lane["curve"]["start"],
        lane["curve"]["step"],
        len(lane["curve"]["scores"]),
    )
    strip = content["strip"]
    assert (0.0, 6.0, [2.0]) == (strip["start"], strip["seconds"], strip["borders"])
    assert list(range(50, 200)) == strip["codes"]
    assert 6.0 == sum(chunk["seconds"] for chunk in content["mel"])


def test_nothing_is_ever_fetched(render: Callable[..., str]) -> None:
    text = render()
    assert [] == re.findall(
        r"""(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}""", re.sub("base64,[^\"')]*", "", text)
    )
    for tag, attributes in Parsed(text).tags:
        for name in ("src", "href", "srcset", "poster"):
            assert str(attributes.get(name) or "data:").startswith("data:"), (tag, attributes)
    (policy,) = [a["content"] for t, a in Parsed(text).tags if a.get("http-equiv")]
    assert "default-src 'none'" in str(policy)


def test_the_sound_is_in_the_file(render: Callable[..., str]) -> None:
    (audio,) = [attributes for tag, attributes in Parsed(render()).tags if tag == "audio"]
    head, _, body = str(audio["src"]).partition(",")
    assert "data:audio/mpeg;base64" == head
    assert 10_000 < len(base64.b64decode(body, validate=True))
    assert "controls" in audio


def test_the_timeline_is_there_without_any_script(render: Callable[..., str]) -> None:
    text = render()
    listed = text.partition('<ol id="timeline"')[2].partition("</ol>")[0]
    spans = re.findall(r"<time>(.*?)</time><span[^>]*>(.*?)</span>", listed)
    expected = [("0:00", "Come here."), ("0:03.4", "[dog barking]"), ("0:06", "Good dog.")]
    assert expected == spans
    moments = [a for t, a in Parsed(listed).tags if t == "button"]
    assert [("0.0", "3.0"), ("3.4", "4.2"), ("6.0", "9.5")] == [
        (each["data-start"], each["data-end"]) for each in moments
    ]


@pytest.mark.parametrize("evil", ["</script><script>alert(1)</script>", '<img src=x onerror="x">'])
def test_no_text_becomes_code(render: Callable[..., str], evil: str) -> None:
    calm = Parsed(
        render(said=((0.0, 3.0, "calm"),), heard=((1.0, 2.0, "calm", 0.5),), title="calm")
    )
    given = {"said": ((0.0, 3.0, evil),), "heard": ((1.0, 2.0, evil, 0.5),), "title": evil}
    text = render(**given)
    parsed = Parsed(text)
    assert [tag for tag, _ in calm.tags] == [tag for tag, _ in parsed.tags]
    content = content_of(text)
    assert (" ".join(evil.split()), evil) == (
        content["segments"][0][2],
        content["lanes"][0]["label"],
    )
    assert evil in [text for tag, text in parsed.texts if tag == "h1"]


def test_a_title_with_a_dollar_is_no_template(render: Callable[..., str]) -> None:
    assert '<h1 dir="auto">$scene costs 5 $</h1>' in render(title="$scene costs 5 $")


def test_readings_that_are_not_there_are_null(render: Callable[..., str]) -> None:
    content = content_of(render(said=None, heard=None, codes=None))
    assert (None, None, None) == (content["segments"], content["lanes"], content["strip"])


def test_codes_of_a_residual_quantizer_are_told_level_by_level(render: Callable[..., str]) -> None:
    codes = np.arange(500).reshape(250, 2)
    strip = content_of(render(codes=codes))["strip"]
    assert (2, [0, 1], [498, 499]) == (strip["depth"], strip["codes"][0], strip["codes"][-1])


def test_light_and_dark_have_the_same_colours_by_name(render: Callable[..., str]) -> None:
    text = render()
    light, dark = re.findall(r":root\{(.*?)\}", text)[:2]
    names = [set(re.findall(r"--([\w-]+):", each)) for each in (light, dark)]
    assert names[0] == names[1]
    used = set(re.findall(r"var\(--([\w-]+)", text)) - {"gutter", "colour", "strength"}
    assert used - {"lane-"} <= names[0]
    assert "prefers-color-scheme:dark" in text
    assert 'name="viewport"' in text
