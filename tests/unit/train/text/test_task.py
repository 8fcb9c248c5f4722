"""The task's own arithmetic, and who hears for whom."""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("jiwer")

from tercet.train.text import running, task  # noqa: E402
from tercet.train.text.recipe import DataRecipe, PartsRecipe, SetRecipe, TextRecipe  # noqa: E402

DATA = DataRecipe(
    sets=(SetRecipe(labels="speech", field="speaker", held_out=("3",)),), cached=False
)


@pytest.mark.parametrize(("blocks", "stands_for"), [(1, [6]), (2, [3, 6]), (3, [2, 4, 6])])
def test_a_block_is_compared_with_the_last_that_it_stands_for(
    blocks: int, stands_for: list[int]
) -> None:
    guides = [torch.full((1, 3, 4), float(number)) for number in range(1, 7)]
    counts = torch.tensor([[True, True, False]])
    alike = [torch.full((1, 3, 4), float(number)) for number in stands_for]
    alike[0][0, 2] = 99.0  # a position that does not count
    assert 0.0 == float(task._distance(alike, guides, counts))
    alike[-1] = alike[-1] + 2.0
    assert pytest.approx(2 * 4.0 / blocks) == float(task._distance(alike, guides, counts))


@pytest.mark.parametrize("learns", [False, True])
def test_an_encoder_that_learns_leaves_the_teacher_one_of_its_own(
    pair: Any, tmp_path: Path, learns: bool
) -> None:
    values = TextRecipe(
        teacher="teacher", student="student", data=DATA, learns=PartsRecipe(encoder=learns)
    )
    networks = running._networks(values, running._opened(values))
    assert learns == (networks.teacher_encoder is not None)
    assert networks.encoder is not None
    assert networks.encoder is not networks.teacher_encoder
