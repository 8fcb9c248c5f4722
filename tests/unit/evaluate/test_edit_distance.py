import numpy as np
import pytest

from tercet.evaluate.edit_distance import edit_distance


@pytest.mark.parametrize(
    ("expected", "one", "other"),
    [
        (0, [1, 2, 3], [1, 2, 3]),
        (1, [1, 2, 3], [1, 3]),
        (1, [1, 3], [1, 2, 3]),
        (1, [1, 2, 3], [1, 4, 3]),
        (3, [], [5, 5, 5]),
        (3, [5, 5, 5], []),
        (0, [], []),
        (2, [1, 2, 3, 4], [2, 3, 4, 5]),
        (3, [ord(c) for c in "kitten"], [ord(c) for c in "sitting"]),
    ],
)
def test_insertions_deletions_and_substitutions_are_counted(
    expected: int, one: list[int], other: list[int]
) -> None:
    assert expected == edit_distance(np.array(one, np.int32), np.array(other, np.int32))


def test_codes_of_all_levels_at_one_time_are_one_symbol() -> None:
    one = np.array([[1, 1], [2, 2], [3, 3]])
    assert 1 == edit_distance(one, np.array([[1, 1], [2, 9], [3, 3]]))
    assert 1 == edit_distance(one, one[1:])


def test_it_agrees_with_the_plain_table() -> None:
    def plain(a: list[int], b: list[int]) -> int:
        table = [list(range(len(b) + 1))]
        for i, x in enumerate(a, 1):
            row = [i]
            for j, y in enumerate(b, 1):
                row.append(min(table[-1][j] + 1, row[-1] + 1, table[-1][j - 1] + (x != y)))
            table.append(row)
        return table[-1][-1]

    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b = (rng.integers(0, 3, rng.integers(0, 12)) for _ in range(2))
        assert plain(a.tolist(), b.tolist()) == edit_distance(a, b)
