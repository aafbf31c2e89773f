# SPDX-License-Identifier: Apache-2.0
"""Accepting: the kernel's queue is emptied at once, and each source has its turn, also behind a flood of another."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from remsim.core.limits import LimitName
from remsim.net.accept import acceptor as acceptor_module
from remsim.net.accept.acceptor import Acceptor
from remsim.net.accept.quota import QuotaKind
from remsim.wire.link.actions import PeerAddress
from tests.doubles.reaching import reaches

FLOOD = 300
#: Accepting all of them takes three rounds of the loop, and the first of these begins in its second.
ROUNDS = 5


class Stage:
    """A listening socket, what was taken of it, and who dials it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=4096))
        self.taken: list[str] = []
        self.limits: list[QuotaKind] = []
        self.spared = 0
        self._has_come = asyncio.Event()

    def dial(self, source: str, count: int = 1) -> list[socket.socket]:
        """Connections that the kernel has accepted."""
        address = self._listener.getsockname()
        return [
            self._stack.enter_context(socket.create_connection(address, source_address=(source, 0), timeout=5))
            for _ in range(count)
        ]

    def open(self) -> Acceptor:
        """Begin to accept."""
        acceptor = Acceptor(self._listener, self._take, spare=self._spare, on_full=self.limits.append)
        acceptor.start()
        self._stack.callback(acceptor.close)
        return acceptor

    async def until(self, source: str, count: int = 1) -> None:
        """Return when so many connections of ``source`` were taken."""
        while self.taken.count(source) < count:
            self._has_come.clear()
            await self._has_come.wait()

    def _take(self, sock: socket.socket, peer: PeerAddress) -> None:
        self._stack.enter_context(sock)
        self.taken.append(str(peer.host))
        self._has_come.set()

    def _spare(self) -> bool:
        self.spared += 1
        return False


@pytest.fixture
def stage() -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(stack)


async def rounds(count: int) -> None:
    """Let the loop look at its sockets so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


def is_closed(sock: socket.socket) -> bool:
    """Whether the other end has closed the connection; it must have happened."""
    sock.settimeout(0)
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True
    except BlockingIOError:
        return False


async def test_flood_that_came_first_keeps_no_other_source_waiting(stage: Stage) -> None:
    for source in ("127.0.0.2", "127.0.0.3"):
        stage.dial(source, FLOOD // 2)
    stage.dial("127.0.0.4")
    stage.open()
    await rounds(ROUNDS)
    assert "127.0.0.4" in stage.taken
    assert len(stage.taken) < FLOOD / 4, "looking at connections takes its time, and others have their turns between"
    await stage.until("127.0.0.2", FLOOD // 2)
    await stage.until("127.0.0.3", FLOOD // 2)
    assert not stage.limits


async def test_kernel_has_room_again_before_the_flood_is_looked_at(stage: Stage) -> None:
    stage.dial("127.0.0.2", FLOOD)
    acceptor = stage.open()
    await rounds(ROUNDS)
    assert len(acceptor._pending) + len(stage.taken) == FLOOD
    assert len(stage.taken) < FLOOD / 4


@reaches(LimitName.PENDING)
async def test_beyond_the_limit_the_source_that_has_most_makes_room(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptor_module, "MAX_PENDING", 10)
    flood = stage.dial("127.0.0.2", 20)
    (neighbour,) = stage.dial("127.0.0.3")
    stage.open()
    await stage.until("127.0.0.3")
    assert [is_closed(sock) for sock in flood] == [True] * 11 + [False] * 9
    assert not is_closed(neighbour)
    assert stage.limits == [QuotaKind.PENDING] * 11
    assert LimitName(stage.limits[0].name_of_count) is LimitName.PENDING


async def test_where_descriptors_are_few_who_waits_for_his_turn_makes_room_first(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialled = stage.dial("127.0.0.2", 20)
    acceptor = stage.open()
    # So many are accepted before numbers are used up; they are looked at in the same round, four of one source.
    monkeypatch.setattr(acceptor, "_few_from", acceptor._next_number() + 5)
    await rounds(2)
    # Before the listener says that nobody is left, one more has made room.
    assert stage.limits == [QuotaKind.CONNECTIONS] * 16
    assert (len(stage.taken), stage.spared) == (4, 0)
    assert [is_closed(sock) for sock in dialled] == [True] * 16 + [False] * 4


async def test_few_descriptors_are_not_all_taken_by_those_who_wait(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptor_module, "descriptors_allowed", lambda: 640)
    stage.dial("127.0.0.2", 100)
    acceptor = stage.open()
    await rounds(2)
    assert len(acceptor._pending) <= 60
    assert set(stage.limits) == {QuotaKind.CONNECTIONS}


async def test_who_waits_at_the_end_is_closed(stage: Stage) -> None:
    dialled = stage.dial("127.0.0.2", 100)
    acceptor = stage.open()
    await rounds(2)
    acceptor.close()
    await rounds(2)
    assert sum(map(is_closed, dialled)) == 100 - len(stage.taken) > 0
