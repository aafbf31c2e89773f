# SPDX-License-Identifier: Apache-2.0
"""The card in one PC/SC reader, by blocking calls. PC/SC contexts belong to threads: use it in one thread only.

T=0 is the only protocol asked for; a card that cannot do it is refused with CardProtocolError. A reader that exchanges
APDUs instead of TPDUs, which it shows by fetching response data itself, is served through ``card.t0_over_apdu``. It is
judged anew each time that its card is powered up: readers differ in that by card and by firmware. No command is ever
repeated.
"""

from remsim.card.atr import parse_atr
from remsim.card.errors import AtrError, TpduError
from remsim.card.t0_over_apdu import T0OverApdu, shows_apdu_level
from remsim.logs import get_logger
from remsim.readers.errors import (
    CardMuteError,
    CardProtocolError,
    CardTransmissionError,
    ReaderError,
    ReaderUnavailableError,
)
from remsim.readers.pcsc import codes
from remsim.readers.pcsc.scard import LEAVE_CARD, RESET_CARD, STATE_UNAWARE, UNPOWER_CARD, Scard


class PcscCard:
    """One card position. Raises ReaderError subclasses only, with the return code in ``code``."""

    def __init__(self, scard: Scard, reader: str, *, is_shared: bool) -> None:
        self._scard = scard
        self._reader = reader
        self._is_shared = is_shared
        self._share = scard.SCARD_SHARE_SHARED if is_shared else scard.SCARD_SHARE_EXCLUSIVE
        self._context: int | None = None
        self._card: int | None = None
        # Set when the reader has shown, since the card was powered up, that it exchanges APDUs.
        self._adapter: T0OverApdu | None = None
        self._is_level_told = False

    def open(self) -> bytes:
        """Connect and power the card up; return its ATR."""
        scard = self._scard
        self._adapter = None
        code, self._context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
        if code != codes.SUCCESS:
            self._context = None
            raise codes.reader_error(code, "open the card", self._reader)
        try:
            code, card, protocol = scard.SCardConnect(self._context, self._reader, self._share, scard.SCARD_PROTOCOL_T0)
            if code != codes.SUCCESS:
                raise self._connect_error(self._context, code)
            self._card = card
            if not self._is_shared:
                # The program that used it before may have left it powered, with a PIN verified or a file selected.
                return self._reset(UNPOWER_CARD, "power the card up")
            return self._atr(protocol)
        except ReaderError:
            self.close()
            raise

    def cold_reset(self) -> bytes:
        """Take VCC away and give it back; return the ATR."""
        return self._reset(UNPOWER_CARD, "reset the card")

    def warm_reset(self) -> bytes:
        """Pulse RST; return the ATR."""
        return self._reset(RESET_CARD, "reset the card")

    def transmit(self, tpdu: bytes) -> bytes:
        """Exchange one TPDU."""
        try:
            if self._adapter is not None:
                return self._through(self._adapter, tpdu)
            response = self._send(tpdu)
            if not shows_apdu_level(tpdu, response):
                return response
            self._adapter = T0OverApdu()
            self._tell_level()
            return self._adapter.answer(tpdu, response)
        except TpduError as error:
            raise CardTransmissionError(f"reader {self._reader!r}: {error}") from None

    def _through(self, adapter: T0OverApdu, tpdu: bytes) -> bytes:
        exchange = adapter.exchange(tpdu)
        try:
            apdu = next(exchange)
            while True:
                apdu = exchange.send(self._send(apdu))
        except StopIteration as end:
            response: bytes = end.value
            return response

    def _send(self, command: bytes) -> bytes:
        code, response = self._scard.SCardTransmit(self._handle(), self._scard.SCARD_PCI_T0, list(command))
        if code != codes.SUCCESS:
            raise codes.reader_error(code, "exchange a command with the card", self._reader)
        return bytes(response)

    def _tell_level(self) -> None:
        if not self._is_level_told:
            self._is_level_told = True
            text = "it fetches response data by itself; we keep the data until the modem asks for it"
            get_logger("readers").info("reader_at_apdu_level", reader=self._reader, text=text)

    def close(self) -> bytes:
        """Power off and let go; return nothing of interest. Never raises."""
        card, self._card = self._card, None
        if card is not None:
            self._scard.SCardDisconnect(card, LEAVE_CARD if self._is_shared else UNPOWER_CARD)
        context, self._context = self._context, None
        if context is not None:
            self._scard.SCardReleaseContext(context)
        return b""

    def _handle(self) -> int:
        if self._card is None:
            raise ReaderUnavailableError(f"the card in reader {self._reader!r} is not open")
        return self._card

    def _reset(self, how: int, what: str) -> bytes:
        code, protocol = self._scard.SCardReconnect(self._handle(), self._share, self._scard.SCARD_PROTOCOL_T0, how)
        if self._adapter is not None:
            self._adapter.reset()
        if code != codes.SUCCESS:
            raise codes.reader_error(code, what, self._reader)
        return self._atr(protocol)

    def _atr(self, protocol: int) -> bytes:
        code, _, _, _, raw = self._scard.SCardStatus(self._handle())
        if code != codes.SUCCESS:
            raise codes.reader_error(code, "read the ATR of the card", self._reader)
        atr = bytes(raw)
        if not atr:
            raise CardMuteError(f"the card in reader {self._reader!r} gives no ATR")
        if protocol != self._scard.SCARD_PROTOCOL_T0 or not _offers_t0(atr):
            raise _no_t0(self._reader, atr)
        return atr

    def _connect_error(self, context: int, code: int) -> ReaderError:
        if codes.unsigned(code) in (codes.E_PROTO_MISMATCH, codes.W_UNSUPPORTED_CARD):
            status, states = self._scard.SCardGetStatusChange(context, 0, [(self._reader, STATE_UNAWARE)])
            if status == codes.SUCCESS and states and not _offers_t0(bytes(states[0][2])):
                return _no_t0(self._reader, bytes(states[0][2]))
        return codes.reader_error(code, "open the card", self._reader)


def _offers_t0(atr: bytes) -> bool:
    """Whether the card can speak T=0. An ATR that cannot be read is the reader's business, which accepted it."""
    try:
        return parse_atr(atr).has_t0
    except AtrError:
        return True


def _no_t0(reader: str, atr: bytes) -> CardProtocolError:
    return CardProtocolError(
        f"the card in reader {reader!r} does not speak T=0 (ATR {atr.hex()})", hint="a SIM socket speaks T=0 only"
    )
