# SPDX-License-Identifier: Apache-2.0
"""Many peers of a server in one process: clients and bankds that answer what they must, and note when."""

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast

from bench.frames import BANKD, CLIENT, frame
from remsim.core.ids import ClientSlot
from remsim.wire import ccm
from remsim.wire.ipa import FrameReader
from remsim.wire.messages.codec import decode_pdu
from remsim.wire.messages.rspro import (
    ConfigClientBankReq,
    ConfigClientBankRes,
    ConnectBankReq,
    ConnectBankRes,
    ConnectClientReq,
    ConnectClientRes,
    CreateMappingReq,
    CreateMappingRes,
    RemoveMappingReq,
    RemoveMappingRes,
    ResultCode,
    RsproPdu,
)

_PATIENCE_S: Final = 60.0
#: A bank announces 1023 slots at most, a client number has 1024.
SLOTS: Final = 1000


class Peer(asyncio.Protocol):
    """A client or a bankd that introduces itself with ``hello``. ``on_configured`` hears of each bank it is given."""

    def __init__(self, hello: bytes, on_configured: Callable[[], None] | None = None) -> None:
        self._hello = hello
        self._on_configured = on_configured
        self._reader = FrameReader()
        self.accepted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Introduce ourselves."""
        self._transport = cast(asyncio.Transport, transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport.write(self._hello)

    def connection_lost(self, exc: Exception | None) -> None:
        """The server hung up."""
        self.is_lost = True
        if not self.accepted.done():
            self.accepted.set_result(False)

    def data_received(self, data: bytes) -> None:
        """Answer."""
        if data == ccm.PING:
            self._transport.write(ccm.PONG)
            return
        self._reader.receive_data(data)
        while (found := self._reader.next_frame()) is not None:
            is_rspro, payload = found
            if is_rspro:
                self._on_pdu(decode_pdu(payload))
            elif payload == ccm.PING[-1:]:
                self._transport.write(ccm.PONG)

    def _on_pdu(self, pdu: RsproPdu) -> None:
        match pdu.msg:
            case ConnectClientRes(result=result) | ConnectBankRes(result=result):
                if not self.accepted.done():
                    self.accepted.set_result(result is ResultCode.OK)
            case CreateMappingReq():
                self._transport.write(frame(CreateMappingRes(ResultCode.OK), pdu.tag))
            case RemoveMappingReq():
                self._transport.write(frame(RemoveMappingRes(ResultCode.OK), pdu.tag))
            case ConfigClientBankReq():
                if self._on_configured is not None:
                    self._on_configured()
                self._transport.write(frame(ConfigClientBankRes(ResultCode.OK), pdu.tag))

    def hang_up(self) -> None:
        """Close the connection."""
        self._transport.abort()


class Swarm:
    """Clients 0.. (number // SLOTS, number % SLOTS) and bankds 1.. of one server at 127.0.0.1."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.peers: list[Peer] = []
        #: By client number, when it was last given a bank.
        self.configured_at: dict[int, float] = {}
        self._changed = asyncio.Event()

    @property
    def lost(self) -> int:
        """How many connections the server has closed."""
        return sum(peer.is_lost for peer in self.peers)

    async def add_bankd(self, bank: int) -> bool:
        """Connect one more bankd; whether it was accepted."""
        return await self._add(Peer(frame(ConnectBankReq(BANKD, bank, SLOTS))))

    async def add_clients(self, first: int, count: int, *, at_once: int) -> int:
        """Connect clients, so many at a time; how many were accepted."""
        gate = asyncio.Semaphore(at_once)

        async def add(number: int) -> bool:
            hello = frame(ConnectClientReq(CLIENT, ClientSlot(*divmod(number, SLOTS))))
            async with gate:
                return await self._add(Peer(hello, lambda: self._on_configured(number)))

        return sum(await asyncio.gather(*(add(number) for number in range(first, first + count))))

    async def _add(self, peer: Peer) -> bool:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await asyncio.get_running_loop().create_connection(lambda: peer, "127.0.0.1", self._port)
                self.peers.append(peer)
                return await peer.accepted
        except (OSError, TimeoutError):
            return False

    def _on_configured(self, number: int) -> None:
        self.configured_at[number] = time.perf_counter()
        self._changed.set()

    async def wait_configured(self, numbers: set[int], *, within_s: float) -> None:
        """Wait until all these clients were given a bank, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while numbers - self.configured_at.keys():
                    self._changed.clear()
                    await self._changed.wait()

    def hang_up(self) -> None:
        """Close all connections."""
        for peer in self.peers:
            peer.hang_up()
