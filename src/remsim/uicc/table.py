# SPDX-License-Identifier: Apache-2.0
"""Which commands the card knows: (class, instruction) to handler and direction of data.

Sources: ETSI TS 102 221, table 10.5; 3GPP TS 31.102, clause 7; 3GPP TS 51.011, table 9.
"""

from enum import Enum
from typing import Final, NamedTuple

from remsim.card.class_byte import Family
from remsim.uicc.commands import auth, binary, gsm, manage, objects, pin, record, select
from remsim.uicc.session import Handler


class CommandCase(Enum):
    """Direction of data (ISO/IEC 7816-3, clause 12.1)."""

    NONE = 1
    OUT = 2
    IN = 3
    IN_OUT = 4
    #: Case 4 with command data, case 2 without: blocks of RETRIEVE DATA.
    EITHER = 5


class CommandEntry(NamedTuple):
    """One command."""

    name: str
    case: CommandCase
    handler: Handler


INS_GET_RESPONSE: Final = 0xC0

_G, _I, _U = Family.GSM, Family.INTER_INDUSTRY, Family.PROPRIETARY

COMMANDS: Final[dict[tuple[Family, int], CommandEntry]] = {
    (_I, 0x04): CommandEntry("DEACTIVATE FILE", CommandCase.NONE, manage.deactivate_file),
    (_I, 0x20): CommandEntry("VERIFY PIN", CommandCase.IN, pin.verify),
    (_I, 0x24): CommandEntry("CHANGE PIN", CommandCase.IN, pin.change),
    (_I, 0x26): CommandEntry("DISABLE PIN", CommandCase.IN, pin.disable),
    (_I, 0x28): CommandEntry("ENABLE PIN", CommandCase.IN, pin.enable),
    (_I, 0x2C): CommandEntry("UNBLOCK PIN", CommandCase.IN, pin.unblock),
    (_I, 0x44): CommandEntry("ACTIVATE FILE", CommandCase.NONE, manage.activate_file),
    (_I, 0x70): CommandEntry("MANAGE CHANNEL", CommandCase.OUT, manage.manage_channel),
    (_I, 0x88): CommandEntry("AUTHENTICATE", CommandCase.IN_OUT, auth.authenticate),
    (_I, 0xA2): CommandEntry("SEARCH RECORD", CommandCase.IN_OUT, record.search_record),
    (_I, 0xA4): CommandEntry("SELECT", CommandCase.IN_OUT, select.select),
    (_I, 0xB0): CommandEntry("READ BINARY", CommandCase.OUT, binary.read_binary),
    (_I, 0xB2): CommandEntry("READ RECORD", CommandCase.OUT, record.read_record),
    (_I, 0xD6): CommandEntry("UPDATE BINARY", CommandCase.IN, binary.update_binary),
    (_I, 0xDC): CommandEntry("UPDATE RECORD", CommandCase.IN, record.update_record),
    (_U, 0x10): CommandEntry("TERMINAL PROFILE", CommandCase.IN, manage.terminal_profile),
    (_U, 0x12): CommandEntry("FETCH", CommandCase.OUT, manage.fetch),
    (_U, 0x14): CommandEntry("TERMINAL RESPONSE", CommandCase.IN, manage.terminal_response),
    (_U, 0x32): CommandEntry("INCREASE", CommandCase.IN_OUT, record.increase),
    (_U, 0xAA): CommandEntry("TERMINAL CAPABILITY", CommandCase.IN, manage.terminal_capability),
    (_U, 0xC2): CommandEntry("ENVELOPE", CommandCase.IN_OUT, manage.envelope),
    (_U, 0xCB): CommandEntry("RETRIEVE DATA", CommandCase.EITHER, objects.retrieve_data),
    (_U, 0xDB): CommandEntry("SET DATA", CommandCase.IN, objects.set_data),
    (_U, 0xF2): CommandEntry("STATUS", CommandCase.OUT, select.status),
    (_G, 0x04): CommandEntry("INVALIDATE", CommandCase.NONE, manage.deactivate_file),
    (_G, 0x10): CommandEntry("TERMINAL PROFILE", CommandCase.IN, manage.terminal_profile),
    (_G, 0x12): CommandEntry("FETCH", CommandCase.OUT, manage.fetch),
    (_G, 0x14): CommandEntry("TERMINAL RESPONSE", CommandCase.IN, manage.terminal_response),
    (_G, 0x20): CommandEntry("VERIFY CHV", CommandCase.IN, gsm.verify),
    (_G, 0x24): CommandEntry("CHANGE CHV", CommandCase.IN, gsm.change),
    (_G, 0x26): CommandEntry("DISABLE CHV", CommandCase.IN, gsm.disable),
    (_G, 0x28): CommandEntry("ENABLE CHV", CommandCase.IN, gsm.enable),
    (_G, 0x2C): CommandEntry("UNBLOCK CHV", CommandCase.IN, gsm.unblock),
    (_G, 0x32): CommandEntry("INCREASE", CommandCase.IN_OUT, gsm.increase),
    (_G, 0x44): CommandEntry("REHABILITATE", CommandCase.NONE, manage.activate_file),
    (_G, 0x88): CommandEntry("RUN GSM ALGORITHM", CommandCase.IN_OUT, auth.run_gsm_algorithm),
    (_G, 0xA2): CommandEntry("SEEK", CommandCase.IN_OUT, gsm.seek),
    (_G, 0xA4): CommandEntry("SELECT", CommandCase.IN_OUT, gsm.select),
    (_G, 0xB0): CommandEntry("READ BINARY", CommandCase.OUT, binary.read_binary),
    (_G, 0xB2): CommandEntry("READ RECORD", CommandCase.OUT, gsm.read_record),
    (_G, 0xC2): CommandEntry("ENVELOPE", CommandCase.IN_OUT, manage.envelope),
    (_G, 0xD6): CommandEntry("UPDATE BINARY", CommandCase.IN, binary.update_binary),
    (_G, 0xDC): CommandEntry("UPDATE RECORD", CommandCase.IN, gsm.update_record),
    (_G, 0xF2): CommandEntry("STATUS", CommandCase.OUT, gsm.status),
    (_G, 0xFA): CommandEntry("SLEEP", CommandCase.NONE, manage.sleep),
}

#: Instructions known in some class: elsewhere they get 6E00, others 6D00.
KNOWN_INSTRUCTIONS: Final = frozenset(ins for _, ins in COMMANDS) | {INS_GET_RESPONSE}
