# SPDX-License-Identifier: Apache-2.0
"""What a reader at APDU level does for a program: one command APDU becomes one or several T=0 TPDUs.

ISO/IEC 7816-3, clause 12.2, and ETSI TS 102 221, clause 7.3.1.1. A reader at TPDU level sends the first TPDU and hands
61xx, 9Fxx and 6Cxx to the program; that is ``first_tpdu``. ``exchange_apdu`` follows them until the program's Le is
served. No I/O: TPDUs come out of the generator, response TPDUs go in, the response APDU is what it returns.
"""

from collections.abc import Generator
from typing import Final

from remsim.card.apdu import MAX_LC, MAX_LE
from remsim.card.errors import TpduError
from remsim.card.status import SW_OK
from remsim.card.tpdu import HEADER_LENGTH, CommandTpdu, tpdu_of_apdu
from remsim.core.values import dataclass

_SW1_MORE: Final = frozenset({0x61, 0x9F})
_SW1_LENGTH: Final = 0x6C
_SW1_WARNING: Final = frozenset({0x62, 0x63})
_GET_RESPONSE: Final = 0xC0
#: Length fields of an extended APDU: 00 and two bytes, then two bytes for Le behind data.
_EXTENDED: Final = 3
_EXTENDED_LE: Final = 2
_MAX_EXTENDED_LE: Final = 1 << 16
#: Enough for 65536 bytes in parts of 256, each asked for twice.
_MOST_TPDUS: Final = 2 * 257
_LONGEST: Final = HEADER_LENGTH - 1 + _EXTENDED + MAX_LC + _EXTENDED_LE


@dataclass(frozen=True, slots=True)
class _Mapped:
    """A command APDU as T=0 has it: the first TPDU, and how many bytes the program expects, 0 for none."""

    tpdu: bytes
    expected: int

    @property
    def is_case_4(self) -> bool:
        return len(self.tpdu) > HEADER_LENGTH and self.expected > 0


def _map_extended(apdu: bytes) -> _Mapped | None:
    """An APDU with P3 = 00 and something behind it (clauses 12.2.3 to 12.2.5); None if its lengths contradict."""
    header, rest = apdu[: HEADER_LENGTH - 1], apdu[HEADER_LENGTH:]
    if len(rest) == 1:
        # No data, said with Lc = 00, and Le.
        return _Mapped(header + b"\x00", rest[0] or MAX_LE)
    number, data = int.from_bytes(rest[:2]), rest[2:]
    if not data:
        # Case 2E: P3 = 00 asks for 256 bytes where one byte cannot say how many.
        return _Mapped(header + bytes((number if number <= MAX_LE - 1 else 0,)), number or _MAX_EXTENDED_LE)
    if not 1 <= number <= MAX_LC or len(data) not in (number, number + _EXTENDED_LE):
        return None
    le = int.from_bytes(data[number:]) or _MAX_EXTENDED_LE
    return _Mapped(header + bytes((number,)) + data[:number], le if len(data) > number else 0)


def _map(apdu: bytes) -> _Mapped:
    """Raises TpduError if ``apdu`` is no command APDU, or has more data than one TPDU holds."""
    if len(apdu) > _LONGEST:
        raise TpduError(f"command of {len(apdu)} bytes; {_LONGEST} are the most that T=0 takes")
    if len(apdu) > HEADER_LENGTH and apdu[HEADER_LENGTH - 1] == 0:
        mapped = _map_extended(apdu)
        if mapped is None:
            raise TpduError(f"command of {len(apdu)} bytes with lengths that contradict, or more than {MAX_LC} of data")
        return mapped
    if len(apdu) < HEADER_LENGTH - 1:
        raise TpduError(f"command of {len(apdu)} bytes; {HEADER_LENGTH - 1} are the least")
    tpdu = CommandTpdu.from_bytes(tpdu_of_apdu(apdu)).to_bytes()
    has_le = len(apdu) == HEADER_LENGTH or len(apdu) > len(tpdu)
    return _Mapped(tpdu, (apdu[-1] or MAX_LE) if has_le else 0)


def first_tpdu(apdu: bytes) -> bytes:
    """The TPDU that carries a command APDU: case 1 gains P3, case 4 loses its Le, an extended length is shortened.

    Raises TpduError if ``apdu`` is no command APDU, or has more data than one TPDU holds.
    """
    return _map(apdu).tpdu


def mend_tpdu(raw: bytes) -> bytes:
    """The TPDU for a command APDU that a program sent in place of one: with Le behind its data, or an extended one.

    Anything else is returned as it is, and so is what has less than five bytes.
    """
    if len(raw) <= HEADER_LENGTH:
        return raw
    try:
        return _map(raw).tpdu
    except TpduError:
        return raw


def _get_response(cla: int, length: int) -> bytes:
    return bytes((cla, _GET_RESPONSE, 0x00, 0x00, length & 0xFF))


def exchange_apdu(apdu: bytes) -> Generator[bytes, bytes, bytes]:
    """Yield TPDUs and take their responses; return data, SW1, SW2. Raises TpduError before the first TPDU.

    Without Le in the APDU nothing is fetched or repeated (clauses 12.2.2 and 12.2.4). A warning that comes before the
    data is what the program gets behind them (TS 102 221, clause 7.3.1.1.4).
    """
    mapped = _map(apdu)
    tpdu, expected = mapped.tpdu, mapped.expected
    data, response, warning, may_repeat, is_question = b"", b"", b"", True, False
    # Clause 12.2.3: of more than Le, which a card brings after 6Cxx, the program gets the beginning.
    most: int | None = None
    for _ in range(_MOST_TPDUS):
        response = yield tpdu
        data += response[:-2]
        sw1, sw2 = response[-2:]
        is_header_only = len(tpdu) == HEADER_LENGTH
        # A card that answers GET RESPONSE with 61xx and no data would go on for ever.
        is_growing = len(response) > 2 or is_question or not (is_header_only and tpdu[1] == _GET_RESPONSE)
        is_question = False
        if sw1 in _SW1_MORE and len(data) < expected and is_growing:
            tpdu, may_repeat = _get_response(tpdu[0], min(sw2 or MAX_LE, expected - len(data))), True
        elif sw1 == _SW1_LENGTH and expected and is_header_only and may_repeat:
            tpdu, may_repeat, most = tpdu[:4] + bytes((sw2,)), False, expected
        elif sw1 in _SW1_WARNING and mapped.is_case_4 and not is_header_only:
            # The card has not said how much there is: it will, with 6Cxx or 61xx.
            tpdu, warning, may_repeat, is_question = _get_response(tpdu[0], 0), response[-2:], True, True
        else:
            break
    is_done = not data or int.from_bytes(response[-2:]) == SW_OK
    return data[:most] + (warning if warning and is_done else response[-2:])
