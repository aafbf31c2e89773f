# SPDX-License-Identifier: Apache-2.0
"""A running bank with a server that obeys the test and clients of both kinds, on real sockets of loopback."""

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from remsim.bankd.metrics import BankdMetrics
from remsim.bankd.service import BankdService
from remsim.config import BankdConfig, HostPort
from remsim.core.ids import BankSlot, ClientSlot
from remsim.logs import setup_logging
from remsim.readers.base import ReaderSource
from remsim.wire.link.abilities import ABILITIES, SESSIONS
from remsim.wire.link.engine import KeepAliveTimes, LinkEngine
from remsim.wire.link.events import Event, Received
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, Message, ResultCode
from tests.doubles.strict_connection import StrictConnection

PATIENCE_S = 20.0
#: Without the reports of sessions, which would stand between the messages that tests wait for.
_ABILITIES = tuple(name for name in ABILITIES if name != SESSIONS)


class Peer:
    """One end of one link. A classic peer names no abilities."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        role: ComponentType,
        *,
        is_own: bool = True,
    ) -> None:
        self._reader, self._writer = reader, writer
        self.identity = ComponentIdentity(role, "peer", "remsim-double", "1")
        make = LinkEngine if is_own else StrictConnection
        self.connection = make(
            identity=self.identity,
            peer=ComponentType.REMSIM_BANKD,
            now=0.0,
            keep_alive=KeepAliveTimes(first_after_s=1e9),
            abilities=_ABILITIES if is_own else (),
        )

    def send(self, message: Message, *, reply_to: int | None = None) -> None:
        """Write one message."""
        self.connection.send(message, now=0.0, reply_to=reply_to)
        self._writer.write(self.connection.data_to_send())

    def write(self, data: bytes) -> None:
        """Write raw bytes."""
        self._writer.write(data)

    async def receive(self) -> Event | None:
        """The next event; None at the end of the link. PINGs are answered on the way."""
        async with asyncio.timeout(PATIENCE_S):
            while (event := self.connection.next_event()) is None:
                try:
                    data = await self._reader.read(65536)
                except ConnectionError:
                    return None
                if not data:
                    return None
                self.connection.receive_data(data, 0.0)
                self._writer.write(self.connection.data_to_send())
            return event

    async def message(self) -> Message | None:
        """The next message; None at the end of the link."""
        event = await self.receive()
        if event is None:
            return None
        assert isinstance(event, Received), event
        return event.message

    async def listen(self) -> None:
        """Take what comes, until the end of the link."""
        while await self.receive() is not None:
            pass

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return


class Client(Peer):
    """A client in slot ``slot``."""

    slot: ClientSlot
    bank_slot: BankSlot

    async def transmit(self, tpdu: str) -> str:
        """Exchange one command, in hex; the answer is the next message."""
        self.command(tpdu)
        answer = await self.message()
        assert isinstance(answer, rspro.TpduCardToModem), answer
        return answer.data.hex()

    def command(self, tpdu: str) -> None:
        """Send one command, in hex."""
        self.send(rspro.TpduModemToCard(self.slot, self.bank_slot, rspro.NO_FLAGS, bytes.fromhex(tpdu)))


class BankWorld:
    """``async with`` it. Logs go to ``log``; ``server`` is the server's end of the control link once it is up."""

    def __init__(self, folder: Path, *, source: ReaderSource | None = None, has_own_server: bool = True) -> None:
        self._folder = folder
        self._source = source
        self._has_own_server = has_own_server
        self._links: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._peers: list[Peer] = []
        self.log = io.StringIO()
        # What a scripted reader is asked, the test says; software and real cards are read as by default.
        self.settings: dict[str, object] = {"slots": 2, "reader": "sim", "read_numbers": source is None}
        self.metrics = BankdMetrics()
        self.server: Peer
        self.hello: rspro.ConnectBankReq
        #: Where clients reach the bank, as it told the server; nothing if the server is a classic one.
        self.addresses: tuple[rspro.AdvertisedAddress, ...] = ()

    async def __aenter__(self) -> Self:
        setup_logging(level="info", log_format="text", stream=self.log)
        self._listener = await asyncio.start_server(
            lambda reader, writer: self._links.put_nowait((reader, writer)), "127.0.0.1", 0
        )
        values: dict[str, object] = {
            "server": HostPort("127.0.0.1", self._listener.sockets[0].getsockname()[1]),
            "listen": HostPort("127.0.0.1", 0),
            "state_dir": self._folder / "state",
            "plaintext": True,
            **self.settings,
        }
        config = BankdConfig.model_validate(values)
        self.service = BankdService(config, source=self._source, metrics=self.metrics, folder=self._folder)
        self._run: asyncio.Task[None] | None = None
        try:
            await self.service.start()
            self._run = asyncio.Task(self.service.run())
            await self.accept_server()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.service.request_stop()
        if self._run is not None:
            await self._run
        await self.service.stop()
        for peer in self._peers:
            await peer.close()
        self._listener.close()
        setup_logging(level="info", log_format="text")

    async def accept_server(self) -> None:
        """Take the bank's next connection to its server and accept the bank."""
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await self._links.get()
        self.server = self._peer(Peer(reader, writer, ComponentType.REMSIM_SERVER, is_own=self._has_own_server))
        event = await self.server.receive()
        assert isinstance(event, Received)
        assert isinstance(event.message, rspro.ConnectBankReq)
        self.hello = event.message
        self.server.send(rspro.ConnectBankRes(self.server.identity, ResultCode.OK), reply_to=event.tag)
        if self._has_own_server:
            told = await self.server.message()
            assert isinstance(told, rspro.AddressesInd), told
            self.addresses = told.addresses
        await self.until(lambda: self.service.coordinator.control.active_server is not None)

    def _peer(self, peer: Peer) -> Peer:
        self._peers.append(peer)
        return peer

    @property
    def port(self) -> int:
        """Where clients connect."""
        assert self.service.listener is not None
        return self.service.listener.port

    async def create_mapping(self, client: str, bank: str) -> ResultCode:
        """Order a mapping and wait for the answer."""
        self.server.send(rspro.CreateMappingReq(ClientSlot.parse(client), BankSlot.parse(bank)))
        while not isinstance(answer := await self.server.message(), rspro.CreateMappingRes):
            assert answer is not None
        return answer.result

    async def connect(self, client: str = "C1:0", bank: str = "B1:0", *, is_own: bool = True) -> Client:
        """A client that has sent its connect request."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        peer = Client(reader, writer, ComponentType.REMSIM_CLIENT, is_own=is_own)
        self._peers.append(peer)
        peer.slot, peer.bank_slot = ClientSlot.parse(client), BankSlot.parse(bank)
        peer.send(rspro.ConnectClientReq(peer.identity, peer.slot))
        return peer

    async def serve(self, *, is_own: bool = True) -> Client:
        """Client C1:0 in service with the card in B1:0."""
        assert await self.create_mapping("C1:0", "B1:0") is ResultCode.OK
        await self.until(lambda: self.service.coordinator.cards.positions[0].is_present)
        client = await self.connect(is_own=is_own)
        answer = await client.message()
        assert isinstance(answer, rspro.ConnectClientRes)
        assert answer.result is ResultCode.OK
        assert isinstance(await client.message(), rspro.SetAtrReq)
        return client

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the loop run until ``condition`` holds."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                turn = asyncio.get_running_loop().create_future()
                asyncio.get_running_loop().call_later(0.005, turn.set_result, None)
                await turn

    def log_lines(self, event: str) -> list[str]:
        """The log's lines of one event."""
        return [line for line in self.log.getvalue().splitlines() if f" {event}" in line]
