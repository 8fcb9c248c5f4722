"""Time and peak memory of `tercet listen` against the number and the length of recordings.

usage: python benchmarks/growth.py [--files 1,10,100,1000,10000] [--minutes 1,10,60,180,600]
           [--mixed 100,1000,10000] [--threads 2] [--model base] [--again] [--draw]

Each point is a fresh process of the program, loading included. The files are hard links of a few
short clips (mixed: nine of ten are silence, so that the program's own part shows); the long
recording is real speech, repeated: LibriSpeech of TERCET_DATA (default ../shared/data), or the
repository's own clips. Points that benchmarks/results/growth.json holds for this very code and
these settings are not measured again without --again; `--files ''` measures none. Writes that file,
docs/growth.svg and the table in docs/growth.md; --draw does nothing else. Ten hours need 1.2 GB of
disk in the folder for temporary files; ten thousand files take hours on two cores.
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

import numpy as np
from growth_chart import KINDS, Point, chart, table

from tercet.audio.load import load

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "growth.json"
CHART = ROOT / "docs" / "growth.svg"
PAGE = ROOT / "docs" / "growth.md"
BEGIN, END = "<!-- table: written by benchmarks/growth.py -->", "<!-- end of table -->"
RATE_HZ = 16000
CLIPS = 8
STRIDE = 5  # so that the clips are of several speakers
SILENT_S = 2
SPEECH_EVERY = 10  # of the mixed recordings
LOOP_S = 600  # the long recording repeats after so much speech
GAP = np.zeros(5600, np.int16)


def code_version() -> str:
    """A short name for the program's sources."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "src" / "tercet").rglob("*.py")):
        digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def speech() -> list[Path]:
    """Utterances, in the order in which they were read."""
    data = Path(os.environ.get("TERCET_DATA", ROOT.parent / "shared" / "data"))
    found = sorted((data / "speech_en" / "librispeech" / "audio").glob("*/*.opus"))
    return found or sorted((ROOT / "tests" / "clips").glob("librispeech-*.opus"))


def pcm(path: Path) -> np.ndarray:
    return (load(path).read() * 32767).astype(np.int16)


def lay_out_files(folder: Path, count: int, *, speech_every: int = 1) -> float:
    """Fill a folder with hard links of a few clips, the others silent; returns the seconds of audio."""
    short: list[Path] = []
    for path in speech()[::STRIDE]:
        if len(short) < CLIPS and 2.0 <= (load(path).duration_s or 0.0) <= 3.0:
            short.append(path)
    originals = folder.parent / "originals"
    originals.mkdir()
    lengths_s = []
    for number, path in enumerate(short):
        samples = pcm(path)
        lengths_s.append(samples.size / RATE_HZ)
        write_wav(originals / f"{number}.wav", [samples], samples.size)
    write_wav(originals / "silent.wav", [np.zeros(RATE_HZ, np.int16)], SILENT_S * RATE_HZ)
    folder.mkdir()
    total_s = 0.0
    for number in range(count):
        turn, rest = divmod(number, speech_every)
        clip = turn % len(short)
        source = originals / ("silent.wav" if rest else f"{clip}.wav")
        (folder / f"{number:06d}.wav").hardlink_to(source)
        total_s += SILENT_S if rest else lengths_s[clip]
    return total_s


def lay_out_recording(path: Path, minutes: int) -> float:
    """Write one recording of so many minutes; returns its seconds."""
    loop: list[np.ndarray] = []
    for clip in speech():
        loop += [pcm(clip), GAP]
        if sum(part.size for part in loop) >= LOOP_S * RATE_HZ:
            break
    wanted = minutes * 60 * RATE_HZ
    write_wav(path, loop, wanted)
    return minutes * 60.0


def write_wav(path: Path, parts: list[np.ndarray], samples: int) -> None:
    """Write the parts, again and again, until there are so many samples."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        while samples > 0:
            for part in parts:
                file.writeframesraw(part[:samples].tobytes())
                samples -= min(samples, part.size)


def measure(kind: str, size: int, words: list[str]) -> Point:
    """One run of the program."""
    with tempfile.TemporaryDirectory() as work:
        source, out = Path(work) / "in", Path(work) / "out"
        if kind != "minutes":
            every = SPEECH_EVERY if kind == "mixed" else 1
            audio_s = lay_out_files(source, size, speech_every=every)
        else:
            source = source.with_suffix(".wav")
            audio_s = lay_out_recording(source, size)
        program = [sys.executable, "-m", "tercet.cli.main", "listen", str(source), "--quiet"]
        started = time.perf_counter()
        process = subprocess.Popen([*program, "-o", str(out), "-f", "txt,json", *words])
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        check(kind, size, audio_s, out, process.returncode)
    # Linux counts kilobytes, macOS bytes. It never says less than this script's own size.
    unit = 1 if sys.platform == "darwin" else 1024
    peak_mb = usage.ru_maxrss * unit / 1e6
    return Point(kind, size, audio_s, wall_s, usage.ru_utime + usage.ru_stime, peak_mb)


def check(kind: str, size: int, audio_s: float, out: Path, code: int) -> None:
    """Everything was heard, to its end."""
    heard = sorted(out.glob("*.json"))
    expected = 1 if kind == "minutes" else size
    if code or len(heard) != expected:
        sys.exit(f"{size} {kind}: exit code {code}, {len(heard)} of {expected} heard")
    if kind == "minutes":
        last = json.loads(heard[0].read_text(encoding="utf-8"))["segments"][-1]
        if last["end"] < audio_s - 60:
            sys.exit(f"{size} {kind}: the text ends at {last['end']} of {audio_s} s")


def known() -> list[dict]:
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []


def draw(rows: list[dict]) -> None:
    """The chart and the table, of the newest row for each point."""
    newest = {(row["kind"], row["size"]): row for row in rows}
    points = [Point(*(row[name] for name in Point._fields)) for row in newest.values()]
    CHART.write_text(chart(points), encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{table(points)}\n{END}{after}", encoding="utf-8")


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part.strip()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=numbers, default="1,10,100,1000,10000")
    parser.add_argument("--minutes", type=numbers, default="1,10,60,180,600")
    parser.add_argument("--mixed", type=numbers, default="100,1000,10000")
    parser.add_argument("--threads", default="2")
    parser.add_argument("--model", default="base")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--draw", action="store_true")
    options = parser.parse_args()
    settings = {
        "code": code_version(),
        "model": options.model,
        "threads": options.threads,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    rows = known()
    wanted = [(kind, n) for kind in KINDS for n in getattr(options, kind)]
    for kind, size in [] if options.draw else wanted:
        same = {**settings, "kind": kind, "size": size}
        if not options.again and any(same.items() <= row.items() for row in rows):
            print(f"{size} {kind}: measured before")
            continue
        point = measure(kind, size, ["--model", options.model, "--threads", options.threads])
        rows = [row for row in rows if not same.items() <= row.items()]
        rows.append({**settings, **point._asdict(), "date": time.strftime("%Y-%m-%d")})
        lines = ",\n".join(json.dumps(row) for row in rows)
        RESULTS.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        print(table([point]).splitlines()[-1], flush=True)
    draw(rows)


if __name__ == "__main__":
    main()
