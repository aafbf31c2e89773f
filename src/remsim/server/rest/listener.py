# SPDX-License-Identifier: Apache-2.0
"""HTTP on sockets of ours, served by uvicorn inside our own loop; signals and logs stay ours."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from remsim.config import HostPort
from remsim.errors import StartError
from remsim.net.listen import BACKLOG, bind

#: Requests that are being answered when the server stops get this long.
GRACE_S: Final = 2
#: Request line and headers together.
MAX_HEAD_OCTETS: Final = 16 * 1024
#: uvicorn renews the Date header at every tenth tick.
_DATE_TICK: Final = 0


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_listening = asyncio.Event()
        self._leaving = asyncio.Event()

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
        await super().startup(sockets)
        self.is_listening.set()

    async def main_loop(self) -> None:
        """Keep the Date header right until ``leave``; the base class looks ten times a second."""
        while not await self.on_tick(_DATE_TICK):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._leaving.wait()


class RestListener:
    """The REST interface on the network. ``run`` serves until ``stop``."""

    def __init__(self, app: ASGIApp, address: HostPort, *, tls: ssl.SSLContext | None = None) -> None:
        """Bind. Raises StartError. ``tls``: HTTPS with this context."""
        config = uvicorn.Config(
            app,
            # h11 limits the size of a request's head; httptools does not.
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            h11_max_incomplete_event_size=MAX_HEAD_OCTETS,
            timeout_graceful_shutdown=GRACE_S,
        )
        config.load()
        config.ssl = tls
        self._server = _Server(config)
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
