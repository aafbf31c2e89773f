# SPDX-License-Identifier: Apache-2.0
"""HTTP on sockets of ours, served by uvicorn inside our own loop; signals, logs and who is let in stay ours."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from remsim.config import HostPort
from remsim.core.errors import StartError
from remsim.core.limits import LimitCounts, LimitName
from remsim.logs import get_logger
from remsim.net.accept.acceptor import PER_ROUND, Acceptor
from remsim.net.accept.handshake_queue import HandshakeQueue
from remsim.net.accept.listen import BACKLOG, bind, nothing_to_spare
from remsim.net.accept.quota import ConnectionQuota, QuotaKind, source_of
from remsim.net.runtime.tasks import TaskOwner
from remsim.net.tls.contexts import HANDSHAKE_TIMEOUT_S
from remsim.server.api import limits
from remsim.server.api.connection import RestConnection
from remsim.wire.link.actions import PeerAddress

#: Requests that are being answered when the server stops get this long.
GRACE_S: Final = 2
#: uvicorn renews the Date header at every tenth tick.
_DATE_TICK: Final = 0
#: Where REST has fewer unproven connections than this, it is not REST that takes the descriptors.
_FEW: Final = 32
_COUNTED_AS: Final = {
    QuotaKind.UNIDENTIFIED: LimitName.REST_CONNECTIONS,
    QuotaKind.UNIDENTIFIED_PER_SOURCE: LimitName.REST_CONNECTIONS_PER_SOURCE,
    QuotaKind.CONNECTIONS: LimitName.CONNECTIONS,
    QuotaKind.PENDING: LimitName.PENDING,
}


class _Server(uvicorn.Server):
    """Accepts by itself: uvicorn would take any number of connections, and of TLS handshakes under way."""

    def __init__(
        self,
        config: uvicorn.Config,
        tls: ssl.SSLContext | None,
        counts: LimitCounts,
        spare: Callable[[], bool],
    ) -> None:
        super().__init__(config)
        self._spare_link = spare
        self.is_listening = asyncio.Event()
        self.tasks = TaskOwner("rest")
        self._leaving = asyncio.Event()
        self._tls = tls
        self._counts = counts
        self._log = get_logger("rest")
        # Who shows a good token leaves the first for the second.
        self._unproven = ConnectionQuota(most=limits.MAX_CONNECTIONS, most_per_source=limits.MAX_CONNECTIONS_PER_SOURCE)
        self._proven: set[_Visit] = set()
        self._acceptors: list[Acceptor] = []
        self._handshakes = HandshakeQueue()

    def leave(self) -> None:
        """Let ``serve`` return."""
        self.should_exit = True
        self._leaving.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are handled by ``net.process``."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await self.lifespan.startup()
        self.servers = []
        # Without TLS, a connection is served at once; with it, its handshake waits for its turn.
        per_round = 1 if self._tls is None else PER_ROUND
        self._acceptors = [
            Acceptor(sock, self._take, spare=self._spare, on_full=self._on_full, per_round=per_round)
            for sock in sockets or ()
        ]
        for acceptor in self._acceptors:
            acceptor.start()
        self.started = True
        self.is_listening.set()

    async def main_loop(self) -> None:
        """Keep the Date header right until ``leave``; the base class looks ten times a second."""
        while not await self.on_tick(_DATE_TICK):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._leaving.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let nobody in any more, finish what is being answered."""
        for acceptor in self._acceptors:
            acceptor.close()
        self.tasks.cancel()
        for connection in tuple(self.server_state.connections):
            if isinstance(connection, RestConnection):
                connection.end_if_unfinished()
        silent = asyncio.get_running_loop().call_later(GRACE_S / 2, self._hang_up_on_silent)
        try:
            await super().shutdown(sockets)
        finally:
            silent.cancel()

    def _hang_up_on_silent(self) -> None:
        """A peer that does not answer the end of its TLS is not waited for."""
        for connection in tuple(self.server_state.connections):
            if connection.transport.is_closing():
                connection.transport.abort()

    # Who comes in

    def _take(self, sock: socket.socket, peer: PeerAddress) -> None:
        visit = _Visit(sock)
        is_in, limit = self._unproven.admit(peer, visit)
        if limit is not None:
            self._note(limit, _COUNTED_AS[limit], peer)
        serving = self._serve_one(sock, source_of(peer.host), visit) if is_in else None
        visit.task = None if serving is None else self.tasks.session(serving, name="connection")
        if visit.task is None:
            self._unproven.release(visit)
            visit.hang_up()
        else:
            visit.task.add_done_callback(lambda _: visit.hang_up())

    def _spare(self) -> bool:
        self._note(QuotaKind.CONNECTIONS, LimitName.CONNECTIONS)
        if len(self._unproven) < _FEW and self._spare_link():
            return True
        return self._unproven.make_room()

    def _on_full(self, limit: QuotaKind) -> None:
        self._note(limit, _COUNTED_AS[limit])

    def _note(self, limit: QuotaKind, counted_as: LimitName, peer: PeerAddress | None = None) -> None:
        self._counts.reached(counted_as)
        if self._unproven.is_first_report(limit):
            fields = {} if peer is None else {"peer": str(peer)}
            self._log.warning("limit_reached", limit=counted_as.value, **fields)

    def _prove(self, visit: "_Visit") -> None:
        if len(self._proven) < limits.MAX_CONNECTIONS:
            self._unproven.release(visit)
            self._proven.add(visit)

    def _forget(self, visit: "_Visit") -> None:
        self._unproven.release(visit)
        self._proven.discard(visit)

    async def _greeting(self, sock: socket.socket, source: Hashable) -> None:
        """Return when the caller has begun its handshake, and it is the turn of its source. Raises TimeoutError.

        Who opens many connections at once, and greets on each, would otherwise have all of these served first.
        """
        loop = asyncio.get_running_loop()
        said, turn = loop.create_future(), loop.create_future()
        loop.add_reader(sock.fileno(), _settle, said)
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                await said
        finally:
            loop.remove_reader(sock.fileno())
        self._handshakes.enter(partial(_settle, turn), source)
        await turn

    async def _serve_one(self, sock: socket.socket, source: Hashable, visit: "_Visit") -> None:
        """Hand a connection over to HTTP, after the TLS handshake if there is one."""
        tls_times = {} if self._tls is None else {"ssl_handshake_timeout": HANDSHAKE_TIMEOUT_S}
        try:
            if self._tls is not None:
                await self._greeting(sock, source)
            # Who says nothing costs no more than the above.
            visit.connection = connection = RestConnection(
                self.config,
                self.server_state,
                counts=self._counts,
                on_closed=partial(self._forget, visit),
                on_proven=partial(self._prove, visit),
            )
            visit.sock = None
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, sock, ssl=self._tls, **tls_times
            )
        except (ConnectionAbortedError, TimeoutError):
            self._counts.reached(LimitName.REST_HANDSHAKE_TIME)
        except OSError:
            # The caller does not speak TLS, or left.
            return
        except asyncio.CancelledError:
            if visit.connection is not None:
                visit.connection.on_dropped()
            raise
        finally:
            visit.task = None
            if visit.connection is None or not visit.connection.is_made:
                self._forget(visit)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class _Visit:
    """One connection, from TCP on."""

    def __init__(self, sock: socket.socket) -> None:
        #: Until the loop has it.
        self.sock: socket.socket | None = sock
        #: The handshake, while it lasts.
        self.task: asyncio.Task[None] | None = None
        self.connection: RestConnection | None = None

    def hang_up(self) -> None:
        """Close what the loop has not taken. A task that ends before it has begun does not do it itself."""
        if self.sock is not None:
            self.sock.close()

    def give_way(self) -> None:
        """Close at once: no good token was shown, and a newcomer needs the place."""
        if self.connection is not None and self.connection.is_made:
            self.connection.transport.abort()
        elif self.task is not None:
            self.task.cancel()


class RestListener:
    """The REST interface on the network. ``run`` serves until ``stop``."""

    def __init__(
        self,
        app: ASGIApp,
        address: HostPort,
        *,
        tls: ssl.SSLContext | None = None,
        counts: LimitCounts | None = None,
        spare: Callable[[], bool] = nothing_to_spare,
    ) -> None:
        """Bind. Raises StartError. ``tls``: HTTPS with this context. ``counts`` are those of limits reached.

        ``spare`` closes a link of an unknown peer where descriptors become few, if there is one.
        """
        config = uvicorn.Config(
            app,
            # h11 limits the size of a request's head; httptools does not.
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            # Its warnings are about what unauthenticated callers send, and come without end.
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=limits.MAX_HEAD_BYTES,
            timeout_keep_alive=limits.KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
        config.load()
        self._server = _Server(config, tls, LimitCounts() if counts is None else counts, spare)
        self._sockets = bind(address)
        try:
            for sock in self._sockets:
                sock.listen(BACKLOG)
        except OSError as error:
            self.close()
            raise StartError(f"cannot listen on {address}: {error.strerror}", hint="choose another port") from error
        first: tuple[str, int] = self._sockets[0].getsockname()[:2]
        #: What it is bound to, with the port that the system chose for port 0.
        self.address = HostPort(address.host and first[0], first[1])

    async def run(self) -> None:
        """Serve until ``stop``."""
        async with self._server.tasks:
            await self._server.serve(self._sockets)

    async def wait_listening(self) -> None:
        """Return when requests are being answered."""
        await self._server.is_listening.wait()

    def stop(self) -> None:
        """Finish what is being answered and let ``run`` return."""
        self._server.leave()

    def close(self) -> None:
        """Close the sockets, if ``run`` was never called."""
        for sock in self._sockets:
            sock.close()
