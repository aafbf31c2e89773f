# SPDX-License-Identifier: Apache-2.0
"""vpcd itself, as far as a card can tell: waits on loopback for one card at a time and talks to it."""

import asyncio
from types import TracebackType
from typing import Self

from remsim.config import HostPort
from remsim.vpcd import Control, encode_message

PATIENCE_S = 10.0


class VpcdReader:
    """Listens while its ``async with`` block lasts. The methods speak to the card that came last."""

    def __init__(self) -> None:
        self._cards: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._on_card, "127.0.0.1", 0)
        self.address = HostPort("127.0.0.1", self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    def _on_card(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self._cards.put_nowait((reader, writer))

    async def card(self) -> None:
        """Wait for the next card."""
        async with asyncio.timeout(PATIENCE_S):
            self._reader, self._writer = await self._cards.get()

    @property
    def has_other_card(self) -> bool:
        """Whether another card has come meanwhile."""
        return not self._cards.empty()

    def send(self, body: bytes) -> None:
        """Send one message."""
        self._writer.write(encode_message(body))

    def send_raw(self, data: bytes) -> None:
        """Send any bytes."""
        self._writer.write(data)

    async def answer(self) -> bytes | None:
        """The card's next message; None if it is pulled."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self._reader.readexactly(int.from_bytes(await self._reader.readexactly(2)))
            except (asyncio.IncompleteReadError, ConnectionError):
                self._writer.close()
                return None

    async def ask(self, body: bytes) -> bytes | None:
        """Send a message and return the answer."""
        self.send(body)
        return await self.answer()

    async def atr(self) -> bytes | None:
        """What pcscd asks twice a second."""
        return await self.ask(bytes((Control.GET_ATR,)))

    def power_on(self) -> None:
        """Give the card power."""
        self.send(bytes((Control.POWER_ON,)))

    def power_off(self) -> None:
        """Take it away."""
        self.send(bytes((Control.POWER_OFF,)))

    def reset(self) -> None:
        """Pulse RST."""
        self.send(bytes((Control.RESET,)))

    def eject(self) -> None:
        """Hang up, as vpcd does when pcscd ends."""
        self._writer.close()
