"""`tercet show` in this process, with a model that hears what it is told to."""

import json
import re
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tercet

Run = Callable[..., Any]


@pytest.fixture
def model(fake_model: Any, hear: Any, say: Any, sounds: Any, codes: Any) -> Any:
    """It hears words, a dog and codes, whatever it is given, and keeps what it was given."""
    fake_model.given = []

    def listen(samples: np.ndarray, *, sampling_rate: int, on_progress: Any) -> Any:
        fake_model.given.append((samples, sampling_rate))
        return hear(say("Come here."), sounds("Bark"), codes(*range(20)))

    fake_model.listen = listen
    return fake_model


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """`yard("yard.wav", 5)`: a recording of so many seconds in the working folder."""
    monkeypatch.chdir(tmp_path)

    def make(name: str = "yard.wav", seconds: float = 5.0) -> str:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        with wave.open(name, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes((np.arange(round(16000 * seconds)) % 800 * 40).astype("<i2").tobytes())
        return name

    return make


def scene_in(path: str) -> Any:
    found = re.search(r'id="scene">(.*?)</script>', Path(path).read_text(), re.DOTALL)
    assert found
    return json.loads(found[1])


def test_a_page_of_the_recording_is_written_here_and_its_name_printed(
    run_tercet: Run, model: Any, yard: Any
) -> None:
    ran = run_tercet("show", yard("in/yard.wav"))
    assert (0, "yard.html\n", "") == (ran.code, ran.out, ran.err)
    content = scene_in("yard.html")
    assert [[0.0, 1.5, "Come here."]] == content["segments"]
    assert ["Bark"] == [lane["label"] for lane in content["lanes"]]
    assert list(range(20)) == content["strip"]["codes"]
    assert "<title>yard.wav</title>" in Path("yard.html").read_text()
    assert ["in", "yard.html"] == sorted(path.name for path in Path().iterdir())


def test_only_the_stretch_that_is_shown_is_heard(run_tercet: Run, model: Any, yard: Any) -> None:
    ran = run_tercet("show", yard(seconds=90), "--from", "0:30", "--to", "1:10.5")
    assert (0, "") == (ran.code, ran.err)
    ((samples, rate_hz),) = model.given
    assert (round(40.5 * 16000), 16000) == (samples.size, rate_hz)
    assert samples[:800].tolist() == ((30 * 16000 + np.arange(800)) % 800 * 40 / 32768).tolist()
    assert (30.0, 40.5) == (scene_in("yard.html")["offset"], scene_in("yard.html")["duration"])


def test_of_a_long_recording_two_minutes_are_shown_and_told(
    run_tercet: Run, model: Any, yard: Any
) -> None:
    ran = run_tercet("show", yard(seconds=150))
    assert (
        "note: yard.wav: 0:00 to 2:00 of 2:30 is shown; --from and --to choose another part\n"
        == (ran.err)
    )
    assert 120.0 == scene_in("yard.html")["duration"]
    assert "" == run_tercet("show", "yard.wav", "--force", "--quiet").err


@pytest.mark.parametrize("extension", ["png", "svg"])
def test_a_picture_has_the_width_and_title_that_were_asked_for(
    run_tercet: Run, model: Any, yard: Any, extension: str
) -> None:
    pytest.importorskip("matplotlib")
    words = ["--output", f"out.{extension}", "--width", "640", "--title", "In the yard"]
    ran = run_tercet("show", yard(), *words)
    assert (0, f"out.{extension}\n") == (ran.code, ran.out)
    content = Path(f"out.{extension}").read_bytes()
    if extension == "png":
        assert (640).to_bytes(4, "big") == content[16:20]
    else:
        assert b"In the yard" in content
        assert b'viewBox="0 0 460.8 ' in content  # 640 pixels in points


def test_the_model_is_loaded_with_its_options(run_tercet: Run, model: Any, yard: Any) -> None:
    words = [
        "--tags",
        "a.safetensors",
        "--tokens",
        "b.safetensors",
        "--model",
        "tiny",
        "--threads",
        "1",
    ]
    assert 0 == run_tercet("show", yard(), *words).code
    ((name, options),) = model.loaded
    assert ("tiny", "a.safetensors", "b.safetensors", 1) == (
        name,
        *(options[key] for key in ("tags", "tokens", "threads")),
    )


def test_a_finished_json_needs_no_model_and_finds_its_recording(
    run_tercet: Run, model: Any, yard: Any, hear: Any, say: Any
) -> None:
    yard("talk.mp3.wav")
    Path("talk.mp3.json").write_text(json.dumps(hear(say("Heard before.")).to_json()))
    ran = run_tercet("show", "talk.mp3.json")
    assert (0, "talk.mp3.html\n", []) == (ran.code, ran.out, model.loaded)
    assert [[0.0, 1.5, "Heard before."]] == scene_in("talk.mp3.html")["segments"]


def test_a_json_and_its_recording_can_be_named_both(
    run_tercet: Run, model: Any, yard: Any, hear: Any, say: Any
) -> None:
    Path(yard("there/a.wav")).rename("b.wav")
    Path("a.json").write_text(json.dumps(hear(say("Heard before.")).to_json()))
    for files in (["a.json", "b.wav"], ["b.wav", "a.json"]):
        assert 0 == run_tercet("show", *files, "--force").code
        assert [[0.0, 1.5, "Heard before."]] == scene_in("b.html")["segments"]
    assert [] == model.loaded


def test_what_is_there_is_left_alone_without_force(run_tercet: Run, model: Any, yard: Any) -> None:
    yard()
    Path("yard.html").write_text("mine")
    ran = run_tercet("show", "yard.wav")
    assert (1, "", []) == (ran.code, ran.out, model.given)
    assert (
        "tercet: yard.html: is there already; choose another --output, or add --force\n" == ran.err
    )
    assert "mine" == Path("yard.html").read_text()
    assert 0 == run_tercet("show", "yard.wav", "--force").code
    assert "mine" != Path("yard.html").read_text()


@pytest.mark.parametrize(
    ("code", "expected", "words"),
    [
        (2, "does not end in .html, .png or .svg", ["yard.wav", "-o", "yard.jpg"]),
        (2, "--to 3 is not behind --from 3", ["yard.wav", "--from", "3", "--to", "3"]),
        (2, "a picture shows 600 s at most", ["yard.wav", "--to", "10:01"]),
        (2, "--from_s: 'noon' is not a time: seconds, 1:30", ["yard.wav", "--from", "noon"]),
        (2, "is 0:05.0 long", ["yard.wav", "--from", "7"]),
        (2, "--width has no effect on html", ["yard.wav", "--width", "900"]),
        (2, "--width: '99' is not a whole number from 400 to 4000", ["yard.wav", "--width", "99"]),
        (2, "from 400 to 4000", ["yard.wav", "-o", "a.svg", "--width", "4001"]),
        (2, "one picture shows one recording", ["yard.wav", "other.wav"]),
        (2, "no files", []),
        (2, "is what is to be shown", ["yard.html", "--force"]),
        (2, "--model has no effect: yard.json was heard before", ["yard.json", "--model", "tiny"]),
        (1, "there is no folder nowhere", ["yard.wav", "-o", "nowhere/a.html"]),
        (1, "a folder has this name", ["yard.wav", "-o", "folder.html", "--force"]),
        (1, "missing.wav", ["missing.wav"]),
        (1, "missing.json: no such file", ["missing.json"]),
        (1, "no recording lies beside it", ["lonely.json"]),
        (1, "2 recordings lie beside it", ["twice.json"]),
        (1, "is no result of tercet listen", ["yard.json"]),
    ],
)
def test_what_cannot_be_shown_is_one_line_and_nothing_is_written(
    run_tercet: Run, model: Any, yard: Any, code: int, expected: str, words: list[str]
) -> None:
    for name in ("yard.wav", "other.wav", "twice.wav", "twice.flac"):
        yard(name)
    for name in ("lonely.json", "twice.json", "yard.json"):
        Path(name).write_text("{}")
    Path("folder.html").mkdir()
    before = sorted(Path().iterdir())
    ran = run_tercet("show", *words)
    assert (code, "", 1) == (ran.code, ran.out, len(ran.err.splitlines()))
    assert expected in ran.err
    assert before == sorted(Path().iterdir())


def test_without_matplotlib_nothing_is_heard_for_a_png(
    run_tercet: Run, model: Any, yard: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tercet.picture.draw.find_spec", lambda name: None)
    ran = run_tercet("show", yard(), "-o", "a.png")
    assert (1, [], 1) == (ran.code, model.loaded, len(ran.err.splitlines()))
    assert 'pip install "tercet[eval]"' in ran.err
    assert 0 == run_tercet("show", "yard.wav").code


def test_a_full_disk_leaves_what_was_there(
    run_tercet: Run, model: Any, yard: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard()
    Path("yard.html").write_text("mine")

    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    ran = run_tercet("show", "yard.wav", "--force")
    assert (1, "tercet: yard.html: not written: no space left on device\n") == (ran.code, ran.err)
    assert ("mine", ["yard.html", "yard.wav"]) == (
        Path("yard.html").read_text(),
        sorted(path.name for path in Path().iterdir()),
    )


def test_a_model_that_is_not_there_is_a_usage_error(run_tercet: Run, model: Any, yard: Any) -> None:
    model.load_error = tercet.ModelNotFoundError("no-such: nowhere")
    ran = run_tercet("show", yard(), "--model", "no-such")
    assert (2, "tercet: no-such: nowhere\n") == (ran.code, ran.err)


def test_standard_input_can_be_shown(
    run_tercet: Run, model: Any, yard: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path(yard()).open() as file:
        monkeypatch.setattr("sys.stdin", file)
        ran = run_tercet("show", "-")
    assert (0, "stdin.html\n") == (ran.code, ran.out)
    assert 5.0 == scene_in("stdin.html")["duration"]
