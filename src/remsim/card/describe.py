# SPDX-License-Identifier: Apache-2.0
"""Commands in words, for people who watch: ``SELECT EF.ICCID``, ``READ RECORD 3``, ``VERIFY PIN (tries left?)``.

Tells what a command is, never what data it carries: PIN values, challenges and written contents do not appear.
Names: ETSI TS 102 221, 3GPP TS 31.102, TS 51.011, GlobalPlatform Card Specification.
"""

from typing import Final

#: INS to name, for the classes of UICC and SIM (TS 102 221 table 10.5, TS 51.011 table 9).
INSTRUCTIONS: Final[dict[int, str]] = {
    0x04: "DEACTIVATE FILE",
    0x10: "TERMINAL PROFILE",
    0x12: "FETCH",
    0x14: "TERMINAL RESPONSE",
    0x20: "VERIFY",
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
#: What class A0 calls differently (TS 51.011, clause 9.2).
_GSM_INSTRUCTIONS: Final[dict[int, str]] = {
    0x04: "INVALIDATE",
    0x44: "REHABILITATE",
    0x20: "VERIFY CHV",
    0x24: "CHANGE CHV",
    0x26: "DISABLE CHV",
    0x28: "ENABLE CHV",
    0x2C: "UNBLOCK CHV",
    0x88: "RUN GSM ALGORITHM",
    0xA2: "SEEK",
    0xFA: "SLEEP",
}
_GSM_CLASS: Final = 0xA0
_BY_AID: Final = 0x04

#: Well-known file identifiers below MF and below a USIM or DF.GSM.
FILES: Final[dict[int, str]] = {
    0x3F00: "MF",
    0x7FFF: "ADF",
    0x7F10: "DF.TELECOM",
    0x7F20: "DF.GSM",
    0x5F3A: "DF.PHONEBOOK",
    0x5F3B: "DF.GSM-ACCESS",
    0x2F00: "EF.DIR",
    0x2F05: "EF.PL",
    0x2F06: "EF.ARR",
    0x2F08: "EF.UMPC",
    0x2FE2: "EF.ICCID",
    0x4F30: "EF.PBR",
    0x6F05: "EF.LI",
    0x6F06: "EF.ARR",
    0x6F07: "EF.IMSI",
    0x6F08: "EF.Keys",
    0x6F09: "EF.KeysPS",
    0x6F31: "EF.HPPLMN",
    0x6F38: "EF.UST",
    0x6F3A: "EF.ADN",
    0x6F3B: "EF.FDN",
    0x6F3C: "EF.SMS",
    0x6F40: "EF.MSISDN",
    0x6F42: "EF.SMSP",
    0x6F43: "EF.SMSS",
    0x6F45: "EF.CBMI",
    0x6F46: "EF.SPN",
    0x6F48: "EF.CBMID",
    0x6F50: "EF.CBMIR",
    0x6F56: "EF.EST",
    0x6F5B: "EF.START-HFN",
    0x6F5C: "EF.THRESHOLD",
    0x6F60: "EF.PLMNwAcT",
    0x6F61: "EF.OPLMNwAcT",
    0x6F62: "EF.HPLMNwAcT",
    0x6F73: "EF.PSLOCI",
    0x6F78: "EF.ACC",
    0x6F7B: "EF.FPLMN",
    0x6F7E: "EF.LOCI",
    0x6FAD: "EF.AD",
    0x6FB7: "EF.ECC",
    0x6FC4: "EF.NETPAR",
    0x6FC5: "EF.PNN",
    0x6FC6: "EF.OPL",
    0x6FC7: "EF.MBDN",
    0x6FC9: "EF.MBI",
    0x6FCA: "EF.MWIS",
    0x6FE3: "EF.EPSLOCI",
    0x6FE4: "EF.EPSNSC",
}


def instruction_name(tpdu: bytes) -> str:
    """The command's name, or ``INS xx`` for one that is not known. ``tpdu`` has at least two octets."""
    names = _GSM_INSTRUCTIONS if tpdu[0] == _GSM_CLASS and tpdu[1] in _GSM_INSTRUCTIONS else INSTRUCTIONS
    return names.get(tpdu[1], f"INS {tpdu[1]:02X}")


def describe_command(tpdu: bytes) -> str:
    """One command TPDU (5..260 octets) in a few words; shorter octet strings as hex."""
    if len(tpdu) < 5:
        return tpdu.hex().upper()
    name = instruction_name(tpdu)
    ins, p1, p2, p3 = tpdu[1:5]
    match ins:
        case 0xA4:
            return f"{name} {_selected(p1, tpdu[5:])}"
        case 0xB0 | 0xD6 if p1 & 0x80:
            return f"{name} (SFI {p1 & 0x1F:02X})"
        case 0xB2 | 0xDC:
            sfi = f" (SFI {p2 >> 3:02X})" if p2 >> 3 else ""
            return f"{name} {_record(p1, p2)}{sfi}"
        case 0x20 | 0x2C if p3 == 0:
            return f"{name} (tries left?)"
        case 0x70:
            return f"{name} {'close' if p1 & 0x80 else 'open'}"
        case 0xC0 | 0x12:
            return f"{name} ({p3 or 256} octets)"
    return name


def _record(p1: int, p2: int) -> str:
    return {2: "next", 3: "previous"}.get(p2 & 0x07, str(p1) if p1 else "current")


def _selected(p1: int, data: bytes) -> str:
    if p1 == _BY_AID:
        return f"AID {data.hex().upper()}" if data else "next application"
    if not data or len(data) % 2:
        return data.hex().upper()
    ids = [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]
    if ids[-1] in FILES:
        return FILES[ids[-1]]
    return "/".join(f"{file_id:04X}" for file_id in ids)
