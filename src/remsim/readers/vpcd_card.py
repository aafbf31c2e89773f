# SPDX-License-Identifier: Apache-2.0
"""A software card in a reader of vsmartcard's vpcd, so that a real pcscd shows it to every PC/SC program.

vpcd waits for the card to connect. Each message is a length of two bytes, big-endian, and a body. From vpcd, a body
of one byte is a control (power off, power on, reset, tell the ATR; only the last is answered), any other a command
APDU, answered with the response. Knows nothing of banks and of who sends the commands.
"""

import asyncio
import socket
from enum import IntEnum
from typing import Final, cast

from remsim.card.status import SW_WRONG_LENGTH
from remsim.card.tpdu import tpdu_of_apdu
from remsim.config import HostPort
from remsim.logs import Logger
from remsim.readers.card_store import StoredCard
from remsim.readers.errors import CardTransmissionError

_LENGTH_BYTES: Final = 2
#: Linux's number; the constant is missing from the module on other systems.
_TCP_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
#: ISO/IEC 7816-4, 5.6: memory failure.
_SW_MEMORY_FAILURE: Final = bytes((0x65, 0x81))

_FIRST_RETRY_S: Final = 0.1
_LAST_RETRY_S: Final = 2.0
_CONNECT_DEADLINE_S: Final = 5.0


class Control(IntEnum):
    """vpcd's one-byte messages."""

    POWER_OFF = 0x00
    POWER_ON = 0x01
    RESET = 0x02
    GET_ATR = 0x04


class VpcdSession:
    """The card's side of the protocol, without I/O: bytes in, bytes out."""

    def __init__(self, card: StoredCard) -> None:
        self._card = card
        self._buffer = bytearray()

    def receive_data(self, data: bytes) -> bytes:
        """Take what came from vpcd and return what to send, possibly nothing.

        A command whose effect cannot be stored is answered with 6581 (memory failure).
        """
        self._buffer += data
        out = bytearray()
        while len(self._buffer) >= _LENGTH_BYTES:
            end = _LENGTH_BYTES + int.from_bytes(self._buffer[:_LENGTH_BYTES])
            if len(self._buffer) < end:
                break
            body = bytes(self._buffer[_LENGTH_BYTES:end])
            del self._buffer[:end]
            answer = self._control(body[0]) if len(body) == 1 else self._command(body)
            if answer is not None:
                out += len(answer).to_bytes(_LENGTH_BYTES) + answer
        return bytes(out)

    def _control(self, code: int) -> bytes | None:
        uicc = self._card.uicc
        if code == Control.GET_ATR:
            # vpcd asks for it again and again to see whether the card is there: it is no reset.
            return uicc.profile.atr
        if code == Control.RESET:
            uicc.warm_reset()
        elif code in (Control.POWER_ON, Control.POWER_OFF):
            uicc.cold_reset()
        return None

    def _command(self, apdu: bytes) -> bytes | None:
        if not apdu:
            return None
        if len(apdu) < 4:
            return SW_WRONG_LENGTH.to_bytes(2)
        try:
            return self._card.transmit(tpdu_of_apdu(apdu))
        except CardTransmissionError:
            return _SW_MEMORY_FAILURE


class _Link(asyncio.Protocol):
    """One connection to vpcd."""

    def __init__(self, card: StoredCard) -> None:
        self._session = VpcdSession(card)
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio.Transport and are no subclass.
        self._transport = cast(asyncio.Transport, transport)
        self._socket = transport.get_extra_info("socket")
        if self._socket is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._acknowledge_quickly()

    def data_received(self, data: bytes) -> None:
        answer = self._session.receive_data(data)
        if answer and self._transport is not None:
            self._transport.write(answer)
        self._acknowledge_quickly()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def _acknowledge_quickly(self) -> None:
        # vpcd sends length and body separately; with delayed acknowledgements each command would take 40 ms. The
        # kernel forgets this option, so it is set again after every read (tcp(7)).
        if self._socket is not None and _TCP_QUICKACK is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, _TCP_QUICKACK, 1)


class VpcdCardService:
    """Keeps a card in vpcd's reader: connects, serves, and comes back whenever pcscd does."""

    def __init__(self, card: StoredCard, address: HostPort, log: Logger) -> None:
        self.started = asyncio.Event()
        self._card = card
        self._address = address
        self._log = log
        self._stop = asyncio.Event()
        self._link: _Link | None = None

    async def start(self) -> None:
        """Nothing has to be acquired: vpcd may come later."""
        self.started.set()

    async def run(self) -> None:
        """Serve until ``request_stop``."""
        delay_s, last_trouble = _FIRST_RETRY_S, ""
        while not self._stop.is_set():
            try:
                await self._serve_once()
                delay_s, last_trouble = _FIRST_RETRY_S, ""
            except (OSError, TimeoutError) as error:
                trouble = str(error) or "no answer"
                if trouble != last_trouble:
                    self._log.warning("vpcd_away", address=str(self._address), reason=trouble)
                last_trouble = trouble
            await self._pause(delay_s)
            delay_s = min(2 * delay_s, _LAST_RETRY_S)

    async def _serve_once(self) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_CONNECT_DEADLINE_S):
            _, link = await loop.create_connection(lambda: _Link(self._card), self._address.host, self._address.port)
        self._link = link
        self._log.info("card_inserted", address=str(self._address), profile=self._card.uicc.profile.name)
        if self._stop.is_set():
            link.close()
        await link.closed
        self._card.uicc.cold_reset()
        if not self._stop.is_set():
            self._log.warning("vpcd_gone", address=str(self._address))

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return

    def request_stop(self) -> None:
        """Pull the card and let ``run`` return."""
        self._stop.set()
        if self._link is not None:
            self._link.close()

    async def stop(self) -> None:
        """Everything is released when ``run`` returns."""
        self.request_stop()
