"""One thread works ahead of another."""

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tercet.longform.ahead import Ahead

SOON_S = 10.0  # until a test gives up


class Counted:
    """Counts how many of its items were made, and remembers that it was closed."""

    def __init__(self, n: int | None = None, error: BaseException | None = None) -> None:
        self.n = n
        self.error = error
        self.made = 0
        self.is_closed = False

    def __iter__(self):
        try:
            while self.n is None or self.made < self.n:
                self.made += 1
                yield self.made
            if self.error is not None:
                raise self.error
        finally:
            self.is_closed = True


def settled(counted: Counted, made: int) -> int:
    """How many items are made once nothing has happened for a while; `made` are awaited."""
    until = time.monotonic() + SOON_S
    while counted.made < made and time.monotonic() < until:
        time.sleep(0.001)
    time.sleep(0.05)
    return counted.made


def closed_in_s(ahead: Ahead) -> float:
    """Close it from another thread, so that a lock-up fails the test instead of hanging it."""
    start = time.monotonic()
    closer = threading.Thread(target=ahead.close, daemon=True)
    closer.start()
    closer.join(SOON_S)
    assert not closer.is_alive(), "close never returned"
    return time.monotonic() - start


@settings(max_examples=30, deadline=None)
@given(items=st.lists(st.none() | st.integers()), limit=st.integers(1, 5))
def test_items_come_as_they_are_and_in_order(items: list, limit: int) -> None:
    ahead = Ahead(iter(items), limit=limit)
    assert items == list(ahead)
    ahead.close()


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_work_is_done_ahead_but_not_beyond_the_limit(limit: int) -> None:
    """So many are ready; one more is in the thread's hands."""
    counted = Counted()
    ahead = Ahead(iter(counted), limit=limit)
    try:
        assert limit + 1 == settled(counted, limit + 1)
        taken = iter(ahead)
        for n in range(1, 4):
            assert n == next(taken)
            assert n + limit + 1 == settled(counted, n + limit + 1)
    finally:
        closed_in_s(ahead)


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt(), SystemExit(3)])
def test_an_error_arrives_in_its_place_and_as_it_is(error: BaseException) -> None:
    ahead = Ahead(iter(Counted(3, error)), limit=8)
    items = iter(ahead)
    assert [1, 2, 3] == [next(items) for _ in range(3)]
    with pytest.raises(type(error)) as raised:
        next(items)
    assert error is raised.value
    closed_in_s(ahead)


def test_ready_means_that_nobody_has_to_wait() -> None:
    gate = threading.Event()

    def slow():
        yield 1
        gate.wait(SOON_S)
        yield 2

    ahead = Ahead(slow(), limit=2)
    taken = iter(ahead)
    assert 1 == next(taken)
    assert not ahead.is_ready
    gate.set()
    until = time.monotonic() + SOON_S
    while not ahead.is_ready and time.monotonic() < until:
        time.sleep(0.001)
    assert ahead.is_ready
    assert [2] == list(taken)
    closed_in_s(ahead)


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_closing_stops_the_thread_though_the_queue_is_full(taken: int, working_ahead) -> None:
    counted = Counted()
    ahead = Ahead(iter(counted), limit=2)
    items = iter(ahead)
    for _ in range(taken):
        next(items)
    made = settled(counted, taken + 3)
    assert closed_in_s(ahead) < 1
    assert [] == working_ahead()
    assert made == counted.made  # not one more: each is a second of work
    assert counted.is_closed


def test_closing_waits_for_the_present_item_and_begins_no_other(working_ahead) -> None:
    gate, begun = threading.Event(), threading.Event()
    made = []

    def slow():
        for n in range(5):
            begun.set()
            gate.wait(SOON_S)
            made.append(n)
            yield n

    ahead = Ahead(slow(), limit=2)
    assert begun.wait(SOON_S)
    closer = threading.Thread(target=ahead.close, daemon=True)
    closer.start()
    time.sleep(0.05)
    assert closer.is_alive()
    gate.set()
    closer.join(SOON_S)
    assert ([0], []) == (made, working_ahead())


def test_closing_again_or_after_the_end_does_nothing() -> None:
    ahead = Ahead(iter([1, 2]), limit=1)
    assert [1, 2] == list(ahead)
    closed_in_s(ahead)
    closed_in_s(ahead)


def test_what_goes_wrong_after_closing_is_nobodys_any_more(working_ahead) -> None:
    gate, begun = threading.Event(), threading.Event()

    def failing():
        begun.set()
        gate.wait(SOON_S)
        raise ValueError("too late")
        yield

    ahead = Ahead(failing(), limit=1)
    assert begun.wait(SOON_S)
    threading.Timer(0.02, gate.set).start()
    closed_in_s(ahead)
    assert [] == working_ahead()


def test_an_iterator_that_cannot_be_closed_is_as_welcome() -> None:
    ahead = Ahead(iter([1, 2, 3]), limit=1)
    assert 1 == next(iter(ahead))
    closed_in_s(ahead)


def test_a_generator_is_closed_where_it_is_left() -> None:
    counted = Counted()
    ahead = Ahead(iter(counted), limit=1)
    settled(counted, 2)
    assert not counted.is_closed
    closed_in_s(ahead)
    assert counted.is_closed
