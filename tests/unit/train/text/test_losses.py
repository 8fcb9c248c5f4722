"""Losses of distillation against the formulas written out with full logits."""

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from tercet.train.text.losses import IGNORED, Weights, text_losses  # noqa: E402

N, WIDTH, TEACHER_WIDTH, VOCABULARY = 11, 6, 8, 23
USUAL = Weights(cross_entropy=0.8, divergence=1.0, temperature=2.0)


def given(seed: int = 0, *, vocabulary: int = VOCABULARY):
    rng = torch.Generator().manual_seed(seed)
    student = torch.randn(1, N, WIDTH, generator=rng, requires_grad=True)
    teacher = torch.randn(1, N, TEACHER_WIDTH, generator=rng)
    student_table = torch.randn(vocabulary, WIDTH, generator=rng, requires_grad=True)
    teacher_table = torch.randn(vocabulary, TEACHER_WIDTH, generator=rng)
    targets = torch.randint(vocabulary, (1, N), generator=rng)
    targets[0, [0, 4]] = IGNORED
    return student, teacher, student_table, teacher_table, targets


def written_out(student, teacher, student_table, teacher_table, targets, weights):
    """The same, position by position, from full logits."""
    total = torch.zeros(())
    for hidden, guide, target in zip(student[0], teacher[0], targets[0], strict=True):
        if target == IGNORED:
            continue
        s, t = student_table @ hidden, teacher_table @ guide
        heat = weights.temperature
        p = torch.softmax(t / heat, -1)
        kl = (p * (p.log() - torch.log_softmax(s / heat, -1))).sum()
        total = total - weights.cross_entropy * torch.log_softmax(s, -1)[target]
        total = total + weights.divergence * heat**2 * kl
    return total


@pytest.mark.parametrize(
    "weights", [USUAL, Weights(1.0, 0.0, 1.0), Weights(0.0, 1.0, 1.0), Weights(0.3, 0.7, 4.0)]
)
@pytest.mark.parametrize("rows", [1, 4, 64])
def test_losses_and_gradients_are_those_of_full_logits(weights: Weights, rows: int) -> None:
    ours, theirs = given(), given()
    found = text_losses(*ours, weights, rows=rows)
    expected = written_out(*theirs, weights)
    torch.testing.assert_close(expected, found.total, rtol=1e-5, atol=1e-5)
    (2 * found.total).backward()
    (2 * expected).backward()
    for mine, other in ((ours[0], theirs[0]), (ours[2], theirs[2])):
        torch.testing.assert_close(other.grad, mine.grad, rtol=1e-4, atol=1e-5)
    assert N - 2 == found.tokens


@pytest.mark.parametrize("vocabulary", [1024, 1025, 2600])
@pytest.mark.parametrize("weights", [USUAL, Weights(1.0, 0.0, 1.0), Weights(0.3, 0.7, 4.0)])
def test_a_vocabulary_of_several_blocks_is_one_vocabulary(
    vocabulary: int, weights: Weights
) -> None:
    ours, theirs = given(vocabulary=vocabulary), given(vocabulary=vocabulary)
    found = text_losses(*ours, weights, rows=4)
    expected = written_out(*theirs, weights)
    torch.testing.assert_close(expected, found.total, rtol=1e-5, atol=1e-4)
    found.total.backward()
    expected.backward()
    for mine, other in ((ours[0], theirs[0]), (ours[2], theirs[2])):
        torch.testing.assert_close(other.grad, mine.grad, rtol=1e-4, atol=1e-5)
    logits, guides = F.linear(ours[0], ours[2]), F.linear(ours[1], ours[3])
    same = (logits.argmax(-1) == guides.argmax(-1)) & (ours[4] != IGNORED)
    assert int(same.sum()) == int(found.agreed)


def test_parts_are_told_apart() -> None:
    student, teacher, student_table, teacher_table, targets = given()
    found = text_losses(student, teacher, student_table, teacher_table, targets, USUAL)
    logits = F.linear(student, student_table)
    guide = F.linear(teacher, teacher_table)
    ce = F.cross_entropy(logits[0], targets[0], ignore_index=IGNORED, reduction="sum")
    torch.testing.assert_close(ce, found.cross_entropy)
    torch.testing.assert_close(0.8 * ce + found.divergence, found.total)
    counts = targets[0] != IGNORED
    same = (logits.argmax(-1) == guide.argmax(-1))[0] & counts
    assert int(same.sum()) == int(found.agreed)


def test_a_student_like_its_teacher_has_no_divergence() -> None:
    _, teacher, _, teacher_table, targets = given()
    found = text_losses(teacher, teacher, teacher_table, teacher_table, targets, USUAL)
    assert pytest.approx(0.0, abs=1e-5) == float(found.divergence)
    assert found.tokens == int(found.agreed)


def test_without_a_teacher_there_is_cross_entropy_alone() -> None:
    student, _, student_table, _, targets = given()
    found = text_losses(student, None, student_table, None, targets, Weights(1.0, 0.0, 2.0))
    assert (0.0, 0.0) == (float(found.divergence), float(found.agreed))
    torch.testing.assert_close(found.cross_entropy, found.total)


def test_a_frozen_table_gets_no_gradient_and_costs_none() -> None:
    student, teacher, student_table, teacher_table, targets = given()
    found = text_losses(student, teacher, student_table.detach(), teacher_table, targets, USUAL)
    found.total.backward()
    assert student.grad is not None
    with torch.no_grad():
        again = text_losses(student, teacher, student_table, teacher_table, targets, USUAL)
    torch.testing.assert_close(found.total.detach(), again.total)


def test_nothing_that_counts_is_nothing() -> None:
    student, teacher, student_table, teacher_table, targets = given()
    found = text_losses(
        student, teacher, student_table, teacher_table, torch.full_like(targets, IGNORED), USUAL
    )
    assert (0.0, 0) == (float(found.total.detach()), found.tokens)
    found.total.backward()


def test_autocast_computes_in_its_own_type() -> None:
    student, teacher, student_table, teacher_table, targets = given()
    exact = text_losses(student, teacher, student_table, teacher_table, targets, USUAL).total
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = text_losses(student, teacher, student_table, teacher_table, targets, USUAL).total
    assert torch.float32 == rough.dtype
    assert exact != rough
    torch.testing.assert_close(exact, rough, rtol=0.05, atol=0.5)
