# SPDX-License-Identifier: Apache-2.0
"""What a card says of itself without a PIN: the commands that ask, and what the answers mean. No I/O.

Nothing here counts a try of a PIN: files are read as they are, and what asks for a PIN is left alone (ETSI TS 102 221,
clause 11.1.1 and 11.1.3; 3GPP TS 31.102, clauses 4.2.2 and 4.2.12; 3GPP TS 51.011, clauses 10.3.2 and 10.3.11; GSMA
SGP.22, clause 5.7.20; GSMA SGP.02, clause 2.2.1.1). The card is to be reset behind it.
"""

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Final

from remsim.card.apdu import ResponseApdu
from remsim.card.errors import TlvError
from remsim.card.iccid import read_iccid
from remsim.card.status import SwKind, sw_kind
from remsim.card.t0_exchange import exchange_apdu
from remsim.card.tlv import parse_tlvs

_IMSI_LENGTH, _SPN_LENGTH = 9, 17
#: By class: how EF.IMSI and EF.SPN are reached. Of SELECT nothing but its success is of interest.
_USIM: Final = bytes.fromhex("00a4040407a0000000871002")
_GSM: Final = bytes.fromhex("a0a40000027f20")
_EF_IMSI, _EF_SPN = 0x6F07, 0x6F46
#: The applications of an eUICC that know its number: that of consumer devices, then that of machines.
_ISD_R: Final = bytes.fromhex("00a4040010a0000005591010ffffffff8900000100")
_GET_EID: Final = bytes.fromhex("80e2910006bf3e035c015a00")
_ECASD: Final = bytes.fromhex("00a4040010a0000005591010ffffffff8900000200")
_GET_DATA_EID: Final = bytes.fromhex("00ca005a12")
_EID_ANSWER, _EID_TAG = 0xBF3E, 0x5A
_EID: Final = re.compile(r"[0-9]{32}", re.ASCII)
_IMSI: Final = re.compile(r"[0-9]{6,15}", re.ASCII)


@dataclass(slots=True)
class CardIdentity:
    """What was found; None: it is not there, or asks for a PIN. It is filled while ``read_identity`` goes on."""

    iccid: str | None = None
    imsi: str | None = None
    service_provider: str | None = None
    eid: str | None = None


def read_identity(found: CardIdentity) -> Generator[bytes, bytes, None]:
    """Yield TPDUs and take their responses (2 to 258 bytes each); what they tell is noted in ``found``.

    Whatever the card answers, there is an end: each command brings bytes that were missing, or is one of a few.
    """
    found.iccid = yield from read_iccid()
    if found.iccid is None:
        # Nobody could say whose the rest is.
        return
    yield from _read_subscriber(found)
    found.eid = yield from _read_eid()


def _read_subscriber(found: CardIdentity) -> Generator[bytes, bytes, None]:
    """From the USIM, or where there is none, from the SIM of the days before."""
    for cla, application in ((0x00, _USIM), (0xA0, _GSM)):
        if not (yield from _select(application)):
            continue
        found.imsi = decode_imsi((yield from _read_file(cla, _EF_IMSI, _IMSI_LENGTH)))
        found.service_provider = decode_provider((yield from _read_file(cla, _EF_SPN, _SPN_LENGTH)))
        return


def _read_eid() -> Generator[bytes, bytes, str | None]:
    for application, command in ((_ISD_R, _GET_EID), (_ECASD, _GET_DATA_EID)):
        if not (yield from _select(application)):
            continue
        answer = yield from exchange_apdu(command)
        if sw_kind(int.from_bytes(answer[-2:])) is SwKind.OK and (eid := decode_eid(answer[:-2])) is not None:
            return eid
    return None


def _select(command: bytes) -> Generator[bytes, bytes, bool]:
    response = yield command
    return sw_kind(ResponseApdu.from_bytes(response).sw) not in (SwKind.ERROR, SwKind.LENGTH)


def _read_file(cla: int, file: int, length: int) -> Generator[bytes, bytes, bytes]:
    """The beginning of a file in the current application; empty if it is not there, or asks for a PIN."""
    parameters = bytes((cla, 0xA4, 0x00, 0x04 if cla == 0x00 else 0x00, 2))
    if not (yield from _select(parameters + file.to_bytes(2))):
        return b""
    answer = yield from exchange_apdu(bytes((cla, 0xB0, 0, 0, length)))
    return answer[:-2] if sw_kind(int.from_bytes(answer[-2:])) is SwKind.OK else b""


def decode_imsi(raw: bytes) -> str | None:
    """The digits of EF.IMSI (3GPP TS 31.102, 4.2.2; 3GPP TS 24.008, 10.5.1.4). None if that is not what it holds."""
    length = raw[0] if raw else 0
    if not 1 <= length <= 8 or len(raw) < 1 + length:
        return None
    nibbles = "".join(f"{byte & 0x0F:X}{byte >> 4:X}" for byte in raw[1 : 1 + length])
    # The first nibble says that it is an IMSI, and whether the number of digits is odd.
    digits = nibbles[1:].rstrip("F")
    return digits if _IMSI.fullmatch(digits) else None


def decode_provider(raw: bytes) -> str | None:
    """The name in EF.SPN (3GPP TS 31.102, 4.2.12), behind its first byte; None if it is empty."""
    return alpha_text(raw[1:]).strip() or None


def alpha_text(raw: bytes) -> str:
    """An alpha identifier (ETSI TS 102 221, annex A)."""
    if raw[:1] == b"\x80":
        even = raw[1 : 1 + (len(raw) - 1) // 2 * 2]
        return even.decode("utf-16-be", "replace").rstrip("\uffff")
    return raw.rstrip(b"\xff").decode("ascii", "replace")


def decode_eid(raw: bytes) -> str | None:
    """The number of an eUICC in the answer of its application: 16 bytes under tag 5A, maybe under BF3E."""
    try:
        tlvs: Sequence[tuple[int, bytes]] = list(parse_tlvs(raw))
        if len(tlvs) == 1 and tlvs[0][0] == _EID_ANSWER:
            tlvs = list(parse_tlvs(tlvs[0][1]))
    except TlvError:
        return None
    found = next((value.hex() for tag, value in tlvs if tag == _EID_TAG), "")
    return found if _EID.fullmatch(found) else None
