"""Speech and sounds in all ratios, with a model that loses a word where the sound is too loud for it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tercet.dataset.manifests import Manifest, Row
from tercet.errors import DataError, UndecodableAudioError
from tercet.evaluate.layers import hear_sounds, probe_layers
from tercet.evaluate.mixing import rms
from tercet.evaluate.noisy_speech import NoisyFigures, NoisySettings, hear_noisy_speech
from tercet.evaluate.probe_report import ProbeReport
from tercet.evaluate.word_errors import WordErrors

pytest.importorskip("jiwer")
pytest.importorskip("whisper_normalizer")
PERIODS = {"Bell": 8, "Cat": 40, "Dog": 200}
SPEECH_PERIOD = 20
MakeRow = Callable[..., Row]


def share_at(samples: np.ndarray, period: int) -> float:
    """How loud the sine of a period is among the samples."""
    wave = np.exp(2j * np.pi * np.arange(samples.size) / period)
    return float(np.abs((samples * wave).mean())) * 2


def taps_of(samples: np.ndarray) -> np.ndarray:
    """Layer 1 hears nothing; layer 2 hears how loud each class's sine is, by the loudest of them."""
    levels = np.array([share_at(samples, period) for period in PERIODS.values()])
    return np.stack([np.zeros((1, 3)), levels[None] / max(levels.max(), 1e-9)]).astype(np.float32)


class FakeModel:
    """Hears "hello world", and of it "hello" where anything but the speech is as loud as it."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.error: Exception | None = None

    def transcribe_many(
        self, sounds: Sequence[np.ndarray], **options: Any
    ) -> Iterator[tuple[int, Any]]:
        self.calls.append({"n": len(sounds), **options})
        for number in reversed(range(len(sounds))):
            speech = share_at(sounds[number], SPEECH_PERIOD) / 2**0.5
            rest = max(0.0, rms(sounds[number]) ** 2 - speech**2) ** 0.5
            text = " hello" if rest > 0.99 * speech else " hello world"
            yield number, self.error or SimpleNamespace(text=text)


@pytest.fixture
def speech(sound_row: MakeRow) -> Manifest:
    rows = tuple(sound_row(f"s{n}", 4000, text="Hello, world!") for n in (2, 1, 0))
    return Manifest(Path("speech.csv"), (*rows, sound_row("s3", 4000)))


@pytest.fixture
def sounds(sound_file: Callable[..., Path]) -> Manifest:
    rows = [
        Row(audio=sound_file(f"{name}{n}", 1000 * (n + 1), 0.3, period), labels=(name,), extra={"fold": n})
        for n in range(2)
        for name, period in PERIODS.items()
    ]  # fmt: skip
    return Manifest(Path("sounds.csv"), tuple(rows))


@pytest.fixture
def hear(speech: Manifest, sounds: Manifest) -> Callable[..., NoisyFigures]:
    def run(
        settings: NoisySettings, *, model: FakeModel | None = None, **more: Any
    ) -> NoisyFigures:
        heard = hear_sounds(taps_of, sounds, by="fold")
        layers = probe_layers(heard, held_out=more.pop("held_out", ()))
        return hear_noisy_speech(
            model or FakeModel(), taps_of, speech, heard, layers, settings, **more  # type: ignore[arg-type]
        )  # fmt: skip

    return run


def test_words_are_lost_and_sounds_are_known_by_level(hear: Callable[..., NoisyFigures]) -> None:
    found = hear(NoisySettings(snrs_db=(10.0, -10.0)))
    assert (3, 2, 0.0) == (found.utterances, found.layer, found.clean.rate)
    assert (0.0, 0.5) == (found.word_error_rate(10.0), found.word_error_rate(-10.0))
    assert {"Bell": 0.5, "Cat": 0.5, "Dog": 0.5} == found.words_lost
    assert (1.0, 1.0) == (found.accuracy(10.0), found.accuracy(-10.0))
    assert 6 == found.words["Cat", -10.0].words


def test_the_first_utterances_by_path_are_taken(hear: Callable[..., NoisyFigures]) -> None:
    model = FakeModel()
    assert 2 == hear(NoisySettings(snrs_db=(0.0,), utterances=2), model=model).utterances
    assert {2} == {call["n"] for call in model.calls}


def test_language_and_temperature_reach_the_model(hear: Callable[..., NoisyFigures]) -> None:
    for fallback, temperature in ((False, (0.0,)), (True, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0))):
        model = FakeModel()
        hear(NoisySettings(snrs_db=(0.0,), language="de", fallback=fallback), model=model)
        assert {("de", temperature)} == {
            (call["language"], call["temperature"]) for call in model.calls
        }


def test_a_sounds_own_fold_is_left_out_of_the_probe_that_is_asked(
    hear: Callable[..., NoisyFigures], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[str]()

    def samples_of(row: Row) -> np.ndarray:
        asked.append(row.audio.stem)
        return np.full(1000, 0.1, np.float32)

    monkeypatch.setattr("tercet.evaluate.noisy_speech.samples_of", samples_of)
    hear(NoisySettings(snrs_db=(0.0,)), held_out=("1",))
    assert ["Bell1", "Cat1", "Dog1"] == sorted(set(asked) - {"s0", "s1", "s2"})


def test_progress_ends_where_all_is_done(hear: Callable[..., NoisyFigures]) -> None:
    told = list[tuple[int, int]]()
    hear(NoisySettings(snrs_db=(0.0, 5.0)), on_progress=lambda n, of: told.append((n, of)))
    assert (39, 39) == told[-1]  # 3 utterances: clean, then twice for each of 6 sets


def figures(lost: list[float], f1: list[float], snrs: tuple[float, ...]) -> NoisyFigures:
    def words(errors: float) -> WordErrors:
        return WordErrors(
            utterances=1, words=100, substitutions=round(errors), deletions=0, insertions=0,
            mean_rate=0.0, ichigo_rate=0.0,
        )  # fmt: skip

    names = tuple(f"class {n}" for n in range(len(lost)))
    levels = {
        (name, snr): words(each if snr == min(snrs) else 0) for name, each in zip(names, lost, strict=True)
        for snr in snrs
    }  # fmt: skip
    return NoisyFigures(
        names=names, snrs_db=snrs, utterances=1, layer=1, clean=words(0), words=levels,
        known=dict.fromkeys(levels, 1), last_layer_f1=dict(zip(names, f1, strict=True)),
    )  # fmt: skip


def test_what_a_class_does_to_words_is_set_against_how_well_it_is_known() -> None:
    found = figures([10, 20, 30], [0.9, 0.8, 0.7], (20.0, 0.0, -10.0))
    assert (-10.0, 20.0) == found.lost_between_db
    assert pytest.approx(-1.0) == found.correlation
    assert (5.0, 15.0) == figures([1, 2, 3], [1, 1, 0], (15.0, 5.0)).lost_between_db
    assert figures([1, 2], [1, 0], (15.0, 5.0)).correlation is None
    assert figures([1, 2, 3], [1, 1, 1], (15.0, 5.0)).correlation is None


def test_the_lines_and_the_json_hold_the_figures(
    hear: Callable[..., NoisyFigures], sounds: Manifest
) -> None:
    layers = probe_layers(hear_sounds(taps_of, sounds, by="fold"))
    report = ProbeReport(layers=layers, noisy=hear(NoisySettings(snrs_db=(10.0, -10.0))))
    lines = report.lines()
    assert "sounds               6 of 3 classes" == lines[0]
    assert "WER, %                       10 dB  -10 dB" in lines
    assert "all                            0.0    50.0" in lines
    told = report.to_json()
    assert [0, 3] == told["histogram"]
    assert ["1", "2", "mean"] == [each["layer"] for each in told["layers"]]
    quiet = told["noisy_speech"]["levels"][1]
    assert (-10.0, 0.5, 1.0) == (quiet["snr_db"], quiet["wer"], quiet["accuracy"])
    assert {"from_db": 10.0, "to_db": -10.0} == {
        key: told["noisy_speech"]["words_lost"][key] for key in ("from_db", "to_db")
    }


def test_texts_without_a_word_are_refused(sounds: Manifest, sound_row: MakeRow) -> None:
    heard = hear_sounds(taps_of, sounds, by="fold")
    speech = Manifest(Path("speech.csv"), (sound_row("s0", 4000, text="[noise]"),))
    with pytest.raises(DataError, match=r"speech\.csv: no text has a word once it is normalised"):
        hear_noisy_speech(FakeModel(), taps_of, speech, heard, probe_layers(heard))  # type: ignore[arg-type]


def test_what_cannot_be_mixed_is_one_line(
    hear: Callable[..., NoisyFigures],
    speech: Manifest,
    sounds: Manifest,
    sound_file: Callable[..., Path],
) -> None:
    sound_file("Dog0", 1000, 0.0)
    with pytest.raises(DataError, match=r"Dog0\.wav: is silent; leave it out of the manifest"):
        hear(NoisySettings(snrs_db=(0.0,)))
    model = FakeModel()
    model.error = UndecodableAudioError("x")
    sound_file("Dog0", 1000, 0.1, PERIODS["Dog"])
    with pytest.raises(UndecodableAudioError):
        hear(NoisySettings(snrs_db=(0.0,)), model=model)
