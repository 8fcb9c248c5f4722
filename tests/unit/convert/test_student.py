"""Students: which layers, whose bytes, which heads, how many parameters."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from tercet.checkpoint import Generation, Geometry, open_checkpoint
from tercet.convert.student import (
    chosen_layers,
    count_parameters,
    loses_timestamps_in_whisper_cpp,
    make_student,
    mapped_heads,
    plan_student,
    spaced_layers,
)
from tercet.convert.student_folder import REPORT, report_of, stored_type, write_student
from tercet.errors import OptionError, OutputError

LARGE_V2 = Geometry(
    n_mels=80,
    width=1280,
    encoder_layers=32,
    encoder_heads=20,
    decoder_layers=32,
    decoder_heads=20,
    vocab_size=51865,
)
SMALL = Geometry(
    n_mels=80,
    width=32,
    encoder_layers=4,
    encoder_heads=2,
    decoder_layers=6,
    decoder_heads=2,
    vocab_size=51865,
)
TEACHERS_HEADS = ((3, 1), (4, 0), (5, 1), (5, 0))


@pytest.fixture(scope="module")
def tokenizer(byte_tokenizer_file):
    return byte_tokenizer_file(51865)


@pytest.fixture(scope="module")
def teacher(random_checkpoint):
    made = random_checkpoint(SMALL)
    made.generation = Generation(alignment_heads=TEACHERS_HEADS)
    return made


@pytest.fixture
def written(teacher, tokenizer, tmp_path):
    """`written(source, **plan)`: the opened folder of that student."""

    def write(source=teacher, folder="student", kind="float32", **options):
        plan = plan_student(source.geometry, **options)
        student = make_student(source, plan, tokenizer_file=tokenizer)
        report = report_of(student, teacher="small", compute_type=kind)
        write_student(student, tmp_path / folder, report)
        return open_checkpoint(tmp_path / folder)

    return write


@pytest.mark.parametrize(
    ("n_layers", "count", "expected"),
    [
        (32, 2, (0, 31)),
        (32, 3, (0, 15, 31)),
        (32, 4, (0, 10, 20, 31)),
        (32, 6, (0, 6, 12, 18, 24, 31)),
        (32, 8, (0, 4, 8, 13, 17, 22, 26, 31)),
        (24, 2, (0, 23)),
        (24, 4, (0, 7, 15, 23)),
        (12, 2, (0, 11)),
        (12, 3, (0, 5, 11)),
        (12, 4, (0, 3, 7, 11)),
        (6, 2, (0, 5)),
        (6, 3, (0, 2, 5)),
        (4, 2, (0, 3)),
        (6, 1, (5,)),
        (6, 6, (0, 1, 2, 3, 4, 5)),
    ],
)
def test_layers_are_those_that_distil_whisper_takes(n_layers, count, expected):
    assert expected == spaced_layers(n_layers, count)


def test_a_negative_number_counts_from_the_end():
    assert (0, 5) == chosen_layers(6, [0, -1])
    assert (0, 3, 4) == chosen_layers(6, [-6, 3, -2])


@pytest.mark.parametrize(
    ("indices", "said"),
    [
        ([0, 6], r"there is no layer 6; the teacher has 0 to 5, or -6 to -1"),
        ([-7], r"there is no layer -7"),
        ([5, -1], r"not rising, each once; did you mean 5\?"),
        ([5, 0], r"did you mean 0,5\?"),
        ([], r"no layer is named"),
    ],
)
def test_layers_that_are_not_there_twice_or_out_of_order_are_refused(indices, said):
    with pytest.raises(OptionError, match=said):
        chosen_layers(6, indices)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"decoder_layers": 7}, r"decoder_layers is 7; the teacher has 1 to 6"),
        ({"encoder_layers": 0}, r"encoder_layers is 0; the teacher has 1 to 4"),
        ({"n_audio_ctx": 1550}, r"audio_ctx is 1550; the teacher has positions for 1500"),
        ({"n_audio_ctx": 0}, r"audio_ctx is 0"),
        ({"n_audio_ctx": 501}, r"whole seconds, multiples of 50"),
        ({"decoder_layers": 3, "layers": [0, 5]}, r"give one of them"),
    ],
)
def test_a_plan_that_the_teacher_cannot_give_is_refused_by_the_options_name(options, said):
    with pytest.raises(OptionError, match=said):
        plan_student(SMALL, **options)


def test_two_layers_of_large_v2_are_756_of_1543_million_parameters():
    teacher = count_parameters(LARGE_V2)
    student = count_parameters(plan_student(LARGE_V2).geometry(LARGE_V2))
    assert (1543, 756) == (round(teacher["total"] / 1e6), round(student["total"] / 1e6))
    assert round(student["total"] / teacher["total"], 2) == 0.49
    assert (teacher["encoder"], teacher["embeddings"]) == (
        student["encoder"],
        student["embeddings"],
    )
    assert 51865 * 1280 == student["embeddings"]
    layer = (teacher["decoder"] - student["decoder"]) / 30
    assert round(layer / 1e6) == 26


def test_every_array_has_the_bytes_of_the_teachers(written, teacher):
    student = written(decoder_layers=3)
    assert (3, 4, 1500) == (
        student.geometry.decoder_layers,
        student.geometry.encoder_layers,
        student.geometry.n_audio_ctx,
    )
    for name in student.names():
        source = name
        for ours, theirs in ((1, 2), (2, 5)):
            if f"decoder.layers.{ours}." in name:
                source = name.replace(f"layers.{ours}.", f"layers.{theirs}.")
        assert teacher.read(source).tobytes() == student.read(name).tobytes(), name


def test_fewer_encoder_layers_and_positions_are_taken_on_request(written, teacher):
    student = written(encoder_layers=2, n_audio_ctx=500)
    assert (2, 500) == (student.geometry.encoder_layers, student.geometry.n_audio_ctx)
    last = "model.encoder.layers.{}.fc1.weight"
    np.testing.assert_array_equal(teacher.read(last.format(3)), student.read(last.format(1)))
    positions = "model.encoder.embed_positions.weight"
    np.testing.assert_array_equal(teacher.read(positions)[:500], student.read(positions))
    heard = json.loads((student.path / "preprocessor_config.json").read_text())
    assert (10, 1000) == (heard["chunk_length"], heard["nb_max_frames"])


def test_a_student_of_a_student_has_layers_of_the_first_teacher(written, teacher):
    second = written(written(layers=[0, 2, 5]), folder="second", layers=[1, -1])
    for ours, theirs in ((0, 2), (1, 5)):
        name = "model.decoder.layers.{}.encoder_attn.q_proj.weight"
        np.testing.assert_array_equal(
            teacher.read(name.format(theirs)), second.read(name.format(ours))
        )
    assert ((1, 1), (1, 0)) == second.generation.alignment_heads


def test_alignment_heads_get_the_numbers_of_the_layers_that_are_kept():
    assert ((1, 1), (2, 1), (2, 0)) == mapped_heads(TEACHERS_HEADS, (0, 3, 5))
    assert mapped_heads(TEACHERS_HEADS, (0, 1)) is None
    assert mapped_heads(None, (0, 5)) is None


def test_heads_of_layers_that_are_gone_are_left_out_of_the_file(written):
    student = written(layers=[0, 1])
    told = json.loads((student.path / "generation_config.json").read_text())
    assert "alignment_heads" not in told
    assert json.loads((student.path / REPORT).read_text())["alignment_heads"] is None


def test_generation_is_told_where_the_teacher_does_not_tell_it(written):
    told = json.loads((written().path / "generation_config.json").read_text())
    assert told["forced_decoder_ids"] is None
    assert [50258, 50358, 50359, 50360, 50361, 50362] == [
        one for one in told["suppress_tokens"] if one > 50257
    ]
    assert 50257 == told["begin_suppress_tokens"][-1]
    assert 99 == len(told["lang_to_id"])
    assert 50363 == told["no_timestamps_token_id"]


def test_generation_is_the_teachers_where_it_tells(teacher, tokenizer):
    generation = Generation(suppress_tokens=(7, 8), begin_suppress_tokens=(9,))
    source = replace(teacher, generation=generation)
    student = make_student(source, plan_student(SMALL), tokenizer_file=tokenizer)
    assert generation == student.generation


def test_the_report_counts_by_part_and_says_whose_layers_these_are(written):
    report = json.loads((written(decoder_layers=3).path / REPORT).read_text())
    assert ("small", [0, 2, 5], [0, 1, 2, 3]) == (
        report["teacher"],
        report["decoder_layers"],
        report["encoder_layers"],
    )
    counts = report["parameters"]["student"]
    assert counts["total"] == counts["encoder"] + counts["decoder"] + counts["embeddings"]
    assert counts["total"] / report["parameters"]["teacher"]["total"] == pytest.approx(
        report["share"], abs=1e-6
    )


def test_the_teachers_number_type_is_kept_unless_another_is_asked_for(teacher):
    halves = {name: array.astype(np.float16) for name, array in teacher.arrays.items()}
    assert "float32" == stored_type(teacher, None)
    assert "float16" == stored_type(replace(teacher, arrays=halves), None)
    assert "float16" == stored_type(teacher, "float16")
    with pytest.raises(
        OptionError, match=r"compute_type is 'int8'; a student has float32, float16"
    ):
        stored_type(teacher, "int8")


def test_a_full_disk_is_one_line_and_leaves_nothing(written, monkeypatch, tmp_path):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(OutputError, match=r"0 MB are free, \d+ MB are needed"):
        written()
    assert [] == list(tmp_path.iterdir())


def test_the_teacher_itself_is_never_written_over(written, tmp_path, tokenizer):
    source = written()
    student = make_student(source, plan_student(source.geometry), tokenizer_file=tokenizer)
    report = report_of(student, teacher="x", compute_type="float32")
    with pytest.raises(OutputError, match=r"is the teacher itself; name another folder"):
        write_student(student, tmp_path / "student", report, force=True)
    assert source.geometry == open_checkpoint(tmp_path / "student").geometry


@pytest.mark.parametrize(
    ("layers", "vocab_size", "loses"), [(2, 51865, True), (3, 51865, False), (2, 51866, False)]
)
def test_whisper_cpp_loses_timestamps_with_two_layers_unless_the_vocabulary_is_large_v3s(
    layers, vocab_size, loses
):
    geometry = replace(SMALL, decoder_layers=layers, vocab_size=vocab_size)
    assert loses == loses_timestamps_in_whisper_cpp(geometry)
