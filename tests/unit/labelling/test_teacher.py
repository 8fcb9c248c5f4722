"""A Whisper of random weights as teacher: what is in a label, and that company does not matter."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tercet.audio.windows import Window
from tercet.checkpoint.geometry import Geometry
from tercet.dataset.label_table import Label, Span
from tercet.dataset.manifests import Row
from tercet.errors import ModelNotFoundError
from tercet.labelling import teacher as teaching
from tercet.labelling.jobs import Job
from tercet.labelling.settings import LabelSettings, settings_hash
from tercet.labelling.teacher import LabelTeacher, decoder_digest
from tercet.labelling.windows import LabelWindow

GEOMETRY = Geometry(
    n_mels=80,
    width=32,
    encoder_layers=1,
    encoder_heads=2,
    decoder_layers=1,
    decoder_heads=2,
    vocab_size=51865,
)
SETTINGS = LabelSettings(temperatures=(0.0,), language="en", compute_type="float32")
Open = Callable[..., LabelTeacher]


@pytest.fixture
def open_teacher(
    random_checkpoint: Callable[..., Any],
    byte_tokenizer: Callable[[int], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Open:
    checkpoint = random_checkpoint(GEOMETRY)
    monkeypatch.setattr(teaching, "find_model", lambda name: Path(name))
    monkeypatch.setattr(teaching, "open_checkpoint", lambda path: checkpoint)
    monkeypatch.setattr(
        teaching, "tokenizer_of", lambda checkpoint: byte_tokenizer(GEOMETRY.vocab_size)
    )
    return lambda **changes: LabelTeacher(replace(SETTINGS, **changes), threads=1)


def window_of(
    name: str, seed: int, *, seconds: float = 3.0, speaks: bool = True, language: str | None = None
) -> LabelWindow:
    rng = np.random.default_rng(seed)
    samples = (0.1 * rng.normal(size=round(16000 * seconds))).astype(np.float32)
    speech = ((1600, samples.size - 1600),) if speaks else ()
    row = Row(audio=Path(f"/data/{name}.wav"), language=language, extra={"domain": "noise"})
    return LabelWindow(
        id=name,
        job=Job(name, (row,), is_one_window=True, speaker="s"),
        window=Window(0, samples, "end", speech, None),
        spans=(Span(str(row.audio), 0.0, seconds, 0.0),),
        previous="before",
        is_last=True,
        reference="what was said",
        reference_of="window",
    )


def written(teacher: LabelTeacher, *windows: LabelWindow, batch_size: int = 8) -> list[Label]:
    return teacher.write([teacher.hear(each) for each in windows], batch_size=batch_size)


def test_a_label_says_what_was_heard_and_by_whom(open_teacher: Open) -> None:
    teacher = open_teacher()
    [label] = written(teacher, window_of("a", 1))
    assert ("a", "a", True, "s", "before", "en", "end") == (
        label.id,
        label.recording,
        label.is_last,
        label.speaker,
        label.previous,
        label.language,
        label.cut,
    )
    assert (3.0, 2.8) == pytest.approx((label.duration_s, label.speech_s))
    assert len(label.text_ids) > 0
    assert label.text_ids[0] >= 50364  # a timestamp, as there is no <|notimestamps|>
    assert label.avg_logprob < 0
    assert 0 < label.no_speech_prob < 1
    assert ("what was said", {"domain": "noise"}) == (label.reference, dict(label.extra))
    assert settings_hash(teacher.told) == label.settings
    assert 64 == len(label.encoder)
    for segment in label.segments:
        assert 0 <= segment.start_s <= segment.end_s <= 3.0


def test_a_window_without_speech_is_not_written_down(open_teacher: Open) -> None:
    teacher = open_teacher()
    assert teacher.hear(window_of("a", 1, speaks=False)).states is None
    [label] = written(teacher, window_of("a", 1, speaks=False))
    assert ("", (), (), 0.0) == (label.text, label.text_ids, label.segments, label.speech_s)
    assert not label.is_cut_off


def test_text_that_fills_the_room_is_cut_off(open_teacher: Open) -> None:
    [label] = written(open_teacher(), window_of("a", 1))
    assert label.is_cut_off == (len(label.text_ids) >= GEOMETRY.n_text_ctx // 2)
    assert label.is_cut_off  # random weights never end


def test_labels_do_not_depend_on_company_or_batch(open_teacher: Open) -> None:
    teacher = open_teacher()
    windows = [window_of(name, n, seconds=2.0 + n) for n, name in enumerate("abc")]
    alone = [written(teacher, each)[0] for each in windows]
    assert alone == written(teacher, *windows, batch_size=2)
    assert alone[::-1] == written(teacher, *windows[::-1], batch_size=8)


def test_without_timestamps_none_is_asked_for(open_teacher: Open) -> None:
    [timed] = written(open_teacher(), window_of("a", 1))
    [plain] = written(open_teacher(without_timestamps=True), window_of("a", 1))
    assert timed.text_ids != plain.text_ids
    assert plain.text_ids[0] < 50364  # where timestamps are wanted, the first one is compulsory


def test_a_rows_language_goes_before_the_settings_and_that_before_what_is_heard(
    open_teacher: Open,
) -> None:
    teacher = open_teacher()
    labels = written(teacher, window_of("a", 1, language="de"), window_of("b", 1))
    assert [("de", None), ("en", None)] == [
        (each.language, each.language_probability) for each in labels
    ]
    [heard] = written(open_teacher(language=None), window_of("a", 1))
    assert heard.language_probability is not None


def test_a_recordings_language_is_heard_in_its_first_window(open_teacher: Open) -> None:
    teacher = open_teacher(language=None)
    long = Job("r", (Row(audio=Path("/data/r.wav")),), is_one_window=False, speaker=None)
    windows = [replace(window_of(f"r-{n}", n), job=long) for n in range(3)]
    first, *others = written(teacher, *windows)
    assert first.language_probability is not None
    assert [(first.language, None)] * 2 == [
        (each.language, each.language_probability) for each in others
    ]
    teacher.knows("r", "fi")
    assert {"fi"} == {each.language for each in written(teacher, *windows)}


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({"model": "elsewhere/base"}, False),
        ({"language": "de"}, True),
        ({"task": "translate"}, True),
        ({"gap_s": 0.3}, True),
        ({"temperatures": (0.0, 0.5)}, True),
    ],
)
def test_the_hash_tells_settings_apart(change: dict[str, Any], counts: bool) -> None:
    told = SETTINGS.told(encoder="e", decoder="d")
    changed = replace(SETTINGS, **change).told(encoder="e", decoder="d")
    assert counts == (settings_hash(told) != settings_hash(changed))
    assert settings_hash(told) != settings_hash({**told, "decoder": "x"})


def test_another_decoder_has_another_digest(random_checkpoint: Callable[..., Any]) -> None:
    assert decoder_digest(random_checkpoint(GEOMETRY)) == decoder_digest(
        random_checkpoint(GEOMETRY)
    )
    assert decoder_digest(random_checkpoint(GEOMETRY, 1)) != decoder_digest(
        random_checkpoint(GEOMETRY)
    )


def test_an_adapter_is_merged_and_counts_by_its_content(open_teacher: Open, tmp_path: Path) -> None:
    stem = "base_model.model.model.decoder.layers.0.fc1"

    def write(name: str, alpha: int) -> str:
        (tmp_path / name).mkdir(exist_ok=True)
        arrays = {
            f"{stem}.lora_A.weight": np.ones((2, 32), np.float32),
            f"{stem}.lora_B.weight": np.ones((128, 2), np.float32),
        }
        save_file(arrays, tmp_path / name / "adapter_model.safetensors")
        told = {"peft_type": "LORA", "r": 2, "lora_alpha": alpha}
        (tmp_path / name / "adapter_config.json").write_text(json.dumps(told))
        return str(tmp_path / name)

    plain = open_teacher()
    assert "adapter" not in plain.told  # labels that were made before there were adapters go on
    one = open_teacher(adapter=write("one", 2))
    window = window_of("a", 3)
    assert written(plain, window)[0].text_ids != written(one, window)[0].text_ids
    copy, other = open_teacher(adapter=write("copy", 2)), open_teacher(adapter=write("other", 9))
    hashes = [settings_hash(each.told) for each in (plain, one, copy, other)]
    assert hashes[1] == hashes[2]
    assert 3 == len(set(hashes))
    with pytest.raises(ModelNotFoundError, match="adapter 'nowhere'"):
        open_teacher(adapter="nowhere")
