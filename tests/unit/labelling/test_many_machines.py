"""Sharing a labelling job out, and reaching a cluster; `tests/e2e/test_label_on_ray.py` has a cluster."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tercet.dataset.label_table import Finished, Label
from tercet.dataset.manifests import Row
from tercet.errors import EngineError, OptionError
from tercet.labelling.jobs import Job
from tercet.labelling.many_machines import portions_of, regrouped
from tercet.labelling.ray_cluster import cluster, is_address

LabelOf = Callable[..., Label]


def test_without_ray_the_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EngineError, match=r"pip install 'tercet\[ray\]'"), cluster():
        pass


@pytest.mark.parametrize(
    ("address", "error", "told"),
    [
        ("127.0.0.1:1", EngineError, r"127\.0\.0\.1:1: no Ray cluster answers there"),
        ("ray://127.0.0.1:1", EngineError, r"no Ray cluster answers there \(Connection refused\)"),
        ("127.0.0.1:99999", EngineError, r"no Ray cluster answers there"),
        ("somewhere", OptionError, r"'somewhere' is no address of Ray; write HOST:PORT"),
    ],
)
def test_an_address_that_nobody_answers_is_told_at_once(
    peer: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    error: type[Exception],
    told: str,
) -> None:
    monkeypatch.setattr(peer("ray"), "is_initialized", lambda: False)
    began = time.monotonic()
    with pytest.raises(error, match=told), cluster(address):
        pass
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(error, match=told), cluster():
        pass
    assert time.monotonic() - began < 25


def test_a_cluster_that_does_not_let_us_in_is_one_line(
    peer: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise ConnectionError("Could not find\nany running Ray instance")

    monkeypatch.setattr(peer("ray"), "is_initialized", lambda: False)
    monkeypatch.setattr(peer("ray"), "init", refuse)
    told = r"^auto: no cluster to work with \(Could not find any running Ray instance\); check that"
    with pytest.raises(EngineError, match=told), cluster("auto"):
        pass


def test_what_looks_like_an_address() -> None:
    for word in ("auto", "local", "head:6379", "10.0.0.1:6379", "ray://head:10001", "[::1]:6379"):
        assert is_address(word)
    for word in ("talks/", "rows.jsonl", "a/b:1", "head", "--quiet", ""):
        assert not is_address(word)


def job(name: str, duration_s: float) -> Job:
    row = Row(audio=Path("in") / name, duration_s=duration_s)
    return Job(name, (row,), duration_s <= 30, None)


def test_portions_are_neighbours_and_there_are_some_for_every_worker() -> None:
    jobs = [job(f"{n:03d}", 20.0) for n in range(100)]
    portions = portions_of(jobs, {"004": Finished({"x"})}, workers=3, batch_size=8)
    assert [each.id for each in jobs] == [each.id for part in portions for each in part.jobs]
    assert list(range(len(portions))) == [each.number for each in portions]
    assert {9, 1} == {len(each.jobs) for each in portions}  # a twelfth each, and the rest
    assert {"004"} == set(portions[0].known)
    assert all(row.audio.is_absolute() for each in portions for row in each.jobs[0].rows)


def test_portions_of_a_large_job_are_some_batches_and_long_recordings_stand_alone() -> None:
    jobs = [job(f"{n:05d}", 20.0) for n in range(5000)]
    jobs.insert(70, job("long", 30.0 * 200))
    portions = portions_of(jobs, {}, workers=2, batch_size=8)
    assert [64, 6, 1, 64] == [len(each.jobs) for each in portions[:4]]
    assert "long" == portions[2].jobs[0].id
    assert [] == portions_of([], {}, workers=2, batch_size=8)


def test_labels_are_regrouped_without_loss(label_of: LabelOf) -> None:
    labels = [label_of(id=str(n)) for n in range(11)]
    parts = [labels[:1], [], labels[1:9], labels[9:]]
    groups = list(regrouped(parts, 4))
    assert [4, 4, 3] == [len(group) for group in groups]
    assert labels == [each for group in groups for each in group]
