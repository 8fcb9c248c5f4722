"""`tercet eval tags` and `tokens` in this process, with models that hear what they are told to."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tercet
from tercet.errors import HeadError, ModelNotFoundError, UndecodableAudioError
from tercet.results import SoundEvent, SoundEvents

Run = Callable[..., Any]
LABELS = ("Speech", "Dog", "Rain")
# Recording -> what is heard in its two frames, and the events.
HEARD: dict[str, tuple[list[list[float]], list[tuple[float, float, str]]]] = {
    "bark": ([[0.0, 0.9, 0.1], [0.0, 0.1, 0.1]], [(0.5, 1.0, "Dog")]),
    "shower": ([[0.2, 0.6, 0.5], [0.2, 0.1, 0.5]], []),
    "talk": ([[0.9, 0.0, 0.0], [0.9, 0.0, 0.0]], [(0.0, 3.0, "Speech")]),
}


class Tagger:
    """Hears what `HEARD` says of the recording's name."""

    def __init__(self) -> None:
        self.loaded: list[tuple[str, dict[str, Any]]] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.error: Exception | None = None

    def load(self, name: str, **options: Any) -> "Tagger":
        if self.error is not None:
            raise self.error
        self.loaded.append((name, options))
        return self

    def tag(self, audio: Path, **options: Any) -> SoundEvents:
        self.asked.append((audio.stem, options))
        frames, events = HEARD[audio.stem]
        found = tuple(
            SoundEvent(start_s=a, end_s=b, label=label, score=0.9, label_id=LABELS.index(label))
            for a, b, label in events
        )
        return SoundEvents(
            events=found, frames=np.array(frames, np.float32), labels=LABELS, duration_s=5.0
        )


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Tagger:
    tagger = Tagger()
    monkeypatch.setitem(vars(tercet), "load_model", tagger.load)
    return tagger


@pytest.fixture
def manifest(recordings: Callable[..., Path]) -> Callable[..., str]:
    """`manifest(rows..)` writes m.jsonl beside recordings in the working folder."""

    def write(*rows: dict[str, Any]) -> str:
        recordings(*(row["audio"] for row in rows))
        Path("m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return "m.jsonl"

    return write


ROWS = (
    {"audio": "bark.wav", "labels": ["Dog"], "events": [[0.0, 1.0, "Dog"]], "fold": 1},
    {"audio": "shower.wav", "labels": ["Rain"], "fold": 4},
    {"audio": "talk.wav", "text": "hello", "fold": 4},
)


def figures(ran: Any) -> dict[str, Any]:
    assert (0, "") == (ran.code, ran.err)
    told: dict[str, Any] = json.loads(ran.out)
    return told


@pytest.mark.option("--format")
def test_a_table_or_json_is_printed(run_tercet: Run, model: Tagger, manifest: Any) -> None:
    path = manifest(*ROWS)
    ran = run_tercet("eval", "tags", path)
    assert (0, "") == (ran.code, ran.err)
    assert "accuracy             3 of 3 (100.0 %)" in ran.out.splitlines()
    told = figures(run_tercet("eval", "tags", path, "--format", "json"))
    assert ([3, 3], "base", path) == (told["accuracy"], told["model"], told["manifest"])
    assert told == figures(run_tercet("eval", "tags", path, "-f", "json"))


@pytest.mark.option("--model")
@pytest.mark.option("--adapter")
@pytest.mark.option("--tags")
@pytest.mark.option("--device")
@pytest.mark.option("--compute_type")
@pytest.mark.option("--engine")
@pytest.mark.option("--threads")
def test_the_model_is_opened_as_asked(run_tercet: Run, model: Tagger, manifest: Any) -> None:
    path = manifest(*ROWS)
    words = [
        *("--model", "small", "--tags", "x.safetensors", "--compute_type", "float32"),
        *("--threads", "2", "--device", "cuda", "--engine", "torch", "--adapter", "lora"),
    ]
    assert 0 == run_tercet("eval", "tags", path, *words).code
    assert 0 == run_tercet("eval", "tags", path).code
    given = {"tags": "x.safetensors", "tokens": None, "compute_type": "float32", "threads": 2}
    given |= {"device": "cuda", "engine": "torch", "adapter": "lora"}
    bare = {"tags": None, "tokens": None, "compute_type": "auto", "threads": None}
    bare |= {"device": "auto", "engine": "auto"}
    assert [("small", given), ("base", bare)] == model.loaded


@pytest.mark.option("--where")
@pytest.mark.option("--every")
@pytest.mark.parametrize(
    ("expected", "words"),
    [
        (["bark", "shower", "talk"], []),
        (["shower", "talk"], ["--where", "fold=4"]),
        (["shower"], ["--where", "fold=4", "--where", "name=s*"]),
        (["bark", "talk"], ["--every", "2"]),
        (["shower"], ["--where", "fold=4", "--every", "2"]),
    ],
)
def test_rows_are_chosen(
    run_tercet: Run, model: Tagger, manifest: Any, expected: list[str], words: list[str]
) -> None:
    assert 0 == run_tercet("eval", "tags", manifest(*ROWS), *words).code
    assert expected == [name for name, _ in model.asked]


@pytest.mark.option("--root")
def test_paths_may_start_elsewhere(run_tercet: Run, model: Tagger, manifest: Any) -> None:
    manifest(*ROWS)
    Path("lists").mkdir()
    Path("m.jsonl").rename("lists/m.jsonl")
    ran = run_tercet("eval", "tags", "lists/m.jsonl")
    assert (1, "") == (ran.code, ran.out)
    assert "no such file: lists/bark.wav" in ran.err
    assert 0 == run_tercet("eval", "tags", "lists/m.jsonl", "--root", ".").code


@pytest.mark.option("--skip_broken")
@pytest.mark.option("--quiet")
def test_rows_with_faults_are_told_and_left_out_only_if_asked(
    run_tercet: Run, model: Tagger, manifest: Any
) -> None:
    path = manifest(*ROWS, {"audio": "gone.wav", "labels": ["Dog"]})
    Path("gone.wav").unlink()
    ran = run_tercet("eval", "tags", path)
    assert (1, "", []) == (ran.code, ran.out, model.loaded)
    assert ["line 4: no such file: gone.wav"] == ran.err.splitlines()[:-1]
    ran = run_tercet("eval", "tags", path, "--skip_broken")
    assert (0, "note: m.jsonl: 1 faults; those rows are left out\n") == (ran.code, ran.err)
    assert "recordings           3" in ran.out
    assert "" == run_tercet("eval", "tags", path, "--skip_broken", "--quiet").err


@pytest.mark.option("--collar_s")
@pytest.mark.parametrize(("matched", "words"), [(1, []), (0, ["--collar_s", "0.4"])])
def test_the_collar_says_which_onsets_match(
    run_tercet: Run, model: Tagger, manifest: Any, matched: int, words: list[str]
) -> None:
    told = figures(run_tercet("eval", "tags", manifest(*ROWS), "-f", "json", *words))
    assert matched == told["events"]["matched"]
    assert 0.5 == told["events"]["median_onset_error_s"]


@pytest.mark.option("--clip_score")
def test_a_clip_is_scored_by_its_mean_or_its_highest_frame(
    run_tercet: Run, model: Tagger, manifest: Any
) -> None:
    path = manifest(*ROWS)
    by_mean = figures(run_tercet("eval", "tags", path, "-f", "json"))
    assert [] == by_mean["wrong"]
    told = figures(run_tercet("eval", "tags", path, "-f", "json", "--clip_score=max"))
    assert [["shower.wav", "Rain", "Dog"]] == told["wrong"]


@pytest.mark.option("--threshold")
def test_the_threshold_of_events_reaches_the_model(
    run_tercet: Run, model: Tagger, manifest: Any
) -> None:
    path = manifest(ROWS[0])
    for words in ([], ["--threshold", "0.7"]):
        assert 0 == run_tercet("eval", "tags", path, *words).code
    assert [{}, {"threshold": 0.7}] == [options for _, options in model.asked]


@pytest.mark.parametrize(
    ("code", "words", "argv"),
    [
        (2, "--every 0: give 1 or more", ["tags", "m.jsonl", "--every", "0"]),
        (2, "--threads 0: give 1 or more", ["tags", "m.jsonl", "--threads", "0"]),
        (2, "--collar_s -1: give 0 or more seconds", ["tags", "m.jsonl", "--collar_s", "-1"]),
        (2, "--collar_s nan: give 0 or more", ["tags", "m.jsonl", "--collar_s", "nan"]),
        (2, "--threshold 2: give a number from 0 to 1", ["tags", "m.jsonl", "--threshold", "2"]),
        (2, "--where 'fold': write FIELD=VALUE", ["tags", "m.jsonl", "--where", "fold"]),
        (2, "No such option: --beam", ["tags", "m.jsonl", "--beam", "5"]),
        (2, "No such command 'words'", ["words", "m.jsonl"]),
        (2, "Missing argument", ["tags"]),
        (2, "'xml' is not one of 'text', 'json'", ["tags", "m.jsonl", "--format", "xml"]),
        (2, "--noise 'pink': give white, babble", ["tokens", "m.jsonl", "--noise", "white,pink"]),
        (
            2,
            "--snr_db '5,x': give numbers from -200 to 200",
            ["tokens", "m.jsonl", "--snr_db", "5,x"],
        ),
        (2, "--seed -1: give 0 or more", ["tokens", "m.jsonl", "--seed", "-1"]),
        (1, "n.jsonl: no such manifest; check the path", ["tags", "n.jsonl"]),
        (1, "m.txt: is no manifest; give .csv", ["tags", "m.txt"]),
        (1, "no row has fold '9' (it is 1, 4)", ["tags", "m.jsonl", "--where", "fold=9"]),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    run_tercet: Run, model: Tagger, manifest: Any, code: int, words: str, argv: list[str]
) -> None:
    manifest(*ROWS)
    Path("m.txt").touch()
    ran = run_tercet("eval", *argv)
    assert (code, "", 1) == (ran.code, ran.out, len(ran.err.splitlines())), ran.err
    assert words in ran.err
    assert ran.err.startswith("tercet eval: ")
    assert [] == model.loaded


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (2, ModelNotFoundError("no model 'x'")),
        (2, HeadError("no tag head")),
        (1, UndecodableAudioError("bad")),
    ],
)
def test_a_model_that_cannot_be_had_is_the_command_lines_fault(
    run_tercet: Run, model: Tagger, manifest: Any, code: int, error: Exception
) -> None:
    model.error = error
    ran = run_tercet("eval", "tags", manifest(*ROWS))
    assert (code, "", f"tercet eval: {error}\n") == (ran.code, ran.out, ran.err)


def test_without_words_it_says_what_there_is(run_tercet: Run) -> None:
    ran = run_tercet("eval")
    assert (0, "") == (ran.code, ran.err)
    for word in ("tags", "tokens", "probe", "Exit code"):
        assert word in ran.out


class TokenRun:
    """Stands for `evaluate_tokens`: keeps what it was asked."""

    def __init__(self) -> None:
        self.settings: Any = None
        self.rows: list[str] = []

    def __call__(self, _: Any, manifest: Any, settings: Any, *, on_progress: Any) -> Any:
        self.settings = settings
        self.rows = [row.audio.stem for row in manifest]
        on_progress(1, 1)
        return SimpleNamespace(lines=lambda: ["WER 5"], to_json=lambda: {"wer": 0.05})


@pytest.fixture
def token_run(monkeypatch: pytest.MonkeyPatch, model: Tagger) -> TokenRun:
    pytest.importorskip("jiwer")
    pytest.importorskip("whisper_normalizer")
    run = TokenRun()
    monkeypatch.setattr("tercet.evaluate.tokens.evaluate_tokens", run)
    return run


@pytest.mark.option("--tokens")
def test_figures_of_a_quantizer_are_printed(
    run_tercet: Run, model: Tagger, token_run: TokenRun, manifest: Any
) -> None:
    path = manifest(*ROWS)
    ran = run_tercet("eval", "tokens", path, "--tokens", "q.safetensors", "--where", "name=t*")
    assert (0, "WER 5\n", "") == (ran.code, ran.out, ran.err)
    assert (["talk"], "q.safetensors") == (token_run.rows, model.loaded[0][1]["tokens"])
    told = figures(run_tercet("eval", "tokens", path, "-f", "json"))
    assert (0.05, None, "tercet/1") == (told["wer"], told["tokens"], told["schema"])
    told = figures(run_tercet("eval", "tokens", path, "-f", "json", "--adapter", "lora"))
    assert ("lora", "lora") == (told["adapter"], model.loaded[-1][1]["adapter"])


@pytest.mark.option("--language")
@pytest.mark.option("--fallback")
@pytest.mark.option("--noise")
@pytest.mark.option("--snr_db")
@pytest.mark.option("--seed")
@pytest.mark.parametrize(
    ("expected", "words"),
    [
        (
            {
                "language": None,
                "fallback": False,
                "noises": ("white", "babble"),
                "snrs_db": (20.0, 10.0, 5.0, 0.0),
                "seed": 0,
            },
            [],
        ),
        ({"language": "de"}, ["--language", "de"]),
        ({"fallback": True}, ["--fallback"]),
        ({"noises": ("babble",)}, ["--noise", "babble"]),
        ({"noises": ()}, ["--noise", "none"]),
        ({"snrs_db": (-5.0, 2.5)}, ["--snr-db", "-5,2.5,-5"]),
        ({"seed": 7}, ["--seed=7"]),
    ],
)
def test_options_of_tokens_reach_the_evaluation(
    run_tercet: Run, token_run: TokenRun, manifest: Any, expected: dict[str, Any], words: list[str]
) -> None:
    assert 0 == run_tercet("eval", "tokens", manifest(*ROWS), *words).code
    assert expected == {name: getattr(token_run.settings, name) for name in expected}


def test_without_the_packages_that_compare_texts_nothing_is_loaded(
    run_tercet: Run, model: Tagger, manifest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tercet.cli.eval_options.find_spec", lambda name: None)
    ran = run_tercet("eval", "tokens", manifest(*ROWS))
    assert (2, []) == (ran.code, model.loaded)
    assert "need jiwer, whisper_normalizer: pip install 'tercet[eval]'" in ran.err


def test_errors_are_said_in_the_words_of_the_command_line(
    run_tercet: Run, model: Tagger, manifest: Any
) -> None:
    model.error = HeadError("model 'x' has no tag head; give one with tags=FILE")
    ran = run_tercet("eval", "tags", manifest(*ROWS))
    assert ran.err.endswith("tercet eval: model 'x' has no tag head; give one with --tags FILE\n")
