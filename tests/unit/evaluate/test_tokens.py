"""What is counted of texts and codes, with a model whose codes are the letters of what it wrote down."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tercet.dataset.manifests import Manifest, Row
from tercet.errors import DataError, UndecodableAudioError
from tercet.evaluate.token_report import TokenReport
from tercet.evaluate.token_text import texts_of
from tercet.evaluate.tokens import TokenSettings, evaluate_tokens
from tercet.results import SpeechTokens

pytest.importorskip("jiwer")
pytest.importorskip("whisper_normalizer")
QUIET = TokenSettings(snrs_db=())
Evaluate = Callable[..., TokenReport]
MakeRow = Callable[..., Row]


def codes_of(text: str, windows: tuple[int, ...] = (0,)) -> SpeechTokens:
    ids = np.frombuffer(text.encode(), np.uint8).astype(np.int32)
    return SpeechTokens(
        ids=ids, codebook_size=256, codebook="c0de", duration_s=len(ids) / 25, mask_code=255,
        window_starts=windows,
    )  # fmt: skip


class FakeModel:
    """Tells recordings by their number of samples; from codes it forgets the letter "z"."""

    def __init__(self, told: dict[int, Any]) -> None:
        self.told = told
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def listen_many(
        self, sounds: Sequence[np.ndarray], **options: Any
    ) -> Iterator[tuple[int, Any]]:
        self.calls.append(("listen", {"n": len(sounds), **options}))
        for place in reversed(range(len(sounds))):  # they need not come in order
            text = self.told[sounds[place].size]
            yield (place, text if isinstance(text, Exception) else self._hearing(text))

    def _hearing(self, text: str) -> Any:
        language = "en" if text else "und"
        return SimpleNamespace(
            transcript=SimpleNamespace(text=f" {text}"),
            language=language,
            speech_tokens=codes_of(text),
        )

    def tokenize(self, sound: np.ndarray, **_: Any) -> SpeechTokens:
        """Codes that the noise took from: one for each hundredth by which the sound is off."""
        clean = self.told[sound.size]
        lost = min(len(clean), round(float(np.abs(sound - sound_of(sound.size)).mean()) * 100))
        return codes_of(clean[lost:])

    def detokenize(self, codes: SpeechTokens, **options: Any) -> Any:
        self.calls.append(("detokenize", {"n": len(codes.windows), **options}))
        segments = [
            SimpleNamespace(seek=round(start_s * 100), text=f" {word}")
            for start_s, ids in codes.windows
            for word in bytes(ids.tolist()).decode().replace("z", "").split()
        ]
        return SimpleNamespace(text="".join(each.text for each in segments), segments=segments)


def sound_of(n_samples: int) -> np.ndarray:
    return (0.1 * np.sin(2 * np.pi * np.arange(n_samples) / 20)).astype(np.float32)


@pytest.fixture
def evaluate() -> Evaluate:
    def run(
        model: FakeModel, rows: Sequence[Row], settings: TokenSettings = QUIET, **more: Any
    ) -> Any:
        return evaluate_tokens(model, Manifest(Path("m.csv"), tuple(rows)), settings, **more)  # type: ignore[arg-type]

    return run


def test_both_texts_are_compared_with_the_manifests(evaluate: Evaluate, sound_row: MakeRow) -> None:
    model = FakeModel({1600: "a lazy dog", 3200: "it ran"})
    rows = [
        sound_row("one", 1600, text="A lazy dog!"),
        sound_row("two", 3200, text="he ran"),
        sound_row("three", 800),
    ]
    report = evaluate(model, rows)
    assert (2, 1) == (report.recordings, report.left_out)
    assert (1 / 5, 2 / 5) == (report.plain.rate, report.through_tokens.rate)
    assert pytest.approx(20.0) == report.lost_points
    assert pytest.approx(4800 / 16000) == report.duration_s
    assert ["a lay dog", "it ran"] == [each.through_tokens for each in report.written]
    assert pytest.approx([1 / 4, (1 / 3 + 1 / 2) / 2]) == [
        report.plain.mean_rate,
        report.through_tokens.mean_rate,
    ]
    told = report.to_json()
    assert (1 / 5, "two.wav") == (told["plain"]["wer"], Path(told["written"][1]["audio"]).name)


def test_the_use_of_the_codebook_is_counted(evaluate: Evaluate, sound_row: MakeRow) -> None:
    model = FakeModel({1600: "aabb"})
    [use] = evaluate(model, [sound_row("one", 1600, text="aabb")]).codebook
    assert (2, 255, 2.0) == (use.used, len(use.codes), use.perplexity)
    assert (25.0, 2 / 3) == (use.bits_per_second, use.repeat_share)


def test_codes_under_noise_are_compared_with_the_clean_ones(
    evaluate: Evaluate, sound_row: MakeRow
) -> None:
    model = FakeModel({16000: "abcdefghijklmnop", 8000: "abcdefghijklmnop"})
    rows = [sound_row("one", 16000, text="a"), sound_row("two", 8000, text="a")]
    report = evaluate(model, rows, TokenSettings(snrs_db=(40.0, 0.0)))
    by_level = {(each.noise, each.snr_db): each for each in report.noise}
    assert [("white", 40.0), ("white", 0.0), ("babble", 40.0), ("babble", 0.0)] == list(by_level)
    assert {32} == {each.codes for each in report.noise}
    assert 0 == by_level["white", 40.0].edits
    # White noise of RMS 0.0707 is off by 0.0707 * sqrt(2 / pi) = 0.0564 in the mean: six codes of each.
    assert (12, 12 / 32) == (by_level["white", 0.0].edits, by_level["white", 0.0].distance)
    # One other voice, a sine as loud: off by 0.1 * 2 / pi = 0.0637.
    assert 12 == by_level["babble", 0.0].edits


def test_the_seed_fixes_the_noise(
    evaluate: Evaluate, sound_row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, heard = [sound_row("one", 1600, text="a")], list[bytes]()

    def remember(self: FakeModel, sound: np.ndarray, **_: Any) -> SpeechTokens:
        heard.append(sound.tobytes())
        return codes_of("a")

    monkeypatch.setattr(FakeModel, "tokenize", remember)
    for seed in (3, 3, 4):
        evaluate(
            FakeModel({1600: "a"}),
            rows,
            TokenSettings(noises=("white",), snrs_db=(5.0,), seed=seed),
        )
    assert heard[0] == heard[1] != heard[2]


def test_babble_is_made_of_other_speakers(
    evaluate: Evaluate, sound_row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[str]()

    def remember(row: Row) -> np.ndarray:
        asked.append(row.audio.stem)
        return sound_of(1600)

    rows = [sound_row(name, 1600, text="a", speaker=name[0]) for name in ("a1", "a2", "b1")]
    monkeypatch.setattr("tercet.evaluate.disturbing.samples_of", remember)
    evaluate(FakeModel({1600: "a"}), rows, TokenSettings(noises=("babble",), snrs_db=(5.0,)))
    assert [["b1"], ["b1"], ["a1", "a2"]] == [asked[:1], asked[1:2], sorted(asked[2:])]


def test_a_rows_language_is_given_and_none_is_detected_once(
    evaluate: Evaluate, sound_row: MakeRow
) -> None:
    model = FakeModel({1600: "ja", 3200: "yes", 800: ""})
    rows = [
        sound_row("one", 1600, text="ja", language="de"),
        sound_row("two", 3200, text="yes"),
        sound_row("three", 800, text="hm"),
    ]
    report = evaluate(model, rows)
    listened = [options["language"] for name, options in model.calls if name == "listen"]
    decoded = [options["language"] for name, options in model.calls if name == "detokenize"]
    assert (["de", None], ["de", "en"]) == (listened, decoded)
    assert ["de", "en", "und"] == [each.language for each in report.written]
    forced = FakeModel(model.told)
    evaluate(forced, rows, TokenSettings(snrs_db=(), language="fr"))
    assert {"fr"} == {options["language"] for _, options in forced.calls}


@pytest.mark.parametrize(
    ("expected", "fallback"), [((0.0,), False), ((0.0, 0.2, 0.4, 0.6, 0.8, 1.0), True)]
)
def test_decoding_is_greedy_unless_fallback_is_asked_for(
    evaluate: Evaluate, sound_row: MakeRow, expected: tuple[float, ...], fallback: bool
) -> None:
    model = FakeModel({1600: "a"})
    evaluate(
        model, [sound_row("one", 1600, text="a")], TokenSettings(snrs_db=(), fallback=fallback)
    )
    assert {expected} == {options["temperature"] for _, options in model.calls}


def test_progress_ends_where_all_is_done(evaluate: Evaluate, sound_row: MakeRow) -> None:
    told = list[tuple[int, int]]()
    rows = [sound_row(str(n), 1600, text="a") for n in range(3)]
    settings = TokenSettings(noises=("white",), snrs_db=(5.0, 0.0))
    evaluate(FakeModel({1600: "a"}), rows, settings, on_progress=lambda n, of: told.append((n, of)))
    assert (12, 12) == told[-1]
    assert sorted(told) == told


def test_windows_of_several_recordings_are_decoded_together_and_told_apart() -> None:
    model = FakeModel({})
    tokens = [codes_of("one two", (0, 4)), codes_of(""), codes_of("three")]
    assert ["one two", "", "three"] == texts_of(model, tokens, ["en"] * 3, {})  # type: ignore[arg-type]
    assert [("detokenize", {"n": 3, "language": "en"})] == model.calls
    assert [""] == texts_of(model, [codes_of("")], ["en"], {})  # type: ignore[arg-type]
    assert ["two"] == texts_of(model, [codes_of("two")], [None], {})  # type: ignore[arg-type]


def test_what_cannot_be_compared_is_one_line(evaluate: Evaluate, sound_row: MakeRow) -> None:
    model = FakeModel({1600: "a"})
    with pytest.raises(DataError, match=r"m\.csv: no row has a text; there is nothing to compare"):
        evaluate(model, [sound_row("one", 1600)])
    with pytest.raises(DataError, match="babble needs a second row"):
        evaluate(model, [sound_row("one", 1600, text="a")], TokenSettings())
    silent = [sound_row("one", 1600, text="a"), sound_row("two", 1600, 0.0, text="a")]
    with pytest.raises(DataError, match=r"one\.wav: the rows for its babble are all silent"):
        evaluate(model, silent, TokenSettings())
    model.told[1600] = UndecodableAudioError("x is no audio")
    with pytest.raises(UndecodableAudioError):
        evaluate(model, [sound_row("one", 1600, text="a")])


def test_the_lines_hold_the_figures(evaluate: Evaluate, sound_row: MakeRow) -> None:
    model = FakeModel({1600: "a lazy dog"})
    rows = [sound_row("one", 1600, text="a lazy dog"), sound_row("two", 1600)]
    settings = TokenSettings(noises=("white",), snrs_db=(20.0, 0.0))
    lines = evaluate(model, rows, settings).lines()
    assert "recordings           1, 0.0 minutes (1 rows without a text left out)" == lines[0]
    assert "WER                      0.00    33.33     +33.33" in lines
    assert "errors, tokens       1 substitutions, 0 deletions, 0 insertions in 3 words" in lines
    assert any(line.startswith("white noise") for line in lines)
