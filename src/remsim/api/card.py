# SPDX-License-Identifier: Apache-2.0
"""One remote card in an asyncio program: connect, transmit, reset.

A connection is a client slot like any other: it has links to a server and a bankd, which are restored when they fail.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from remsim.api.arguments import arguments_named, check_arguments, command_bytes, places
from remsim.card.apdu import MAX_LE, ResponseApdu
from remsim.card.errors import ApduError
from remsim.card.t0_exchange import exchange_apdu, first_tpdu
from remsim.client.observer import ClientObserver
from remsim.client.runner import ClientSlotRunner, SlotSpec
from remsim.client.service import ClientService
from remsim.config import ClientConfig, load_config
from remsim.core.ids import BankSlot, ClientSlot
from remsim.emulators.driven import DrivenEmulator, ExchangeError, NoCardError
from remsim.logs import ensure_logging

#: A command without an answer by then has failed. The bank gives up after 60 s, and tells.
ANSWER_TIMEOUT_S: Final = 65.0
_STATUS: Final = 2


class Card:
    """A remote card, for the event loop in which it was connected. Made by ``connect``."""

    def __init__(
        self, emulator: DrivenEmulator, slot: ClientSlotRunner, *, auto_get_response: bool, answer_timeout_s: float
    ) -> None:
        self._emulator = emulator
        self._slot = slot
        self._auto_get_response = auto_get_response
        self._answer_timeout_s = answer_timeout_s
        self._turn = asyncio.Lock()

    @property
    def atr(self) -> bytes:
        """The card's answer to reset. Raises NoCardError while the card is away."""
        if self._emulator.atr is None:
            with arguments_named():
                raise NoCardError("no card is there", hint=self._slot.why_no_card())
        return self._emulator.atr

    @property
    def is_present(self) -> bool:
        """Whether the card is there."""
        return self._emulator.atr is not None

    @property
    def client_slot(self) -> ClientSlot | None:
        """Our own slot; None until the server has given a number."""
        return self._slot.coordinator.client_slot

    @property
    def bank_slot(self) -> BankSlot | None:
        """Where the card is; None while no mapping says so."""
        return self._slot.coordinator.bank_slot

    async def wait_card(self, timeout_s: float) -> bytes:
        """Return the ATR as soon as the card is there. Raises NoCardError after ``timeout_s``."""
        check_arguments(timeout_s=timeout_s)
        try:
            return await self._emulator.wait_card(timeout_s)
        except NoCardError as error:
            with arguments_named():
                raise NoCardError(str(error), hint=self._slot.why_no_card()) from None

    async def transmit(self, apdu: bytes | bytearray | memoryview) -> ResponseApdu:
        """Send a command APDU of any case and return the card's answer; extended ones may bring up to 255 bytes.

        61xx, 9Fxx and 6Cxx are answers, too, unless ``auto_get_response`` follows them. Commands of several tasks are
        sent one after the other, and only to the card that is there when ``transmit`` is called. Raises TpduError if
        ``apdu`` is none, NotSentError if that card is gone, ExchangeError if there is no answer; then it is unknown
        whether the card has executed the command.
        """
        command = command_bytes(apdu)
        tpdu = first_tpdu(command)
        card_number = self._emulator.card_number
        async with self._turn:
            if not self._auto_get_response:
                return _parse(await self._exchange(tpdu, card_number))
            exchange = exchange_apdu(command)
            tpdu = next(exchange)
            while True:
                response = await self._exchange(tpdu, card_number)
                try:
                    tpdu = exchange.send(response)
                except StopIteration as end:
                    return _parse(end.value)

    async def cold_reset(self) -> None:
        """Take the card's power away and give it back, when commands in progress are answered."""
        await self._emulator.cold_reset()

    async def warm_reset(self) -> None:
        """Pulse the card's RST, when commands in progress are answered."""
        await self._emulator.warm_reset()

    async def _exchange(self, tpdu: bytes, card_number: int) -> bytes:
        try:
            async with asyncio.timeout(self._answer_timeout_s):
                return await self._emulator.exchange(tpdu, card_number=card_number)
        except TimeoutError:
            raise ExchangeError(f"no answer within {self._answer_timeout_s:g} s") from None


def _parse(response: bytes) -> ResponseApdu:
    if len(response) > MAX_LE + _STATUS:
        # Several parts of a command with an extended Le, joined.
        return ResponseApdu(response[:-_STATUS], int.from_bytes(response[-_STATUS:]))
    try:
        return ResponseApdu.from_bytes(response)
    except ApduError as error:
        raise ExchangeError(str(error)) from None


@asynccontextmanager
async def connect(
    *,
    server: str | None = None,
    client: str | None = None,
    config: str | os.PathLike[str] | None = None,
    tls: str | os.PathLike[str] | None = None,
    plaintext: str | bool | None = None,
    card_wait_s: float = 30.0,
    auto_get_response: bool = False,
    answer_timeout_s: float = ANSWER_TIMEOUT_S,
) -> AsyncIterator[Card]:
    """Connect to the card that is mapped to a client slot, for the time of an ``async with`` block.

    ``server`` is "HOST:PORT" (default: 127.0.0.1:9998), ``client`` "ID:SLOT"; without it the server gives a number.
    ``tls`` is the directory with key and certificate; without it they are looked for where ``remsim client`` finds
    them, and where ``remsim enroll`` has put them. ``plaintext`` allows plain TCP: True on loopback, or with the
    networks that it names ("10.0.0.0/8"). ``config`` names a TOML file with further settings, those of
    ``remsim client``. Raises NoCardError if no card comes within ``card_wait_s``, ArgumentError for arguments of the
    wrong type, ConfigError for wrong settings, StartError if there is neither a certificate nor ``plaintext``. Cards
    are powered off at the end of the block.
    """
    check_arguments(
        server=server,
        client=client,
        config=config,
        tls=tls,
        plaintext=plaintext,
        card_wait_s=card_wait_s,
        auto_get_response=auto_get_response,
        answer_timeout_s=answer_timeout_s,
    )
    ensure_logging()
    options = {
        "server": server,
        "client": client,
        "tls_dir": None if tls is None else Path(tls),
        "plaintext": plaintext,
    }
    file = None if config is None else Path(config)
    with arguments_named():
        settings = load_config(ClientConfig, options=options, environ=places(), file=file)
    emulator = DrivenEmulator()
    service = ClientService([SlotSpec(settings, emulator, ClientObserver())])
    try:
        with arguments_named():
            await service.start()
        card = Card(emulator, service.slots[0], auto_get_response=auto_get_response, answer_timeout_s=answer_timeout_s)
        await card.wait_card(card_wait_s)
        yield card
    finally:
        await service.stop()
