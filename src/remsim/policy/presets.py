# SPDX-License-Identifier: Apache-2.0
"""The guard's shipped rules. They are about what a modem in normal service does not do; by default they only note it.

Sources of the numbers: ISO 7816-4, clause 11; ETSI TS 102 221, clauses 10.1 and 13; 3GPP TS 31.102, clause 4;
GlobalPlatform Card Specification, clause 11.
"""

from typing import Final

from remsim.policy.guard import Action, ClassMask, GuardPolicy, Rule

#: Files that a modem writes in normal service: location and security context, forbidden networks, messages, counters.
MODEM_FILES: Final = (
    *(0x6F7E, 0x6F73, 0x6F53, 0x6FE3, 0x4F01, 0x4F02),  # LOCI, PSLOCI, LOCIGPRS, EPSLOCI, 5GS3GPPLOCI, 5GSN3GPPLOCI
    *(0x6F08, 0x6F09, 0x6F20, 0x4F20, 0x6F52, 0x4F52),  # Keys, KeysPS, Kc, KcGPRS
    *(0x6FE4, 0x4F03, 0x4F04, 0x4F05),  # EPSNSC, 5GS3GPPNSC, 5GSN3GPPNSC, 5GAUTHKEYS
    *(0x6F7B, 0x6F5B, 0x6F5C, 0x6F74, 0x6FC4),  # FPLMN, START-HFN, THRESHOLD, BCCH, NETPAR
    *(0x6F3C, 0x6F43, 0x6F47, 0x6FCA),  # SMS, SMSS, SMSR, MWIS
    *(0x6F39, 0x6F44, 0x6F80, 0x6F81),  # ACM, LND, ICI, OCI
)

_INTER_INDUSTRY: Final = ClassMask(0x00, 0x80)
#: GlobalPlatform names 80 to 8F, C0 to CF and E0 to EF. Cards take the others, too: in 90 to 9F, for one, all but the
#: last part of a chain. None of the instructions below is one that a modem sends in class A0.
_PROPRIETARY: Final = ClassMask(0x80, 0x80)

PRESETS: Final = (
    # CHANGE, DISABLE, ENABLE, UNBLOCK. Modems ask with P3 = 00 how many tries are left; that changes nothing.
    Rule("pin-change", Action.LOG, instructions=frozenset({0x24, 0x26, 0x28, 0x2C}), spares_queries=True),
    # UPDATE BINARY and RECORD, INCREASE, SET DATA.
    Rule(
        "file-update",
        Action.LOG,
        instructions=frozenset({0xD6, 0xD7, 0xDC, 0xDD, 0x32, 0xDB}),
        not_files=tuple((file,) for file in MODEM_FILES),
    ),
    # CREATE and DELETE FILE, TERMINATE; WRITE and APPEND RECORD (ISO 7816-4), which no modem sends to any file.
    Rule(
        "file-update",
        Action.LOG,
        classes=(_INTER_INDUSTRY,),
        instructions=frozenset({0xE0, 0xE4, 0xE6, 0xE8, 0xFE, 0xD0, 0xD1, 0xD2, 0xE2}),
    ),
    # RESIZE FILE, which has class 80 (ETSI TS 102 222, clause 6.10).
    Rule("file-update", Action.LOG, instructions=frozenset({0xD4})),
    # INITIALIZE UPDATE, EXTERNAL AUTHENTICATE, PSO, PUT KEY, STORE DATA, DELETE, INSTALL, LOAD, SET STATUS.
    Rule(
        "globalplatform",
        Action.LOG,
        classes=(_PROPRIETARY,),
        instructions=frozenset({0x50, 0x82, 0x2A, 0xD8, 0xE2, 0xE4, 0xE6, 0xE8, 0xF0}),
    ),
)

#: Without a rule file.
DEFAULT: Final = GuardPolicy(PRESETS)
