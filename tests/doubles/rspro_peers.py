# SPDX-License-Identifier: Apache-2.0
"""A server and a bankd for tests of the client, on real sockets: they answer by a few rules and note what they got.

Each can be one of ours (names abilities) or a classic one (knows nothing of them, and closes as those do).
"""

import asyncio
from collections.abc import Callable
from ipaddress import ip_address
from types import TracebackType
from typing import Self

from remsim.config import HostPort
from remsim.core.ids import BankSlot, ClientSlot
from remsim.logs import get_logger
from remsim.net.connections import ConnectionManager
from remsim.net.runtime.tasks import TaskOwner
from remsim.net.tls.contexts import LinkTls
from remsim.wire.ccm import CcmType
from remsim.wire.link.actions import Accepted, Close, LinkId, PeerAddress, Send
from remsim.wire.link.engine import Event, LinkEngine, Received
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, IpPort, Message, ResultCode
from tests.doubles.strict_connection import StrictConnection

ATR = bytes.fromhex("3b9f96801fc78031a073be21136743200718000001a5")


class ClassicConnection(StrictConnection):
    """An end that has never heard of abilities, and, as a classic server, closes on ID_GET."""

    def _on_ccm(self, payload: bytes, now: float) -> None:
        if payload[0] == CcmType.ID_GET and self.identity.type is ComponentType.REMSIM_SERVER:
            self._fail("ID_GET")
        else:
            super()._on_ccm(payload, now)

    def _learn_abilities(self, identity: ComponentIdentity, now: float) -> None:
        return


class FakePeer:
    """Listens on loopback while its ``async with`` block lasts."""

    role = ComponentType.REMSIM_SERVER

    def __init__(self, *, is_own: bool = True, tls: LinkTls | None = None) -> None:
        self.is_own = is_own
        self.tls = tls
        self.identity = ComponentIdentity(self.role, "double", "remsim-double", "1")
        #: All messages, with the link on which they came.
        self.received: list[tuple[LinkId, Message]] = []
        self.links: list[LinkId] = []
        #: How each link that is gone ended.
        self.ends: list[str] = []
        self.result = ResultCode.OK
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        log = get_logger("double")
        self._tasks = TaskOwner("double", log=log)
        await self._tasks.__aenter__()
        self.manager = ConnectionManager(self, tasks=self._tasks, log=log)
        listener = await self.manager.listen(HostPort("127.0.0.1", 0), self._connection, tls=self.tls)
        self.port = listener.addresses[0].port
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.manager.close()
        self._tasks.cancel()
        await self._tasks.__aexit__(kind, error, trace)

    def _connection(self, now: float) -> LinkEngine:
        make = LinkEngine if self.is_own else ClassicConnection
        return make(identity=self.identity, peer=ComponentType.REMSIM_CLIENT, now=now)

    def on_link_up(self, link: LinkId, peer: PeerAddress) -> None:
        self.links.append(link)
        self._changed.set()

    def on_event(self, link: LinkId, event: Event) -> None:
        assert isinstance(event, Received), event
        self.received.append((link, event.message))
        self.on_message(link, event.message, event.tag)
        self._changed.set()

    def on_link_lost(self, link: LinkId, reason: str) -> None:
        self.links.remove(link)
        self.ends.append(reason)
        self._changed.set()

    def on_message(self, link: LinkId, message: Message, tag: int) -> None:
        if isinstance(message, rspro.ConnectClientReq):
            self.manager.execute(Send(link, rspro.ConnectClientRes(self.identity, self.result), tag))
            self.manager.execute(Accepted(link))
            self.on_connected(link, message)

    def on_connected(self, link: LinkId, request: rspro.ConnectClientReq) -> None:
        return

    def send(self, message: Message) -> None:
        """To the newest link."""
        self.manager.execute(Send(self.links[-1], message))

    def drop(self) -> None:
        """Close the newest link."""
        self.manager.execute(Close(self.links[-1], "dropped by the test"))

    def messages(self, kind: type[Message]) -> list[Message]:
        return [message for _link, message in self.received if isinstance(message, kind)]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something arrived that makes ``condition`` true."""
        async with asyncio.timeout(10):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class FakeServer(FakePeer):
    """Accepts any client and, if told so, sends it to a bankd."""

    def __init__(self, *, is_own: bool = True, bankd: "FakeBankd | None" = None, tls: LinkTls | None = None) -> None:
        super().__init__(is_own=is_own, tls=tls)
        self.bank_slot = BankSlot(1, 2)
        self.bankd = bankd
        self.number: ClientSlot | None = None

    def on_connected(self, link: LinkId, request: rspro.ConnectClientReq) -> None:
        if self.number is not None:
            self.manager.execute(Send(link, rspro.ConfigClientIdReq(self.number)))
        if self.bankd is not None:
            self.configure(self.bankd.port, link)

    def configure(self, port: int, link: LinkId | None = None) -> None:
        """Tell a client, by default the newest, its bankd; port 0 for none."""
        address = IpPort(ip_address("127.0.0.1" if port else "0.0.0.0"), port)
        message = rspro.ConfigClientBankReq(self.bank_slot, address)
        self.manager.execute(Send(self.links[-1] if link is None else link, message))


class FakeBankd(FakePeer):
    """Serves ``card`` to any client. ``card`` None from a command: no answer."""

    role = ComponentType.REMSIM_BANKD

    def __init__(
        self, card: Callable[[bytes], bytes | None], *, is_own: bool = True, tls: LinkTls | None = None
    ) -> None:
        super().__init__(is_own=is_own, tls=tls)
        self.card = card
        self.atr: bytes | None = ATR

    def on_connected(self, link: LinkId, request: rspro.ConnectClientReq) -> None:
        assert request.client_slot is not None
        self.client_slot = request.client_slot
        if self.result is ResultCode.OK and self.atr is not None:
            self.manager.execute(Send(link, rspro.SetAtrReq(request.client_slot, self.atr)))

    def on_message(self, link: LinkId, message: Message, tag: int) -> None:
        super().on_message(link, message, tag)
        if isinstance(message, rspro.TpduModemToCard):
            response = self.card(message.data)
            if response is not None:
                answer = rspro.TpduCardToModem(message.to_bank_slot, message.from_client_slot, rspro.NO_FLAGS, response)
                self.manager.execute(Send(link, answer, tag))
