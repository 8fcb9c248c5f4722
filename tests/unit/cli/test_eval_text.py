"""`tercet eval text` in this process, with models that hear what they are told to."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import tercet
from tercet.errors import ModelNotFoundError
from tercet.results import Transcript

pytest.importorskip("jiwer")
pytest.importorskip("whisper_normalizer")

Run = Callable[..., Any]
ROWS = (
    {"audio": "a.wav", "text": "red green blue", "speaker": "x", "room": "hall"},
    {"audio": "b.wav", "text": "white black", "speaker": "y"},
    {"audio": "c.wav", "speaker": "z"},
)


class Model:
    """Writes down the first row's reference for the first sound of each batch, and `wrong` for the others."""

    def __init__(self, wrong: str) -> None:
        self.wrong = wrong
        self.calls: list[dict[str, Any]] = []

    def transcribe_many(
        self, sounds: Sequence[np.ndarray], **options: Any
    ) -> Iterator[tuple[int, Transcript]]:
        self.calls.append(options | {"n": len(sounds)})
        for place, sound in enumerate(sounds):
            said = "red green blue" if place == 0 else self.wrong
            told = Transcript(
                text=said,
                segments=(),
                language=options["language"] or "en",
                language_probability=None,
                duration_s=sound.size / 16000,
            )
            yield place, told


class Models:
    """`tercet.load_model`; each name has a model of its own."""

    def __init__(self) -> None:
        self.loaded: list[tuple[str, dict[str, Any]]] = []
        self.weights = "first"
        self.by_name: dict[str, Model] = {"base": Model("white glue"), "good": Model("white black")}

    def load(self, name: str, **options: Any) -> Model:
        self.loaded.append((name, options))
        if name not in self.by_name:
            raise ModelNotFoundError(f"{name}: no such model")
        return self.by_name[name]


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Models:
    made = Models()
    monkeypatch.setitem(vars(tercet), "load_model", made.load)
    monkeypatch.setattr(
        "tercet.cli.eval_text_run.weights_of", lambda name, adapter=None: made.weights + name
    )
    return made


@pytest.fixture
def manifest(recordings: Callable[..., Path], write_wav: Callable[..., None]) -> str:
    """`m.jsonl` beside recordings in the working folder."""
    recordings(*(row["audio"] for row in ROWS))
    for row in ROWS:
        write_wav(Path(row["audio"]), 0.1 * np.sin(np.arange(1600) / 8))
    Path("m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return "m.jsonl"


@pytest.fixture
def evaluate(run_tercet: Run, models: Models, manifest: str) -> Run:
    def run(*words: object) -> Any:
        return run_tercet("eval", "text", manifest, *map(str, words))

    return run


def test_a_table_is_printed(evaluate: Run, models: Models) -> None:
    ran = evaluate()
    assert 0 == ran.code
    # One of five words is wrong; the row without a text is left out, and told.
    assert "WER                  20.00 % (95 %: " in ran.out
    assert "errors               1 substitutions, 0 deletions, 0 insertions in 5 words" in ran.out
    assert "1 rows without a text; they are left out" in ran.err
    assert ["base"] == [name for name, _ in models.loaded]


@pytest.mark.option("--format")
def test_json_is_one_object(evaluate: Run) -> None:
    told = json.loads(evaluate("-f", "json").out)
    assert ("m.jsonl", "base") == (told["manifest"], told["model"])
    assert 0.2 == told["scores"]["wer"]["rate"]
    assert ["red green blue", "white glue"] == [each["text"] for each in told["written"]]


@pytest.mark.option("--language")
@pytest.mark.option("--task")
@pytest.mark.option("--fallback")
@pytest.mark.option("--longform")
def test_options_reach_the_model(evaluate: Run, models: Models) -> None:
    words = ["--language", "de", "--task", "translate", "--fallback", "--longform", "parallel"]
    assert 0 == evaluate(*words).code
    asked = models.by_name["base"].calls[-1]
    assert ("de", "translate", "parallel") == (asked["language"], asked["task"], asked["longform"])
    assert 1 < len(asked["temperature"])


@pytest.mark.option("--model")
@pytest.mark.option("--compute_type")
def test_the_model_is_opened_as_asked(evaluate: Run, models: Models) -> None:
    assert 0 == evaluate("--model", "good", "--compute-type", "float32").code
    ((name, options),) = models.loaded
    assert ("good", "float32") == (name, options["compute_type"])


@pytest.fixture
def lora() -> Callable[..., None]:
    """`lora("folder", alpha=2)`: an adapter that can be opened."""

    def make(name: str, *, alpha: int = 2) -> None:
        Path(name).mkdir(exist_ok=True)
        weights = {"base_model.model.x.lora_A.weight": np.ones((2, 3), np.float32)}
        save_file(weights, Path(name, "adapter_model.safetensors"))
        told = {"peft_type": "LORA", "r": 2, "lora_alpha": alpha}
        Path(name, "adapter_config.json").write_text(json.dumps(told))

    return make


@pytest.mark.option("--adapter")
def test_an_adapter_is_merged_and_told(
    evaluate: Run, models: Models, lora: Callable[..., None]
) -> None:
    assert "adapter" not in json.loads(evaluate("-f", "json").out)
    lora("mine")
    ran = evaluate("--adapter", "mine", "-f", "json")
    assert [None, "mine"] == [options.get("adapter") for _, options in models.loaded]
    assert "mine" == json.loads(ran.out)["adapter"]


def test_what_was_heard_with_an_adapter_is_kept_by_its_content(
    evaluate: Run, models: Models, lora: Callable[..., None]
) -> None:
    lora("mine")
    lora("copy")
    words = ("--out", "kept", "--quiet", "--adapter")
    assert 0 == evaluate(*words, "mine").code
    calls = len(models.by_name["base"].calls)
    assert (0, calls) == (evaluate(*words, "copy").code, len(models.by_name["base"].calls))
    lora("mine", alpha=9)
    refused = evaluate(*words, "mine")
    assert 2 == refused.code
    assert "kept: was heard with adapter 'sha256:" in refused.err
    without = evaluate(*words[:-1])
    assert 2 == without.code
    assert "kept: was heard with adapter 'sha256:" in without.err


@pytest.mark.option("--by")
def test_by_makes_a_table_of_a_field(evaluate: Run) -> None:
    told = json.loads(evaluate("--by", "room,speaker", "-f", "json").out)
    assert [("(none)", 0.5), ("hall", 0.0)] == [
        (each["name"], each["wer"]["rate"]) for each in told["by"]["room"]
    ]
    assert ["x", "y"] == [each["name"] for each in told["by"]["speaker"]]


@pytest.mark.option("--lengths")
def test_lengths_are_classes(evaluate: Run) -> None:
    (one,) = json.loads(evaluate("--lengths", "0.01", "-f", "json").out)["lengths"]
    assert "over 0.01 s" == one["name"]


@pytest.mark.option("--noise")
@pytest.mark.option("--snr_db")
@pytest.mark.option("--seed")
def test_noise_is_heard_too(evaluate: Run, models: Models) -> None:
    ran = evaluate("--noise", "white,babble", "--snr-db", "10,0", "--seed", "3", "-f", "json")
    told = json.loads(ran.out)
    assert [("white", 10.0), ("white", 0.0), ("babble", 10.0), ("babble", 0.0)] == [
        (each["noise"], each["snr_db"]) for each in told["noise"]
    ]
    assert 3 == told["settings"]["seed"]
    assert 6 == len(models.by_name["base"].calls)  # a warm-up, clean, and four levels


@pytest.mark.option("--latency")
def test_latency_is_timed_in_batches(evaluate: Run) -> None:
    told = json.loads(evaluate("--latency", "-f", "json").out)
    assert [(1, 2), (4, 2), (16, 2)] == [
        (each["batch"], each["recordings"]) for each in told["latency"]
    ]


@pytest.mark.option("--worst")
def test_the_worst_are_shown(evaluate: Run) -> None:
    out = evaluate("--worst", "5").out
    assert "b.wav: 1 errors\n  said   white black\n  heard  white glue\n" in out
    assert "a.wav:" not in out


@pytest.mark.option("--plot")
@pytest.mark.option("--force")
def test_a_picture_of_the_noise_is_drawn(evaluate: Run) -> None:
    pytest.importorskip("matplotlib")
    words = ["--noise", "white", "--snr_db", "10,0", "--plot", "n.svg"]
    assert 0 == evaluate(*words).code
    assert "white noise" in Path("n.svg").read_text() or Path("n.svg").stat().st_size > 1000
    ran = evaluate(*words)
    assert (1, "n.svg: is there already") == (ran.code, ran.err.split("eval: ")[1][:23])
    assert 0 == evaluate(*words, "--force").code


@pytest.mark.option("--out")
def test_out_keeps_what_was_heard_and_the_report(evaluate: Run, models: Models) -> None:
    assert 0 == evaluate("--out", "kept").code
    assert {"settings.json", "heard.jsonl", "report.json", "report.md"} == {
        path.name for path in Path("kept").iterdir()
    }
    calls = len(models.by_name["base"].calls)
    again = evaluate("--out", "kept")
    assert (0, calls) == (again.code, len(models.by_name["base"].calls))
    assert "WER                  20.00 %" in again.out
    assert 0.2 == json.loads(Path("kept/report.json").read_text())["scores"]["wer"]["rate"]
    refused = evaluate("--out", "kept", "--language", "fr")
    assert (2, 1) == (refused.code, len(refused.err.splitlines()) - 1)
    assert "kept: was heard with language None, not 'fr'" in refused.err


def test_a_report_that_cannot_be_written_is_one_line_and_what_was_heard_is_kept(
    evaluate: Run, models: Models
) -> None:
    Path("kept/report.md").mkdir(parents=True)
    ran = evaluate("--quiet", "--out", "kept")
    assert (1, 1) == (ran.code, len(ran.err.splitlines()))
    assert "tercet eval: kept: cannot be written (" in ran.err
    calls = len(models.by_name["base"].calls)
    Path("kept/report.md").rmdir()
    assert (0, calls) == (evaluate("--out", "kept").code, len(models.by_name["base"].calls))


def test_a_model_that_was_trained_on_is_not_the_one_that_was_heard(
    evaluate: Run, models: Models
) -> None:
    assert 0 == evaluate("--out", "kept").code
    models.weights = "second"
    ran = evaluate("--quiet", "--out", "kept")
    assert (2, 1) == (ran.code, len(ran.err.splitlines()))
    assert "kept: was heard with weights 'firstbase', not 'secondbase'" in ran.err


@pytest.mark.option("--compare")
def test_two_models_are_compared(evaluate: Run, models: Models) -> None:
    ran = evaluate("--compare", "base", "good")
    assert 0 == ran.code
    assert ["base", "good"] == [name for name, _ in models.loaded]
    assert "base less good: +20.00 points" in ran.out
    assert "good has fewer errors, which may be chance" in ran.out
    told = json.loads(evaluate("--compare", "base", "good", "-f", "json").out)
    assert ["base", "good"] == [each["model"] for each in told["models"]]
    assert (0, 1, 1) == tuple(told["comparison"][name] for name in ("wins", "losses", "ties"))


def test_a_folder_of_an_earlier_run_is_compared_without_hearing(
    evaluate: Run, models: Models
) -> None:
    assert 0 == evaluate("--out", "kept").code
    models.loaded.clear()
    ran = evaluate("--compare", "kept", "good", "--out", "both")
    assert (0, ["good"]) == (ran.code, [name for name, _ in models.loaded])
    assert "kept less good: +20.00 points" in ran.out
    assert Path("both/second/report.json").exists()
    models.loaded.clear()
    assert 0 == evaluate("--compare", "kept", "both/second").code
    assert [] == models.loaded


def test_a_folder_that_heard_other_rows_is_refused(evaluate: Run) -> None:
    assert 0 == evaluate("--out", "kept", "--where", "speaker=x").code
    ran = evaluate("--compare", "kept", "good")
    assert 1 == ran.code
    assert "kept: 1 of 2 rows of m.jsonl were not heard there" in ran.err


@pytest.mark.parametrize(
    ("code", "told", "words"),
    [
        (2, "--noise 'pink': give white, babble", ["--noise", "pink"]),
        (2, "--snr_db 'x': give numbers", ["--noise", "white", "--snr_db", "x"]),
        (2, "--seed -1: give 0 or more", ["--seed", "-1"]),
        (2, "--task 'sing': give transcribe or translate", ["--task", "sing"]),
        (2, "--worst -1: give 0 or more", ["--worst", "-1"]),
        (2, "longform is 'odd'", ["--longform", "odd"]),
        (2, "--lengths '5,2': give rising seconds", ["--lengths", "5,2"]),
        (2, "--lengths 'x': give rising seconds", ["--lengths", "x"]),
        (2, "--plot draws error rates by noise; give --noise", ["--plot", "n.png"]),
        (2, "--plot n.gif: give a name that ends in", ["--noise", "white", "--plot", "n.gif"]),
        (2, "--compare names base twice", ["--compare", "base", "base"]),
        (2, "nowhere: no such model", ["--model", "nowhere"]),
        (1, "no row has a 'colour' for --by; further columns are room", ["--by", "colour"]),
        (1, "no row has speaker 'q'", ["--where", "speaker=q"]),
    ],
)
def test_what_cannot_be_done_is_one_line(
    evaluate: Run, code: int, told: str, words: list[str]
) -> None:
    ran = evaluate("--quiet", *words)
    assert (code, 1) == (ran.code, len(ran.err.splitlines()))
    assert told in ran.err


def test_a_manifest_without_texts_is_one_line(
    run_tercet: Run, models: Models, recordings: Any
) -> None:
    recordings("c.wav")
    Path("m.jsonl").write_text(json.dumps(ROWS[2]) + "\n")
    ran = run_tercet("eval", "text", "m.jsonl")
    assert (1, []) == (ran.code, models.loaded)
    assert "m.jsonl: no row has a text; there is nothing to compare with" in ran.err


@pytest.mark.option("--text_column")
def test_references_are_where_they_are_said_to_be(evaluate: Run) -> None:
    rows = [row | {"said": "white glue"} for row in ROWS]
    Path("m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ran = evaluate("--text_column", "said", "--format", "json")
    # Three words are written for the first row's two, both wrong; the other four are right.
    assert (0, 0.5) == (ran.code, json.loads(ran.out)["scores"]["wer"]["rate"])
    ran = evaluate("--text_column", "sung")
    assert (1, "") == (ran.code, ran.out)
    assert "m.jsonl: no row has a column 'sung' (there are audio, text, speaker, room" in ran.err


def test_a_card_reads_what_is_printed(evaluate: Run) -> None:
    from tercet.publish.text_reports import read_text_report

    words = ["--by", "room", "--noise", "white", "--snr_db", "0", "--compare", "base", "good"]
    Path("report.json").write_text(evaluate(*words, "-f", "json").out)
    report = read_text_report(Path("report.json"))
    assert [("base", "m", 0.2), ("good", "m", 0.0)] == [
        (each.model, each.data, each.rates["wer"].rate) for each in report.systems
    ]
    assert pytest.approx([0.2]) == [each.difference for each in report.comparisons]
