# SPDX-License-Identifier: Apache-2.0
"""Takes connections of a listening socket: a few in each round of the loop, and only while there are descriptors.

The kernel's queue is one for all sources, and once it is full it drops every newcomer: a flood that comes faster than
connections are looked at would keep everybody out. To accept costs little, so all that wait there are accepted, and
wait with us until it is the turn of their source; only looking at them takes its time.

The event loops' own servers look at all that wait before anybody else's turn, so a burst takes every descriptor of the
process. A new descriptor is the lowest that is free. As long as no connection gets a number above a bound, the next
free number tells when that many are in use, whatever for. So the number is looked at before a connection is taken: one
that had a higher number would hide, once lower ones are free again, how many are in use.
"""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable
from typing import Final

from remsim.core.values import dataclass
from remsim.net.accept.pending import Pending
from remsim.net.accept.quota import QuotaKind, descriptors_allowed, descriptors_reserved, source_of
from remsim.net.link import peer_address
from remsim.wire.link.actions import PeerAddress

#: Connections that are looked at in one round of the loop.
PER_ROUND: Final = 16
#: The same of one source: rounds stay short while one floods us, and the kernel's queue is emptied the sooner.
PER_ROUND_AND_SOURCE: Final = 4
#: Connections that are accepted in one round: some milliseconds.
ACCEPTED_PER_ROUND: Final = 128
#: Accepted connections that wait for their turn, of one listening socket: as many as unidentified ones may be open. A
#: storm of a thousand clients after a power cut fits several times.
MAX_PENDING: Final = 4096
#: When the system has no descriptor or memory for a connection, there may be some a moment later.
PAUSE_S: Final = 0.5
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(frozen=True, slots=True, eq=False)
class _Newcomer:
    """A connection that waits for its turn."""

    sock: socket.socket
    peer: PeerAddress


class Acceptor:
    """Accepts the connections of one listening socket, which it owns. Runs from ``start`` to ``close``."""

    def __init__(
        self,
        listener: socket.socket,
        take: Callable[[socket.socket, PeerAddress], None],
        *,
        spare: Callable[[], bool],
        on_full: Callable[[QuotaKind], None],
        per_round: int = PER_ROUND,
    ) -> None:
        """``take`` gets each connection and owns its socket.

        ``spare`` is called where descriptors become few, and says whether one that is in use is being closed.
        ``on_full`` is called with the limit for which one that waited for its turn was closed.
        """
        self._listener = listener
        self._take = take
        self._spare = spare
        self._on_full = on_full
        self._per_round = per_round
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        allowed = descriptors_allowed()
        reserved = descriptors_reserved(allowed)
        # From this number on, a newcomer needs the descriptor of another.
        self._few_from = allowed - reserved // 2
        # They must not take the descriptors of links: where there are few, it is these that end.
        most = min(MAX_PENDING, (allowed - reserved) // 8)
        self._most_is = QuotaKind.PENDING if most == MAX_PENDING else QuotaKind.CONNECTIONS
        self._pending = Pending[_Newcomer](most)
        self._is_due = False

    def start(self) -> None:
        """Begin to accept. The socket must be listening."""
        self._listener.settimeout(0)
        self._loop.add_reader(self._listener.fileno(), self._on_waiting)

    def close(self) -> None:
        """Accept no more."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
        while self._drop():
            pass

    def _on_waiting(self) -> None:
        self._accept_some()
        if not self._is_due:
            self._look_at_some()

    def _look_at_some(self) -> None:
        self._is_due = False
        for newcomer in self._pending.some(self._per_round, most_per_source=PER_ROUND_AND_SOURCE):
            self._take(newcomer.sock, newcomer.peer)
        if self._pending:
            self._is_due = True
            self._loop.call_soon(self._look_at_some)

    def _accept_some(self) -> None:
        for taken in range(ACCEPTED_PER_ROUND):
            try:
                is_few = self._next_number() >= self._few_from
                if is_few and self._drop():
                    self._on_full(QuotaKind.CONNECTIONS)
                    is_few = False
                if is_few and (taken or self._spare()):
                    # The descriptor is free in one of the next rounds. A newcomer waits for it in the kernel.
                    return
                sock, name = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._wait_a_moment()
                    return
                # accept(2): other errors are those of the connection, whose peer has given up.
                continue
            if is_few:
                sock.close()
                continue
            sock.settimeout(0)
            self._keep(_Newcomer(sock, peer_address(name)))

    def _keep(self, newcomer: _Newcomer) -> None:
        surplus = self._pending.add(source_of(newcomer.peer.host), newcomer)
        if surplus is not None:
            surplus.sock.close()
            self._on_full(self._most_is)

    def _drop(self) -> bool:
        """Close one that nobody has looked at, and say whether there was any."""
        surplus = self._pending.drop()
        if surplus is not None:
            surplus.sock.close()
        return surplus is not None

    def _next_number(self) -> int:
        number = os.dup(self._listener.fileno())
        os.close(number)
        return number

    def _wait_a_moment(self) -> None:
        self._spare()
        self._loop.remove_reader(self._listener.fileno())
        self._pause = self._loop.call_later(PAUSE_S, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        with contextlib.suppress(ValueError):  # it was closed meanwhile
            self._loop.add_reader(self._listener.fileno(), self._on_waiting)
