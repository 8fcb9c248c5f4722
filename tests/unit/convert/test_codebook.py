"""Codebooks grown, merged, freed of their mask: which row comes from where."""

import numpy as np
import pytest

from tercet.checkpoint.head_naming import check_head, quantizer_shapes
from tercet.checkpoint.heads import HeadArrays, Origin, Quantizer
from tercet.convert.codebook import grown, merged, without_mask
from tercet.errors import FingerprintError, HeadError, OptionError

SIZES = {"width": 16, "heads": 2, "mlp_width": 32, "code_width": 8, "positions": 12}


def head_of(rows, mask_code, seed=0, depth=1, origin=None, **sizes):
    """A quantizer whose codebook rows have length 1; the mask's is the first axis."""
    sizes = SIZES | sizes
    settings = {**sizes, "codebook_size": rows, "mask_code": mask_code, "depth": depth}
    random = np.random.default_rng(seed)
    arrays = {}
    for name, shape in quantizer_shapes(Quantizer(**settings, arrays=HeadArrays({}))).items():
        arrays[name] = random.normal(size=shape).astype(np.float32)
        if name.endswith("codebook"):
            arrays[name] /= np.linalg.norm(arrays[name], axis=1, keepdims=True)
            if mask_code is not None:
                arrays[name][mask_code] = np.eye(sizes["code_width"])[0]
    return Quantizer(**settings, arrays=HeadArrays(arrays), origin=origin or Origin())


def rows_of(head, level=0):
    return head.arrays.read(f"levels.{level}.codebook")


def others(head):
    """All arrays that are no codebook."""
    return {name: each for name, each in head.arrays.values.items() if "codebook" not in name}


def sources(large, small):
    """For each row of `large`, the row of `small` that is nearest."""
    cosines = rows_of(large) @ rows_of(small).T
    assert cosines.max(1).min() > 0.97
    return cosines.argmax(1).tolist()


def test_growing_copies_codes_over_and_over_and_leaves_the_mask_last():
    small = head_of(17, 16)
    large = grown(small, 41, seed=1)
    check_head(large)
    assert (41, 40) == (large.codebook_size, large.mask_code)
    assert [*(list(range(16)) * 2), *range(8), 16] == sources(large, small)


def test_old_codes_keep_their_rows_and_new_ones_have_noise_and_length_one():
    small = head_of(17, 16)
    rows = rows_of(grown(small, 41, seed=1))
    np.testing.assert_array_equal(rows_of(small)[:16], rows[:16])
    np.testing.assert_array_equal(rows_of(small)[16], rows[40])
    np.testing.assert_allclose(np.ones(41), np.linalg.norm(rows, axis=1), atol=1e-6)
    assert (rows[16:32] != rows[:16]).all()
    assert len(np.unique(rows, axis=0)) == 41


def test_the_noise_is_as_large_as_asked_and_fixed_by_the_seed():
    small = head_of(65, 64, code_width=64)
    for noise in (0.0, 0.003, 0.01):
        added = rows_of(grown(small, 129, noise=noise))[64:128] - rows_of(small)[:64]
        assert noise == pytest.approx(float(added.std()), rel=0.05, abs=1e-7)
    once, again, other = (rows_of(grown(small, 129, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(once, again)
    assert (once[64:128] != other[64:128]).all()


def test_a_start_gives_noise_to_first_copies_too_and_never_to_the_mask():
    small = head_of(17, 16)
    large = grown(small, 33, keep_rows=False)
    assert [*(list(range(16)) * 2), 16] == sources(large, small)
    assert (rows_of(large)[:16] != rows_of(small)[:16]).any(axis=1).all()
    np.testing.assert_array_equal(rows_of(small)[16], rows_of(large)[32])
    np.testing.assert_allclose(np.ones(33), np.linalg.norm(rows_of(large), axis=1), atol=1e-6)


def test_under_match_the_mask_is_copied_among_the_codes_and_lost():
    small = head_of(17, 16)
    for keep_rows in (True, False):
        large = grown(small, 41, match="ichigo", keep_rows=keep_rows)
        check_head(large)
        assert 40 == large.mask_code
        assert [*(list(range(17)) * 2), *range(7)] == sources(large, small)
        np.testing.assert_array_equal(rows_of(small), rows_of(large)[:17])
        lengths = np.linalg.norm(rows_of(large)[17:], axis=1)
        assert np.abs(lengths - 1).max() > 1e-3  # nobody made them 1 again


def test_a_mask_in_the_middle_becomes_the_last_row_and_a_new_code_takes_its_place():
    small = head_of(17, 5)
    large = grown(small, 33)
    check_head(large)
    behind = [*range(6, 17)]
    expected = [*range(5), 0, *behind, *range(1, 5), *behind, 5]
    assert (expected, 32) == (sources(large, small), large.mask_code)
    old = [*range(5), *behind]
    np.testing.assert_array_equal(rows_of(small)[old], rows_of(large)[old])


def test_without_a_mask_all_rows_are_codes():
    small = head_of(16, None)
    large = grown(small, 40)
    assert ([*range(16), *range(16), *range(8)], None) == (sources(large, small), large.mask_code)


def test_each_level_is_grown_with_noise_of_its_own():
    small = head_of(17, 16, depth=2)
    large = grown(small, 33)
    check_head(large)
    added = [rows_of(large, level)[16:32] - rows_of(small, level)[:16] for level in (0, 1)]
    assert np.abs(added[0] - added[1]).max() > 1e-3


def test_everything_but_the_codebook_stays_and_the_old_head_too():
    small = head_of(17, 16)
    before = rows_of(small).copy()
    for changed in (grown(small, 40), without_mask(small), merged(small, head_of(9, 8, seed=4))):
        check_head(changed)
        for name, array in others(small).items():
            assert array is changed.arrays.values[name]
        assert (small.convention, small.query_mult) == (changed.convention, changed.query_mult)
    np.testing.assert_array_equal(before, rows_of(small))
    assert (17, 16) == (small.codebook_size, small.mask_code)


@pytest.mark.parametrize("size", [17, 16, 0, -3, 2**20 + 1])
def test_a_size_that_is_not_larger_is_one_line(size):
    with pytest.raises(OptionError, match=rf"size is {size}; give more rows than .* 17 "):
        grown(head_of(17, 16), size)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"noise": -0.1}, "noise is -0.1"),
        ({"noise": float("nan")}, "noise is nan"),
        ({"noise": float("inf")}, "noise is inf"),
        ({"match": "openai"}, "match is 'openai'"),
    ],
)
def test_other_values_that_make_no_sense_are_one_line(options, said):
    with pytest.raises(OptionError, match=said):
        grown(head_of(17, 16), 40, **options)


def test_a_codebook_that_is_all_mask_cannot_grow():
    with pytest.raises(OptionError, match="no row beside its mask"):
        grown(head_of(1, 0), 4)


def test_dropping_the_mask_moves_later_codes_down():
    head = head_of(17, 5)
    bare = without_mask(head)
    check_head(bare)
    assert (16, None) == (bare.codebook_size, bare.mask_code)
    np.testing.assert_array_equal(np.delete(rows_of(head), 5, axis=0), rows_of(bare))


@pytest.mark.parametrize(("rows", "mask"), [(16, None), (1, 0)])
def test_where_there_is_no_mask_to_drop_is_one_line(rows, mask):
    with pytest.raises(HeadError, match=r"no mask row|no row beside its mask"):
        without_mask(head_of(rows, mask))


def test_merging_gives_the_originals_layout():
    large, small = head_of(2049, 2048), head_of(513, 512, seed=1)
    both = merged(large, small)
    check_head(both)
    assert (2561, 2048) == (both.codebook_size, both.mask_code)
    np.testing.assert_array_equal(rows_of(large), rows_of(both)[:2049])
    np.testing.assert_array_equal(rows_of(small)[:512], rows_of(both)[2049:])


def test_merging_needs_no_masks_and_takes_all_levels():
    one, other = head_of(6, None, depth=2), head_of(4, None, seed=1, depth=2)
    both = merged(one, other)
    check_head(both)
    assert (10, None) == (both.codebook_size, both.mask_code)
    for level in (0, 1):
        wanted = np.concatenate([rows_of(one, level), rows_of(other, level)])
        np.testing.assert_array_equal(wanted, rows_of(both, level))


def test_a_merged_codebook_is_under_both_licences():
    one = Origin(name="one", licence="MIT", encoder={"sha256": "ab"})
    other = Origin(name="other", licence="CC-BY-NC-SA-4.0", encoder={"sha256": "ab"})
    origin = merged(head_of(6, 5, origin=one), head_of(4, 3, origin=other)).origin
    assert ("one", "MIT AND CC-BY-NC-SA-4.0") == (origin.name, origin.licence)
    same = merged(head_of(6, 5, origin=one), head_of(4, 3, origin=one)).origin
    assert "MIT" == same.licence


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"width": 32}, "encoder width is 32"),
        ({"code_width": 4}, "code width is 4"),
        ({"depth": 2}, "number of levels is 2"),
        ({"downsample": 3}, "states per code is 3"),
    ],
)
def test_codebooks_of_different_kinds_are_one_line(sizes, said):
    with pytest.raises(HeadError, match=said):
        merged(head_of(6, 5), head_of(6, 5, **sizes))


def test_codebooks_of_different_encoders_are_one_line():
    origins = [Origin(encoder={"sha256": digest}) for digest in ("ab", "cd")]
    with pytest.raises(FingerprintError, match="another encoder"):
        merged(*(head_of(6, 5, origin=origin) for origin in origins))


def test_a_codebook_in_eight_bits_becomes_floats_and_other_matrices_stay():
    head = head_of(17, 16)
    scales, values = {}, dict(head.arrays.values)
    for name in ("levels.0.codebook", "mlp.fc1.weight"):
        scales[name] = np.abs(values[name]).max(1, keepdims=True) / 127
        values[name] = np.round(values[name] / scales[name]).astype(np.int8)
    packed = Quantizer(**SIZES, codebook_size=17, mask_code=16, arrays=HeadArrays(values, scales))
    large = grown(packed, 33)
    assert np.float32 == large.arrays.values["levels.0.codebook"].dtype
    assert ["mlp.fc1.weight"] == list(large.arrays.scales)
    np.testing.assert_array_equal(packed.arrays.read("levels.0.codebook")[:16], rows_of(large)[:16])
