# SPDX-License-Identifier: Apache-2.0
"""Names of well-known files by their identifiers, for people: ``6F07`` is EF.IMSI.

Sources: ETSI TS 102 221, clause 13; 3GPP TS 31.102, clause 4; 3GPP TS 31.103, clause 4.2; 3GPP TS 51.011, clause 10.
An identifier may mean something else under another directory: where that is not known, the name is that of its most
common place.
"""

from collections.abc import Sequence
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
    0x6F41: "EF.PUCT",
    0x6F42: "EF.SMSP",
    0x6F43: "EF.SMSS",
    0x6F44: "EF.LND",
    0x6F45: "EF.CBMI",
    0x6F46: "EF.SPN",
    0x6F47: "EF.SMSR",
    0x6F48: "EF.CBMID",
    0x6F49: "EF.SDN",
    0x6F4B: "EF.EXT2",
    0x6F4C: "EF.EXT3",
    0x6F4D: "EF.BDN",
    0x6F4E: "EF.EXT5",
    0x6F4F: "EF.CCP2",
    0x6F50: "EF.CBMIR",
    0x6F52: "EF.KCGPRS",
    0x6F53: "EF.LOCIGPRS",
    0x6F55: "EF.EXT4",
    0x6F56: "EF.EST",
    0x6F57: "EF.ACL",
    0x6F58: "EF.CMI",
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
    0x6F80: "EF.ICI",
    0x6F81: "EF.OCI",
    0x6F82: "EF.ICT",
    0x6F83: "EF.OCT",
    0x6FAD: "EF.AD",
    0x6FAE: "EF.PHASE",
    0x6FB5: "EF.EMLPP",
    0x6FB6: "EF.AAEM",
    0x6FB7: "EF.ECC",
    0x6FC3: "EF.HIDDENKEY",
    0x6FC4: "EF.NETPAR",
    0x6FC5: "EF.PNN",
    0x6FC6: "EF.OPL",
    0x6FC7: "EF.MBDN",
    0x6FC8: "EF.EXT6",
    0x6FC9: "EF.MBI",
    0x6FCA: "EF.MWIS",
    0x6FCB: "EF.CFIS",
    0x6FCC: "EF.EXT7",
    0x6FCD: "EF.SPDI",
    0x6FCE: "EF.MMSN",
    0x6FCF: "EF.EXT8",
    0x6FD0: "EF.MMSICP",
    0x6FD1: "EF.MMSUP",
    0x6FD2: "EF.MMSUCP",
    0x6FD3: "EF.NIA",
    0x6FD6: "EF.GBABP",
    0x6FD7: "EF.MSK",
    0x6FD8: "EF.MUK",
    0x6FD9: "EF.EHPLMN",
    0x6FDA: "EF.GBANL",
    0x6FDB: "EF.EHPLMNPI",
    0x6FDC: "EF.LRPLMNSI",
    0x6FDD: "EF.NAFKCA",
    0x6FDE: "EF.SPNI",
    0x6FDF: "EF.PNNI",
    0x6FE2: "EF.NCP-IP",
    0x6FE3: "EF.EPSLOCI",
    0x6FE4: "EF.EPSNSC",
    0x6FE6: "EF.UFC",
    0x6FE7: "EF.UICCIARI",
    0x6FE8: "EF.NASCONFIG",
    0x6FEC: "EF.PWS",
    0x6FED: "EF.FDNURI",
    0x6FEE: "EF.BDNURI",
    0x6FEF: "EF.SDNURI",
    0x6FF1: "EF.IPS",
    0x6FF3: "EF.EPDGID",
    0x6FF4: "EF.EPDGSELECTION",
    0x6FF5: "EF.EPDGIDEM",
    0x6FF6: "EF.EPDGSELECTIONEM",
    0x6FF7: "EF.FROMPREFERRED",
    0x6FF8: "EF.IMSCONFIGDATA",
    0x6FFC: "EF.XCAPCONFIGDATA",
    0x6FFE: "EF.MUDMIDCONFIGDATA",
    0x7F10: "DF.TELECOM",
    0x7F20: "DF.GSM",
    0x7FFF: "current ADF",
}

#: Names of files whose identifiers mean something else elsewhere, or nothing, by the directory that they are in.
_IN_DIRECTORY: Final[dict[int | str, dict[int, str]]] = {
    0x7F20: {0x6F05: "EF.LP", 0x6F38: "EF.SST"},
    # 3GPP TS 31.102, clause 4.4.11.
    0x5FC0: {
        0x4F01: "EF.5GS3GPPLOCI",
        0x4F02: "EF.5GSN3GPPLOCI",
        0x4F03: "EF.5GS3GPPNSC",
        0x4F04: "EF.5GSN3GPPNSC",
        0x4F05: "EF.5GAUTHKEYS",
        0x4F06: "EF.UAC_AIC",
        0x4F07: "EF.SUCI_CALC_INFO",
        0x4F08: "EF.OPL5G",
        0x4F09: "EF.SUPI_NAI",
        0x4F0A: "EF.ROUTING_INDICATOR",
        0x4F0B: "EF.URSP",
        0x4F0C: "EF.TN3GPPSNN",
        0x4F0D: "EF.CAG",
        0x4F0E: "EF.SOR-CMCI",
        0x4F0F: "EF.DRI",
        0x4F10: "EF.5GSEDRX",
        0x4F11: "EF.5GNSWO_CONF",
        0x4F15: "EF.MCHPPLMN",
        0x4F16: "EF.KAUSF_DERIVATION",
    },
    "ADF.ISIM": {
        0x6F02: "EF.IMPI",
        0x6F03: "EF.DOMAIN",
        0x6F04: "EF.IMPU",
        0x6F07: "EF.IST",
        0x6F09: "EF.P-CSCF",
        0x6FD5: "EF.GBABP",
        0x6FD7: "EF.GBANL",
        0x6FFA: "EF.WEBRTCURI",
    },
}
#: The whole path of those directories.
_DIRECTORIES: Final[dict[int | str, tuple[int | str, ...]]] = {
    0x7F20: (0x3F00, 0x7F20),
    0x5FC0: ("ADF.USIM", 0x5FC0),
    "ADF.ISIM": ("ADF.ISIM",),
}

#: Registered application providers and applications (ETSI TS 101 220, annex E).
_APPLICATIONS: Final = {
    "A0000000871002": "USIM",
    "A0000000871004": "ISIM",
    "A0000003431002": "CSIM",
    "A0000000090001": "ETSI",
    "A000000151": "GlobalPlatform",
}


def file_name(fid: int, directory: int | str | None = None) -> str:
    """The name of a file identifier in a directory, if that is known; its four digits where it has none."""
    own = {} if directory is None else _IN_DIRECTORY.get(directory, {})
    return own.get(fid) or FILE_NAMES.get(fid, f"{fid:04X}")


def path_names(path: Sequence[int | str]) -> list[str]:
    """The names of the steps of a path; an application's stays as it is."""
    before = (None, *path)
    return [
        step if isinstance(step, str) else file_name(step, directory)
        for step, directory in zip(path, before, strict=False)
    ]


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


#: Where a name leads: an application or the MF, then file identifiers. Several of one name: the first, unless another
#: one is in the directory that is selected.
_IN_USIM: Final = frozenset(
    {0x5F3B, 0x5FC0, 0x6F05, 0x6F06, 0x6F07, 0x6F08, 0x6F09, 0x6F2C, 0x6F31, 0x6F32, 0x6F37, 0x6F38}
    | {0x6F39, 0x6F3B, 0x6F3C, 0x6F3E, 0x6F3F, 0x6F40, 0x6F41, 0x6F42, 0x6F43, 0x6F45, 0x6F46, 0x6F47}
    | {0x6F48, 0x6F49, 0x6F4B, 0x6F4C, 0x6F4D, 0x6F4E, 0x6F4F, 0x6F50, 0x6F55, 0x6F56, 0x6F57, 0x6F58}
    | {0x6F5B, 0x6F5C, 0x6F60, 0x6F61, 0x6F62, 0x6F65, 0x6F73, 0x6F78, 0x6F7B, 0x6F7E, 0x6F80, 0x6F81}
    | {0x6F82, 0x6F83, 0x6FAD, 0x6FB5, 0x6FB6, 0x6FB7, 0x6FC3, 0x6FC4, 0x6FC5, 0x6FC6, 0x6FC7, 0x6FC8}
    | {0x6FC9, 0x6FCA, 0x6FCB, 0x6FCC, 0x6FCD, 0x6FCE, 0x6FCF, 0x6FD0, 0x6FD1, 0x6FD2, 0x6FD3, 0x6FD6}
    | {0x6FD7, 0x6FD8, 0x6FD9, 0x6FDA, 0x6FDB, 0x6FDC, 0x6FDD, 0x6FDE, 0x6FDF, 0x6FE2, 0x6FE3, 0x6FE4}
    | {0x6FE6, 0x6FE7, 0x6FE8, 0x6FEC, 0x6FED, 0x6FEE, 0x6FEF, 0x6FF1, 0x6FF3, 0x6FF4, 0x6FF5, 0x6FF6}
    | {0x6FF7, 0x6FF8, 0x6FFC, 0x6FFE}
)
_IN_GSM: Final = frozenset(
    {0x6F14, 0x6F15, 0x6F16, 0x6F20, 0x6F30, 0x6F52, 0x6F53, 0x6F74, 0x6FAE}
    # These are in a USIM, too, which is their usual place.
    | {0x6F07, 0x6F31, 0x6F37, 0x6F39, 0x6F3E, 0x6F3F, 0x6F45, 0x6F46, 0x6F48, 0x6F78, 0x6F7B, 0x6F7E, 0x6FAD, 0x6FB7}
)
_IN_ISIM: Final = frozenset(
    {0x6F06, 0x6F3C, 0x6F42, 0x6F43, 0x6F47, 0x6FAD, 0x6FDD, 0x6FE7, 0x6FF7, 0x6FF8, 0x6FFC, 0x6FFE}
)
_IN_TELECOM: Final = frozenset({0x6F3A, 0x6F44, 0x5F3A})
_IN_PHONEBOOK: Final = frozenset({0x4F22, 0x4F23, 0x4F24, 0x4F30, 0x4F3A})
_IN_GSM_ACCESS: Final = frozenset({0x4F20, 0x4F52})
NamedPath = tuple[int | str, ...]


def _paths_of(fid: int) -> list[NamedPath]:
    if fid == 0x3F00:
        return [(fid,)]
    if fid >> 8 in (0x2F, 0x7F):
        return [(0x3F00, fid)]
    places: list[NamedPath] = []
    if fid in _IN_USIM:
        places.append(("ADF.USIM", fid))
    if fid in _IN_GSM_ACCESS:
        places.append(("ADF.USIM", 0x5F3B, fid))
    if fid in _IN_PHONEBOOK:
        places.append((0x3F00, 0x7F10, 0x5F3A, fid))
    if fid in _IN_TELECOM:
        places.append((0x3F00, 0x7F10, fid))
    if fid in _IN_GSM:
        places.append((0x3F00, 0x7F20, fid))
    if fid in _IN_ISIM:
        places.append(("ADF.ISIM", fid))
    return places


def _named_paths() -> dict[str, list[NamedPath]]:
    named: dict[str, list[NamedPath]] = {}
    for fid, name in FILE_NAMES.items():
        if fid != 0x7FFF:
            named.setdefault(name, []).extend(_paths_of(fid))
    for directory, files in _IN_DIRECTORY.items():
        for fid, name in files.items():
            named.setdefault(name, []).append((*_DIRECTORIES[directory], fid))
    for name in _APPLICATIONS.values():
        named[f"ADF.{name}"] = [(f"ADF.{name}",)]
    return named


#: Every name of a file or application, and where it may be, the usual place first.
NAMED_PATHS: Final = _named_paths()


def application_aid(name: str) -> bytes | None:
    """The beginning of the AID of ``ADF.USIM`` and the like; None for another name."""
    digits = application_prefix(name)
    return None if digits is None else bytes.fromhex(digits)
