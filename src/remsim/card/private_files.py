# SPDX-License-Identifier: Apache-2.0
"""Files of a card whose content is secret or personal, by identifier, each with its specification.

Sources: 3GPP TS 31.102 (USIM), 3GPP TS 31.103 (ISIM), 3GPP TS 51.011 (SIM), 3GPP2 C.S0065 (CSIM). An identifier counts
in whatever directory: where it means something harmless, too much is hidden rather than too little.
"""

from types import MappingProxyType
from typing import Final

#: Keys, and what stands for one.
KEY_FILES: Final = MappingProxyType(
    {
        0x6F08: "TS 31.102: EF.Keys",
        0x6F09: "TS 31.102: EF.KeysPS",
        0x6F20: "TS 51.011: EF.Kc",
        0x4F20: "TS 31.102: EF.Kc",
        0x6F52: "TS 51.011: EF.KcGPRS",
        0x4F52: "TS 31.102: EF.KcGPRS",
        0x6F2C: "TS 31.102: EF.DCK, which take the lock off a phone",
        0x6FC3: "TS 31.102: EF.HiddenKey, which shows hidden entries of the phone book",
        0x6FE2: "TS 31.102: EF.NCP-IP, with a password",
        0x6FFC: "TS 31.102: EF.XCAPConfigData, with passwords",
        0x6FE4: "TS 31.102: EF.EPSNSC",
        0x4F03: "TS 31.102: EF.5GS3GPPNSC",
        0x4F04: "TS 31.102: EF.5GSN3GPPNSC",
        0x4F05: "TS 31.102: EF.5GAUTHKEYS",
        0x6FD5: "TS 31.103: EF.GBABP of an ISIM",
        0x6FD6: "TS 31.102: EF.GBABP",
        0x6FD7: "TS 31.102: EF.MSK",
        0x6FD8: "TS 31.102: EF.MUK",
        0x4F46: "TS 31.102: EF.WRI",
    }
)

#: Who the subscriber is. Of IMSI and ICCID a part may be seen, so they are not here.
IDENTITY_FILES: Final = MappingProxyType(
    {
        0x6F02: "TS 31.103: EF.IMPI",
        0x6F04: "TS 31.103: EF.IMPU",
        0x4F09: "TS 31.102: EF.SUPI_NAI",
        0x6FFE: "TS 31.102: EF.MuDMiDConfigData",
        0x4F41: "TS 31.102: EF.Pseudo",
        0x6F40: "TS 31.102: EF.MSISDN",
        0x6F22: "C.S0065: EF.IMSI_M of a CSIM",
        0x6F23: "C.S0065: EF.IMSI_T of a CSIM",
    }
)

#: Whom the subscriber knows, calls and writes to, and what is written.
CONTACT_FILES: Final = MappingProxyType(
    {
        0x6F3A: "TS 51.011: EF.ADN",
        0x6F3B: "TS 31.102: EF.FDN",
        0x6F3C: "TS 31.102: EF.SMS",
        0x6F42: "TS 31.102: EF.SMSP",
        0x6F44: "TS 51.011: EF.LND",
        0x6F47: "TS 31.102: EF.SMSR",
        0x6F4A: "TS 51.011: EF.EXT1",
        0x6F4B: "TS 31.102: EF.EXT2",
        0x6F4D: "TS 31.102: EF.BDN",
        0x6F4E: "TS 31.102: EF.EXT5",
        0x6F55: "TS 31.102: EF.EXT4",
        0x6F80: "TS 31.102: EF.ICI",
        0x6F81: "TS 31.102: EF.OCI",
        0x6F82: "TS 31.102: EF.ICT",
        0x6F83: "TS 31.102: EF.OCT",
        0x6FC7: "TS 31.102: EF.MBDN",
        0x6FC8: "TS 31.102: EF.EXT6",
        0x6FCB: "TS 31.102: EF.CFIS",
        0x6FCC: "TS 31.102: EF.EXT7",
        0x6FCE: "TS 31.102: EF.MMSN",
        0x6FCF: "TS 31.102: EF.EXT8",
        0x6FD0: "TS 31.102: EF.MMSICP",
        0x6FD1: "TS 31.102: EF.MMSUP",
        0x6FD2: "TS 31.102: EF.MMSUCP",
        0x6FDA: "TS 31.102: EF.GBANL",
        0x6FED: "TS 31.102: EF.FDNURI",
        0x6FEE: "TS 31.102: EF.BDNURI",
        0x4F47: "TS 31.102: EF.MML",
        0x4F48: "TS 31.102: EF.MMDF",
    }
)

#: Where the subscriber is, or was last.
PLACE_FILES: Final = MappingProxyType(
    {
        0x6F7E: "TS 31.102: EF.LOCI",
        0x6F73: "TS 31.102: EF.PSLOCI",
        0x6FE3: "TS 31.102: EF.EPSLOCI",
        0x4F01: "TS 31.102: EF.5GS3GPPLOCI",
        0x4F02: "TS 31.102: EF.5GSN3GPPLOCI",
        0x6F53: "TS 51.011: EF.LOCIGPRS",
        0x6F74: "TS 51.011: EF.BCCH",
        0x4F63: "TS 31.102: EF.CPBCCH",
        0x6FC4: "TS 31.102: EF.NETPAR",
    }
)

#: The directory of a phone book (TS 31.102), and its files that tell only how it is made and synchronised: PBR,
#: PSC, CC and PUID. All others hold entries.
PHONE_BOOK: Final = 0x5F3A
_FORM_OF_PHONE_BOOK: Final = frozenset({0x4F30, 0x4F22, 0x4F23, 0x4F24})

_SECRET: Final = frozenset((*KEY_FILES, *IDENTITY_FILES, *CONTACT_FILES, *PLACE_FILES))


def is_private(path: tuple[int | str, ...]) -> bool:
    """Whether nothing of this file's content may be shown. ``path`` names its directories, too."""
    file = path[-1]
    if file in _SECRET:
        return True
    return PHONE_BOOK in path[:-1] and file not in _FORM_OF_PHONE_BOOK
