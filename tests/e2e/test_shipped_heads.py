"""The heads that tercet-base brings: what they hear in the example and in clips; cards and checksums.

Expected sounds and times are those of which the example was made (examples/CREDITS.md). Figures over held-out
data are in the cards.
"""

import hashlib
from pathlib import Path

import numpy as np
import pytest

import tercet
from tercet.checkpoint.head_file import open_head
from tercet.checkpoint.heads import Quantizer, TagHead
from tercet.evaluate.word_errors import Utterance, word_errors
from tercet.text.labels import audioset_labels

SCENE = Path(__file__).resolve().parents[2] / "examples" / "scene.opus"
SPOKEN_TEXT = (
    "it is sixteen years since john bergson died his wife now lies beside him and the white shaft that marks "
    "their graves gleams across the wheat fields from the norwegian graveyard one looks out over a vast "
    "checker board marked off in squares of wheat and corn light and dark dark and light"
)


@pytest.fixture(scope="module")
def heard(with_heads: tercet.Model) -> tercet.Hearing:
    return with_heads.listen(SCENE, language="en")


def test_all_three_readings_come_from_one_pass(heard: tercet.Hearing) -> None:
    assert (("text", "tags", "tokens"),) == heard.encoder_passes
    errors = word_errors([Utterance(SPOKEN_TEXT, heard.text, "en")])
    assert errors.rate < 0.12


@pytest.mark.parametrize(
    ("label", "start_s", "end_s"),
    [
        ("Crowing, cock-a-doodle-doo", 0.4, 2.7),
        ("Dog", 7.2, 8.3),
        ("Rain", 15.2, 28.6),
        ("Tick-tock", 29.6, 34.2),
    ],
)
def test_sounds_of_the_example_are_found_where_they_are(
    heard: tercet.Hearing, label: str, start_s: float, end_s: float
) -> None:
    assert heard.tags is not None
    found = [event for event in heard.tags if event.label == label]
    assert found, f"{label} was not heard"
    assert min(abs(event.start_s - start_s) for event in found) <= 1.5  # the rain fades in
    overlap = sum(max(0.0, min(e.end_s, end_s) - max(e.start_s, start_s)) for e in found)
    assert overlap > 0.5 * (end_s - start_s)


def test_speech_is_a_label_and_found(heard: tercet.Hearing) -> None:
    assert heard.tags is not None
    speech = heard.tags.frames[:, heard.tags.labels.index("Speech")]
    assert speech[int(9.5 / 0.4) : int(15 / 0.4)].min() > 0.5  # somebody speaks throughout
    assert speech[int(29.8 / 0.4) : int(34 / 0.4)].max() < 0.4  # a clock


def test_words_go_through_the_codes(with_heads: tercet.Model, clips_dir: Path) -> None:
    utterances = []
    for path in sorted(clips_dir.glob("librispeech-*-*-*.opus")):
        codes = with_heads.tokenize(path)
        plain = with_heads.transcribe(path, language="en").text
        again = with_heads.detokenize(codes, language="en").text
        utterances.append(Utterance(plain, again, "en"))
    assert len(utterances) >= 10
    assert word_errors(utterances).rate < 0.30


def test_codes_are_many_and_sound_never_gets_the_masks(heard: tercet.Hearing) -> None:
    codes = heard.speech_tokens
    assert codes is not None
    assert (25.0, 2561) == (codes.rate_hz, codes.codebook_size)
    ids = np.asarray(codes.ids)
    assert (True, True) == (ids.max() < 2560, len(np.unique(ids)) > 200)


def test_files_say_whose_they_are(base_model: Path) -> None:
    tags, codes = (open_head(base_model / f"{name}.safetensors") for name in ("tags", "tokens"))
    assert isinstance(tags, TagHead)
    assert isinstance(codes, Quantizer)
    assert ("Apache-2.0", "Apache-2.0") == (tags.origin.licence, codes.origin.licence)
    assert ("base", "base") == (tags.origin.encoder_name, codes.origin.encoder_name)
    assert tags.labels is not None
    assert set(tags.labels) <= set(audioset_labels())
    card = (base_model / "TAGS_CARD.md").read_text(encoding="utf-8")
    assert [] == [label for label in tags.labels if f"| {label} |" not in card]
    assert "word error rate" in (base_model / "TOKENS_CARD.md").read_text(encoding="utf-8").lower()


def test_checksums_are_those_of_the_files(base_model: Path) -> None:
    lines = (base_model / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    told = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert {
        "model.safetensors",
        "tags.safetensors",
        "tokens.safetensors",
        "draft.safetensors",
    } <= set(told)
    found = {name: hashlib.sha256((base_model / name).read_bytes()).hexdigest() for name in told}
    assert told == found


def test_the_package_stays_under_100_megabytes(base_model: Path) -> None:
    assert sum(path.stat().st_size for path in base_model.rglob("*") if path.is_file()) < 100e6
