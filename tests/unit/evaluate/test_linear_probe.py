import numpy as np
import pytest

from tercet.evaluate.linear_probe import fit_probe, minimised


def blobs(seed: int, n: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, n)
    centres = rng.normal(0, 1, (3, width))
    return centres[classes] + rng.normal(0, 1, (n, width)), classes


def test_a_bowl_is_least_at_its_bottom() -> None:
    bowl = np.array([1.0, 100.0, 10000.0])
    bottom = np.array([3.0, -2.0, 1.0])
    found = minimised(lambda x: (bowl @ (x - bottom) ** 2, 2 * bowl * (x - bottom)), np.zeros(3))
    assert pytest.approx(bottom.tolist(), abs=1e-6) == found.tolist()


@pytest.mark.parametrize(("n", "width"), [(40, 5), (30, 200)])
def test_it_is_scikit_learns_logistic_regression(n: int, width: int) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    features, classes = blobs(0, n, width)
    mine = fit_probe(features, classes, 3, l2=0.01)
    theirs = linear_model.LogisticRegression(C=1 / (0.01 * n), tol=1e-10, max_iter=10000)
    theirs.fit((features - features.mean(0)) / features.std(0), classes)
    assert pytest.approx(theirs.coef_.T, abs=2e-4) == mine.weight
    fresh, _ = blobs(1, 50, width)
    expected = theirs.predict((fresh - features.mean(0)) / features.std(0))
    assert expected.tolist() == mine.classes_of(fresh).tolist()


def test_the_same_rows_give_the_same_probe() -> None:
    features, classes = blobs(0, 40, 8)
    one, two = (fit_probe(features, classes, 3, l2=0.01) for _ in range(2))
    assert one.weight.tobytes() == two.weight.tobytes()


def test_features_that_never_change_and_classes_that_never_come_do_no_harm() -> None:
    features = np.array([[0.0, 7.0], [1.0, 7.0], [0.1, 7.0], [0.9, 7.0]])
    probe = fit_probe(features, np.array([0, 2, 0, 2]), 4, l2=0.01)
    assert [0, 2] == probe.classes_of(np.array([[-1.0, 7.0], [2.0, 7.0]])).tolist()
