# SPDX-License-Identifier: Apache-2.0
"""Listening sockets: both IP versions, any port, and a clear error when the port is taken."""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Final

from remsim.config import HostPort
from remsim.core.errors import StartError
from remsim.net.accept.acceptor import Acceptor
from remsim.net.accept.quota import QuotaKind
from remsim.net.runtime.tasks import TaskOwner
from remsim.wire.link.actions import PeerAddress

#: Connections that the kernel keeps until we accept them. A storm of clients after a power cut must fit; the kernel
#: cuts it to net.core.somaxconn.
BACKLOG: Final = 4096


def bind(address: HostPort) -> list[socket.socket]:
    """Sockets bound to ``address``, not listening yet. Raises StartError with what is wrong and a hint.

    An empty host gives one socket for both IP versions, or for IPv4 where the machine has no IPv6.
    """
    try:
        if address.host == "":
            if socket.has_dualstack_ipv6():
                return [_bind_one(socket.AF_INET6, ("::", address.port), is_dual=True)]
            return [_bind_one(socket.AF_INET, ("0.0.0.0", address.port))]
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return _bind_all([(family, sock_name) for family, _, _, _, sock_name in found])
    except (OSError, UnicodeError) as error:
        raise _start_error(address, error) from error


def _bind_all(found: list[tuple[socket.AddressFamily, tuple[object, ...]]]) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for family, (host, port, *rest) in dict.fromkeys(found):
            # A name with several addresses has one port, also where the system chose it for the first of them.
            chosen = sockets[0].getsockname()[1] if sockets else port
            sockets.append(_bind_one(family, (host, chosen, *rest)))
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _bind_one(family: socket.AddressFamily, sock_name: tuple[object, ...], *, is_dual: bool = False) -> socket.socket:
    # asyncio switches Nagle's algorithm off only where the socket says that it is TCP; with it, the second part of an
    # answer waits some 40 ms for the peer's delayed acknowledgement of the first.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # A restarted daemon must get its port back while old connections are in TIME_WAIT.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if is_dual else 1)
        sock.settimeout(0)
        sock.bind(sock_name)
    except OSError:
        sock.close()
        raise
    return sock


def _start_error(address: HostPort, error: Exception) -> StartError:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return StartError(f"{address} is in use", hint="stop the program that listens there, or choose another port")
    if isinstance(error, OSError) and error.errno == errno.EACCES:
        return StartError(f"no permission to listen on {address}", hint="choose a port above 1023")
    if isinstance(error, OSError) and error.errno == errno.EADDRNOTAVAIL:
        return StartError(f"{address.host} is no address of this machine", hint="see `ip address`")
    return StartError(f"cannot listen on {address}: {error}", hint="write HOST:PORT with an address of this machine")


class Listener:
    """Listening sockets of one address."""

    def __init__(self, acceptors: list[Acceptor], addresses: list[HostPort]) -> None:
        self._acceptors = acceptors
        #: What it is bound to, with the port that the system chose for port 0.
        self.addresses = addresses

    @property
    def port(self) -> int:
        """The port that is bound."""
        return self.addresses[0].port

    async def close(self) -> None:
        """Accept no more. Connections that exist go on."""
        for acceptor in self._acceptors:
            acceptor.close()


def nothing_to_spare() -> bool:
    """What ``spare`` of an Acceptor is where no connection can be closed for another."""
    return False


def nobody_counts(_limit: QuotaKind) -> None:
    """What ``on_full`` of an Acceptor is where limits are not counted."""


async def listen(
    address: HostPort,
    factory: Callable[[], asyncio.Protocol],
    *,
    tasks: TaskOwner,
    backlog: int = BACKLOG,
    spare: Callable[[], bool] = nothing_to_spare,
    on_full: Callable[[QuotaKind], None] = nobody_counts,
) -> Listener:
    """Listen on ``address``; ``factory`` makes the protocol of each connection. Raises StartError.

    ``tasks`` owns connections that are being set up; ``spare`` and ``on_full`` as for Acceptor.
    """
    loop = asyncio.get_running_loop()

    async def set_up(sock: socket.socket) -> None:
        try:
            await loop.connect_accepted_socket(factory, sock)
        except OSError:
            # The peer has given up.
            sock.close()

    def take(sock: socket.socket, _peer: PeerAddress) -> None:
        if tasks.session(set_up(sock), name="accept") is None:
            sock.close()

    sockets = bind(address)
    try:
        for sock in sockets:
            sock.listen(backlog)
    except OSError as error:
        # Two programs may bind with SO_REUSEADDR; the second one fails here.
        for sock in sockets:
            sock.close()
        raise _start_error(address, error) from error
    names: list[tuple[str, int]] = [sock.getsockname()[:2] for sock in sockets]
    acceptors = [Acceptor(sock, take, spare=spare, on_full=on_full) for sock in sockets]
    for acceptor in acceptors:
        acceptor.start()
    return Listener(acceptors, [HostPort("" if address.host == "" else host, port) for host, port in names])
