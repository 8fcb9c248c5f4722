"""What is heard, kept, heard again or not, with a model that writes down how long and how loud a sound is."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet.dataset.manifests import Manifest, Row
from tercet.errors import DataError, OptionError, OutputError, UndecodableAudioError
from tercet.evaluate.text.hearing import TextSettings, hear_texts, key_of, rows_with_text
from tercet.evaluate.text.journal import HEARD, Journal, read_journal
from tercet.evaluate.text.latency import measure_latency
from tercet.results import Transcript


class FakeModel:
    """Its text is the number of samples in hundreds; `faults` names numbers of samples it fails at."""

    def __init__(self, faults: Sequence[int] = ()) -> None:
        self.faults = faults
        self.calls: list[tuple[list[int], dict[str, Any]]] = []
        self.levels: list[float] = []

    def transcribe_many(
        self, sounds: Sequence[np.ndarray], **options: Any
    ) -> Iterator[tuple[int, Any]]:
        self.calls.append(([sound.size for sound in sounds], options))
        for place, sound in reversed(list(enumerate(sounds))):
            self.levels.append(float(np.abs(sound).max()))
            if sound.size in self.faults:
                yield place, UndecodableAudioError(f"{sound.size} cannot be heard")
                continue
            told = Transcript(
                text=f" {sound.size // 100} ",
                segments=(),
                language=options["language"] or "und",
                language_probability=None,
                duration_s=sound.size / 16000,
            )
            yield place, told


@pytest.fixture
def make_row(tmp_path: Path, write_wav: Callable[..., None]) -> Callable[..., Row]:
    def make(name: str, n_samples: int, **fields: Any) -> Row:
        tone = 0.1 * np.sin(np.arange(n_samples) / 8)
        write_wav(tmp_path / f"{name}.wav", tone)
        return Row(audio=tmp_path / f"{name}.wav", **({"text": name} | fields))

    return make


@pytest.fixture
def rows(make_row: Callable[..., Row]) -> list[Row]:
    return [
        make_row("a", 1600, language="de", speaker="x"),
        make_row("b", 3200, speaker="y", extra={"room": "hall"}),
        make_row("c", 4800, language="de"),
    ]


def hear(model: Any, rows: Sequence[Row], journal: Journal | None = None, **how: Any) -> list[Any]:
    fields = how.pop("fields", ())
    return hear_texts(model, rows, TextSettings(**how), journal or Journal(None, {}), fields=fields)


def test_every_row_gets_its_text_whatever_the_order(rows: list[Row]) -> None:
    model = FakeModel()
    heard = hear(model, rows, fields=("speaker", "room"))
    assert ["16", "32", "48"] == [each.text for each in heard]
    assert ["a", "b", "c"] == [each.reference for each in heard]
    assert ["de", "und", "de"] == [each.language for each in heard]
    assert pytest.approx([0.1, 0.2, 0.3]) == [each.duration_s for each in heard]
    assert {"speaker": "y", "room": "hall"} == heard[1].fields
    assert all(each.took_s > 0 for each in heard)


def test_rows_of_a_language_are_heard_together_after_a_warm_up(rows: list[Row]) -> None:
    model = FakeModel()
    hear(model, rows)
    assert [[1600], [1600, 4800], [3200]] == [sizes for sizes, _ in model.calls]
    assert ["de", "de", None] == [options["language"] for _, options in model.calls]


def test_settings_reach_the_model(rows: list[Row]) -> None:
    model = FakeModel()
    hear(model, rows, language="fr", task="translate", fallback=True)
    options = model.calls[0][1]
    assert ("fr", "translate", "parallel") == tuple(
        options[name] for name in ("language", "task", "longform")
    )
    assert 1 < len(options["temperature"])
    hear(model, rows)
    assert (0.0,) == model.calls[-1][1]["temperature"]


def test_noise_is_a_further_level_and_louder_at_lower_ratios(rows: list[Row]) -> None:
    model = FakeModel()
    heard = hear(model, rows[:2], noises=("white",), snrs_db=(20.0, -20.0), language="en")
    assert [("", None)] * 2 + [("white", 20.0)] * 2 + [("white", -20.0)] * 2 == [
        (each.noise, each.snr_db) for each in heard
    ]
    clean, quiet, loud = (max(model.levels[at : at + 2]) for at in (1, 3, 5))
    assert clean < quiet < loud


def test_babble_needs_somebody_else(rows: list[Row]) -> None:
    with pytest.raises(DataError, match=r"babble needs a second row"):
        hear(FakeModel(), rows[:1], noises=("babble",), snrs_db=(0.0,))


def test_a_recording_that_cannot_be_heard_is_an_error(rows: list[Row]) -> None:
    with pytest.raises(UndecodableAudioError, match=r"4800 cannot be heard"):
        hear(FakeModel([4800]), rows)


def test_nothing_is_heard_twice(rows: list[Row], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with pytest.raises(UndecodableAudioError):
        hear(FakeModel([3200]), rows, Journal(folder, {"model": "m"}))
    assert {"16", "48"} == {each.text for each in read_journal(folder)[1]}
    second = FakeModel()
    heard = hear(second, rows, Journal(folder, {"model": "m"}))
    assert ["16", "32", "48"] == [each.text for each in heard]
    assert [[3200], [3200]] == [sizes for sizes, _ in second.calls]  # warm-up, and what was missing
    third = FakeModel()
    hear(third, rows, Journal(folder, {"model": "m"}))
    assert [] == third.calls


def test_a_torn_line_is_heard_again(rows: list[Row], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    hear(FakeModel(), rows, Journal(folder, {}))
    path = folder / HEARD
    path.write_bytes(path.read_bytes()[:-10])  # a kill in the middle of a write
    model = FakeModel()
    hear(model, rows, Journal(folder, {}))
    assert 1 == sum(len(sizes) for sizes, _ in model.calls[1:])
    assert 3 == len(read_journal(folder)[1])


def test_a_damaged_line_is_named(rows: list[Row], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    hear(FakeModel(), rows, Journal(folder, {}))
    lines = (folder / HEARD).read_text().splitlines()
    (folder / HEARD).write_text("\n".join([lines[0], "{broken", lines[2]]) + "\n")
    with pytest.raises(DataError, match=r"heard\.jsonl: line 2 is damaged"):
        Journal(folder, {})


def test_other_settings_are_refused(tmp_path: Path) -> None:
    Journal(tmp_path / "out", {"model": "base", "snrs_db": (1.0,)})
    Journal(tmp_path / "out", {"model": "base", "snrs_db": (1.0,)})
    with pytest.raises(OptionError, match=r"was heard with model 'base', not 'small'"):
        Journal(tmp_path / "out", {"model": "small", "snrs_db": (1.0,)})


def test_a_folder_without_settings_is_not_a_journal(tmp_path: Path) -> None:
    (tmp_path / HEARD).write_text("")
    with pytest.raises(DataError, match=r"has no settings\.json"):
        Journal(tmp_path, {})
    with pytest.raises(DataError, match=r"holds nothing that tercet eval text --out wrote"):
        read_journal(tmp_path / "gone")


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file: cannot be written .*the same command goes on"):
        Journal(tmp_path / "file", {})


def test_a_full_disk_keeps_what_was_heard(
    rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "out", {})
    hear(FakeModel(), rows[:1], journal)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match=r"No space left on device"):
        hear(FakeModel(), rows, journal)
    assert "16" == read_journal(tmp_path / "out")[1][0].text


def test_keys_are_of_the_recording_and_not_of_its_folder() -> None:
    one = Row(audio=Path("/a/b/c.wav"), start_s=1.5, duration_s=2.0)
    other = Row(audio=Path("/x/b/c.wav"), start_s=1.5, duration_s=2.0)
    assert key_of(one) == key_of(other)
    assert 4 == len(
        {
            key_of(one),
            key_of(one, "white", 5.0),
            key_of(one, "white", 0.0),
            key_of(one, "babble", 0.0),
        }
    )
    assert key_of(one) != key_of(Row(audio=Path("/a/b/c.wav"), start_s=2.5, duration_s=2.0))


def test_rows_without_a_text_are_left_out(rows: list[Row]) -> None:
    silent = Row(audio=rows[0].audio)
    assert (rows[1],) == rows_with_text(Manifest(Path("m"), (silent, rows[1])))
    with pytest.raises(DataError, match=r"no row has a text"):
        rows_with_text(Manifest(Path("m"), (silent,)))


def test_latency_is_told_for_each_size_of_batch(rows: list[Row]) -> None:
    model = FakeModel()
    one, two = measure_latency(model, rows, language="en", batches=(1, 2))
    assert (1, 3, 2, 3) == (one.batch, one.recordings, two.batch, two.recordings)
    assert one.median_s > 0
    assert one.rtfx > 0
    sizes = [sizes for sizes, _ in model.calls]
    # Each size begins with a warm-up: its first batch.
    assert [[1600], [1600], [3200], [4800], [1600, 3200], [1600, 3200], [4800]] == sizes
    assert all(options["without_timestamps"] for _, options in model.calls)


def test_a_journal_can_be_read_by_other_programs(rows: list[Row], tmp_path: Path) -> None:
    hear(FakeModel(), rows, Journal(tmp_path / "out", {"model": "m"}))
    lines = [json.loads(line) for line in (tmp_path / "out" / HEARD).read_text().splitlines()]
    assert {"a": "16", "b": "32", "c": "48"} == {each["reference"]: each["text"] for each in lines}
