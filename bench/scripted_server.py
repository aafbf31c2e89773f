# SPDX-License-Identifier: Apache-2.0
"""Plays the server towards one bankd: accepts it, creates mappings, answers PING. In the loop of the measurement."""

import asyncio
from dataclasses import replace
from typing import Final, Self, cast

from bench.frames import SERVER, frame
from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire import ccm
from remsim.wire.ipa import FrameReader
from remsim.wire.messages.codec import decode_pdu
from remsim.wire.messages.extensions import TraceInd, TraceReq
from remsim.wire.messages.rspro import (
    ConnectBankReq,
    ConnectBankRes,
    CreateMappingReq,
    CreateMappingRes,
    Message,
    ResultCode,
)

_PATIENCE_S: Final = 60.0
#: Abilities are looked for in the version of programs of ours only.
_OWN_SERVER: Final = replace(SERVER, software="remsim-server", sw_version="0")


class _BankdLink(asyncio.Protocol):
    def __init__(self, owner: "ScriptedServer") -> None:
        self._owner = owner
        self._reader = FrameReader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._owner.transports.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.transports.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._reader.receive_data(data)
        while (found := self._reader.next_frame()) is not None:
            is_rspro, payload = found
            if is_rspro:
                pdu = decode_pdu(payload)
                self._owner.on_message(cast(Message, pdu.msg), pdu.tag, self._transport)
            elif payload == ccm.PING[-1:]:
                self._transport.write(ccm.PONG)


class ScriptedServer:
    """Listens on a free port of 127.0.0.1."""

    def __init__(self, *, abilities: tuple[str, ...] | None = None) -> None:
        """``abilities`` are those that it names, as a server of ours; None: it is a classic one."""
        self._identity = SERVER if abilities is None else _OWN_SERVER.with_abilities(abilities)
        #: Records of traces that came.
        self.traced = 0
        self.transports: set[asyncio.Transport] = set()
        self.port = 0
        self._bankd: asyncio.Transport | None = None
        self._is_there = asyncio.Event()
        self._missing = 0
        self._is_mapped = asyncio.Event()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _BankdLink(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for transport in tuple(self.transports):
            transport.abort()
        await self._server.wait_closed()

    def on_message(self, message: Message, tag: int, transport: asyncio.Transport) -> None:
        """A message of the bankd."""
        match message:
            case ConnectBankReq():
                self._bankd = transport
                transport.write(frame(ConnectBankRes(self._identity, ResultCode.OK), tag))
                self._is_there.set()
            case TraceInd():
                self.traced += len(message.records) + message.left_out
            case CreateMappingRes():
                if message.result is not ResultCode.OK:
                    raise RuntimeError(f"the bankd refuses a mapping: {message.result.name}")
                self._missing -= 1
                if self._missing == 0:
                    self._is_mapped.set()

    async def map_slots(self, bank: int, count: int) -> None:
        """Wait for the bankd, then map client 1:i to slot i of its bank for all i below ``count``."""
        async with asyncio.timeout(_PATIENCE_S):
            await self._is_there.wait()
            assert self._bankd is not None
            self._missing = count
            for slot in range(count):
                self._bankd.write(frame(CreateMappingReq(ClientSlot(1, slot), BankSlot(bank, slot)), slot + 1))
            await self._is_mapped.wait()

    def watch(self, slot: BankSlot, for_s: float) -> None:
        """Have the bankd trace a slot for so long; 0: no more."""
        assert self._bankd is not None
        self._bankd.write(frame(TraceReq(round(for_s * 1000), bank_slot=slot)))
