# SPDX-License-Identifier: Apache-2.0
"""A manager with a program that notes what happens on its links, and raw TCP ends on loopback to play against it.

Nothing here waits for time to pass: every ``await`` is for something that must happen, and the test's own time limit
ends one that does not.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from remsim.core.limits import LimitCounts
from remsim.logs import get_logger
from remsim.net.accept.quota import ConnectionQuota
from remsim.net.connections import ConnectionManager
from remsim.net.runtime.tasks import TaskOwner
from remsim.wire.link.actions import LinkId, PeerAddress
from remsim.wire.link.engine import CONNECT_TIMEOUT_S, EngineMaker, Event, KeepAliveTimes, LinkEngine
from remsim.wire.messages.rspro import ComponentType
from tests.doubles import engines


@dataclass
class Program:
    """Notes ups, events and ends of links, in order, and hands them out one by one."""

    ups: "asyncio.Queue[tuple[LinkId, PeerAddress]]" = field(default_factory=asyncio.Queue)
    events: "asyncio.Queue[tuple[LinkId, Event]]" = field(default_factory=asyncio.Queue)
    ends: "asyncio.Queue[tuple[LinkId, str]]" = field(default_factory=asyncio.Queue)
    #: Called first, to play a program that acts, or fails, on the spot.
    when_up: Callable[[LinkId], None] = lambda _link: None
    when_event: Callable[[LinkId, Event], None] = lambda _link, _event: None
    when_lost: Callable[[LinkId], None] = lambda _link: None

    def on_link_up(self, link: LinkId, peer: PeerAddress) -> None:
        self.when_up(link)
        self.ups.put_nowait((link, peer))

    def on_event(self, link: LinkId, event: Event) -> None:
        self.when_event(link, event)
        self.events.put_nowait((link, event))

    def on_link_lost(self, link: LinkId, reason: str) -> None:
        self.when_lost(link)
        self.ends.put_nowait((link, reason))


def factory(
    role: ComponentType = ComponentType.REMSIM_SERVER,
    peer: ComponentType | None = None,
    *,
    keep_alive: KeepAliveTimes | None = None,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
) -> EngineMaker:
    """Makes engines."""

    def make(now: float) -> LinkEngine:
        return LinkEngine(
            identity=engines.identity(role),
            peer=peer,
            now=now,
            keep_alive=keep_alive,
            connect_timeout_s=connect_timeout_s,
        )

    return make


@asynccontextmanager
async def world(
    *, limits: LimitCounts | None = None, quota: ConnectionQuota | None = None
) -> AsyncIterator[tuple[ConnectionManager, Program]]:
    """A manager and its program; in the end the manager closes and leaves nothing behind."""
    program = Program()
    async with TaskOwner("world") as tasks:
        manager = ConnectionManager(program, tasks=tasks, log=get_logger("world"), limits=limits, quota=quota)
        try:
            yield manager, program
        finally:
            await manager.close()
            tasks.cancel()


class RawEnd:
    """One end of a TCP connection, byte by byte."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(0)
        self.sock = sock
        self._loop = asyncio.get_running_loop()

    async def write(self, raw: bytes) -> None:
        """Send bytes."""
        await self._loop.sock_sendall(self.sock, raw)

    async def read(self, size: int) -> bytes:
        """Exactly ``size`` bytes, or fewer if the other end closes before."""
        found = b""
        while len(found) < size:
            raw = await self._loop.sock_recv(self.sock, size - len(found))
            if not raw:
                break
            found += raw
        return found

    async def read_to_end(self) -> bytes:
        """All bytes until the other end closes."""
        return await self.read(1 << 30)

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


@asynccontextmanager
async def dialled_raw(
    host: str, port: int, *, receive_buffer: int | None = None, source: str | None = None
) -> AsyncIterator[RawEnd]:
    """A raw connection to a listener, from the address ``source``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source is not None:
            sock.bind((source, 0))
        end = RawEnd(sock)
        await asyncio.get_running_loop().sock_connect(sock, (host, port))
        yield end


class RawListener:
    """A port on loopback that accepts raw connections once it listens."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.settimeout(0)
        self.sock.bind(("127.0.0.1", 0))
        self.port: int = self.sock.getsockname()[1]
        self._accepted: list[RawEnd] = []

    def __enter__(self) -> "RawListener":
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()
        for end in self._accepted:
            end.sock.close()

    def listen(self) -> None:
        """From now on connections are accepted; before, they are refused."""
        self.sock.listen()

    async def accept(self) -> RawEnd:
        """The next connection."""
        sock, _ = await asyncio.get_running_loop().sock_accept(self.sock)
        self._accepted.append(RawEnd(sock))
        return self._accepted[-1]
