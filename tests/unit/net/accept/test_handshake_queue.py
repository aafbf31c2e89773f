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


#: As many clients as a large bank has, all back at once after a power cut.
CLIENTS = 1000
#: A TLS handshake with a client certificate takes the client's greeting and its proof; some come in more pieces.
PIECES = 3


class Newcomer:
    """A client whose handshake takes ``pieces`` of work; each is asked for when the one before is done."""

    def __init__(
        self, queue: HandshakeQueue, name: int, done: list[int], *, pieces: int, source: str | None = None
    ) -> None:
        self._queue, self._name, self._done, self._left = queue, name, done, pieces
        self._source = source

    def greet(self) -> None:
        """Its next piece has arrived."""
        self._queue.enter(self._work, self._source)

    def _work(self) -> None:
        self._done.append(self._name)
        self._left -= 1
        if self._left:
            self.greet()


async def test_thousand_that_return_together_are_served_in_turns_and_known_peers_between_any_two_pieces() -> None:
    queue, done = HandshakeQueue(), list[int]()
    for name in range(CLIENTS):
        Newcomer(queue, name, done, pieces=PIECES).greet()
    assert len(queue) == CLIENTS
    before = 0
    for _ in range(CLIENTS * PIECES):
        # This test is a known peer: it wants one round of the loop, too, and gets each.
        await asyncio.sleep(0)
        assert len(done) == before + 1, "one piece in a round, and one in each: neither a storm nor a pause"
        before = len(done)
    assert len(queue) == 0
    # Nobody has its second piece before all have their first: the slowest is as far as the quickest.
    assert done == list(range(CLIENTS)) * PIECES


async def test_newcomer_waits_for_those_before_it_once_however_much_they_ask_for() -> None:
    queue, done = HandshakeQueue(), list[int]()
    for name in range(CLIENTS):
        Newcomer(queue, name, done, pieces=1_000_000).greet()
    for _ in range(CLIENTS // 2):
        await asyncio.sleep(0)
    ahead, late = len(queue), Newcomer(queue, CLIENTS, done, pieces=1)
    assert ahead == CLIENTS
    late.greet()
    for _ in range(ahead):
        assert CLIENTS not in done
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert done[-1] == CLIENTS
    assert len(queue) == CLIENTS


async def test_a_source_waits_for_one_piece_of_each_other_source_however_many_connections_those_have() -> None:
    queue, done = HandshakeQueue(), list[int]()
    floods = ("192.0.2.1", "192.0.2.2")
    for name in range(700):
        for source in floods:
            Newcomer(queue, name, done, pieces=PIECES, source=source).greet()
    for _ in range(5):
        await asyncio.sleep(0)
    for late in range(700, 720):
        Newcomer(queue, late, done, pieces=PIECES, source="192.0.2.3").greet()
        for _ in range(PIECES * (len(floods) + 1)):
            await asyncio.sleep(0)
        assert done.count(late) == PIECES
    # They lose nothing by it, and each of them has its own in order.
    for _ in range(len(floods) * 700 * PIECES):
        await asyncio.sleep(0)
    assert len(queue) == 0
    assert len(done) == (2 * 700 + 20) * PIECES
    assert list(dict.fromkeys(name for name in done if name < 700)) == list(range(700))
