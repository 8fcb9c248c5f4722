"""Reads sentences aloud with synthetic voices: speech for drafts and students where recordings are few.

    pip install hibari-tts                      # Apache-2.0, the voice is in the wheel
    apt-get install flite                       # optional: three more voices
    python recipes/draft/voices.py build/text build/voices

Sentences are those of LibriSpeech's transcripts and of speeches; each "speaker" is a voice at a pitch, a
pace, in a room and with a noise of its own. The same seed gives the same recordings, one 16-bit WAV per
sentence with a line in manifest.jsonl. A run that was stopped goes on.
"""

import argparse
import gzip
import json
import random
import re
import shutil
import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np
from hibari import Hibari

BOOKS = "librispeech_train_clean_100_transcripts.tsv.gz"
SPEECHES = ("state_union.txt.gz", "inaugural.txt.gz")
FLITE_VOICES = ("rms", "awb", "slt")
SPEAKER_SENTENCES = 12  # of one speaker, in a row: windows are packed by speaker
HIBARI_RATE_HZ = 24_000


def main() -> None:
    """Write the recordings and their manifest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", type=Path, help="the folder of the texts")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hours", type=float, default=16.0)
    parser.add_argument("--speeches_share", type=float, default=0.2, help="of the speakers")
    parser.add_argument("--flite_share", type=float, default=0.25, help="of the speakers")
    parser.add_argument("--seed", type=int, default=8)
    given = parser.parse_args()
    (given.folder / "audio").mkdir(parents=True, exist_ok=True)
    has_flite = shutil.which("flite") is not None
    books, speeches = groups(books_of(given.texts / BOOKS)), groups(speeches_of(given.texts))
    order = random.Random(given.seed)
    order.shuffle(books)
    order.shuffle(speeches)
    hibari, spoken_s, number = Hibari(), 0.0, 0
    with (given.folder / "manifest.jsonl").open("w", encoding="utf-8") as manifest:
        while spoken_s < given.hours * 3600 and books:
            rng = random.Random(f"{given.seed}-{number}")
            takes_speech = rng.random() < given.speeches_share and speeches
            sentences = (speeches if takes_speech else books).pop()
            speaker = Speaker(rng, hibari, has_flite and rng.random() < given.flite_share)
            for place, sentence in enumerate(sentences):
                name = f"audio/{number:04d}-{place:02d}.wav"
                seed = 100 * number + place
                duration_s = speaker.say(sentence, given.folder / name, seed)
                spoken_s += duration_s
                row = {
                    "path": name,
                    "duration_s": round(duration_s, 3),
                    "text": sentence,
                    "speaker": f"voice-{number:04d}",
                    "lang": "en",
                    "source": f"recipes/draft/voices.py, {speaker.voice}",
                }
                manifest.write(json.dumps(row) + "\n")
            number += 1


def books_of(path: Path) -> list[str]:
    """LibriSpeech's utterances, in order."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [line.rstrip("\n").rpartition("\t")[2] for line in file]


def speeches_of(folder: Path) -> list[str]:
    """Sentences of speeches that are neither very short nor longer than a window."""
    found = []
    for name in SPEECHES:
        with gzip.open(folder / name, "rt", encoding="utf-8", errors="replace") as file:
            lines = " ".join(line.strip() for line in file if not line.startswith("###"))
        for sentence in re.split(r"(?<=[.!?])\s+", lines):
            if 4 <= len(sentence.split()) <= 45 and not sentence.isupper():
                found.append(sentence)
    return found


def groups(sentences: list[str]) -> list[list[str]]:
    """What one speaker says."""
    size = SPEAKER_SENTENCES
    return [sentences[start : start + size] for start in range(0, len(sentences) - size, size)]


class Speaker:
    """A voice, a pitch, a pace, a room and a noise."""

    def __init__(self, rng: random.Random, hibari: Hibari, is_flite: bool) -> None:
        self._hibari = hibari
        self.voice = f"flite {rng.choice(FLITE_VOICES)}" if is_flite else "hibari heart"
        # A recording that is played faster is higher, and its formants with it: another throat.
        self._pitch = rng.uniform(0.92, 1.08) if is_flite else rng.uniform(0.76, 1.12)
        self._pace = rng.uniform(0.85, 1.15)
        self._room_s = rng.choice((0.0, 0.0, rng.uniform(0.1, 0.5)))
        self._noise_db = rng.choice((-60.0, rng.uniform(-45.0, -12.0)))
        self._colour = rng.uniform(0.0, 1.0)  # of the noise: 0 white, 1 brown

    def say(self, sentence: str, path: Path, seed: int) -> float:
        """Write a sentence, at once or not at all; seconds."""
        if not path.exists():
            sound, rate_hz = self._spoken(sentence, seed)
            sound = self._in_room(sound, rate_hz, np.random.default_rng(seed))
            part = path.with_suffix(".part")
            with wave.open(str(part), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(int(rate_hz * self._pitch))
                file.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
            part.rename(path)
        with wave.open(str(path), "rb") as file:
            return file.getnframes() / file.getframerate()

    def _spoken(self, sentence: str, seed: int) -> tuple[np.ndarray, int]:
        if self.voice.startswith("hibari"):
            pace = self._pace / self._pitch
            return self._hibari(sentence, speed=pace, seed=seed), HIBARI_RATE_HZ
        with tempfile.NamedTemporaryFile(suffix=".wav") as spoken:
            voice = self.voice.removeprefix("flite ")
            stretch = f"duration_stretch={self._pitch / self._pace:.3f}"
            command = ["flite", "-voice", voice, "--setf", stretch, "-t", sentence]
            subprocess.run([*command, "-o", spoken.name], check=True)
            with wave.open(spoken.name, "rb") as file:
                frames, rate_hz = file.readframes(file.getnframes()), file.getframerate()
        return np.frombuffer(frames, "<i2").astype(np.float32) / 32768, rate_hz

    def _in_room(self, sound: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
        quiet = np.zeros(int(rng.uniform(0.1, 0.5) * rate_hz), np.float32)
        sound = np.concatenate([sound, quiet])
        n = len(sound)
        if self._room_s:
            taps = np.arange(int(self._room_s * rate_hz))
            echo = rng.standard_normal(len(taps)) * np.exp(-6.9 * taps / len(taps))
            echo *= 0.5 / np.sqrt(np.sum(echo**2))
            echo[0] = 1.0
            size = n + len(taps)
            sound = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(echo, size), size)[:n]
        spectrum = np.fft.rfft(rng.standard_normal(n))
        spectrum /= np.maximum(np.arange(len(spectrum)), n / 200) ** self._colour
        noise = np.fft.irfft(spectrum, n)
        level = np.sqrt(np.mean(sound**2)) / np.sqrt(np.mean(noise**2))
        sound = sound + noise * level * 10 ** (self._noise_db / 20)
        return sound / max(1.0, float(np.abs(sound).max()) / 0.95)


if __name__ == "__main__":
    main()
