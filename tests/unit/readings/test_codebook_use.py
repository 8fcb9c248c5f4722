"""The figures of a codebook's use, on codes whose figures are known."""

import math

import numpy as np
import pytest

from tercet.errors import TokensError
from tercet.readings.codebook_use import CodebookCounter


def use_of(*recordings, size=8, **options):
    counter = CodebookCounter(size, **options)
    for codes in recordings:
        counter.add(np.array(codes, np.int32))
    [use] = counter.use()
    return use


def test_counts_used_and_dead_codes_are_told():
    use = use_of([0, 0, 3], [3, 3, 7])
    assert [2, 0, 0, 3, 0, 0, 0, 1] == use.counts.tolist()
    assert (6, 3, (1, 2, 4, 5, 6)) == (use.total, use.used, use.dead_codes)
    assert 3 / 8 == use.utilisation


def test_four_equally_frequent_codes_are_two_bits():
    use = use_of([0, 2, 4, 6] * 5)
    assert (2.0, 4.0, 50.0) == (use.entropy_bits, use.perplexity, use.bits_per_second)
    assert 25 * 3.0 == use.nominal_bits_per_second


def test_entropy_is_that_of_the_shares():
    wanted = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    use = use_of([1, 1, 1, 5], rate_hz=12.5)
    assert wanted == pytest.approx(use.entropy_bits)
    assert 12.5 * wanted == pytest.approx(use.bits_per_second)
    assert 2**wanted == pytest.approx(use.perplexity)


def test_the_mask_is_counted_apart():
    use = use_of([0, 7, 7, 1], mask_code=7)
    assert (2, 2, 2) == (use.mask_uses, use.total, use.used)
    assert (1.0, 2 / 7) == (use.entropy_bits, use.utilisation)
    assert (2, 3, 4, 5, 6) == use.dead_codes
    assert [1, 1, 0, 0, 0, 0, 0, 2] == use.counts.tolist()
    assert 0 == use_of([0, 7, 7, 1]).mask_uses


def test_a_mask_that_was_never_used_is_no_dead_code():
    assert ((), 1.0) == (
        use_of(range(7), mask_code=7).dead_codes,
        use_of(range(7), mask_code=7).utilisation,
    )


def test_repeats_are_neighbours_of_one_recording():
    use = use_of([4, 4, 4, 2], [2, 2], [2], [])
    assert (4, 3, 3 / 4) == (use.pairs, use.repeats, use.repeat_share)


def test_the_order_of_recordings_changes_nothing_and_nothing_is_everything_zero():
    one, other = use_of([0, 3], [5, 5, 1]), use_of([5, 5, 1], [0, 3])
    assert one.to_json() == other.to_json()
    empty = use_of()
    assert (0, 0, 0.0, 1.0, 0.0) == (
        empty.total, empty.used, empty.entropy_bits, empty.perplexity, empty.repeat_share,
    )  # fmt: skip


def test_levels_are_counted_apart():
    counter = CodebookCounter(4, depth=2)
    counter.add(np.array([[0, 3], [0, 2], [1, 2]]))
    first, second = counter.use()
    assert ([2, 1, 0, 0], [0, 0, 2, 1]) == (first.counts.tolist(), second.counts.tolist())
    assert (1, 1) == (first.repeats, second.repeats)


@pytest.mark.parametrize(
    ("codes", "said"),
    [([0, 8], "code 8 is outside"), ([-1], "code -1 is outside"), ([[0, 1]], r"shape \[1, 2\]")],
)
def test_codes_of_another_codebook_are_one_line(codes, said):
    with pytest.raises(TokensError, match=said):
        use_of(codes)


def test_a_codebook_may_turn_out_to_be_larger():
    counter = CodebookCounter(4)
    counter.add(np.array([3]))
    counter.widen(6)
    counter.widen(2)
    counter.add(np.array([5]))
    assert [0, 0, 0, 1, 0, 1] == counter.use()[0].counts.tolist()


def test_json_has_every_figure():
    told = use_of([0, 0, 1, 7], mask_code=7).to_json()
    assert {
        "schema": "tercet/1", "codebook_size": 8, "mask_code": 7, "total": 3, "used": 2,
        "utilisation": 0.285714, "dead_codes": [2, 3, 4, 5, 6], "entropy_bits": 0.918296,
        "perplexity": 1.89, "rate_hz": 25.0, "bits_per_second": 22.957,
        "nominal_bits_per_second": 75.0, "adjacent_repeats": 0.333333, "mask_uses": 1,
        "counts": [2, 1, 0, 0, 0, 0, 0, 1],
    } == told  # fmt: skip
