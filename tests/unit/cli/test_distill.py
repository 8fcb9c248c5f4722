"""`tercet distill init` in this process, on small random models."""

import json

import numpy as np
import pytest

from tercet.checkpoint import Generation, Geometry, open_checkpoint, save_hugging_face
from tercet.cli.main import main

GEOMETRY = Geometry(
    n_mels=80,
    width=64,
    encoder_layers=3,
    encoder_heads=2,
    decoder_layers=6,
    decoder_heads=2,
    vocab_size=51865,
)
WHISPER_CPP = "note: whisper.cpp never gives timestamps with two decoder layers"


@pytest.fixture(scope="module")
def teacher(random_checkpoint, byte_tokenizer_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("teachers") / "tuned"
    made = random_checkpoint(GEOMETRY)
    made.generation = Generation(alignment_heads=((3, 0), (5, 1)))
    tokenizer = byte_tokenizer_file(GEOMETRY.vocab_size)
    save_hugging_face(made, folder, tokenizer_file=tokenizer)
    return folder


@pytest.fixture
def init(teacher, tmp_path, capsys, monkeypatch):
    """`init("--json")`: (exit code, stdout, stderr) of a run from the teacher into `student`."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(*words, teacher=teacher, folder=tmp_path / "student"):
        code = main(["distill", "init", str(teacher), str(folder), *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def layer_of(folder, index):
    return open_checkpoint(folder).read(f"model.decoder.layers.{index}.fc1.weight")


def assert_layers(student, teacher, expected):
    assert len(expected) == open_checkpoint(student).geometry.decoder_layers
    for ours, theirs in enumerate(expected):
        np.testing.assert_array_equal(layer_of(teacher, theirs), layer_of(student, ours))


def test_two_layers_and_everything_else_are_taken_and_reported(init, teacher, tmp_path):
    code, out, err = init()
    assert 0 == code
    assert_layers(tmp_path / "student", teacher, [0, 5])
    assert "Of tuned: decoder layers 0, 5 of 6, encoder layers 0 to 2 of 3." in out
    assert "| encoder |" in out
    assert "| 100.0 % |" in out
    assert "Alignment heads: 1 of the teacher's 2, under their new numbers." in out
    assert ((1, 1),) == open_checkpoint(tmp_path / "student").generation.alignment_heads
    assert [True] == [line.startswith(WHISPER_CPP) for line in err.splitlines()]


@pytest.mark.option("--decoder_layers")
@pytest.mark.parametrize("words", [["--decoder_layers", "3"], ["--decoder-layers=3"]])
def test_decoder_layers_says_how_many(init, teacher, tmp_path, words):
    assert (0, "") == init(*words)[::2]
    assert_layers(tmp_path / "student", teacher, [0, 2, 5])


@pytest.mark.option("--layers")
def test_layers_says_which_and_counts_negative_ones_from_the_end(init, teacher, tmp_path):
    assert 0 == init("--layers", "-5,3,-1")[0]
    assert_layers(tmp_path / "student", teacher, [1, 3, 5])


@pytest.mark.option("--encoder_layers")
def test_encoder_layers_takes_fewer(init, teacher, tmp_path):
    assert 0 == init("--encoder_layers", "2")[0]
    assert 2 == open_checkpoint(tmp_path / "student").geometry.encoder_layers


@pytest.mark.option("--audio_ctx")
def test_audio_ctx_takes_fewer_positions_and_says_who_can_use_them(init, tmp_path):
    code, _, err = init("--audio_ctx", "500", "--decoder_layers", "3")
    assert 0 == code
    assert 500 == open_checkpoint(tmp_path / "student").geometry.n_audio_ctx
    assert "tercet listen hears windows of 30 s, and this student 10 s" in err


@pytest.mark.option("--compute_type")
def test_compute_type_says_how_numbers_are_stored(init, tmp_path):
    assert "float32, " in init()[1]
    assert "float16, " in init("--compute_type", "float16", "--force")[1]
    assert np.float16 == layer_of(tmp_path / "student", 0).dtype


@pytest.mark.option("--force")
def test_force_replaces_a_student_and_nothing_else(init, tmp_path):
    assert 0 == init()[0]
    code, out, err = init("--layers", "0,1,2")
    assert (1, "") == (code, out)
    assert "student: holds a model; --force replaces it" in err
    assert 2 == open_checkpoint(tmp_path / "student").geometry.decoder_layers
    assert 0 == init("--layers", "0,1,2", "--force")[0]
    assert 3 == open_checkpoint(tmp_path / "student").geometry.decoder_layers
    (tmp_path / "student" / "thesis.txt").write_text("mine")
    assert "holds thesis.txt, which would be lost" in init("--force")[2]


@pytest.mark.option("--json")
def test_json_gives_the_report_to_machines(init):
    report = json.loads(init("--json")[1])
    assert ([0, 5], [[1, 1]], "float32") == (
        report["decoder_layers"],
        report["alignment_heads"],
        report["compute_type"],
    )
    assert {"encoder", "decoder", "embeddings", "total"} == set(report["parameters"]["student"])


@pytest.mark.option("--quiet")
def test_quiet_says_nothing(init):
    assert (0, "", "") == init("--quiet")


def test_a_student_is_a_teacher_too(init, teacher, tmp_path):
    assert 0 == init("--layers", "0,2,5")[0]
    assert 0 == init("--layers", "1,2", teacher=tmp_path / "student", folder=tmp_path / "next")[0]
    assert_layers(tmp_path / "next", teacher, [2, 5])


def test_a_teacher_in_8_bits_makes_a_student_and_is_told(init, teacher, tmp_path):
    assert 0 == main(["convert", str(teacher), str(tmp_path / "small"), "--quiet"])
    code, _, err = init("--decoder_layers", "3", teacher=tmp_path / "small")
    assert 0 == code
    assert "is in 8 bits, and so rounded; a float16 copy makes a better student" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--decoder_layers", "7"], "decoder_layers is 7; the teacher has 1 to 6"),
        (["--encoder_layers", "0"], "encoder_layers is 0; the teacher has 1 to 3"),
        (["--audio_ctx", "1600"], "audio_ctx is 1600; the teacher has positions for 1500"),
        (["--layers", "0,9"], "there is no layer 9"),
        (["--layers", "0;1"], "--layers is '0;1'; give numbers"),
        (["--layers", "0,1", "--decoder_layers", "3"], "give one of them"),
        (["--compute_type", "int4"], "a student has float32, float16"),
        (["--no-such-option"], "--no_such_option"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_exit_code_2(init, tmp_path, words, said):
    code, out, err = init(*words)
    assert (2, "", 1) == (code, out, len(err.splitlines()))
    assert said in err
    assert [] == list(tmp_path.iterdir())


def test_an_unknown_teacher_is_one_line_and_exit_code_2(init, tmp_path):
    code, _, err = init(teacher="no-such-model")
    assert (2, 1) == (code, len(err.splitlines()))
    assert "no-such-model" in err
    assert [] == list(tmp_path.iterdir())


def test_without_words_there_is_help(capsys):
    assert 0 == main(["distill"])
    assert "init" in capsys.readouterr().out
