"""`tercet distill init` in this process, on small random models in the hub's layout."""

import json

import numpy as np
import pytest

from tercet.checkpoint import Geometry, open_checkpoint, save_hugging_face
from tercet.cli.main import main

GEOMETRY = Geometry(
    n_mels=80,
    width=64,
    encoder_layers=3,
    encoder_heads=2,
    decoder_layers=4,
    decoder_heads=2,
    vocab_size=51865,
)


@pytest.fixture(scope="module")
def teacher(random_checkpoint, byte_tokenizer_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("teachers") / "teacher"
    checkpoint = random_checkpoint(GEOMETRY)
    save_hugging_face(checkpoint, folder, tokenizer_file=byte_tokenizer_file(GEOMETRY.vocab_size))
    return folder


@pytest.fixture
def init(teacher, tmp_path, capsys, monkeypatch):
    """`init("--force")`: (exit code, stdout, stderr) of a run into `student`."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(*words, teacher=teacher, folder=tmp_path / "student"):
        code = main(["distill", "init", str(teacher), str(folder), *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def layers_of(folder, teacher, side="decoder"):
    """Which of the teacher's layers a student's are."""
    ours, theirs = open_checkpoint(folder), open_checkpoint(teacher)
    name = f"model.{side}.layers.{{}}.fc1.bias"
    counts = [getattr(each.geometry, f"{side}_layers") for each in (ours, theirs)]
    found = []
    for number in range(counts[0]):
        bias = ours.read(name.format(number)).astype(np.float32)
        (match,) = [
            layer
            for layer in range(counts[1])
            if np.allclose(bias, theirs.read(name.format(layer)), atol=1e-3)
        ]
        found.append(match)
    return found


def test_two_layers_are_kept_and_the_report_says_so(init, teacher, tmp_path):
    code, out, err = init()
    student = tmp_path / "student"
    assert (0, [0, 3]) == (code, layers_of(student, teacher))
    assert out.startswith(f"{student}: decoder layers 0, 3 of {teacher}, ")
    assert 5 == sum(line.startswith("|") for line in out.splitlines()) - 1
    assert "whisper.cpp gives no timestamps for two decoder layers" in err
    names = {path.name for path in student.iterdir()}
    assert {
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "preprocessor_config.json",
    } < names
    assert np.float16 == open_checkpoint(student).read("model.encoder.conv1.bias").dtype


@pytest.mark.option("--decoder_layers")
@pytest.mark.parametrize("flag", ["--decoder_layers", "--decoder-layers"])
def test_decoder_layers_is_how_many_are_kept(init, teacher, tmp_path, flag):
    code, _, err = init(flag, 3)
    assert (0, "", [0, 1, 3]) == (code, err, layers_of(tmp_path / "student", teacher))


@pytest.mark.option("--layers")
def test_layers_names_them(init, teacher, tmp_path):
    assert 0 == init("--layers", "-3,-1")[0]
    assert [1, 3] == layers_of(tmp_path / "student", teacher)


@pytest.mark.option("--encoder_layers")
def test_encoder_layers_is_how_many_are_kept(init, teacher, tmp_path):
    assert 0 == init("--encoder_layers", 2)[0]
    assert [0, 2] == layers_of(tmp_path / "student", teacher, "encoder")


@pytest.mark.option("--window_s")
def test_window_s_shortens_the_positions_and_warns(init, tmp_path):
    code, _, err = init("--window_s", 10)
    settings = json.loads((tmp_path / "student" / "config.json").read_text())
    assert (0, 500) == (code, settings["max_source_positions"])
    assert "cannot use a student that hears 10 s" in err
    reader = json.loads((tmp_path / "student" / "preprocessor_config.json").read_text())
    assert (10, 1000) == (reader["chunk_length"], reader["nb_max_frames"])


@pytest.mark.option("--compute_type")
def test_compute_type_says_how_numbers_are_stored(init, tmp_path):
    assert 0 == init("--compute_type", "float32")[0]
    assert (
        np.float32 == open_checkpoint(tmp_path / "student").read("model.encoder.conv1.bias").dtype
    )


@pytest.mark.option("--json")
def test_json_is_one_object(init):
    code, out, _ = init("--json")
    told = json.loads(out)
    assert (0, [0, 3], [0, 1, 2], 30) == (
        code,
        told["decoder_layers"],
        told["encoder_layers"],
        told["window_s"],
    )
    whole = told["parameters"]["total"]
    assert pytest.approx(whole["student"] / whole["teacher"]) == told["share"]
    assert (
        sum(told["parameters"][name]["student"] for name in ("encoder", "decoder", "tables"))
        == (whole["student"])
    )


@pytest.mark.option("--force")
def test_force_replaces_a_student(init, teacher, tmp_path):
    assert 0 == init()[0]
    code, out, err = init("--layers", "0,1")
    assert (1, "") == (code, out)
    assert f"{tmp_path / 'student'}: holds a model; --force replaces it" in err
    assert [0, 3] == layers_of(tmp_path / "student", teacher)
    assert 0 == init("--layers", "0,1", "--force")[0]
    assert [0, 1] == layers_of(tmp_path / "student", teacher)


@pytest.mark.option("--revision")
def test_revision_is_of_the_teachers_repository(init, teacher, monkeypatch):
    asked = []

    def found(name, *, revision):
        asked.append((name, revision))
        return teacher

    monkeypatch.setattr("tercet.hub.find_model", found)
    assert 0 == init("--revision", "v2", teacher="owner/name")[0]
    assert [("owner/name", "v2")] == asked


def test_a_student_has_students(init, teacher, tmp_path):
    assert 0 == init("--layers", "0,2,3")[0]
    assert 0 == init(teacher=tmp_path / "student", folder=tmp_path / "second")[0]
    assert [0, 3] == layers_of(tmp_path / "second", teacher)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--decoder_layers", "5"],
            "5 layers are asked for; the teacher's decoder has 4, give 1 to 4",
        ),
        (
            ["--encoder_layers", "0"],
            "0 layers are asked for; the teacher's encoder has 3, give 1 to 3",
        ),
        (["--layers", "0,4"], "there is no layer 4; give numbers from -4 to 3"),
        (["--layers", "0;1"], "--layers is '0;1'; give whole numbers with commas"),
        (["--layers", "0,1,2", "--decoder_layers", "2"], "--layers names 3; leave one out"),
        (["--window_s", "31"], "windows of 31 s are asked for; the teacher hears 1 to 30 s"),
        (["--compute_type", "int8"], "--compute_type is 'int8'; give float16 or float32"),
    ],
)
def test_wrong_words_are_one_line_and_nothing_is_written(init, tmp_path, words, told):
    code, out, err = init(*words)
    assert (2, "", 1) == (code, out, len(err.splitlines()))
    assert told in err
    assert not (tmp_path / "student").exists()


def test_an_unknown_teacher_is_one_line(init, tmp_path):
    code, out, err = init(teacher="no-such-model")
    assert (2, "", 1) == (code, out, len(err.splitlines()))
    assert "no-such-model" in err
    assert not (tmp_path / "student").exists()


def test_a_folder_with_something_else_in_it_stays(init, tmp_path):
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "thesis.txt").write_text("mine")
    code, _, err = init("--force")
    assert (1, 1) == (code, len(err.splitlines()))
    assert "holds thesis.txt, which would be lost" in err
    assert "mine" == (tmp_path / "student" / "thesis.txt").read_text()


def test_ctrl_c_leaves_nothing(init, tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("tercet.convert.conversion.write_safetensors", interrupted)
    assert 130 == main(["distill", "init", "base", str(tmp_path / "student")])
    assert "stopped; nothing was written" in capsys.readouterr().err
    assert [] == list(tmp_path.iterdir())


def test_without_words_it_helps(capsys):
    assert 0 == main(["distill"])
    assert "init" in capsys.readouterr().out
