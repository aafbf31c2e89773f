# SPDX-License-Identifier: Apache-2.0
"""The card in one PC/SC reader, by blocking calls. PC/SC contexts belong to threads: use it in one thread only.

What is called, and what the results mean, is in ``pcsc_common.card`` and ``pcsc_common.level``.
"""

from typing import assert_never

from remsim.readers.pcsc.scard import STATE_UNAWARE, Scard
from remsim.readers.pcsc_common import codes
from remsim.readers.pcsc_common.card import (
    CardCall,
    CardProcedures,
    Connect,
    Establish,
    LetGo,
    LookAtAtr,
    PcscResult,
    Procedure,
    ReadAtr,
    Reconnect,
)
from remsim.readers.pcsc_common.level import ReaderLevel


class PcscCard:
    """One card position. Raises ReaderError subclasses only, with the return code in ``code``."""

    def __init__(self, scard: Scard, reader: str, *, is_shared: bool) -> None:
        self._scard = scard
        self._reader = reader
        self._procedures = CardProcedures(reader, is_shared=is_shared)
        self._level = ReaderLevel(reader)
        self._context: int | None = None
        self._card: int | None = None

    def open(self) -> bytes:
        """Connect and power the card up; return its ATR."""
        self._level.forget()
        return self._run(self._procedures.open())

    def cold_reset(self) -> bytes:
        """Take VCC away and give it back; return the ATR."""
        return self._reset(self._procedures.cold_reset())

    def warm_reset(self) -> bytes:
        """Pulse RST; return the ATR."""
        return self._reset(self._procedures.warm_reset())

    def transmit(self, tpdu: bytes) -> bytes:
        """Exchange one TPDU."""
        if not self._level.is_apdu:
            return self._level.judge(tpdu, self._send(tpdu))
        exchange = self._level.exchange(tpdu)
        try:
            apdu = next(exchange)
            while True:
                apdu = exchange.send(self._send(apdu))
        except StopIteration as end:
            response: bytes = end.value
            return response

    def close(self) -> bytes:
        """Power off and let go; return nothing of interest. Never raises."""
        return self._run(self._procedures.close())

    def _reset(self, procedure: Procedure) -> bytes:
        try:
            return self._run(procedure)
        finally:
            self._level.reset()

    def _send(self, command: bytes) -> bytes:
        code, response = self._scard.SCardTransmit(self._handle(), self._scard.SCARD_PCI_T0, list(command))
        if code != codes.SUCCESS:
            raise self._procedures.transmission_error(code)
        return bytes(response)

    def _handle(self) -> int:
        if self._card is None:
            raise self._procedures.not_open()
        return self._card

    def _run(self, procedure: Procedure) -> bytes:
        try:
            call = next(procedure)
            while True:
                call = procedure.send(self._perform(call))
        except StopIteration as end:
            result: bytes = end.value
            return result

    def _perform(self, call: CardCall) -> PcscResult:
        scard = self._scard
        match call:
            case Establish():
                code, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
                self._context = context if code == codes.SUCCESS else None
                return PcscResult(code)
            case Connect():
                assert self._context is not None
                code, card, protocol = scard.SCardConnect(self._context, self._reader, call.share, call.protocols)
                self._card = card if code == codes.SUCCESS else None
                return PcscResult(code, protocol)
            case Reconnect():
                code, protocol = scard.SCardReconnect(self._handle(), call.share, call.protocols, call.how)
                return PcscResult(code, protocol)
            case ReadAtr():
                code, _, _, _, raw = scard.SCardStatus(self._handle())
                return PcscResult(code, atr=bytes(raw))
            case LookAtAtr():
                assert self._context is not None
                code, states = scard.SCardGetStatusChange(self._context, 0, [(self._reader, STATE_UNAWARE)])
                return PcscResult(code, atr=bytes(states[0][2]) if states else b"")
            case LetGo():
                return self._let_go(call.disposition)
        assert_never(call)

    def _let_go(self, disposition: int) -> PcscResult:
        card, self._card = self._card, None
        if card is not None:
            self._scard.SCardDisconnect(card, disposition)
        context, self._context = self._context, None
        if context is not None:
            self._scard.SCardReleaseContext(context)
        return PcscResult(codes.SUCCESS)
