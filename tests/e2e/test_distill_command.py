"""`tercet distill init` on genuine base: its generation settings, and a student that is heard."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tercet
from tercet.checkpoint import open_checkpoint
from tercet.cli.main import main


@pytest.fixture
def student(genuine_base: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "student"
    assert 0 == main(["distill", "init", str(genuine_base), str(folder), "--layers", "0,1,3,4,5"])
    return folder


def test_a_student_of_base_keeps_its_numbers_and_settings_and_is_heard(
    student: Path, genuine_base: Path, clip
) -> None:
    base, opened = open_checkpoint(genuine_base), open_checkpoint(student)
    assert base.generation.suppress_tokens == opened.generation.suppress_tokens
    assert base.generation.begin_suppress_tokens == opened.generation.begin_suppress_tokens
    heads = ((2, 1), (3, 2), (3, 3), (3, 7), (4, 1), (4, 2), (4, 4), (4, 6))
    assert heads == opened.generation.alignment_heads
    name = "model.encoder.layers.5.fc2.weight"
    assert np.float16 == opened.read(name).dtype
    np.testing.assert_array_equal(base.read(name), opened.read(name))
    assert 5 == json.loads((student / "config.json").read_text())["decoder_layers"]
    model = tercet.load_model(student, tags="none", tokens="none", threads=1)
    assert model.transcribe(clip("librispeech-1089")).segments
    command = [sys.executable, "-m", "tercet.cli.main", "listen", str(clip("librispeech-1089"))]
    heard = subprocess.run(
        [*command, "--model", str(student)], capture_output=True, check=False, env=dict(os.environ)
    )
    assert (0, True) == (heard.returncode, bool(heard.stdout.strip()))


def test_the_lists_that_openais_file_lacks_are_those_of_base(genuine_base: Path) -> None:
    from tercet.checkpoint import Generation
    from tercet.convert.student import told_generation
    from tercet.text.tokenizer import Tokenizer

    base = open_checkpoint(genuine_base)
    assert base.tokenizer_file is not None
    told = told_generation(Generation(), Tokenizer.from_file(base.tokenizer_file, base.geometry))
    assert base.generation.suppress_tokens == told.suppress_tokens
    assert base.generation.begin_suppress_tokens == told.begin_suppress_tokens
