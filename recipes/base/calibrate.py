"""Measure the largest input of every encoder matrix, per channel, on real sound: `calibration.safetensors`.

usage: python recipes/base/calibrate.py SOURCE

SOURCE is what `make.py` takes. The sound comes from TERCET_DATA (default ../shared/data): the first
30 s of twelve LibriSpeech chapters whose speakers are not held out for development, four other
languages, three environmental sounds. The result is committed, so that `make.py` needs no sound and
gives the same bytes everywhere.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from make import CALIBRATION_FILE, find_source

from tercet.audio.load import load
from tercet.audio.mel import log_mel
from tercet.checkpoint import open_checkpoint
from tercet.convert.smooth import largest_of, probed_encoder
from tercet.convert.store import write_arrays
from tercet.engine.onnx import open_graph

WINDOW_SAMPLES = 480000
GAP = np.zeros(5600, np.float32)  # 0.35 s, as the chapters' recipes ask


def recordings(data: Path) -> Iterator[list[Path]]:
    """Files to be joined into one window each."""
    listed = (data / "longform_en" / "recipes.jsonl").read_text(encoding="utf-8").splitlines()
    chapters = [json.loads(line) for line in listed]
    speakers = {chapter["speaker"]: chapter for chapter in chapters}
    training = [c for speaker, c in sorted(speakers.items()) if not speaker.endswith("9")]
    for chapter in training[:12]:
        yield [data / "longform_en" / part for part in chapter["parts"]]
    for folder, step, count in (
        ("speech_other/azure_customspeech_samples", 3, 4),
        ("sounds/esc10", 40, 3),
    ):
        manifest = (data / folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
        paths = sorted(json.loads(line)["path"] for line in manifest)
        for path in paths[::step][:count]:
            yield [data / folder / path]


def window_of(paths: list[Path]) -> np.ndarray:
    """The first 30 s of the joined files."""
    parts: list[np.ndarray] = []
    for path in paths:
        parts += [load(path).read(), GAP]
        if sum(part.size for part in parts) >= WINDOW_SAMPLES:
            break
    return np.concatenate(parts)[:WINDOW_SAMPLES]


def main(source: str) -> None:
    """Write the statistics beside this script."""
    data = Path(os.environ.get("TERCET_DATA", "../shared/data"))
    checkpoint = open_checkpoint(find_source(source))
    graph, probes = probed_encoder(checkpoint)
    session = open_graph(graph, threads=None)
    runs = []
    for paths in recordings(data):
        mel = log_mel(window_of(paths), n_mels=checkpoint.geometry.n_mels)
        values = session.run(list(probes), {"mel": mel[None]})
        runs.append(dict(zip(probes.values(), values, strict=True)))
    statistics = {name: v.astype(np.float16) for name, v in largest_of(runs).items()}
    facts = {"tercet": json.dumps({"windows": len(runs), "statistic": "largest absolute input"})}
    write_arrays(CALIBRATION_FILE, statistics, facts)
    print(f"{CALIBRATION_FILE}: {len(statistics)} matrices, {len(runs)} windows")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
