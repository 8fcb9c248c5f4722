"""`tercet show` and the timeline on a terminal, in processes of their own, with the shipped model."""

import json
import os
import re
import select
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    return {**kept, "HF_HUB_OFFLINE": "1", "COLUMNS": "60", "TERM": "xterm-256color"}


@pytest.fixture
def program(base_model, tmp_path, environment):
    """Run the program in an empty folder; the hub is switched off."""

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tercet.cli.main", *map(str, words)]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
            check=False,
        )  # fmt: skip

    return run


def scene_in(page: str) -> dict:
    found = re.search(r'id="scene">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_a_page_holds_what_listen_hears(program, clip, tag_head, quantizer, tmp_path) -> None:
    speech = clip("librispeech-4507")
    heads = ["--tags", tag_head, "--tokens", quantizer]
    shown = program("show", speech, *heads)
    assert (0, f"{speech.stem}.html\n", "") == (shown.returncode, shown.stdout, shown.stderr)
    content = scene_in((tmp_path / f"{speech.stem}.html").read_text())
    heard = json.loads(program("listen", speech, "-f", "json", *heads).stdout)
    assert [segment["text"].strip() for segment in heard["segments"]] == [
        text for _, _, text in content["segments"]
    ]
    assert [code for window in heard["speech_tokens"]["windows"] for code in window["ids"]] == (
        content["strip"]["codes"]
    )
    assert {event["label"] for event in heard["sound_events"]} >= {
        lane["label"] for lane in content["lanes"]
    }
    assert all(lane["curve"]["scores"] for lane in content["lanes"])
    # The same from the finished JSON, without the model: but for frame scores, which are not in it.
    (tmp_path / "heard.json").write_text(json.dumps(heard))
    again = program("show", "heard.json", speech, "-o", "again.html")
    assert (0, "again.html\n") == (again.returncode, again.stdout)
    from_json = scene_in((tmp_path / "again.html").read_text())
    assert content["segments"] == from_json["segments"]
    assert content["strip"] == from_json["strip"]


def test_a_png_is_drawn_without_torch(program, clip, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    ran = program("show", clip("esc10-Rooster"), "-o", "rooster.png")
    assert (0, "rooster.png\n") == (ran.returncode, ran.stdout)
    assert (tmp_path / "rooster.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")
def test_a_terminal_shows_a_timeline_in_colour_and_a_pipe_gets_the_text(
    base_model, clip, environment, program
) -> None:
    import pty

    speech = clip("librispeech-4507")
    above, below = pty.openpty()
    command = [sys.executable, "-m", "tercet.cli.main", "listen", str(speech), "--quiet"]
    with subprocess.Popen(command, stdout=below, env=environment) as process:
        os.close(below)
        shown = b""
        while select.select([above], [], [], 120)[0]:
            try:
                part = os.read(above, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
    os.close(above)
    assert 0 == process.returncode
    lines = shown.decode().replace("\r\n", "\n")
    assert lines.startswith("\x1b[2m   0:00.0\x1b[0m  Why should one not explore everything")
    assert "Why should one not explore everything and study everything?\n" == (
        program("listen", speech).stdout
    )
