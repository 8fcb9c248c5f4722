"""Chapters of LibriSpeech heard whole: nothing is lost or doubled where windows meet.

Two ways: utterances with 0.35 s between them, and continuous sound cut at arbitrary places.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tercet.audio import windows
from tercet.audio.load import load
from tercet.text.normalizer import normalize

NEAR_S = 3.0


class Chapter(NamedTuple):
    samples: np.ndarray
    words: list[tuple[str, float]]  # with the time, spread evenly over the utterance


class Errors(NamedTuple):
    near_cuts: int
    words_near_cuts: int
    elsewhere: int
    words_elsewhere: int
    lost_or_doubled_near_cuts: int

    @property
    def rate(self) -> float:
        wrong, words = self.near_cuts + self.elsewhere, self.words_near_cuts + self.words_elsewhere
        return wrong / words


@pytest.fixture(scope="module")
def chapter(data_dir: Path):
    """`chapter(id, gap_s)`: a recording joined of its utterances."""
    folder = data_dir / "longform_en"
    recipes = map(json.loads, (folder / "recipes.jsonl").read_text().splitlines())
    parts = {recipe["id"]: recipe["parts"] for recipe in recipes}
    manifest = (data_dir / "speech_en" / "librispeech" / "manifest.jsonl").read_text()
    texts = {row["id"]: row["text"] for row in map(json.loads, manifest.splitlines())}

    def build(name: str, gap_s: float) -> Chapter:
        pieces, words, at_s = [], [], 0.0
        gap = np.zeros(round(gap_s * 16000), np.float32)
        for part in parts[name]:
            samples = load(folder / part).read()
            spoken = normalize(texts[Path(part).stem], "en").split()
            length_s = samples.size / 16000
            words += [
                (word, at_s + (place + 0.5) * length_s / len(spoken))
                for place, word in enumerate(spoken)
            ]
            pieces += [samples, gap]
            at_s += length_s + gap_s
        return Chapter(np.concatenate(pieces), words)

    return build


@pytest.fixture(scope="module")
def errors_of(peer):
    """`errors_of(chapter, text, cuts)`: differences, near the cuts and elsewhere."""
    jiwer = peer("jiwer")

    def count(chapter: Chapter, text: str, cuts: list[float]) -> Errors:
        spoken = [word for word, _ in chapter.words]
        is_near = [min(abs(time - cut) for cut in cuts) <= NEAR_S for _, time in chapter.words]
        aligned = jiwer.process_words(" ".join(spoken), normalize(text, "en"))
        near = far = lost_or_doubled = 0
        for chunk in aligned.alignments[0]:
            if chunk.type == "equal":
                continue
            size = max(
                chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx
            )
            if is_near[min(chunk.ref_start_idx, len(spoken) - 1)]:
                near += size
                lost_or_doubled += size * (chunk.type != "substitute")
            else:
                far += size
        n_near = sum(is_near)
        return Errors(near, n_near, far, len(spoken) - n_near, lost_or_doubled)

    return count


def test_a_chapter_with_pauses_is_heard_whole(shipped, chapter, errors_of) -> None:
    recording = chapter("121-127105", 0.35)
    heard = shipped.transcribe(recording.samples, language="en")
    assert len(heard.windows) >= 8
    found = errors_of(recording, heard.text, [window.end_s for window in heard.windows[:-1]])
    assert found.rate < 0.025
    assert found.lost_or_doubled_near_cuts <= 2
    assert found.near_cuts / found.words_near_cuts < 0.03


def test_continuous_speech_cut_anywhere_loses_and_doubles_nothing(
    shipped, chapter, errors_of, monkeypatch
) -> None:
    """No pause is used even where there is one: words are cut in half."""

    def anywhere(known, voice, earliest, latest):
        grid = 6400
        n_points = (latest - earliest) // grid + 1
        place = int(np.abs(known[:8000]).sum() * 1000) % n_points
        return earliest + place * grid, "seam"

    monkeypatch.setattr(windows, "best_cut", anywhere)
    recording = chapter("1284-1180", 0.0)
    heard = shipped.transcribe(recording.samples, language="en")
    seams = [window for window in heard.windows if window.cut == "seam"]
    assert len(seams) >= 7
    assert ["joined at the seam"] * len(seams) == [window.reason for window in seams]
    found = errors_of(recording, heard.text, [window.end_s for window in seams])
    assert found.rate < 0.045
    assert found.lost_or_doubled_near_cuts <= 2
    # Without the seams heard again, 14 words are wrong here.
    assert found.near_cuts <= 7
    for one, two in zip(heard.segments, heard.segments[1:], strict=False):
        assert one.start <= one.end <= two.start


def test_a_pause_at_a_windows_end_is_not_filled_with_words(shipped, sound) -> None:
    """Silence under 2 s counts as speech, but nothing may be made up for it."""
    silence = np.zeros(round(1.9 * 16000), np.float32)
    clips = [sound(name) for name in ("librispeech-4507", "librispeech-2300", "librispeech-672")]
    heard = shipped.transcribe(np.concatenate([*clips, silence]), language="en", temperature=0.0)
    assert heard.text.rstrip(".").endswith("the largest trees")
    alone = [shipped.transcribe(clip, language="en", temperature=0.0).text for clip in clips]
    assert len(" ".join(alone).split()) == pytest.approx(len(heard.text.split()), abs=1)
