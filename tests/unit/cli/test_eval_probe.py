"""`tercet eval probe` in this process, with an encoder of two layers, of which the second hears the pitch."""

import json
import wave
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tercet.evaluate.layers import probe_layers

Run = Callable[..., Any]
PERIODS = {"Bell": 8, "Cat": 40, "Dog": 200}


def taps_of(samples: np.ndarray) -> np.ndarray:
    places = np.arange(samples.size)
    levels = [abs((samples * np.exp(2j * np.pi * places / p)).mean()) for p in PERIODS.values()]
    second = np.array([levels]) / max(*levels, 1e-9)
    return np.stack([np.zeros((1, 3)), second]).astype(np.float32)


class Listener:
    """Says "hello" to everything, "hello world" in German."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def transcribe_many(self, sounds: Any, **options: Any) -> Any:
        self.calls.append({"n": len(sounds), **options})
        text = "hello world" if options["language"] == "de" else "hello"
        return iter([(number, SimpleNamespace(text=text)) for number in range(len(sounds))])


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Listener:
    made = Listener()
    made.opened = []

    def open_tapped(name: str, **options: Any) -> Any:
        made.opened.append((name, options))
        return made, taps_of

    monkeypatch.setattr("tercet.evaluate.tapped_model.open_tapped", open_tapped)
    return made


@pytest.fixture
def sines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sounds.jsonl (three classes, two folds, three parts) and speech.jsonl in the working folder."""
    monkeypatch.chdir(tmp_path)
    sounds = [
        {"audio": sine(f"{name}{n}.wav", period), "labels": [name], "fold": n, "part": part}
        for n, part in enumerate(("test", "train"))
        for name, period in PERIODS.items()
    ]
    speech = [
        {"audio": sine(f"s{n}.wav", 20), "text": "hello world", "speaker": str(n)} for n in range(3)
    ]
    for file, rows in (("sounds.jsonl", sounds), ("speech.jsonl", speech)):
        Path(file).write_text("".join(json.dumps(row) + "\n" for row in rows))


def sine(name: str, period: int) -> str:
    with wave.open(name, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        samples = 3000 * np.sin(2 * np.pi * np.arange(2000) / period)
        file.writeframes(samples.astype("<i2").tobytes())
    return name


def figures(ran: Any) -> dict[str, Any]:
    assert (0, "") == (ran.code, ran.err)
    told: dict[str, Any] = json.loads(ran.out)
    return told


@pytest.fixture
def probe(run_tercet: Run, listener: Listener, sines: None) -> Callable[..., dict[str, Any]]:
    """`probe(words..)`: the JSON of `tercet eval probe`."""
    return lambda *words: figures(run_tercet("eval", "probe", "sounds.jsonl", "-f", "json", *words))


@pytest.fixture
def noisy(probe: Any) -> Callable[..., dict[str, Any]]:
    """The same with speech: the figures of noise levels."""
    pytest.importorskip("jiwer")
    pytest.importorskip("whisper_normalizer")
    return lambda *words: probe("--speech", "speech.jsonl", *words)["noisy_speech"]


def test_layers_are_probed_and_printed(run_tercet: Run, listener: Listener, sines: None) -> None:
    ran = run_tercet(
        "eval", "probe", "sounds.jsonl", "--threads", "1", "--model", "tiny", "--device", "cpu"
    )
    assert (0, "") == (ran.code, ran.err)
    assert (
        "2       100.0 %        3 ########################################" in ran.out.splitlines()
    )
    given = {"device": "cpu", "compute_type": "auto", "engine": "auto", "threads": 1}
    assert [("tiny", given)] == listener.opened
    assert 0 == run_tercet("eval", "probe", "sounds.jsonl", "--adapter", "lora", "--quiet").code
    assert "lora" == listener.opened[-1][1]["adapter"]


@pytest.mark.option("--by")
@pytest.mark.option("--held_out")
@pytest.mark.parametrize(
    ("folds", "n", "words"),
    [
        (["0", "1"], 6, []),
        (["1"], 3, ["--held_out", "1"]),
        (["test", "train"], 6, ["--by", "part"]),
        (["test"], 3, ["--by", "part", "--held_out", "test"]),
    ],
)
def test_folds_are_held_out(probe: Any, folds: list[str], n: int, words: list[str]) -> None:
    told = probe(*words)
    assert (folds, n) == (told["held_out"], told["sounds"])


@pytest.mark.option("--l2")
def test_large_weights_cost_what_is_asked(probe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = []

    def remember(*args: Any, **options: Any) -> Any:
        found = probe_layers(*args, **options)
        weights.append(np.abs(found.probes["0"][1].weight).max())
        return found

    monkeypatch.setattr("tercet.evaluate.layers.probe_layers", remember)
    probe()
    probe("--l2", "100")
    assert weights[1] < weights[0] / 100


@pytest.mark.option("--speech")
@pytest.mark.option("--utterances")
@pytest.mark.option("--speech_where")
@pytest.mark.parametrize(
    ("n", "words"), [(3, []), (2, ["--utterances", "2"]), (1, ["--speech_where", "speaker=2"])]
)
def test_speech_is_mixed_with_the_sounds(noisy: Any, n: int, words: list[str]) -> None:
    told = noisy(*words)
    assert (n, 0.5, 9) == (told["utterances"], told["clean_wer"], len(told["levels"]))
    assert 2 == told["layer"]


def test_the_levels_are_whisper_ats_or_those_that_are_named(noisy: Any) -> None:
    levels = [each["snr_db"] for each in noisy()["levels"]]
    assert [20, 15, 10, 5, 0, -5, -10, -15, -20] == levels
    assert [30, -7.5] == [each["snr_db"] for each in noisy("--snr_db", "30,-7.5")["levels"]]


def test_language_and_fallback_of_the_speech_reach_the_model(
    noisy: Any, listener: Listener
) -> None:
    assert 0.0 == noisy("--language", "de", "--snr_db", "0", "--fallback")["clean_wer"]
    assert {("de", 6)} == {(call["language"], len(call["temperature"])) for call in listener.calls}


@pytest.mark.option("--plot")
@pytest.mark.option("--force")
def test_a_picture_is_drawn_and_replaced_only_if_asked(
    run_tercet: Run, listener: Listener, sines: None
) -> None:
    pytest.importorskip("matplotlib")
    words = ["eval", "probe", "sounds.jsonl", "--plot", "probe.svg"]
    assert 0 == run_tercet(*words).code
    small = Path("probe.svg").read_text()
    assert "<svg" in small
    ran = run_tercet(*words)
    assert 1 == ran.code
    assert "probe.svg: is there already; choose another name, or give --force" in ran.err
    with_speech = ["--speech", "speech.jsonl", "--snr_db", "0,-10", "--force"]
    assert 0 == run_tercet(*words, *with_speech).code
    assert len(small) < len(Path("probe.svg").read_text())
    assert ["probe.svg"] == [path.name for path in Path().glob("*probe*")]


@pytest.mark.parametrize(
    ("code", "words", "argv"),
    [
        (2, "--l2 0: give a number over 0", ["--l2", "0"]),
        (2, "--utterances 0: give 1 or more", ["--utterances", "0"]),
        (2, "--speech_where chooses rows of --speech", ["--speech_where", "speaker=1"]),
        (2, "--plot x.pdf: give a name that ends in .svg or .png", ["--plot", "x.pdf"]),
        (2, "--snr_db 'loud': give numbers", ["--speech", "speech.jsonl", "--snr_db", "loud"]),
        (1, "held out: no row in 9; there are 0, 1", ["--held_out", "9"]),
        (1, "no row has a field 'split'; name the one with --by", ["--by", "split"]),
        (1, "none.csv: no such manifest", ["--speech", "none.csv"]),
        (1, "sounds.jsonl: no row has a text", ["--speech", "sounds.jsonl"]),
        (1, "1 class among rows with one label", ["--where", "name=Bell*"]),
    ],
)
def test_what_cannot_be_probed_is_one_line(
    run_tercet: Run, listener: Listener, sines: None, code: int, words: str, argv: list[str]
) -> None:
    ran = run_tercet("eval", "probe", "sounds.jsonl", *argv)
    assert (code, "", 1) == (ran.code, ran.out, len(ran.err.splitlines())), ran.err
    assert words in ran.err
