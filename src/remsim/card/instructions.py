# SPDX-License-Identifier: Apache-2.0
"""What a command is called and what it is about, for people: ``SELECT EF.IMSI``, ``READ BINARY, 9 bytes``.

Never shows what may be secret: of a PIN command, an UPDATE or an AUTHENTICATE nothing but its name and length.
Sources of the names: as in the tables of ISO/IEC 7816-4, ETSI TS 102 221 and 3GPP TS 51.011. Which way the data of a
command goes is another question and not answered here.
"""

from typing import Final

from remsim.card.filenames import application_name, file_name

_NAMES: Final = {
    0x04: "DEACTIVATE FILE",
    0x10: "TERMINAL PROFILE",
    0x12: "FETCH",
    0x14: "TERMINAL RESPONSE",
    0x20: "VERIFY PIN",
    0x24: "CHANGE PIN",
    0x26: "DISABLE PIN",
    0x28: "ENABLE PIN",
    0x2C: "UNBLOCK PIN",
    0x32: "INCREASE",
    0x44: "ACTIVATE FILE",
    0x70: "MANAGE CHANNEL",
    0x73: "MANAGE SECURE CHANNEL",
    0x75: "TRANSACT DATA",
    0x76: "SUSPEND UICC",
    0x78: "GET IDENTITY",
    0x7A: "EXCHANGE CAPABILITIES",
    0x84: "GET CHALLENGE",
    0x88: "AUTHENTICATE",
    0x89: "AUTHENTICATE",
    0xA2: "SEARCH RECORD",
    0xA4: "SELECT",
    0xAA: "TERMINAL CAPABILITY",
    0xB0: "READ BINARY",
    0xB2: "READ RECORD",
    0xC0: "GET RESPONSE",
    0xC2: "ENVELOPE",
    0xCA: "GET DATA",
    0xCB: "RETRIEVE DATA",
    0xD6: "UPDATE BINARY",
    0xDB: "SET DATA",
    0xDC: "UPDATE RECORD",
    0xE2: "STORE DATA",
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
}

_GSM_CLA: Final = 0xA0
_BY_AID: Final = 0x04
_HEADER: Final = 5
_SFI_FLAG: Final = 0x80
_RECORD_MODES: Final = {2: "next", 3: "previous"}


def command_name(cla: int, ins: int) -> str:
    """The name of an instruction, or ``INS xx``."""
    name = _GSM_NAMES.get(ins) if cla == _GSM_CLA else None
    return name or _NAMES.get(ins, f"INS {ins:02X}")


def describe_command(tpdu: bytes) -> str:
    """One command TPDU in a few words; anything too short to be one is called so."""
    if len(tpdu) < _HEADER:
        return f"{len(tpdu)} bytes, no command"
    cla, ins, p1, p2, p3 = tpdu[:_HEADER]
    name = command_name(cla, ins)
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
    if ins in (0xC0, 0x12):
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
    steps = [file_name(int.from_bytes(data[i : i + 2])) for i in range(0, len(data) - 1, 2)]
    return "/".join(steps) if steps else data.hex().upper()
