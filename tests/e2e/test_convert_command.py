"""`tercet convert` on the shipped weights: killed, twice at once, and heard with."""

import json
import subprocess
import sys

import pytest

from tercet.checkpoint import open_checkpoint

CONVERT = [sys.executable, "-m", "tercet.cli.main", "convert"]


def test_kills_leave_the_old_folder_or_the_new_one(request, base_model):
    script = request.config.rootpath / "benchmarks" / "kill_convert.py"
    done = subprocess.run(
        [sys.executable, str(script), str(base_model), "--kills", "4", "--seed", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert (4, 0) == (figures["kills"], figures["broken"])
    assert 4 == sum(figures["left"].values())


def test_two_at_once_give_one_whole_folder_and_one_clear_line(base_model, tmp_path):
    command = [*CONVERT, str(base_model), str(tmp_path / "out"), "--compute_type", "float32"]
    runs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    ended = [(*run.communicate(), run.returncode) for run in runs]
    assert [0, 1, 1] == sorted(code for _, _, code in ended)
    for _, err, code in ended:
        assert (1 if code else 0) == len(err.splitlines())
        assert not code or "another process is writing it" in err or "holds a model" in err
    assert ["out"] == [path.name for path in tmp_path.iterdir()]
    assert "hf" == open_checkpoint(tmp_path / "out").layout


@pytest.mark.parametrize("options", [[], ["--compute_type", "float16"]], ids=["int8", "float16"])
def test_a_converted_model_hears_what_the_original_hears(
    base_model, shipped, clip, tmp_path, options
):
    command = [*CONVERT, str(base_model), str(tmp_path / "out"), *options]
    subprocess.run(command, check=True, capture_output=True)
    import tercet

    found = tercet.load_model(tmp_path / "out", threads=2, compute_type="int8")
    recording = clip("librispeech-1089")
    assert shipped.transcribe(recording).text == found.transcribe(recording).text


def test_a_model_made_from_the_genuine_weights_and_own_speech_hears(
    genuine_base, clip, clips_dir, tmp_path
):
    command = [*CONVERT, str(genuine_base), str(tmp_path / "out")]
    calibration = ["--calibrate", str(clips_dir / "librispeech-*")]
    subprocess.run([*command, *calibration], check=True, capture_output=True)
    import tercet

    text = tercet.load_model(tmp_path / "out", threads=2).transcribe(clip("librispeech-1089")).text
    assert "a cold lucid indifference reigned in his soul" in text.lower().replace(",", "")
