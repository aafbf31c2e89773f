# SPDX-License-Identifier: Apache-2.0
"""T=0 for a modem, over a card that is reached by APDUs: a reader at APDU level, or a card that speaks T=1 only.

A modem expects what a T=0 card does (ISO/IEC 7816-3, clause 10.3, and ETSI TS 102 221, clause 7.3.1.1): response data
of a command that brings data is announced with 61xx (9Fxx in class A0) and fetched with GET RESPONSE, and a P3 that is
not the length of the answer gets 6Cxx. What is reached by APDUs gives its data at once. So data is kept here until the
modem has asked for it in its own way. No command is ever sent twice because of that.

No I/O: APDUs come out of the generator ``exchange``, response APDUs go in, and what it returns is the response TPDU.
"""

from collections.abc import Generator
from typing import Final

from remsim.card.apdu import MAX_LE
from remsim.card.apdu_case import Case, look_up
from remsim.card.errors import TpduError
from remsim.card.tpdu import HEADER_LENGTH, is_well_formed
from remsim.core.values import dataclass

_INS_GET_RESPONSE: Final = 0xC0
_CLA_GSM: Final = 0xA0
_SW1_MORE: Final = 0x61
_SW1_MORE_GSM: Final = 0x9F
_SW1_LENGTH: Final = 0x6C
_SW_LENGTH: Final = 2


@dataclass(frozen=True, slots=True)
class _Kept:
    """Response data that the modem has not fetched, and the status word that ends it."""

    data: bytes
    sw: bytes
    #: CLA INS P1 P2 of the command that is to be repeated with the right P3; empty: GET RESPONSE fetches the data.
    repeats: bytes = b""


def shows_apdu_level(tpdu: bytes, response: bytes) -> bool:
    """Whether this response cannot come from a T=0 card at TPDU level: the reader has followed 61xx or 6Cxx itself."""
    length = len(response) - _SW_LENGTH
    if len(tpdu) > HEADER_LENGTH:
        return length > 0
    return length > 0 and length != (tpdu[4] or MAX_LE)


class T0OverApdu:
    """One card position. ``names_le``: commands that are known to be answered with data say so (Le = 00).

    T=1 needs that. Readers at APDU level that were found by ``shows_apdu_level`` fetch without it.
    """

    def __init__(self, *, names_le: bool = False) -> None:
        self._names_le = names_le
        self._kept: _Kept | None = None

    def reset(self) -> None:
        """The card was reset: what was kept is gone."""
        self._kept = None

    def exchange(self, tpdu: bytes) -> Generator[bytes, bytes, bytes]:
        """Yield the APDU, if one is needed, and take its response; return the response TPDU. Raises TpduError."""
        if not is_well_formed(tpdu):
            raise TpduError(f"TPDU of {len(tpdu)} bytes; its P3 says otherwise")
        kept, self._kept = self._kept, None
        if kept is not None and len(tpdu) == HEADER_LENGTH and self._fetches(tpdu, kept):
            return self._from_kept(tpdu, kept)
        apdu = self._apdu(tpdu)
        response = yield apdu
        if len(apdu) == len(tpdu) + 1 and len(response) == _SW_LENGTH and response[0] == _SW1_LENGTH:
            # The card wants another Le than 00; it has not executed the command.
            response = yield apdu[:-1] + response[1:]
        return self.answer(tpdu, response)

    def answer(self, tpdu: bytes, response: bytes) -> bytes:
        """The response TPDU to a command that was answered; what the modem must fetch is kept. Raises TpduError."""
        self._kept = None
        data, sw = response[:-_SW_LENGTH], response[-_SW_LENGTH:]
        if not _SW_LENGTH <= len(response) <= MAX_LE + _SW_LENGTH:
            raise TpduError(f"response of {len(response)} bytes; {_SW_LENGTH} to {MAX_LE + _SW_LENGTH} are possible")
        if not data:
            return response
        if len(tpdu) > HEADER_LENGTH or (tpdu[4] == 0 and look_up(tpdu) is Case.BOTH):
            # The second is a command like SELECT of the MF, with P3 = 00 for want of data.
            self._kept = _Kept(data, sw)
            return self._more(tpdu[0], len(data))
        if len(data) == (tpdu[4] or MAX_LE):
            return response
        if tpdu[1] == _INS_GET_RESPONSE:
            self._kept = _Kept(data, sw)
        else:
            self._kept = _Kept(data, sw, repeats=tpdu[:4])
        return bytes((_SW1_LENGTH, len(data) & 0xFF))

    def _apdu(self, tpdu: bytes) -> bytes:
        case = look_up(tpdu[:HEADER_LENGTH]) if self._names_le else None
        if len(tpdu) > HEADER_LENGTH:
            return tpdu + b"\x00" if case is Case.BOTH else tpdu
        # P3 = 00 of a command without any data is no Le (ISO/IEC 7816-3, clause 12.2.1).
        return tpdu[:4] if case is Case.NONE and tpdu[4] == 0 else tpdu

    @staticmethod
    def _fetches(tpdu: bytes, kept: _Kept) -> bool:
        if kept.repeats:
            return tpdu[:4] == kept.repeats and (tpdu[4] or MAX_LE) == len(kept.data)
        return tpdu[1] == _INS_GET_RESPONSE

    def _from_kept(self, tpdu: bytes, kept: _Kept) -> bytes:
        wanted, length = tpdu[4] or MAX_LE, len(kept.data)
        if wanted > length:
            self._kept = kept
            return bytes((_SW1_LENGTH, length & 0xFF))
        rest = kept.data[wanted:]
        if not rest or tpdu[0] == _CLA_GSM:
            # 3GPP TS 51.011, clause 9.2.18: GET RESPONSE ends with 9000, however much was asked for.
            return kept.data[:wanted] + kept.sw
        self._kept = _Kept(rest, kept.sw)
        return kept.data[:wanted] + self._more(tpdu[0], len(rest))

    @staticmethod
    def _more(cla: int, length: int) -> bytes:
        return bytes((_SW1_MORE_GSM if cla == _CLA_GSM else _SW1_MORE, length & 0xFF))
