# SPDX-License-Identifier: Apache-2.0
"""A software card in a reader of vsmartcard's vpcd, so that a real pcscd shows it to every PC/SC program.

vpcd waits for the card to connect; its messages are those of ``vpcd``. Knows nothing of banks and of who
sends the commands.
"""

import asyncio
from typing import Final

from remsim.card.errors import TpduError
from remsim.card.status import SW_WRONG_LENGTH
from remsim.card.t0_exchange import first_tpdu
from remsim.config import HostPort
from remsim.logs import Logger
from remsim.readers.errors import CardTransmissionError
from remsim.readers.sim.store import StoredCard
from remsim.vpcd import Control, VpcdLink

#: ISO/IEC 7816-4, 5.6: memory failure.
_SW_MEMORY_FAILURE: Final = bytes((0x65, 0x81))

_CONTROLS: Final = frozenset(Control)

_FIRST_RETRY_S: Final = 0.1
_LAST_RETRY_S: Final = 2.0


class VpcdSession:
    """The card's side of the protocol, without I/O."""

    def __init__(self, card: StoredCard) -> None:
        self._card = card

    def answer(self, body: bytes) -> bytes | None:
        """What the card says to one message of vpcd; None if nothing.

        A command whose effect cannot be stored is answered with 6581 (memory failure).
        """
        return self._control(body[0]) if len(body) == 1 and body[0] in _CONTROLS else self._command(body)

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
        try:
            return self._card.transmit(first_tpdu(apdu))
        except TpduError:
            return SW_WRONG_LENGTH.to_bytes(2)
        except CardTransmissionError:
            return _SW_MEMORY_FAILURE


class VpcdCardService:
    """Keeps a card in vpcd's reader: connects, serves, and comes back whenever pcscd does."""

    def __init__(self, card: StoredCard, address: HostPort, log: Logger) -> None:
        self.started = asyncio.Event()
        self._card = card
        self._address = address
        self._log = log
        self._stop = asyncio.Event()
        self._link: VpcdLink | None = None

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
            except OSError as error:
                trouble = str(error) or "no answer"
                if trouble != last_trouble:
                    self._log.warning("vpcd_away", address=str(self._address), reason=trouble)
                last_trouble = trouble
            await self._pause(delay_s)
            delay_s = min(2 * delay_s, _LAST_RETRY_S)

    async def _serve_once(self) -> None:
        session = VpcdSession(self._card)
        self._link = link = VpcdLink(session.answer)
        await link.connect(self._address)
        self._log.info("card_inserted", address=str(self._address), profile=self._card.uicc.profile.name)
        if self._stop.is_set():
            link.close()
        await link.wait_closed()
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
