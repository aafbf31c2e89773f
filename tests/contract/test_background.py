# SPDX-License-Identifier: Apache-2.0
"""Work in the background: in order, in lists, bounded, and over at the end."""

import threading

from remsim.background import Background

PATIENCE_S = 30.0


class Work:
    """Notes what it gets; waits until it may go on."""

    def __init__(self, *, is_held: bool = False) -> None:
        self.lists: list[list[int]] = []
        self.has_begun = threading.Event()
        self.may_go_on = threading.Event()
        if not is_held:
            self.may_go_on.set()

    def __call__(self, items: list[int]) -> None:
        self.has_begun.set()
        assert self.may_go_on.wait(PATIENCE_S)
        self.lists.append(items)


def test_everything_comes_in_order_in_lists_of_at_most_the_batch() -> None:
    work = Work()
    queue = Background[int]("test", work, most=100, batch=8, gather_s=0.001)
    assert all(queue.put(number) for number in range(50))
    queue.stop(PATIENCE_S)
    assert [number for each in work.lists for number in each] == list(range(50))
    assert max(len(each) for each in work.lists) <= 8
    assert queue.dropped == 0


def test_what_does_not_fit_is_dropped_and_counted_and_nobody_waits() -> None:
    work = Work(is_held=True)
    queue = Background[int]("test", work, most=3, batch=1, gather_s=0.0)
    queue.put(0)
    assert work.has_begun.wait(PATIENCE_S)
    assert [queue.put(number) for number in range(1, 6)] == [True, True, True, False, False]
    assert queue.dropped == 2
    work.may_go_on.set()
    queue.stop(PATIENCE_S)
    assert work.lists == [[0], [1], [2], [3]]
    assert not queue.put(9)
    assert queue.dropped == 3


def test_end_does_not_wait_for_work_that_hangs() -> None:
    work = Work(is_held=True)
    queue = Background[int]("test", work, most=10, batch=1, gather_s=0.0)
    for number in range(4):
        queue.put(number)
    assert work.has_begun.wait(PATIENCE_S)
    queue.stop(0.01)
    assert queue.dropped == 3
    work.may_go_on.set()
    queue.stop(PATIENCE_S)
    assert work.lists == [[0]]


def test_thread_sleeps_and_wakes_again() -> None:
    done = threading.Semaphore(0)
    queue = Background[int]("test", lambda _items: done.release(), most=10, batch=10, gather_s=0.0)
    for number in range(20):
        queue.put(number)
        # Each time it has nothing more to do.
        assert done.acquire(timeout=PATIENCE_S)
    queue.stop(PATIENCE_S)
    assert queue.dropped == 0
