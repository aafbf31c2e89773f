# SPDX-License-Identifier: Apache-2.0
"""The number of a card: the commands that read EF.ICCID, and its coding. No I/O: commands out, answers in.

EF.ICCID lies directly under the MF and may always be read, without any PIN (ETSI TS 102 221, clause 13.2; 3GPP TS
51.011, clause 10.1.1). A UICC is asked in class 00, a SIM of the days before it in class A0.
"""

import re
from collections.abc import Generator
from typing import Final

from remsim.card.apdu import ResponseApdu
from remsim.card.status import SwKind, sw_kind
from remsim.card.t0_exchange import exchange_apdu

#: Bytes of EF.ICCID.
LENGTH: Final = 10

#: Of SELECT nothing but its success is of interest, so its response data is left in the card.
_SELECTS: Final = {
    0x00: (bytes.fromhex("00a40004023f00"), bytes.fromhex("00a40004022fe2")),
    0xA0: (bytes.fromhex("a0a40000023f00"), bytes.fromhex("a0a40000022fe2")),
}
_READ_BINARY: Final = 0xB0
#: ITU-T E.118 has decimal digits only. Large operators use A to E as well; F means "no digit".
_ICCID: Final = re.compile(r"[0-9A-E]{1,20}", re.ASCII)
_FILLER: Final = "F"


def read_iccid() -> Generator[bytes, bytes, str | None]:
    """Yield TPDUs and take their responses (2 to 258 bytes each); return the digits, None if they cannot be read.

    The card may just have been powered, or be in use. Whatever it answers, there is an end: each command brings bytes
    that were missing, or is one of a few.
    """
    for cla, selects in _SELECTS.items():
        raw = yield from _read(cla, selects)
        number = decode_iccid(raw)
        if number is not None:
            return number
    return None


def _read(cla: int, selects: tuple[bytes, ...]) -> Generator[bytes, bytes, bytes]:
    """The content of the file, empty if it cannot be read in this class."""
    for select in selects:
        response = yield select
        if sw_kind(ResponseApdu.from_bytes(response).sw) in (SwKind.ERROR, SwKind.LENGTH):
            return b""
    # A card that brings more than it is asked for may come to an answer that is too long to be one.
    answer = yield from exchange_apdu(bytes((cla, _READ_BINARY, 0, 0, LENGTH)))
    return answer[:-2] if sw_kind(int.from_bytes(answer[-2:])) is SwKind.OK else b""


def decode_iccid(raw: bytes) -> str | None:
    """The digits in the content of EF.ICCID: nibbles swapped, up to the first F. None if that is not what it holds."""
    digits = "".join(f"{byte & 0x0F:X}{byte >> 4:X}" for byte in raw).partition(_FILLER)[0]
    return digits if len(raw) == LENGTH and is_iccid(digits) else None


def is_iccid(text: str) -> bool:
    """Whether ``text`` is the number of a card: digits 0 to E, capitals, as many as fit into the file, nothing else."""
    return _ICCID.fullmatch(text) is not None
