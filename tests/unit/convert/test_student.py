"""Students: which layers are kept, and that nothing else changes."""

import numpy as np
import pytest

from tercet.checkpoint import Geometry
from tercet.checkpoint.arrays import Generation
from tercet.convert.student import (
    Plan,
    Student,
    loses_timestamps_in_whisper_cpp,
    named_layers,
    sizes_of,
    spaced_layers,
)
from tercet.errors import OptionError

TOY = Geometry(
    n_mels=80,
    width=64,
    encoder_layers=3,
    encoder_heads=2,
    decoder_layers=4,
    decoder_heads=2,
    vocab_size=51865,
)
LARGE_V2 = Geometry(
    n_mels=80,
    width=1280,
    encoder_layers=32,
    encoder_heads=20,
    decoder_layers=32,
    decoder_heads=20,
    vocab_size=51865,
)


@pytest.mark.parametrize(
    ("of", "kept"),
    [
        (32, (0, 31)),
        (32, (0, 15, 31)),
        (32, (0, 10, 20, 31)),
        (32, (0, 6, 12, 18, 24, 31)),
        (32, (0, 4, 8, 13, 17, 22, 26, 31)),
        (24, (0, 23)),
        (24, (0, 7, 15, 23)),
        (12, (0, 5, 11)),
        (12, (0, 3, 7, 11)),
        (6, (0, 5)),
        (6, (0, 2, 5)),
        (4, (0, 3)),
        (6, (5,)),
        (1, (0,)),
        (6, (0, 1, 2, 3, 4, 5)),
    ],
)
def test_layers_are_as_far_apart_as_distil_whisper_has_them(of: int, kept: tuple[int, ...]) -> None:
    assert kept == spaced_layers(len(kept), of)


@pytest.mark.parametrize("kept", [0, -1, 7])
def test_more_layers_than_there_are_are_refused(kept: int) -> None:
    with pytest.raises(OptionError, match=rf"{kept} layers are asked for; .* give 1 to 6"):
        spaced_layers(kept, 6, of="decoder")


def test_negative_numbers_count_from_the_end() -> None:
    assert (0, 4, 5) == named_layers([0, -2, -1], 6)


@pytest.mark.parametrize(
    ("indices", "told"),
    [
        ([0, 6], r"no layer 6; give numbers from -6 to 5"),
        ([-7], r"no layer -7"),
        ([5, -1], r"layers 5, 5 are named; give each once"),
        ([3, 0], r"layers 3, 0 are named; give each once, in rising order"),
        ([], r"no layer is named"),
    ],
)
def test_layers_that_cannot_be_kept_are_named(indices: list[int], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        named_layers(indices, 6)


def plan(
    decoder: tuple[int, ...] = (1, 3), encoder: tuple[int, ...] = (0, 1, 2), window_s: int = 30
) -> Plan:
    return Plan(decoder_layers=decoder, encoder_layers=encoder, window_s=window_s)


def test_every_array_is_one_of_the_teachers(random_checkpoint) -> None:
    teacher = random_checkpoint(TOY)
    student = Student(teacher, plan(encoder=(0, 2)))
    assert (2, 2) == (student.geometry.decoder_layers, student.geometry.encoder_layers)
    origins = {"decoder": {0: 1, 1: 3}, "encoder": {0: 0, 1: 2}}
    for name in student.names():
        words = name.split(".")
        if "layers" in words:
            words[3] = str(origins[words[1]][int(words[3])])
        np.testing.assert_array_equal(teacher.read(".".join(words)), student.read(name))
        assert student.read(name).shape == student.shape(name)


def test_a_student_has_students(random_checkpoint) -> None:
    teacher = random_checkpoint(TOY)
    grandchild = Student(Student(teacher, plan((0, 2, 3))), plan((0, 2)))
    name = "model.decoder.layers.{}.fc1.weight"
    np.testing.assert_array_equal(teacher.read(name.format(3)), grandchild.read(name.format(1)))


def test_a_shorter_window_has_the_first_positions(random_checkpoint) -> None:
    teacher = random_checkpoint(TOY)
    student = Student(teacher, plan(window_s=10))
    name = "model.encoder.embed_positions.weight"
    assert (500, 500) == (student.geometry.n_audio_ctx, len(student.read(name)))
    np.testing.assert_array_equal(teacher.read(name)[:500], student.read(name))
    decoder = "model.decoder.embed_positions.weight"
    np.testing.assert_array_equal(teacher.read(decoder), student.read(decoder))


@pytest.mark.parametrize("window_s", [0, 31])
def test_a_window_is_no_longer_than_the_teachers(random_checkpoint, window_s: int) -> None:
    with pytest.raises(
        OptionError, match=rf"windows of {window_s} s .* the teacher hears 1 to 30 s"
    ):
        Student(random_checkpoint(TOY), plan(window_s=window_s))


@pytest.mark.parametrize(
    ("heads", "kept"),
    [
        (((1, 0), (2, 1), (3, 1)), ((0, 0), (1, 1))),
        (((0, 0), (2, 1)), None),  # none is left: stale numbers would name other heads
        (None, None),
    ],
)
def test_alignment_heads_move_with_their_layers(random_checkpoint, heads, kept) -> None:
    teacher = random_checkpoint(TOY)
    teacher.generation = Generation(suppress_tokens=(1, 2), alignment_heads=heads)
    generation = Student(teacher, plan((1, 3))).generation
    assert (kept, (1, 2)) == (generation.alignment_heads, generation.suppress_tokens)


def test_two_layers_of_large_v2_are_distil_large_v2() -> None:
    whole = sizes_of(LARGE_V2)
    student = plan((0, 31), tuple(range(32))).geometry(LARGE_V2)
    assert (1543, 756) == tuple(round(sizes.total / 1e6) for sizes in (whole, sizes_of(student)))
    assert pytest.approx(0.49, abs=0.001) == sizes_of(student).total / whole.total
    assert sizes_of(student).encoder == whole.encoder


def test_parts_are_all_of_it(random_checkpoint) -> None:
    sizes = sizes_of(TOY)
    assert sum(array.size for array in random_checkpoint(TOY).arrays.values()) == sizes.total
    assert 51865 * 64 + 448 * 64 == sizes.tables


@pytest.mark.parametrize(
    ("layers", "vocabulary", "loses"), [(2, 51865, True), (2, 51866, False), (3, 51865, False)]
)
def test_whisper_cpps_rule(layers: int, vocabulary: int, loses: bool) -> None:
    from dataclasses import replace

    geometry = replace(TOY, decoder_layers=layers, vocab_size=vocabulary)
    assert loses is loses_timestamps_in_whisper_cpp(geometry)
