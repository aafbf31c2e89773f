# SPDX-License-Identifier: Apache-2.0
"""Access rules as records of EF ARR, expanded format (ETSI TS 102 221, clause 9.5; ISO/IEC 7816-4, clause 9.3.3).

The records say what the card enforces: both come from the same rules.
"""

from typing import Final

from remsim.card.tlv import encode_tlv
from remsim.uicc.files import Access, Rule

KEY_REFERENCES: Final = {Access.PIN1: 0x01, Access.PIN2: 0x81, Access.ADM: 0x0A}

# AM_DO 80: bits 1 read, 2 update, 4 deactivate, 5 activate. AM_DO 84: a command by its INS.
_READ: Final = bytes((0x80, 1, 0x01))
_UPDATE: Final = bytes((0x80, 1, 0x02))
_MANAGE: Final = bytes((0x80, 1, 0x18))
_INCREASE: Final = bytes((0x84, 1, 0x32))


def _security_condition(access: Access) -> bytes:
    if access is Access.ALWAYS:
        return encode_tlv(0x90, b"")
    if access is Access.NEVER:
        return encode_tlv(0x97, b"")
    # User authentication with a key reference; 95 01 08: knowledge of a PIN.
    return encode_tlv(0xA4, encode_tlv(0x83, bytes((KEY_REFERENCES[access],))) + encode_tlv(0x95, b"\x08"))


def encode_rule(rule: Rule) -> bytes:
    """One EF ARR record without filling: access mode and security condition in turn, equal conditions joined."""
    increase = b"" if rule.increase is Access.NEVER else _INCREASE + _security_condition(rule.increase)
    if rule.read is rule.update:
        joined = bytes((0x80, 1, 0x03)) + _security_condition(rule.read)
    else:
        joined = _READ + _security_condition(rule.read) + _UPDATE + _security_condition(rule.update)
    return joined + _MANAGE + _security_condition(rule.manage) + increase
