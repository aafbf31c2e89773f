# SPDX-License-Identifier: Apache-2.0
"""What a reader at APDU level does for a program: one command APDU becomes one or several T=0 TPDUs.

ISO/IEC 7816-3, clause 12.2. A reader at TPDU level sends the first TPDU and hands 61xx and 6Cxx to the program; that
is ``first_tpdu``. ``exchange_apdu`` follows them until the program's Le is served. No I/O: TPDUs come out of the
generator, response TPDUs go in, the response APDU is what it returns.
"""

from collections.abc import Generator
from typing import Final

from remsim.card.apdu import MAX_LE
from remsim.card.errors import TpduError
from remsim.card.tpdu import HEADER_LENGTH, MAX_TPDU, CommandTpdu, tpdu_of_apdu

_SW1_MORE: Final = 0x61
_SW1_LENGTH: Final = 0x6C
_GET_RESPONSE: Final = 0xC0


def first_tpdu(apdu: bytes) -> bytes:
    """The TPDU that carries a short command APDU of any case: case 1 gains P3, case 4 loses its Le.

    Raises TpduError if ``apdu`` is no short command APDU.
    """
    if len(apdu) > MAX_TPDU + 1:
        raise TpduError(f"command of {len(apdu)} bytes; {MAX_TPDU + 1} are the most in a short APDU")
    return CommandTpdu.from_bytes(tpdu_of_apdu(apdu)).to_bytes()


def _expected(apdu: bytes, tpdu: bytes) -> int:
    """Le of the APDU as a number of bytes, 0 if it has none."""
    if len(apdu) == HEADER_LENGTH or len(apdu) > len(tpdu):
        return apdu[-1] or MAX_LE
    return 0


def exchange_apdu(apdu: bytes) -> Generator[bytes, bytes, bytes]:
    """Yield TPDUs and take their responses; return data, SW1, SW2. Raises TpduError before the first TPDU.

    Without Le in the APDU nothing is fetched or repeated (clauses 12.2.2 and 12.2.4).
    """
    tpdu = first_tpdu(apdu)
    expected = _expected(apdu, tpdu)
    data, may_repeat = b"", True
    while True:
        response = yield tpdu
        data += response[:-2]
        sw1, sw2 = response[-2:]
        is_header_only = len(tpdu) == HEADER_LENGTH
        # Whoever answers GET RESPONSE with 61xx and no data would go on for ever.
        is_growing = len(response) > 2 or not (is_header_only and tpdu[1] == _GET_RESPONSE)
        if sw1 == _SW1_MORE and len(data) < expected and is_growing:
            length = min(sw2 or MAX_LE, expected - len(data))
            tpdu, may_repeat = bytes((tpdu[0], _GET_RESPONSE, 0x00, 0x00, length & 0xFF)), True
        elif sw1 == _SW1_LENGTH and expected and is_header_only and may_repeat:
            tpdu, may_repeat = tpdu[:4] + bytes((sw2,)), False
        else:
            return data + response[-2:]
