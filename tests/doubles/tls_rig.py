# SPDX-License-Identifier: Apache-2.0
"""Servers, bankds and clients with certificates of one authority, in this loop, and peers that misuse theirs."""

import asyncio
import contextlib
import io
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar, Final, Self

from remsim.bankd.service import BankdService
from remsim.client.observer import ClientObserver
from remsim.client.runner import SlotSpec
from remsim.client.service import ClientService
from remsim.config import BankdConfig, ClientConfig, HostPort, ServerConfig
from remsim.emulators.driven import DrivenEmulator
from remsim.logs import setup_logging
from remsim.net.runtime.process import Service
from remsim.net.tls.contexts import explain
from remsim.pki.credentials import Credentials
from remsim.server.service import ServerService
from remsim.wire.link.engine import ABILITIES, LinkEngine, LinkFailed, Received
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, Message
from tests.doubles import engines

LOOPBACK: Final = HostPort("127.0.0.1", 0)
PATIENCE_S: Final = 20.0


class LogLines(io.StringIO):
    """What the programs say; a test can wait for a line."""

    def __init__(self) -> None:
        super().__init__()
        self._said = asyncio.Event()

    def write(self, text: str) -> int:
        """Keep it and wake the waiting tasks."""
        self._said.set()
        return super().write(text)

    async def line_with(self, *parts: str) -> str:
        """The first line that has all these parts, now or later."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = [line for line in self.getvalue().splitlines() if all(part in line for part in parts)]
                if found:
                    return found[0]
                self._said.clear()
                await self._said.wait()


def note_log() -> LogLines:
    """Let programs in this process log to the returned object."""
    lines = LogLines()
    setup_logging(level="info", log_format="text", stream=lines)
    return lines


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[None]:
    """Run it while the block lasts."""
    try:
        await service.start()
        async with asyncio.TaskGroup() as group:
            group.create_task(service.run())
            try:
                yield
            finally:
                service.request_stop()
    finally:
        await service.stop()


def server_service(state: Path, credentials: Credentials | None, **settings: object) -> ServerService:
    """A server on free ports of loopback."""
    tls = {} if credentials is None else {"tls_dir": credentials.directory}
    values = {"rspro": LOOPBACK, "rest": LOOPBACK, "rest_open": True, "state_dir": state} | tls | settings
    return ServerService(ServerConfig.model_validate(values))


def bankd_service(state: Path, credentials: Credentials, server: HostPort, **settings: object) -> BankdService:
    """A bankd with software cards."""
    values: dict[str, object] = {"listen": LOOPBACK, "slots": 2, "reader": "sim", "state_dir": state}
    values |= {"server": server, "tls_dir": credentials.directory}
    return BankdService(BankdConfig.model_validate(values | settings))


def client_service(credentials: Credentials, server_port: int) -> ClientService:
    """A client of slot 23:0."""
    values = {"server": f"127.0.0.1:{server_port}", "client": "23:0", "tls_dir": credentials.directory}
    return ClientService([SlotSpec(ClientConfig.model_validate(values), DrivenEmulator(), ClientObserver())])


class TlsPeer:
    """One RSPRO connection with any certificate, or without TLS at all. Checks nobody's certificate."""

    #: All of them, so that none is left open.
    made: ClassVar[list["TlsPeer"]] = []
    _writer: asyncio.StreamWriter | None = None

    def __init__(self, role: ComponentType, peer: ComponentType, *, is_own: bool = True) -> None:
        self.identity = ComponentIdentity(role, "peer", "remsim-rig", "1")
        self._peer = peer
        self._abilities = ABILITIES if is_own else ()
        self.made.append(self)

    async def dial(self, address: HostPort, credentials: Credentials | None) -> Self:
        """Connect; under TLS 1.3 a refusal comes later, at the first read."""
        context = None
        if credentials is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.load_cert_chain(credentials.pair_file)
        self._reader, self._writer = await asyncio.open_connection(address.host, address.port, ssl=context)
        self.engine = LinkEngine(
            identity=self.identity, peer=self._peer, now=_now(), abilities=self._abilities, connect_timeout_s=PATIENCE_S
        )
        return self

    def send(self, message: Message) -> None:
        """Send a message."""
        self.engine.send(message, now=_now())
        assert self._writer is not None
        self._writer.write(self.engine.data_to_send())

    async def receive(self) -> Message | str:
        """The next message, or how the connection ended."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                event = self.engine.next_event()
                if isinstance(event, Received):
                    return event.message
                assert not isinstance(event, LinkFailed), event
                if event is None:
                    try:
                        data = await self._reader.read(65536)
                    except (ssl.SSLError, ConnectionError) as error:
                        return explain(error)
                    if not data:
                        return "closed"
                    self.engine.receive_data(data, _now())
                    assert self._writer is not None
                    self._writer.write(self.engine.data_to_send())

    async def wait_closed(self) -> str:
        """How the connection ends, whatever is said before."""
        while not isinstance(said := await self.receive(), str):
            pass
        return said

    def send_unsafe(self, message: Message) -> None:
        """Send what a classic peer would not survive, before it is known whether the peer is one."""
        assert self._writer is not None
        self._writer.write(engines.frame(message, tag=1))

    async def hang_up(self) -> None:
        """Close, if it is open still."""
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()


@asynccontextmanager
async def all_peers() -> AsyncIterator[None]:
    """Hangs up for every peer that was made meanwhile."""
    TlsPeer.made.clear()
    yield
    for peer in TlsPeer.made:
        await peer.hang_up()


def _now() -> float:
    return asyncio.get_running_loop().time()
