# SPDX-License-Identifier: Apache-2.0
"""One piece of unknown peers' work in each round of the loop."""

import asyncio
from functools import partial

from remsim.net.accept.handshake_queue import HandshakeQueue


async def test_each_round_of_the_loop_does_one_piece_in_order() -> None:
    queue, done = HandshakeQueue(), list[str]()
    for name in "abc":
        queue.enter(partial(done.append, name))
    assert (done, len(queue)) == ([], 3)
    for count in (1, 2, 3):
        await asyncio.sleep(0)
        assert done == list("abc"[:count])
    assert len(queue) == 0


async def test_work_that_comes_from_work_waits_for_its_turn() -> None:
    queue, done = HandshakeQueue(), list[str]()

    def again() -> None:
        done.append("first")
        queue.enter(lambda: done.append("second"))

    queue.enter(again)
    await asyncio.sleep(0)
    assert done == ["first"]
    await asyncio.sleep(0)
    assert done == ["first", "second"]


async def test_work_that_fails_does_not_keep_the_others_back() -> None:
    caught: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: caught.append(str(context["exception"])))
    queue, done = HandshakeQueue(), list[str]()

    def fail() -> None:
        raise ArithmeticError("a mistake")

    queue.enter(fail)
    queue.enter(lambda: done.append("next"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (caught, done) == (["a mistake"], ["next"])
