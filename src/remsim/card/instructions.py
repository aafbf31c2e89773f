# SPDX-License-Identifier: Apache-2.0
"""What a command is called and what it is about, for people: ``SELECT EF.IMSI``, ``READ BINARY, 9 bytes``.

Never shows what may be secret: of a PIN command, an UPDATE or an AUTHENTICATE nothing but its name and length.
Sources of the names: those of the direction tables (``apdu_case``), which answer another question: which way the
data of a command goes.
"""

from typing import Final

from remsim.card.class_byte import Family, class_byte
from remsim.card.filenames import application_name, path_names

_INTER_INDUSTRY_NAMES: Final = {
    0x04: "DEACTIVATE FILE",
    0x06: "DEACTIVATE RECORD",
    0x08: "ACTIVATE RECORD",
    0x0C: "ERASE RECORD",
    0x0E: "ERASE BINARY",
    0x10: "PERFORM SCQL OPERATION",
    0x12: "PERFORM TRANSACTION OPERATION",
    0x14: "PERFORM USER OPERATION",
    0x20: "VERIFY PIN",
    0x22: "MANAGE SECURITY ENVIRONMENT",
    0x24: "CHANGE PIN",
    0x26: "DISABLE PIN",
    0x28: "ENABLE PIN",
    0x2A: "PERFORM SECURITY OPERATION",
    0x2C: "UNBLOCK PIN",
    0x2E: "PERFORM BIOMETRIC OPERATION",
    0x33: "COMPARE",
    0x35: "GET ATTRIBUTE",
    0x40: "APPLICATION MANAGEMENT REQUEST",
    0x44: "ACTIVATE FILE",
    0x46: "GENERATE ASYMMETRIC KEY PAIR",
    0x48: "IMPORT CARD SECRET",
    0x70: "MANAGE CHANNEL",
    0x73: "MANAGE SECURE CHANNEL",
    0x75: "TRANSACT DATA",
    0x82: "EXTERNAL AUTHENTICATE",
    0x84: "GET CHALLENGE",
    0x86: "GENERAL AUTHENTICATE",
    0x88: "AUTHENTICATE",
    0xA0: "SEARCH BINARY",
    0xA2: "SEARCH RECORD",
    0xA4: "SELECT",
    0xA5: "SELECT DATA",
    0xB0: "READ BINARY",
    0xB2: "READ RECORD",
    0xC0: "GET RESPONSE",
    0xC2: "ENVELOPE",
    0xCA: "GET DATA",
    0xCC: "GET NEXT DATA",
    0xCF: "MANAGE DATA",
    0xD0: "WRITE BINARY",
    0xD2: "WRITE RECORD",
    0xD6: "UPDATE BINARY",
    0xD8: "PUT NEXT DATA",
    0xDA: "PUT DATA",
    0xDC: "UPDATE RECORD",
    0xDE: "UPDATE DATA",
    0xE0: "CREATE FILE",
    0xE2: "APPEND RECORD",
    0xE4: "DELETE FILE",
    0xE6: "TERMINATE DF",
    0xE8: "TERMINATE EF",
    0xEA: "LOAD APPLICATION",
    0xEC: "REMOVE APPLICATION",
    0xEE: "DELETE DATA",
    0xFE: "TERMINATE CARD USAGE",
}
#: These are another coding of the even instruction before them (ISO/IEC 7816-4, clause 5.4.2).
_ODD_FORMS: Final = frozenset(
    {0x0F, 0x21, 0x25, 0x2B, 0x2D, 0x2F, 0x41, 0x47, 0x87, 0x89, 0xA1, 0xB1}
    | {0xB3, 0xC3, 0xCB, 0xCD, 0xD1, 0xD7, 0xD9, 0xDB, 0xDD, 0xDF, 0xEB, 0xED}
)
_INTER_INDUSTRY_NAMES.update({ins: _INTER_INDUSTRY_NAMES[ins - 1] for ins in _ODD_FORMS})

_PROPRIETARY_NAMES: Final = {
    0x10: "TERMINAL PROFILE",
    0x12: "FETCH",
    0x14: "TERMINAL RESPONSE",
    0x22: "MANAGE SECURITY ENVIRONMENT",
    0x24: "PUT PUBLIC KEY",
    0x2A: "PERFORM SECURITY OPERATION",
    0x2B: "COMPUTE SIGNATURE",
    0x2C: "VERIFY SIGNATURE",
    0x2D: "VERIFY SIGNATURE",
    0x32: "INCREASE",
    0x46: "COMPUTE DH",
    0x48: "COMPUTE PRF",
    0x4A: "COMPUTE HKDF",
    0x50: "INITIALIZE UPDATE",
    0x76: "SUSPEND UICC",
    0x78: "GET IDENTITY",
    0x7A: "EXCHANGE CAPABILITIES",
    0x7C: "MANAGE LSI",
    0x82: "EXTERNAL AUTHENTICATE",
    0x84: "GET RANDOM",
    0x88: "INTERNAL AUTHENTICATE",
    0xAA: "TERMINAL CAPABILITY",
    0xB0: "READ FILE",
    0xB9: "GENERATE KEY PAIR",
    0xC0: "GET RESPONSE",
    0xC2: "ENVELOPE",
    0xCA: "GET DATA",
    0xCB: "RETRIEVE DATA",
    0xCD: "READ PUBLIC KEY",
    0xD4: "RESIZE FILE",
    0xD8: "PUT KEY",
    0xDB: "SET DATA",
    0xE2: "STORE DATA",
    0xE4: "DELETE",
    0xE6: "INSTALL",
    0xE8: "LOAD",
    0xEA: "MANAGE ELF UPGRADE",
    0xF0: "SET STATUS",
    0xF2: "STATUS",
}

#: Class A0 has its own names for some (3GPP TS 51.011, table 9).
_GSM_NAMES: Final = {
    0x04: "INVALIDATE",
    0x20: "VERIFY CHV",
    0x24: "CHANGE CHV",
    0x26: "DISABLE CHV",
    0x28: "ENABLE CHV",
    0x2C: "UNBLOCK CHV",
    0x44: "REHABILITATE",
    0x88: "RUN GSM ALGORITHM",
    0xA2: "SEEK",
    0xFA: "SLEEP",
    **{ins: _PROPRIETARY_NAMES[ins] for ins in (0x10, 0x12, 0x14, 0x32, 0xC2, 0xF2)},
}

_BY_AID: Final = 0x04
_HEADER: Final = 5
_SFI_FLAG: Final = 0x80
_WITH_LENGTH: Final = frozenset({"GET RESPONSE", "FETCH"})
_RECORD_MODES: Final = {2: "next", 3: "previous"}


_NAMES: Final = {
    Family.GSM: _GSM_NAMES,
    Family.INTER_INDUSTRY: _INTER_INDUSTRY_NAMES,
    Family.PROPRIETARY: _PROPRIETARY_NAMES,
}


def command_name(cla: int, ins: int) -> str:
    """The name of an instruction, or ``INS xx``. Where its class has none of that number, another class lends it."""
    family = class_byte(cla).family
    own = _NAMES[family].get(ins) if family is not None else None
    return own or _INTER_INDUSTRY_NAMES.get(ins) or _PROPRIETARY_NAMES.get(ins, f"INS {ins:02X}")


def describe_command(tpdu: bytes) -> str:
    """One command TPDU in a few words; anything too short to be one is called so."""
    if len(tpdu) < _HEADER:
        return f"{len(tpdu)} bytes, no command"
    cla, ins, p1, p2, p3 = tpdu[:_HEADER]
    name = command_name(cla, ins)
    if class_byte(cla).family is Family.PROPRIETARY:
        return f"{name}, {_length(p3)}" if name in _WITH_LENGTH else name
    data = tpdu[_HEADER:]
    if ins == 0xA4:
        return f"{name} {_selected(p1, data)}"
    if ins in (0xB0, 0xD6):
        place = f"SFI {p1 & 0x1F:02X}" if p1 & _SFI_FLAG else ""
        offset = p2 if p1 & _SFI_FLAG else p1 << 8 | p2
        start = f"from {offset}" if offset else ""
        return f"{' '.join(part for part in (name, place, start) if part)}, {_length(p3)}"
    if ins in (0xB2, 0xDC):
        place = f"of SFI {p2 >> 3:02X}" if p2 >> 3 else ""
        record = _RECORD_MODES.get(p2 & 0x07) or (f"{p1}" if p1 else "current")
        return f"{' '.join(part for part in (name, record, place) if part)}, {_length(p3)}"
    if name in _WITH_LENGTH:
        return f"{name}, {_length(p3)}"
    if ins in (0x20, 0x24, 0x26, 0x28, 0x2C):
        return f"{name} {p2:02X}{'' if data else ' tries left?'}"
    if ins == 0x70:
        return f"{name} {'close' if p1 & 0x80 else 'open'}"
    return name


def _length(p3: int) -> str:
    # As a number of expected bytes, 00 means 256.
    count = p3 or 256
    return f"{count} byte" if count == 1 else f"{count} bytes"


def _selected(p1: int, data: bytes) -> str:
    if not data:
        return "parent" if p1 == 0x03 else "MF"
    if p1 == _BY_AID:
        return application_name(data)
    steps = path_names([int.from_bytes(data[i : i + 2]) for i in range(0, len(data) - 1, 2)])
    return "/".join(steps) if steps else data.hex().upper()
