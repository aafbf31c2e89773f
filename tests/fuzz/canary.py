# SPDX-License-Identifier: Apache-2.0
"""A sound client, its session with a card, and a caller of REST, all through the run: they must notice nothing.

The client has a link to the server and one to the bankd, answers what it is asked, plays one command after the other,
and expects the card to answer each like the first time.
"""

import asyncio
import json
import time
from typing import Final, cast

from remsim.wire import ccm, ipa
from remsim.wire.messages.codec import decode_pdu, encode_pdu
from remsim.wire.messages.rspro import (
    NO_FLAGS,
    ComponentIdentity,
    ComponentType,
    ConfigClientBankReq,
    ConfigClientBankRes,
    ConnectClientReq,
    ConnectClientRes,
    Message,
    ResultCode,
    RsproPdu,
    SetAtrReq,
    SetAtrRes,
    TpduCardToModem,
    TpduModemToCard,
)
from tests.doubles.rest_calls import RestCalls
from tests.fuzz.cast import CANARY_BANK_SLOT, CANARY_CLIENT, mappings

#: Nobody is to wait longer than this for anything; two processors serve three programs and us.
_PATIENCE_S: Final = 15.0
_PAUSE_S: Final = 0.01
_REST_PAUSE_S: Final = 0.2
_SELECT_MF: Final = bytes.fromhex("A0A40000023F00")
_IDENTITY: Final = ComponentIdentity(ComponentType.REMSIM_CLIENT, "canary", "canary", "1")


class CanaryError(AssertionError):
    """The canary noticed something."""


class _Link(asyncio.Protocol):
    """One link of the canary; messages that need no answer end up in ``messages``."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._reader = ipa.FrameReader()
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.pongs: asyncio.Queue[None] = asyncio.Queue()
        self.is_lost = asyncio.Event()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.send(ConnectClientReq(_IDENTITY, CANARY_CLIENT), 1)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost.set()

    def data_received(self, data: bytes) -> None:
        self._reader.receive_data(data)
        while (found := self._reader.next_frame()) is not None:
            is_rspro, payload = found
            if is_rspro:
                self._on_pdu(decode_pdu(payload))
            elif payload == ccm.PING[-1:]:
                self.write(ccm.PONG)
            elif payload == ccm.PONG[-1:]:
                self.pongs.put_nowait(None)

    def _on_pdu(self, pdu: RsproPdu) -> None:
        match pdu.msg:
            case SetAtrReq():
                self.send(SetAtrRes(ResultCode.OK), pdu.tag)
            case ConfigClientBankReq():
                self.send(ConfigClientBankRes(ResultCode.OK), pdu.tag)
        self.messages.put_nowait(cast(Message, pdu.msg))

    def write(self, raw: bytes) -> None:
        if self.transport is not None:
            self.transport.write(raw)

    def send(self, message: Message, tag: int) -> None:
        self.write(ipa.encode_rspro(encode_pdu(RsproPdu(tag, message))))

    async def expect(self, kind: type[Message]) -> Message:
        """The next message of that kind; others in between are skipped. Raises CanaryError."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while type(message := await self._next(self.messages)) is not kind:
                    pass
        except TimeoutError:
            raise CanaryError(f"no {kind.__name__} from the {self._name} within {_PATIENCE_S:g} s") from None
        return message

    async def _next(self, queue: "asyncio.Queue[Message]") -> Message:
        try:
            return queue.get_nowait()
        except asyncio.QueueEmpty:
            if self.is_lost.is_set():
                raise CanaryError(f"the {self._name} closed the canary's connection") from None
            return await queue.get()


async def _connect(link: _Link, port: int) -> None:
    try:
        await asyncio.get_running_loop().create_connection(lambda: link, "127.0.0.1", port)
    except OSError as error:
        raise CanaryError(f"the canary cannot connect to port {port}: {error}") from None


class Canary:
    """See the module. ``slowest_s`` says how long anything took at most."""

    def __init__(self, *, rspro: int, bankd: int, rest: int) -> None:
        self._ports = (rspro, bankd)
        self._rest_port = rest
        self.slowest_s = {"command": 0.0, "PING": 0.0, "REST": 0.0}
        self.commands = 0
        self._server, self._bankd = _Link("server"), _Link("bankd")

    async def start(self) -> None:
        """Have the server map everything, then connect. Raises CanaryError."""
        async with RestCalls(self._rest_port) as rest:
            for client, bank in mappings():
                document = {
                    "bank": {"bankId": bank.bank_id, "slotNr": bank.slot_nr},
                    "client": {"clientId": client.client_id, "slotNr": client.slot_nr},
                }
                status, body = await rest.post("/slotmaps", document)
                if status != 201:
                    raise CanaryError(f"POST of mapping {bank} to {client}: {status} {body!r}")
        rspro, bankd = self._ports
        await _connect(self._server, rspro)
        await self._server.expect(ConnectClientRes)
        await self._server.expect(ConfigClientBankReq)
        await _connect(self._bankd, bankd)
        await self._bankd.expect(ConnectClientRes)
        await self._bankd.expect(SetAtrReq)

    async def sing(self) -> None:
        """Go on until cancelled. Raises CanaryError as soon as something is amiss."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._command())
            group.create_task(self._ping())
            group.create_task(self._ask())
            group.create_task(self._watch(self._server, "server"))
            group.create_task(self._watch(self._bankd, "bankd"))

    def stop(self) -> None:
        """Hang up."""
        for link in (self._server, self._bankd):
            if link.transport is not None:
                link.transport.close()

    async def _watch(self, link: _Link, name: str) -> None:
        await link.is_lost.wait()
        raise CanaryError(f"the {name} closed the canary's connection")

    async def _command(self) -> None:
        usual: bytes | None = None
        while True:
            began = time.perf_counter()
            self._bankd.send(TpduModemToCard(CANARY_CLIENT, CANARY_BANK_SLOT, NO_FLAGS, _SELECT_MF), self.commands + 2)
            answer = cast(TpduCardToModem, await self._bankd.expect(TpduCardToModem))
            self._note("command", began)
            usual = usual or answer.data
            if answer.data != usual or answer.to_client_slot != CANARY_CLIENT:
                raise CanaryError(f"the card answered {answer.data.hex()} instead of {usual.hex()}")
            self.commands += 1
            await asyncio.sleep(_PAUSE_S)

    async def _ping(self) -> None:
        while True:
            began = time.perf_counter()
            self._server.write(ccm.PING)
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await self._server.pongs.get()
            except TimeoutError:
                raise CanaryError(f"no PONG from the server within {_PATIENCE_S:g} s") from None
            self._note("PING", began)
            await asyncio.sleep(_REST_PAUSE_S)

    async def _ask(self) -> None:
        wanted = {"bank": {"bankId": CANARY_BANK_SLOT.bank_id, "slotNr": CANARY_BANK_SLOT.slot_nr}, "state": "ACTIVE"}
        while True:
            began = time.perf_counter()
            try:
                async with RestCalls(self._rest_port) as rest:
                    status, body = await rest.get("/slotmaps")
            except (OSError, EOFError, TimeoutError) as error:
                raise CanaryError(f"GET /slotmaps: {error!r}") from None
            self._note("REST", began)
            listed = json.loads(body)["slotmaps"] if status == 200 else []
            if not any(wanted.items() <= entry.items() for entry in listed):
                raise CanaryError(f"the canary's mapping is not active any more: {status} {body[:300]!r}")
            await asyncio.sleep(_REST_PAUSE_S)

    def _note(self, what: str, began: float) -> None:
        self.slowest_s[what] = max(self.slowest_s[what], time.perf_counter() - began)
