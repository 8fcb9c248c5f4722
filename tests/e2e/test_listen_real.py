"""`tercet listen` in processes of its own, on the shipped model and real clips. Every test loads it anew."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

SPOKEN = "Why should one not explore everything and study everything?"
ALL_FORMATS = ("txt", "srt", "vtt", "tsv", "json", "jsonl")


@pytest.fixture
def listen(base_model, tmp_path):
    """Run the program in an empty folder; the hub is switched off."""

    def run(*words: str | Path, **options) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "100"}
        command = [sys.executable, "-m", "tercet.cli.main", "listen", *map(str, words)]
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, **options
        )

    return run


def wav(path: Path, samples: np.ndarray, *, channels: int = 1, rate_hz: int = 16000) -> Path:
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate_hz)
        writer.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def wav_header(*, channels: int, rate_hz: int, kind: int = 1, bits: int = 16, data: bytes) -> bytes:
    """A WAVE file whose header says what it likes."""
    block = max(1, channels * bits // 8)
    numbers = [
        (16, 4), (kind, 2), (channels, 2), (rate_hz, 4), (rate_hz * block % 2**32, 4),
        (block, 2), (bits, 2),
    ]  # fmt: skip
    chunk = b"".join(value.to_bytes(size, "little") for value, size in numbers)
    body = b"WAVEfmt " + chunk + b"data" + len(data).to_bytes(4, "little") + data
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def test_text_goes_to_stdout_and_nothing_else(listen, clip) -> None:
    ran = listen(clip("librispeech-4507"))
    assert (0, f"{SPOKEN}\n", "") == (ran.returncode, ran.stdout, ran.stderr)


def test_all_formats_of_several_files_and_resume(listen, clip, tmp_path) -> None:
    files = [clip("librispeech-4507"), clip("librispeech-2300"), clip("esc10-Rain")]
    command = [*files, "-f", "all", "--output_dir", "out", "--verbose"]
    ran = listen(*command)
    assert (0, "") == (ran.returncode, ran.stdout)
    out = tmp_path / "out"
    expected = {f"{file.stem}.{kind}" for file in files for kind in ALL_FORMATS}
    assert expected == {path.name for path in out.iterdir() if path.name[0] != "."}
    check_json(json.loads((out / f"{files[0].stem}.json").read_text()))
    assert f"{SPOKEN}\n" == (out / f"{files[0].stem}.txt").read_text()
    assert "00:00:00,000 --> " in (out / f"{files[0].stem}.srt").read_text()
    assert (out / f"{files[0].stem}.vtt").read_text().startswith("WEBVTT\n")
    silent = json.loads((out / f"{files[2].stem}.json").read_text())
    assert ("", [], "und") == (silent["text"], silent["segments"], silent["language"])
    assert "no speech found" in ran.stderr
    times = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    (out / f"{files[1].stem}.vtt").unlink()
    again = listen(*command, "--resume")
    assert 0 == again.returncode
    assert "2 of 3 files were finished before" in again.stderr
    changed = {path.name for path in out.iterdir() if times.get(path) != path.stat().st_mtime_ns}
    assert {f"{files[1].stem}.{kind}" for kind in ALL_FORMATS} | {".tercet-resume.jsonl"} == changed


def check_json(found: dict) -> None:
    """openai-whisper's fields, and ours."""
    assert (f" {SPOKEN}", "en", "tercet/1", "transcribe") == (
        found["text"],
        found["language"],
        found["schema"],
        found["task"],
    )
    assert 5.6 < found["duration_s"] < 5.7
    assert 0.9 < found["language_probability"] <= 1
    names = {
        "id", "seek", "start", "end", "text", "tokens", "temperature", "avg_logprob",
        "compression_ratio", "no_speech_prob",
    }  # fmt: skip
    for segment in found["segments"]:
        assert names <= segment.keys()
    assert found["text"] == "".join(segment["text"] for segment in found["segments"])


def test_stdin_language_and_task(listen, clip) -> None:
    with clip("kerstin-de_rhasspy-0243").open("rb") as file:
        ran = listen("-", "--language", "German", "--task", "translate", "-f", "json", stdin=file)
    assert 0 == ran.returncode
    found = json.loads(ran.stdout)
    assert ("de", "translate", None) == (
        found["language"],
        found["task"],
        found["language_probability"],
    )
    assert "I think" in found["text"]


def bad_files(folder: Path, clip) -> dict[str, str]:
    """Inputs that cannot be heard -> a part of what is said about them."""
    folder.mkdir()
    whole = clip("librispeech-4507").read_bytes()
    files = {
        "empty.wav": (b"", "is empty (0 bytes)"),
        "cut-in-header.opus": (whole[:60], "convert it to WAV or FLAC"),
        "letter.mp3": (b"Dear reader, this is no sound. " * 50, "not audio"),
        "zero-hertz.wav": (wav_header(channels=1, rate_hz=0, data=bytes(3200)), " Hz"),
        "thousand.wav": (wav_header(channels=1000, rate_hz=16000, data=bytes(64000)), "1000 channels"),
        "header-only.wav": (wav_header(channels=1, rate_hz=16000, data=b""), "no samples"),
    }  # fmt: skip
    nan = np.full(16000, np.nan, "<f4").tobytes()
    as_float = wav_header(channels=1, rate_hz=16000, kind=3, bits=32, data=nan)
    files["nan.wav"] = (as_float, "NaN or infinite")
    for name, (content, _) in files.items():
        (folder / name).write_bytes(content)
    return {str(folder / name): reason for name, (_, reason) in files.items()}


def test_bad_inputs_are_a_line_each_and_the_others_are_heard(listen, clip, tmp_path) -> None:
    bad = bad_files(tmp_path / "in", clip)
    bad["in/missing.wav"] = "no such file"
    (tmp_path / "empty-folder").mkdir()
    bad["empty-folder"] = "no audio file in this folder"
    if os.geteuid() != 0:  # root may read everything
        locked = wav(tmp_path / "in" / "locked.wav", np.zeros(1600))
        locked.chmod(0)
        bad[str(locked)] = "permission"
    good = clip("librispeech-4507")
    silent = wav(tmp_path / "in" / "silent.wav", np.zeros(16000))
    short = wav(tmp_path / "in" / "short.wav", np.full(160, 0.1))
    truncated = tmp_path / "in" / "truncated.opus"
    truncated.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    words = [*bad, good, silent, short, truncated]
    ran = listen(*words, "-o", "out", "--quiet")
    assert (1, "") == (ran.returncode, ran.stdout)
    lines = ran.stderr.splitlines()
    assert "Traceback" not in ran.stderr
    assert len(bad) == len(lines)
    for name, reason in bad.items():
        (line,) = (line for line in lines if name in line)
        assert reason in line
    out = tmp_path / "out"
    written = {path.name for path in out.iterdir() if path.name[0] != "."}
    assert {f"{good.stem}.txt", "silent.txt", "short.txt", "truncated.txt"} == written
    assert f"{SPOKEN}\n" == (out / f"{good.stem}.txt").read_text()
    assert "" == (out / "silent.txt").read_text().strip()
    assert (out / "truncated.txt").read_text().startswith("Why should one")
    assert [] == [path for path in out.iterdir() if "tmp" in path.name]


class Bomb:
    """A pickle that would make a file."""

    def __reduce__(self):
        return (os.system, ("touch exploded",))


def damaged_models(folder: Path, base_model: Path) -> dict[str, str]:
    """Models that cannot be used -> a part of what is said about them."""
    folder.mkdir()
    (folder / "bomb.pt").write_bytes(pickle.dumps({"dims": Bomb(), "model_state_dict": {}}))
    (folder / "junk.pt").write_bytes(b"junk" * 100)
    (folder / "nothing").mkdir()
    half = folder / "half"
    shutil.copytree(base_model, half, ignore=shutil.ignore_patterns("*.safetensors", "*.py"))
    weights = (base_model / "model.safetensors").open("rb")
    with weights:
        (half / "model.safetensors").write_bytes(weights.read(1_000_000))
    foreign = folder / "foreign"
    foreign.mkdir()
    (foreign / "config.json").write_text('{"model_type": "bert"}')
    (foreign / "model.safetensors").symlink_to(base_model / "model.safetensors")
    torn = folder / "torn"
    shutil.copytree(base_model, torn, ignore=shutil.ignore_patterns("*.safetensors", "*.py"))
    (torn / "model.safetensors").symlink_to(base_model / "model.safetensors")
    (torn / "tokenizer.json").write_text('{"model": ')
    return {
        "bomb.pt": "",
        "junk.pt": "",
        "nothing": "",
        "half": "model.safetensors",
        "foreign": "",
        "torn": "tokenizer.json",
    }


def test_models_that_cannot_be_used_are_one_line(listen, clip, tmp_path, base_model) -> None:
    models = {
        str(tmp_path / "models" / name): part
        for name, part in damaged_models(tmp_path / "models", base_model).items()
    }
    models["no-such-model"] = "no-such-model"
    for name, part in models.items():
        ran = listen(clip("librispeech-4507"), "--model", name, "-o", "out", "--quiet")
        assert ran.returncode in (1, 2), name
        assert "" == ran.stdout
        (line,) = ran.stderr.splitlines()
        assert part in line
        assert len(line) > 30
    assert not (tmp_path / "exploded").exists()
    assert [] == list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--language", "klingon"], "klingon"),
        (["--task", "sing"], "sing"),
        (["--longform", "sequential"], "later release"),
        (["--compute_type", "float16"], "float16"),
        (["--threads", "-1"], "-1"),
    ],
)
def test_values_that_are_not_allowed_are_usage_errors(listen, clip, words, part) -> None:
    ran = listen(clip("librispeech-4507"), *words)
    assert (2, "") == (ran.returncode, ran.stdout)
    (line,) = [line for line in ran.stderr.splitlines() if line.strip()]
    assert part in line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout_is_one_line(listen, clip, base_model, tmp_path) -> None:
    command = [sys.executable, "-m", "tercet.cli.main", "listen"]
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [*command, str(clip("librispeech-4507")), "--quiet"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
            check=False,
        )
    assert 1 == ran.returncode
    assert ["tercet: standard output: not written: no space left on device"] == (
        ran.stderr.splitlines()
    )


def test_a_folder_that_takes_no_more_keeps_nothing_half_written(listen, clip, tmp_path) -> None:
    """Files may grow to 100 bytes: the text fits, the JSON does not."""
    program = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from tercet.cli.main import run\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "sys.argv[0] = 'tercet'\nrun()\n"
    )
    words = ["listen", str(clip("librispeech-4507")), "-f", "txt,json", "-o", "out", "--quiet"]
    ran = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert 1 == ran.returncode
    (line,) = ran.stderr.splitlines()
    assert "not written: file too large" in line
    assert [] == list((tmp_path / "out").iterdir())
