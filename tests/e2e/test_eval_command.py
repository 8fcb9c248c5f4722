"""`tercet eval` with the shipped model on real clips: its figures are those of the Python calls."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tercet
from tercet.cli.main import main
from tercet.evaluate.token_text import texts_of

CLIPS = ("librispeech-1284", "librispeech-61-", "librispeech-5683")
SOUNDS = {"Rain": "esc10-Rain", "Tick-tock": "esc10-Clock_tick", "Dog": "esc10-Dog_bark"}


@pytest.fixture
def evaluate(
    base_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, Any]]:
    """`evaluate("tags", rows, words..)`: the JSON that is printed."""

    def run(command: str, rows: list[dict[str, Any]], *words: str | Path) -> dict[str, Any]:
        manifest = tmp_path / "m.jsonl"
        manifest.write_text("".join(json.dumps(row, default=str) + "\n" for row in rows))
        argv = ["eval", command, manifest, "--model", base_model, "-f", "json", *words]
        code = main([str(word) for word in argv])
        printed = capsys.readouterr()
        assert 0 == code, printed.err
        told: dict[str, Any] = json.loads(printed.out)
        return told

    return run


def test_tags_of_real_clips(evaluate: Any, clip: Any, tag_head: Path) -> None:
    rows = [{"audio": clip(start), "labels": [label]} for label, start in SOUNDS.items()]
    told = evaluate("tags", rows, "--tags", tag_head)
    assert (3, 3) == (told["recordings"], told["accuracy"][1])
    assert sorted(SOUNDS) == sorted(told["by_label"])


def test_texts_with_and_without_codes_are_those_of_the_calls(
    evaluate: Any, clip: Any, quantizer: Path, base_model: Path
) -> None:
    pytest.importorskip("jiwer")
    pytest.importorskip("whisper_normalizer")
    paths = [clip(start) for start in CLIPS]
    rows = [{"audio": path, "text": "so it is", "language": "en"} for path in paths]
    told = evaluate("tokens", rows, "--tokens", quantizer, "--noise", "white", "--snr_db", "60,0")
    model = tercet.load_model(base_model, tokens=quantizer, threads=2)
    options: dict[str, Any] = {"language": "en", "temperature": 0.0}
    plain = [model.transcribe(path, **options).text.strip() for path in paths]
    codes = [model.tokenize(path) for path in paths]
    through = [model.detokenize(each, **options).text.strip() for each in codes]
    assert plain == [each["plain"] for each in told["written"]]
    assert through == [each["through_tokens"] for each in told["written"]]
    # Decoded together or one by one, with windows of free lengths: the same.
    assert through[::-1] == texts_of(model, codes[::-1], ["en"] * 3, {"temperature": 0.0})
    assert sum(map(len, codes)) == told["codebook"][0]["total"]
    loud = {each["snr_db"]: each["distance"] for each in told["noise"]}
    assert loud[60.0] < loud[0.0]


def test_layers_of_the_real_encoder_tell_sounds_apart(
    evaluate: Any, clip: Any, tmp_path: Path
) -> None:
    pytest.importorskip("jiwer")
    pytest.importorskip("whisper_normalizer")
    rows: list[dict[str, Any]] = [
        {"audio": clip(start), "labels": [label], "start_s": at, "duration_s": 2.5, "half": half}
        for label, start in SOUNDS.items()
        for half, at in (("first", 0.0), ("second", 2.5))
    ]
    speech = tmp_path / "speech.jsonl"
    speech.write_text(json.dumps({"audio": str(clip(CLIPS[0])), "text": "hello"}) + "\n")
    told = evaluate("probe", rows, "--by", "half", "--speech", speech, "--snr_db", "20")
    assert (6, 7) == (told["sounds"], len(told["layers"]))
    assert max(each["accuracy"] for each in told["layers"]) > 0.6
    assert np.isfinite(told["noisy_speech"]["clean_wer"])


def test_words_of_real_clips_are_counted_and_two_models_compared(
    tmp_path: Path, clips_dir: Path, base_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("jiwer")
    words = [str(clips_dir / "manifest.jsonl"), "--where", "speaker=libri-1*", "--quiet"]
    how = ["--model", str(base_model), "--out", str(tmp_path / "base"), "-f", "json"]
    assert 0 == main(["eval", "text", *words, *how])
    told = json.loads(capsys.readouterr().out)
    assert told["scores"]["wer"]["rate"] < 0.1
    assert 5 == told["recordings"]
    assert 0 == main(["eval", "text", *words, "--compare", str(tmp_path / "base"), str(base_model)])
    assert "as many errors" in capsys.readouterr().out
