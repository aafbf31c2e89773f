# SPDX-License-Identifier: Apache-2.0
"""How the card in a PC/SC reader is opened, reset and closed: calls come out, their results go in. No I/O.

T=0 is the only protocol asked for; a card that cannot do it is refused with CardProtocolError.
"""

from collections.abc import Generator
from typing import Final, NamedTuple

from remsim.card.atr import mend_atr, parse_atr
from remsim.card.errors import AtrError
from remsim.core.values import dataclass
from remsim.readers.errors import CardMuteError, CardProtocolError, ReaderError, ReaderUnavailableError
from remsim.readers.pcsc_common import codes
from remsim.readers.pcsc_common.values import (
    LEAVE_CARD,
    PROTOCOL_T0,
    RESET_CARD,
    SHARE_EXCLUSIVE,
    SHARE_SHARED,
    UNPOWER_CARD,
)


@dataclass(frozen=True, slots=True)
class Establish:
    """Make a context for the card."""


@dataclass(frozen=True, slots=True)
class Connect:
    """Connect to the card; gives the protocol in use."""

    share: int
    protocols: int = PROTOCOL_T0


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Reset the card or power it up anew; gives the protocol in use."""

    share: int
    how: int
    protocols: int = PROTOCOL_T0


@dataclass(frozen=True, slots=True)
class ReadAtr:
    """The ATR of the connected card."""


@dataclass(frozen=True, slots=True)
class LookAtAtr:
    """The ATR that the reader shows to all, of a card that is not connected."""


@dataclass(frozen=True, slots=True)
class LetGo:
    """Disconnect from the card, if it is connected, and let go of the context."""

    disposition: int


CardCall = Establish | Connect | Reconnect | ReadAtr | LookAtAtr | LetGo


class PcscResult(NamedTuple):
    """What PC/SC returns: its code, and what was asked for."""

    code: int
    protocol: int = 0
    atr: bytes = b""


#: Yields calls; takes what each returned.
Procedure = Generator[CardCall, PcscResult, bytes]

_DONE: Final = b""


class CardProcedures:
    """One card position. What is made here raises ReaderError subclasses only, with the return code in ``code``."""

    def __init__(self, reader: str, *, is_shared: bool) -> None:
        self._reader = reader
        self._is_shared = is_shared
        self._share = SHARE_SHARED if is_shared else SHARE_EXCLUSIVE

    def open(self) -> Procedure:
        """Connect and power the card up; return its ATR. What fails is let go of."""
        result = yield Establish()
        if result.code != codes.SUCCESS:
            raise codes.reader_error(result.code, "open the card", self._reader)
        try:
            result = yield Connect(self._share)
            if result.code != codes.SUCCESS:
                raise (yield from self._connect_error(result.code))
            if not self._is_shared:
                # The program that used it before may have left it powered, with a PIN verified or a file selected.
                return (yield from self._reset(UNPOWER_CARD, "power the card up"))
            return (yield from self._atr(result.protocol))
        except ReaderError:
            yield from self.close()
            raise

    def cold_reset(self) -> Procedure:
        """Take VCC away and give it back; return the ATR."""
        return self._reset(UNPOWER_CARD, "reset the card")

    def warm_reset(self) -> Procedure:
        """Pulse RST; return the ATR."""
        return self._reset(RESET_CARD, "reset the card")

    def close(self) -> Procedure:
        """Power off and let go; return nothing of interest. Never raises."""
        yield LetGo(LEAVE_CARD if self._is_shared else UNPOWER_CARD)
        return _DONE

    def transmission_error(self, code: int) -> ReaderError:
        """The error of a command that PC/SC answered with this code."""
        return codes.reader_error(code, "exchange a command with the card", self._reader)

    def not_open(self) -> ReaderError:
        """The error of a command to a card that is not open."""
        return ReaderUnavailableError(f"the card in reader {self._reader!r} is not open")

    def hangs(self) -> ReaderError:
        """The error of an attempt to use a reader that has not returned from a command that was given up."""
        return ReaderUnavailableError(f"reader {self._reader!r} still hangs in an earlier command")

    def _reset(self, how: int, what: str) -> Procedure:
        result = yield Reconnect(self._share, how)
        if result.code != codes.SUCCESS:
            raise codes.reader_error(result.code, what, self._reader)
        return (yield from self._atr(result.protocol))

    def _atr(self, protocol: int) -> Procedure:
        result = yield ReadAtr()
        if result.code != codes.SUCCESS:
            raise codes.reader_error(result.code, "read the ATR of the card", self._reader)
        if not result.atr:
            raise CardMuteError(f"the card in reader {self._reader!r} gives no ATR")
        if protocol != PROTOCOL_T0 or not _offers_t0(result.atr):
            raise self._no_t0(result.atr)
        return result.atr

    def _connect_error(self, code: int) -> Generator[CardCall, PcscResult, ReaderError]:
        atr = b""
        if codes.unsigned(code) in (codes.E_PROTO_MISMATCH, codes.W_UNSUPPORTED_CARD):
            shown = yield LookAtAtr()
            atr = shown.atr if shown.code == codes.SUCCESS else b""
            if atr and not _offers_t0(atr):
                return self._no_t0(atr)
        return codes.reader_error(code, "open the card", self._reader, atr=atr)

    def _no_t0(self, atr: bytes) -> CardProtocolError:
        return CardProtocolError(
            f"the card in reader {self._reader!r} does not speak T=0 (ATR {atr.hex()})",
            hint="a SIM socket speaks T=0 only",
        )


def _offers_t0(atr: bytes) -> bool:
    """Whether the card can speak T=0. An ATR that cannot be read counts as one with T=0: the reader accepted it."""
    try:
        return parse_atr(mend_atr(atr)).has_t0
    except AtrError:
        return True
