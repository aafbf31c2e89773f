# SPDX-License-Identifier: Apache-2.0
"""Names of well-known files by their identifiers, for people: ``6F07`` is EF.IMSI.

Sources: ETSI TS 102 221, clause 13; 3GPP TS 31.102, clause 4; 3GPP TS 51.011, clause 10. An identifier may mean
something else under another directory; the name is that of its most common place.
"""

from typing import Final

#: File identifier to name.
FILE_NAMES: Final = {
    0x2F00: "EF.DIR",
    0x2F05: "EF.PL",
    0x2F06: "EF.ARR",
    0x2F08: "EF.UMPC",
    0x2FE2: "EF.ICCID",
    0x3F00: "MF",
    0x4F20: "EF.KC",
    0x4F22: "EF.PSC",
    0x4F23: "EF.CC",
    0x4F24: "EF.PUID",
    0x4F30: "EF.PBR",
    0x4F3A: "EF.ADN",
    0x4F52: "EF.KCGPRS",
    0x5F3A: "DF.PHONEBOOK",
    0x5F3B: "DF.GSM-ACCESS",
    0x5FC0: "DF.5GS",
    0x6F05: "EF.LI",
    0x6F06: "EF.ARR",
    0x6F07: "EF.IMSI",
    0x6F08: "EF.KEYS",
    0x6F09: "EF.KEYSPS",
    0x6F14: "EF.CPHS-ONS",
    0x6F15: "EF.CPHS-CSP",
    0x6F16: "EF.CPHS-INFO",
    0x6F20: "EF.KC",
    0x6F2C: "EF.DCK",
    0x6F30: "EF.PLMNSEL",
    0x6F31: "EF.HPPLMN",
    0x6F32: "EF.CNL",
    0x6F37: "EF.ACMMAX",
    0x6F38: "EF.UST",
    0x6F39: "EF.ACM",
    0x6F3A: "EF.ADN",
    0x6F3B: "EF.FDN",
    0x6F3C: "EF.SMS",
    0x6F3E: "EF.GID1",
    0x6F3F: "EF.GID2",
    0x6F40: "EF.MSISDN",
    0x6F42: "EF.SMSP",
    0x6F43: "EF.SMSS",
    0x6F44: "EF.LND",
    0x6F45: "EF.CBMI",
    0x6F46: "EF.SPN",
    0x6F47: "EF.SMSR",
    0x6F48: "EF.CBMID",
    0x6F49: "EF.SDN",
    0x6F52: "EF.KCGPRS",
    0x6F53: "EF.LOCIGPRS",
    0x6F56: "EF.EST",
    0x6F5B: "EF.START-HFN",
    0x6F5C: "EF.THRESHOLD",
    0x6F60: "EF.PLMNWACT",
    0x6F61: "EF.OPLMNWACT",
    0x6F62: "EF.HPLMNWACT",
    0x6F65: "EF.RPLMNACT",
    0x6F73: "EF.PSLOCI",
    0x6F74: "EF.BCCH",
    0x6F78: "EF.ACC",
    0x6F7B: "EF.FPLMN",
    0x6F7E: "EF.LOCI",
    0x6FAD: "EF.AD",
    0x6FAE: "EF.PHASE",
    0x6FB7: "EF.ECC",
    0x6FC3: "EF.HIDDENKEY",
    0x6FC4: "EF.NETPAR",
    0x6FC5: "EF.PNN",
    0x6FC6: "EF.OPL",
    0x6FC7: "EF.MBDN",
    0x6FC9: "EF.MBI",
    0x6FCA: "EF.MWIS",
    0x6FCD: "EF.SPDI",
    0x6FD9: "EF.EHPLMN",
    0x6FE3: "EF.EPSLOCI",
    0x6FE4: "EF.EPSNSC",
    0x7F10: "DF.TELECOM",
    0x7F20: "DF.GSM",
    0x7FFF: "current ADF",
}

#: Registered application providers and applications (ETSI TS 101 220, annex E).
_APPLICATIONS: Final = {
    "A0000000871002": "USIM",
    "A0000000871004": "ISIM",
    "A0000003431002": "CSIM",
    "A0000000090001": "ETSI",
    "A000000151": "GlobalPlatform",
}


def file_name(fid: int) -> str:
    """The name of a file identifier, or its four digits."""
    return FILE_NAMES.get(fid, f"{fid:04X}")


def application_name(aid: bytes) -> str:
    """``ADF.USIM`` and the like for a full or partial AID, or its digits."""
    digits = aid.hex().upper()
    for prefix, name in _APPLICATIONS.items():
        if digits.startswith(prefix):
            return f"ADF.{name}"
    return f"AID {digits}"


def application_prefix(name: str) -> str | None:
    """The digits with which the AID of every ``ADF.USIM`` (or the like) begins; None for a name that is not known."""
    return next((prefix for prefix, known in _APPLICATIONS.items() if name == f"ADF.{known}"), None)


def is_ambiguous_aid(aid: bytes) -> bool:
    """Whether a partial AID may mean a well-known application and others as well: it ends before they differ."""
    digits = aid.hex().upper()
    return any(prefix.startswith(digits) and prefix != digits for prefix in _APPLICATIONS)
