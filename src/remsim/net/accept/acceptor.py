# SPDX-License-Identifier: Apache-2.0
"""Takes connections of a listening socket: a few in each round of the loop, and only while there are descriptors.

The event loops' own servers accept all that wait before any of them is looked at, so a burst takes every descriptor of
the process. A new descriptor is the lowest that is free. As long as no connection gets a number above a bound, the next
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

from remsim.net.accept.quota import descriptors_allowed, descriptors_reserved
from remsim.net.link import peer_address
from remsim.wire.link.actions import PeerAddress

#: Connections that are taken in one round of the loop.
PER_ROUND: Final = 16
#: When the system has no descriptor or memory for a connection, there may be some a moment later.
PAUSE_S: Final = 0.5
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """One for each listening socket, which it owns. Runs from ``start`` to ``close``."""

    def __init__(
        self,
        listener: socket.socket,
        take: Callable[[socket.socket, PeerAddress], None],
        *,
        spare: Callable[[], bool],
        per_round: int = PER_ROUND,
    ) -> None:
        """``take`` gets each connection and owns its socket.

        ``spare`` is called where descriptors become few, and says whether one that is in use is being closed.
        """
        self._listener = listener
        self._take = take
        self._spare = spare
        self._per_round = per_round
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        allowed = descriptors_allowed()
        reserved = descriptors_reserved(allowed)
        # From this number on, a newcomer needs the descriptor of another.
        self._few_from = allowed - reserved // 2

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

    def _on_waiting(self) -> None:
        for taken in range(self._per_round):
            try:
                is_few = self._next_number() >= self._few_from
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
            self._take(sock, peer_address(name))

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
