"""Renders short pieces of music from chance, for the label Music: MIDI of our own, Debian's soundfont.

    apt-get install fluidsynth fluid-soundfont-gm        # FluidR3 GM, MIT licence
    python recipes/tags/music.py build/music             # 96 pieces of 14 s, manifest.jsonl beside them

Chords, bass, melody and drums in random keys, tempos and instruments. Instruments are divided among four
folds, so that those of fold 4 (development) are never trained on. The same seed gives the same MIDI.
"""

import argparse
import json
import random
import struct
import subprocess
from pathlib import Path

TICKS = 480  # of a quarter note
PIECES = 96
DURATION_S = 14.0
SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
# General MIDI's programs but for its noises (120-127); bells and chimes are left to their own label.
PROGRAMS = [each for each in range(112) if each not in (9, 14, 112)]
SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "blues": (0, 3, 5, 6, 7, 10),
}
PROGRESSIONS = ((0, 4, 5, 3), (0, 5, 3, 4), (1, 4, 0, 0), (0, 3, 0, 4), (5, 3, 0, 4), (0, 0, 3, 4))
STYLES = ("band", "band", "duo", "solo", "pads", "drums")

Note = tuple[int, int, int, int, int]  # start and length in ticks, channel, pitch, velocity


def main() -> None:
    """Write the pieces and their manifest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pieces", type=int, default=PIECES)
    parser.add_argument("--soundfont", type=Path, default=SOUNDFONT)
    parser.add_argument("--seed", type=int, default=6)
    given = parser.parse_args()
    (given.folder / "audio").mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(given.pieces):
        fold = number % 4 + 1
        rng = random.Random(f"{given.seed}-{number}")
        programs = [each for each in PROGRAMS if each % 4 + 1 == fold]
        name = f"audio/{fold}-music-{number:03d}.flac"
        midi, about = piece(rng, programs)
        render(midi, given.folder / name, given.soundfont)
        rows.append(
            {
                "path": name,
                "duration_s": DURATION_S,
                "labels": ["Music"],
                "audioset_labels": ["Music"],
                "fold": fold,
                "speaker": None,
                "about": about,
                "source": "recipes/tags/music.py, FluidR3 GM",
                "license": "MIT (soundfont)",
            }
        )
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (given.folder / "manifest.jsonl").write_text(lines, encoding="utf-8")


def piece(rng: random.Random, programs: list[int]) -> tuple[bytes, str]:
    """A MIDI file, and what is in it."""
    beats_per_minute = rng.randint(60, 170)
    style = rng.choice(STYLES)
    root, scale_name = rng.randint(36, 47), rng.choice(sorted(SCALES))
    scale = SCALES[scale_name]
    chords = rng.choice(PROGRESSIONS)
    bars = int(DURATION_S * beats_per_minute / 60 / 4) + 2
    lead, chord, bass = (rng.choice(programs) for _ in range(3))
    notes: list[Note] = []
    for bar in range(bars):
        degree = chords[bar % len(chords)]
        if style in ("band", "duo", "solo"):
            notes += melody(rng, bar, degree, root + 24, scale)
        if style in ("band", "duo", "pads"):
            notes += harmony(rng, bar, degree, root + 12, scale, held=style == "pads")
        if style in ("band", "pads"):
            notes += bass_line(rng, bar, degree, root, scale)
        if style in ("band", "drums"):
            notes += drums(rng, bar)
    programs_used = {0: lead, 1: chord, 2: bass}
    return midi_file(
        notes, programs_used, beats_per_minute
    ), f"{style}, {scale_name}, {lead}-{chord}-{bass}"


def pitch(degree: int, root: int, scale: tuple[int, ...]) -> int:
    """The pitch of a scale's degree, any octave."""
    octave, step = divmod(degree, len(scale))
    return root + 12 * octave + scale[step]


def melody(
    rng: random.Random, bar: int, degree: int, root: int, scale: tuple[int, ...]
) -> list[Note]:
    """A bar of notes that wander around the chord."""
    at, end, notes = bar * 4 * TICKS, (bar + 1) * 4 * TICKS, []
    step = degree + rng.choice((0, 2, 4))
    while at < end:
        length = rng.choice((TICKS // 2, TICKS, TICKS, TICKS * 2, TICKS // 4))
        if rng.random() > 0.12:
            notes.append((at, length, 0, pitch(step, root, scale), rng.randint(70, 115)))
        step += rng.choice((-2, -1, -1, 1, 1, 2, 3, -3))
        step = min(max(step, -3), 14)
        at += length
    return notes


def harmony(
    rng: random.Random, bar: int, degree: int, root: int, scale: tuple[int, ...], *, held: bool
) -> list[Note]:
    """The bar's chord, held or struck."""
    times = (0,) if held else rng.choice(((0,), (0, 2), (0, 1, 2, 3), (1, 3)))
    length = 4 * TICKS if len(times) == 1 else TICKS
    return [
        (
            bar * 4 * TICKS + time * TICKS,
            length,
            1,
            pitch(degree + third, root, scale),
            rng.randint(50, 90),
        )
        for time in times
        for third in (0, 2, 4)
    ]


def bass_line(
    rng: random.Random, bar: int, degree: int, root: int, scale: tuple[int, ...]
) -> list[Note]:
    """The chord's root, or its fifth, on some beats."""
    return [
        (
            bar * 4 * TICKS + beat * TICKS,
            TICKS,
            2,
            pitch(degree + rng.choice((0, 0, 4)), root, scale) - 12,
            95,
        )
        for beat in rng.choice(((0, 2), (0, 1, 2, 3), (0,)))
    ]


def drums(rng: random.Random, bar: int) -> list[Note]:
    """A bar of a kit."""
    hits = [(beat * TICKS, 36 if beat % 2 == 0 else 38) for beat in range(4)]
    hits += [(eighth * TICKS // 2, rng.choice((42, 42, 42, 46))) for eighth in range(8)]
    hits += [(rng.randrange(16) * TICKS // 4, rng.choice((36, 45, 47, 49, 51, 56)))]
    return [(bar * 4 * TICKS + at, TICKS // 4, 9, drum, rng.randint(60, 115)) for at, drum in hits]


def midi_file(notes: list[Note], programs: dict[int, int], beats_per_minute: int) -> bytes:
    """A standard MIDI file of one track."""
    happens = [(0, bytes([0xC0 | channel, program])) for channel, program in programs.items()]
    for start, length, channel, key, velocity in notes:
        key = min(max(key, 0), 127)
        happens.append((start, bytes([0x90 | channel, key, velocity])))
        happens.append((start + length, bytes([0x80 | channel, key, 0])))
    happens.sort(key=lambda each: each[0])
    tempo = 60_000_000 // beats_per_minute
    track, now = b"\x00\xff\x51\x03" + tempo.to_bytes(3, "big"), 0
    for at, message in happens:
        track += variable_length(at - now) + message
        now = at
    track += b"\x00\xff\x2f\x00"
    header = b"MThd" + struct.pack(">IHHH", 6, 0, 1, TICKS)
    return header + b"MTrk" + struct.pack(">I", len(track)) + track


def variable_length(number: int) -> bytes:
    """MIDI's way of writing a number of ticks."""
    septets = [number & 0x7F]
    while number := number >> 7:
        septets.append(number & 0x7F | 0x80)
    return bytes(reversed(septets))


def render(midi: bytes, path: Path, soundfont: Path) -> None:
    """MIDI -> FLAC, mono, 16 kHz, the first 14 s."""
    import av
    import numpy as np

    source = path.with_suffix(".mid")
    source.write_bytes(midi)
    command = [
        "fluidsynth",
        "-ni",
        "-q",
        "-r",
        "16000",
        "-g",
        "0.6",
        "-T",
        "raw",
        "-O",
        "s16",
        "-F",
        "-",
    ]
    raw = subprocess.run(
        [*command, str(soundfont), str(source)], check=True, capture_output=True
    ).stdout
    stereo = np.frombuffer(raw[: len(raw) // 4 * 4], np.int16).reshape(-1, 2).astype(np.int32)
    mono = (stereo.sum(1) // 2).astype(np.int16)[: int(DURATION_S * 16000)]
    source.unlink()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=16000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(mono[None], format="s16", layout="mono")
        frame.sample_rate = 16000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


if __name__ == "__main__":
    main()
