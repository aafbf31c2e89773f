# SPDX-License-Identifier: Apache-2.0
"""A server's enrolment routes over HTTPS on loopback, with a clock that the test sets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn

from remsim.config import HostPort
from remsim.core.identity import Identity
from remsim.core.limits import LimitCounts
from remsim.net.accept.listen import bind
from remsim.net.log_limiter import LogRateLimiter
from remsim.net.runtime.tasks import TaskOwner
from remsim.net.tls.contexts import TlsContexts
from remsim.pki.enrolment_service import EnrolmentService
from remsim.server.api import enrolment, errors
from remsim.server.api.resource import RestApplication
from remsim.server.authority.audit import CertificateAudit
from remsim.server.core.actions import Entry
from tests.doubles.certificates import SERVER, CertificateWorld
from tests.doubles.noted_log import NotedLog


class EnrolmentServer:
    """What a running one offers to a test."""

    def __init__(self, ca: CertificateWorld, url: str) -> None:
        self.ca = ca
        self.url = url
        self.log = NotedLog()
        self.now = ca.now
        #: What the audit log would hold.
        self.entries: list[Entry] = []
        self.issuances = CertificateAudit((), self.entries.append, self.entries.append)


@asynccontextmanager
async def enrolment_server(
    ca: CertificateWorld, *, identity: Identity = SERVER, anchor: CertificateWorld | None = None
) -> AsyncIterator[EnrolmentServer]:
    """Serve ``ca``'s authority. ``anchor`` is another one that signed the server's certificate: an impostor."""
    (sock,) = bind(HostPort("127.0.0.1", 0))
    sock.listen()
    server = EnrolmentServer(ca, f"https://127.0.0.1:{sock.getsockname()[1]}")
    contexts = TlsContexts((anchor or ca).credentials(identity, folder="https"))
    app = RestApplication()
    errors.install(app)
    enrolment.mount(
        app,
        EnrolmentService(ca.authority),
        log=server.log.logger,
        issuances=server.issuances,
        lines=LogRateLimiter(server.log.logger, LimitCounts(), now=lambda: server.now),
        now=lambda: server.now,
        clock=lambda: server.now,
    )
    config = uvicorn.Config(
        app, lifespan="off", log_config=None, access_log=False, ssl_context_factory=lambda _config, _make: contexts.rest
    )
    http = _Quiet(config)
    async with TaskOwner("enrolment") as tasks:
        running = tasks.vital(http.serve([sock]), name="http")
        await http.is_listening.wait()
        try:
            yield server
        finally:
            http.should_exit = True
            if running is not None:
                await asyncio.wait([running])


class _Quiet(uvicorn.Server):
    """Leaves signals alone, and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_listening = asyncio.Event()

    def install_signal_handlers(self) -> None:
        """None."""

    async def startup(self, sockets: "list[object] | None" = None) -> None:  # type: ignore[override]  # only handed on
        """Listen."""
        await super().startup(sockets)  # type: ignore[arg-type]
        self.is_listening.set()


@asynccontextmanager
async def dripping_server(ca: CertificateWorld) -> AsyncIterator[str]:
    """The URL of a server whose answer to its one caller never ends: a byte of the head at a time until this leaves."""
    contexts, has_left = TlsContexts(ca.credentials(SERVER, folder="dripping")), asyncio.Event()

    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"HTTP/1.1 200 OK\r\nX: ")
            while not writer.is_closing():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)
        except ConnectionError:
            return
        finally:
            writer.close()
            has_left.set()

    server = await asyncio.start_server(drip, "127.0.0.1", 0, ssl=contexts.rest)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await has_left.wait()
