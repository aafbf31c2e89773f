# SPDX-License-Identifier: Apache-2.0
"""Which commands the card knows: (class, instruction) to handler and direction of data.

Sources: ETSI TS 102 221, table 10.5; 3GPP TS 31.102, clause 7; 3GPP TS 51.011, table 9.
"""

from enum import Enum
from typing import Final, NamedTuple

from remsim.card.class_byte import Family
from remsim.uicc.commands import auth, binary, gsm, manage, objects, pin, record, select
from remsim.uicc.session import Handler


class Case(Enum):
    """Direction of data (ISO/IEC 7816-3, clause 12.1)."""

    NONE = 1
    OUT = 2
    IN = 3
    IN_OUT = 4
    #: Case 4 with command data, case 2 without: blocks of RETRIEVE DATA.
    EITHER = 5


class Entry(NamedTuple):
    """One command."""

    name: str
    case: Case
    handler: Handler


INS_GET_RESPONSE: Final = 0xC0

_G, _I, _U = Family.GSM, Family.INTER_INDUSTRY, Family.PROPRIETARY

COMMANDS: Final[dict[tuple[Family, int], Entry]] = {
    (_I, 0x04): Entry("DEACTIVATE FILE", Case.NONE, manage.deactivate_file),
    (_I, 0x20): Entry("VERIFY PIN", Case.IN, pin.verify),
    (_I, 0x24): Entry("CHANGE PIN", Case.IN, pin.change),
    (_I, 0x26): Entry("DISABLE PIN", Case.IN, pin.disable),
    (_I, 0x28): Entry("ENABLE PIN", Case.IN, pin.enable),
    (_I, 0x2C): Entry("UNBLOCK PIN", Case.IN, pin.unblock),
    (_I, 0x44): Entry("ACTIVATE FILE", Case.NONE, manage.activate_file),
    (_I, 0x70): Entry("MANAGE CHANNEL", Case.OUT, manage.manage_channel),
    (_I, 0x88): Entry("AUTHENTICATE", Case.IN_OUT, auth.authenticate),
    (_I, 0xA2): Entry("SEARCH RECORD", Case.IN_OUT, record.search_record),
    (_I, 0xA4): Entry("SELECT", Case.IN_OUT, select.select),
    (_I, 0xB0): Entry("READ BINARY", Case.OUT, binary.read_binary),
    (_I, 0xB2): Entry("READ RECORD", Case.OUT, record.read_record),
    (_I, 0xD6): Entry("UPDATE BINARY", Case.IN, binary.update_binary),
    (_I, 0xDC): Entry("UPDATE RECORD", Case.IN, record.update_record),
    (_U, 0x10): Entry("TERMINAL PROFILE", Case.IN, manage.terminal_profile),
    (_U, 0x12): Entry("FETCH", Case.OUT, manage.fetch),
    (_U, 0x14): Entry("TERMINAL RESPONSE", Case.IN, manage.terminal_response),
    (_U, 0x32): Entry("INCREASE", Case.IN_OUT, record.increase),
    (_U, 0xAA): Entry("TERMINAL CAPABILITY", Case.IN, manage.terminal_capability),
    (_U, 0xC2): Entry("ENVELOPE", Case.IN_OUT, manage.envelope),
    (_U, 0xCB): Entry("RETRIEVE DATA", Case.EITHER, objects.retrieve_data),
    (_U, 0xDB): Entry("SET DATA", Case.IN, objects.set_data),
    (_U, 0xF2): Entry("STATUS", Case.OUT, select.status),
    (_G, 0x04): Entry("INVALIDATE", Case.NONE, manage.deactivate_file),
    (_G, 0x10): Entry("TERMINAL PROFILE", Case.IN, manage.terminal_profile),
    (_G, 0x12): Entry("FETCH", Case.OUT, manage.fetch),
    (_G, 0x14): Entry("TERMINAL RESPONSE", Case.IN, manage.terminal_response),
    (_G, 0x20): Entry("VERIFY CHV", Case.IN, gsm.verify),
    (_G, 0x24): Entry("CHANGE CHV", Case.IN, gsm.change),
    (_G, 0x26): Entry("DISABLE CHV", Case.IN, gsm.disable),
    (_G, 0x28): Entry("ENABLE CHV", Case.IN, gsm.enable),
    (_G, 0x2C): Entry("UNBLOCK CHV", Case.IN, gsm.unblock),
    (_G, 0x32): Entry("INCREASE", Case.IN_OUT, gsm.increase),
    (_G, 0x44): Entry("REHABILITATE", Case.NONE, manage.activate_file),
    (_G, 0x88): Entry("RUN GSM ALGORITHM", Case.IN_OUT, auth.run_gsm_algorithm),
    (_G, 0xA2): Entry("SEEK", Case.IN_OUT, gsm.seek),
    (_G, 0xA4): Entry("SELECT", Case.IN_OUT, gsm.select),
    (_G, 0xB0): Entry("READ BINARY", Case.OUT, binary.read_binary),
    (_G, 0xB2): Entry("READ RECORD", Case.OUT, gsm.read_record),
    (_G, 0xC2): Entry("ENVELOPE", Case.IN_OUT, manage.envelope),
    (_G, 0xD6): Entry("UPDATE BINARY", Case.IN, binary.update_binary),
    (_G, 0xDC): Entry("UPDATE RECORD", Case.IN, gsm.update_record),
    (_G, 0xF2): Entry("STATUS", Case.OUT, gsm.status),
    (_G, 0xFA): Entry("SLEEP", Case.NONE, manage.sleep),
}

#: Instructions known in some class: elsewhere they get 6E00, others 6D00.
KNOWN_INSTRUCTIONS: Final = frozenset(ins for _, ins in COMMANDS) | {INS_GET_RESPONSE}
