from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet.dataset.manifests import Manifest, Row
from tercet.errors import DataError
from tercet.evaluate.tags import TagReport, evaluate_tags
from tercet.results import SoundEvent, SoundEvents

LABELS = ("Speech", "Dog", "Rain")
Told = dict[str, tuple[list[list[float]], list[tuple[float, float, str]]]]


class FakeModel:
    """Has heard frames and events by the recording's name."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self.asked: list[Any] = []

    def tag(self, audio: Any, **options: Any) -> SoundEvents:
        self.asked.append((audio, options))
        name = audio.stem if isinstance(audio, Path) else f"{audio.size} samples"
        frames, events = self._told[name]
        found = tuple(
            SoundEvent(start_s=a, end_s=b, label=label, score=0.9, label_id=LABELS.index(label))
            for a, b, label in events
        )
        return SoundEvents(
            events=found, frames=np.array(frames, np.float32), labels=LABELS, duration_s=5.0
        )


@pytest.fixture
def evaluate() -> Callable[..., TagReport]:
    def run(told: Told, rows: list[Row], **options: Any) -> TagReport:
        model = FakeModel(told)
        return evaluate_tags(model, Manifest(Path("m.csv"), tuple(rows)), **options)  # type: ignore[arg-type]

    return run


def row(name: str, **told: Any) -> Row:
    return Row(audio=Path(f"{name}.wav"), **told)


TOLD: Told = {
    "bark": ([[0.0, 0.9, 0.1], [0.0, 0.1, 0.1]], [(0.0, 0.4, "Dog")]),
    "shower": ([[0.2, 0.6, 0.5], [0.2, 0.1, 0.5]], []),
    "talk": ([[0.9, 0.0, 0.0]], [(0.0, 3.0, "Speech")]),
    "cry": ([[0.8, 0.3, 0.1]], [(0.0, 0.4, "Speech")]),
}


def test_clips_give_accuracy_and_figures_by_label(evaluate: Callable[..., TagReport]) -> None:
    rows = [
        row("bark", labels=("Dog",)),
        row("shower", labels=("Rain",)),
        row("talk", text="hello"),
        row("cry", extra={"audioset_labels": ["Dog"]}),
    ]
    report = evaluate(TOLD, rows)
    assert (3, 4) == report.accuracy
    assert (("cry.wav", "Dog", "Speech"),) == report.wrong
    assert {"Speech": 1, "Dog": 2, "Rain": 1} == {
        label: each.recordings for label, each in report.by_label.items()
    }
    assert 1.0 == report.by_label["Rain"].auc
    # Dog's means are 0.5 and 0.3 against 0.35 and 0.0: one of four pairs is the wrong way round.
    assert 0.75 == report.by_label["Dog"].auc
    assert 1 == report.by_label["Dog"].right
    assert (1, 1) == report.speech_found
    assert (1, 3) == report.speech_falsely


def test_the_highest_is_looked_for_among_the_manifests_labels_and_among_all(
    evaluate: Callable[..., TagReport],
) -> None:
    # "cry" has Speech 0.8, Dog 0.3, Rain 0.1; nothing in the manifest is called Speech.
    report = evaluate(TOLD, [row("cry", labels=("Dog",)), row("shower", labels=("Rain",))])
    assert ((2, 2), (1, 2)) == (report.accuracy, report.accuracy_of_all)
    assert () == report.wrong
    assert "accuracy             2 of 2 (100.0 %)" in report.lines()
    assert "  of all 3 labels     1 of 2 (50.0 %)" in report.lines()
    assert [1, 2] == report.to_json()["accuracy_of_all"]


def test_a_clips_score_may_be_its_highest_frame(evaluate: Callable[..., TagReport]) -> None:
    rows = [row("bark", labels=("Dog",)), row("shower", labels=("Rain",))]
    assert (2, 2) == evaluate(TOLD, rows).accuracy
    assert (1, 2) == evaluate(TOLD, rows, clip_score="max").accuracy


def test_events_give_f1_and_onset_errors(evaluate: Callable[..., TagReport]) -> None:
    rows = [
        row("bark", events=((0.3, 0.6, "Dog"),)),
        row("talk", events=((0.5, 3.0, "Speech"), (1.0, 2.0, "Rain"))),
    ]
    report = evaluate(TOLD, rows, collar_s=0.4)
    assert report.events is not None
    assert (1, 2, 3) == (
        report.events.counts.matched,
        report.events.counts.found,
        report.events.counts.true,
    )
    assert pytest.approx([0.3, 0.5]) == np.abs(report.events.onset_errors_s)
    assert (1, 1) == report.speech_found  # events say what is heard, too
    told = report.to_json()
    assert (0.4, 0.4) == (told["events"]["collar_s"], told["events"]["median_onset_error_s"])
    by_label = told["events"]["by_label"]
    assert (1, 1, 1, 1.0) == tuple(
        by_label["Dog"][key] for key in ("matched", "found", "true", "f1")
    )
    assert [0.3, 0.5, None] == [
        by_label[label]["median_onset_error_s"] for label in ("Dog", "Speech", "Rain")
    ]
    assert f"{'Speech':<38} 1     1  0.000       0.50 s" in report.lines()
    assert f"{'Rain':<38} 1     0  0.000" in report.lines()


def test_labels_that_the_head_does_not_know_are_named_and_left_out(
    evaluate: Callable[..., TagReport],
) -> None:
    report = evaluate(TOLD, [row("bark", labels=("Gong",)), row("cry", labels=("Dog",))])
    assert ("Gong",) == report.unknown
    assert (0, 1) == report.accuracy_of_all
    assert "not this head's      Gong" in report.lines()


def test_a_part_of_a_recording_is_heard_by_itself(
    sine_file: Path, evaluate: Callable[..., TagReport]
) -> None:
    told: Told = {"8000 samples": TOLD["bark"]}
    part = Row(audio=sine_file, start_s=0.25, duration_s=0.5, labels=("Dog",))
    assert (1, 1) == evaluate(told, [part]).accuracy


def test_options_reach_the_model_and_progress_is_told() -> None:
    model, done = FakeModel(TOLD), []
    manifest = Manifest(Path("m.csv"), (row("bark", labels=("Dog",)),) * 2)
    evaluate_tags(
        model,  # type: ignore[arg-type]
        manifest,
        on_progress=lambda n, of: done.append((n, of)),
        threshold=0.7,
    )
    assert [(1, 2), (2, 2)] == done
    assert {"threshold": 0.7} == model.asked[0][1]


def test_a_manifest_without_labels_or_events_is_refused(evaluate: Callable[..., TagReport]) -> None:
    with pytest.raises(DataError, match=r"m\.csv: no row has labels or events"):
        evaluate(TOLD, [row("bark")])


@pytest.fixture
def sine_file(tmp_path: Path) -> Path:
    import wave

    samples = (3000 * np.sin(np.arange(32000) / 10)).astype("<i2")
    with wave.open(str(tmp_path / "sine.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(samples.tobytes())
    return tmp_path / "sine.wav"
