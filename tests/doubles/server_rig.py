# SPDX-License-Identifier: Apache-2.0
"""A whole server in this loop, on loopback ports and a database of its own, and peers that speak RSPRO to it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import httpx2

from remsim.config import HostPort, ServerConfig
from remsim.core.ids import ClientSlot
from remsim.pki.system_trust import system_trust
from remsim.server.service import ServerService
from remsim.wire.link.engine import ABILITIES, Event, LinkEngine, LinkFailed, ProbeAnswered, Received
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, Message, ResultCode
from tests.doubles.strict_connection import StrictConnection

LOOPBACK: Final = HostPort("127.0.0.1", 0)
V1: Final = "/api/backend/v1"
#: Nothing that a test waits for takes this long.
PATIENCE_S: Final = 20.0

M = TypeVar("M", bound=Message)


@asynccontextmanager
async def running_server(state: Path, **changes: object) -> AsyncIterator[ServerService]:
    """A server that runs while the block lasts; ``changes`` are settings."""
    values: dict[str, object] = {
        "rspro": LOOPBACK,
        "rest": LOOPBACK,
        "rest_open": True,
        "plaintext": True,
        "state_dir": state,
    }
    service = ServerService(ServerConfig.model_validate(values | changes))
    try:
        await service.start()
        yield service
    finally:
        service.request_stop()
        await service.run()
        await service.stop()


def rest_client(service: ServerService, *, over_socket: bool, token: str | None = None) -> httpx2.AsyncClient:
    """A client of its REST interface, over a real socket or in process."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    if over_socket:
        url = f"http://{service.rest_address}"
        return httpx2.AsyncClient(base_url=url, timeout=PATIENCE_S, headers=headers, verify=system_trust(url))
    assert service.app is not None
    return httpx2.AsyncClient(
        base_url="http://localhost",
        transport=httpx2.ASGITransport(service.app),
        timeout=PATIENCE_S,
        headers=headers,
    )


def mapping(bank: tuple[int, int], client: tuple[int, int]) -> dict[str, dict[str, int]]:
    """The body of POST /slotmaps."""
    return {
        "bank": {"bankId": bank[0], "slotNr": bank[1]},
        "client": {"clientId": client[0], "slotNr": client[1]},
    }


async def post(service: ServerService, bank: tuple[int, int], client: tuple[int, int]) -> None:
    """Map two slots."""
    async with rest_client(service, over_socket=False) as rest:
        assert (await rest.post(f"{V1}/slotmaps", json=mapping(bank, client))).status_code == 201


class RigPeer:
    """One RSPRO connection of a client or bankd; classic unless it is one of ours. Answers PING while it waits."""

    def __init__(self, kind: ComponentType, *, is_own: bool = False, hw_model: str | None = None) -> None:
        self.identity = ComponentIdentity(kind, "peer", "remsim-rig", "1", hw_model=hw_model)
        self._abilities = ABILITIES if is_own else ()
        self._kept: deque[Received] = deque()

    async def dial(self, address: HostPort) -> Self:
        """Connect to a server."""
        self._reader, self._writer = await asyncio.open_connection(address.host or "127.0.0.1", address.port)
        now = asyncio.get_running_loop().time()
        make = LinkEngine if self._abilities else StrictConnection
        self.engine = make(identity=self.identity, peer=ComponentType.REMSIM_SERVER, now=now, abilities=self._abilities)
        self._flush()
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:  # the server was faster
            return

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)

    def send(self, message: Message, reply_to: int | None = None) -> None:
        """Send a message."""
        self.engine.send(message, now=asyncio.get_running_loop().time(), reply_to=reply_to)
        self._flush()

    async def receive(self) -> Received | None:
        """The next message; None at the end of the connection."""
        if self._kept:
            return self._kept.popleft()
        while (event := await self._event()) is not None:
            if isinstance(event, Received):
                return event
        return None

    async def settle(self) -> None:
        """Return when the server has dealt with all that was sent: it has answered a PING behind it."""
        self.engine.probe(asyncio.get_running_loop().time(), PATIENCE_S)
        self._flush()
        while not isinstance(event := await self._event(), ProbeAnswered):
            assert isinstance(event, Received), event
            self._kept.append(event)

    async def _event(self) -> Event | None:
        async with asyncio.timeout(PATIENCE_S):
            while (event := self.engine.next_event()) is None:
                data = await self._read()
                if not data:
                    return None
                self.engine.receive_data(data, asyncio.get_running_loop().time())
                self._flush()
        assert not isinstance(event, LinkFailed), event
        return event

    async def expect(self, kind: type[M]) -> M:
        """The next message, which must be of this kind."""
        event = await self.receive()
        assert event is not None, f"closed instead of {kind.__name__}"
        assert isinstance(event.message, kind), event.message
        self.tag = event.tag
        return event.message

    async def introduce(self, request: rspro.ConnectClientReq | rspro.ConnectBankReq) -> ResultCode:
        """Introduce itself; return what the server says."""
        self.send(request)
        event = await self.receive()
        assert event is not None, "closed without an answer"
        assert isinstance(event.message, rspro.ConnectClientRes | rspro.ConnectBankRes)
        return event.message.result

    async def _read(self) -> bytes:
        try:
            return await self._reader.read(65536)
        except ConnectionError:
            return b""

    def _flush(self) -> None:
        self._writer.write(self.engine.data_to_send())


async def connect_client(service: ServerService, client_id: int, slot_nr: int = 0, *, is_own: bool = False) -> RigPeer:
    """A client that the server has accepted."""
    peer = await RigPeer(ComponentType.REMSIM_CLIENT, is_own=is_own, hw_model="modem").dial(service.rspro_address)
    request = rspro.ConnectClientReq(peer.identity, ClientSlot(client_id, slot_nr))
    assert await peer.introduce(request) is ResultCode.OK
    return peer


async def connect_bank(service: ServerService, bank_id: int, slots: int = 8, *, is_own: bool = False) -> RigPeer:
    """A bankd that the server has accepted."""
    peer = await RigPeer(ComponentType.REMSIM_BANKD, is_own=is_own).dial(service.rspro_address)
    assert await peer.introduce(rspro.ConnectBankReq(peer.identity, bank_id, slots)) is ResultCode.OK
    return peer
