# SPDX-License-Identifier: Apache-2.0
"""State table of a client slot. A pair that is not listed is illegal; the diagram in the docs is drawn from here.

The two links of a slot have a table of their own (``wire.link.dialing``); this one says what the slot is good for.
"""

from typing import Final

from remsim.core.state_machine import Event, State, Transitions


class SlotState(State):
    """What a client slot can do for its modem."""

    INIT = "INIT"  # no server has accepted us yet
    UNCONFIGURED = "UNCONFIGURED"  # known to the server, no bankd given
    WAIT_BANKD = "WAIT_BANKD"  # bankd given; not connected, or it has no card for us yet
    OPERATIONAL = "OPERATIONAL"  # the bankd serves us
    HOLDING = "HOLDING"  # the link is lost, the session is held: to the modem, its card is slow


class SlotEvent(Event):
    """What moves a client slot."""

    SERVER_ACCEPTED = "server accepted us"
    BANKD_GIVEN = "configClientBankReq, port not 0"
    BANKD_TAKEN = "configClientBankReq, port 0"
    STATE_RESET = "resetStateReq"
    BANKD_ACCEPTED = "bankd accepted us"
    BANKD_LOST = "bankd link lost"
    LINK_HELD = "bankd link lost, session held"
    HOLD_OVER = "session not held any more"


def _table() -> dict[tuple[SlotState, SlotEvent], SlotState]:
    table = {
        (SlotState.INIT, SlotEvent.SERVER_ACCEPTED): SlotState.UNCONFIGURED,
        (SlotState.WAIT_BANKD, SlotEvent.BANKD_ACCEPTED): SlotState.OPERATIONAL,
        (SlotState.WAIT_BANKD, SlotEvent.BANKD_LOST): SlotState.WAIT_BANKD,
        (SlotState.OPERATIONAL, SlotEvent.BANKD_LOST): SlotState.WAIT_BANKD,
        (SlotState.OPERATIONAL, SlotEvent.LINK_HELD): SlotState.HOLDING,
        (SlotState.HOLDING, SlotEvent.LINK_HELD): SlotState.HOLDING,
        (SlotState.HOLDING, SlotEvent.BANKD_ACCEPTED): SlotState.OPERATIONAL,
        (SlotState.HOLDING, SlotEvent.HOLD_OVER): SlotState.WAIT_BANKD,
    }
    for state in (SlotState.UNCONFIGURED, SlotState.WAIT_BANKD, SlotState.OPERATIONAL, SlotState.HOLDING):
        # The server may come and go; the session with the bankd goes on.
        table[state, SlotEvent.SERVER_ACCEPTED] = state
        table[state, SlotEvent.BANKD_GIVEN] = SlotState.WAIT_BANKD
        table[state, SlotEvent.BANKD_TAKEN] = SlotState.UNCONFIGURED
        table[state, SlotEvent.STATE_RESET] = SlotState.UNCONFIGURED
    return table


SLOT_TRANSITIONS: Final[Transitions[SlotState, SlotEvent]] = Transitions("client slot", _table())
