# SPDX-License-Identifier: Apache-2.0
"""What an event script is called for, and what it is told. Pure; the script itself is run by ``runner``.

Causes, their order and the environment are those of the classic client (rspro.md, section 15). Its mistakes are not:
event-modem-status comes when the lines change, and there are causes for what it keeps to itself (known-limits.md,
78 and 80).
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from remsim import __version__
from remsim.client.core.actions import (
    Abort,
    Action,
    DialBankd,
    HangUpBankd,
    InsertCard,
    RemoveCard,
    ResetModem,
    SelectSim,
)
from remsim.client.core.notices import Notice, NoticeKind
from remsim.client.core.states import SlotState
from remsim.config import HostPort
from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire.link.dialing import DialState
from remsim.wire.messages.rspro import SlotPhysStatus


class ScriptCause(Enum):
    """The script's first argument, and REMSIM_CAUSE."""

    SERVER_CONNECT = "event-server-connect"
    CONFIG_BANKD = "event-config-bankd"
    BANKD_CONNECT = "event-bankd-connect"
    MODEM_STATUS = "event-modem-status"
    SIM_REMOTE = "request-sim-remote"
    SIM_LOCAL = "request-sim-local"
    CARD_INSERT = "request-card-insert"
    CARD_REMOVE = "request-card-remove"
    MODEM_RESET = "request-modem-reset"
    # Unknown to the classic client.
    SERVER_LOST = "event-server-lost"
    SERVER_BACK = "event-server-back"
    BANKD_REFUSED = "event-bankd-refused"
    TPDU_FAILED = "event-tpdu-failed"
    HOLD = "event-hold"
    RESUME = "event-resume"

    @property
    def is_request(self) -> bool:
        """Something is to be done at the modem, so the call must not be left out."""
        return self.value.startswith("request-")


class EventCauses:
    """Remembers what it takes to call the script once for what happened once, and in the classic order."""

    def __init__(self) -> None:
        self._has_had_server = False
        self._is_configured = False
        self._awaits_card = False
        self._refusal = ""
        self._lines: SlotPhysStatus | None = None

    def of_action(self, action: Action) -> ScriptCause | None:
        """What the script is called for after this action was carried out."""
        match action:
            case SelectSim():
                return ScriptCause.SIM_REMOTE if action.remote else ScriptCause.SIM_LOCAL
            case InsertCard():
                return ScriptCause.CARD_INSERT
            case RemoveCard():
                return ScriptCause.CARD_REMOVE
            case ResetModem():
                return ScriptCause.MODEM_RESET
            case Abort():
                return ScriptCause.TPDU_FAILED
            case DialBankd() | HangUpBankd() if self._is_configured:
                # The calls for leaving the old bankd come first.
                self._is_configured = False
                return ScriptCause.CONFIG_BANKD
            case Notice():
                return self._of_notice(action)
        return None

    def _of_notice(self, notice: Notice) -> ScriptCause | None:
        match notice.kind:
            case NoticeKind.SERVER_CONNECTED:
                had_server, self._has_had_server = self._has_had_server, True
                return ScriptCause.SERVER_BACK if had_server else ScriptCause.SERVER_CONNECT
            case NoticeKind.SERVER_LOST:
                return ScriptCause.SERVER_LOST
            case NoticeKind.BANKD_GIVEN | NoticeKind.BANKD_TAKEN:
                self._is_configured, self._refusal = True, ""
            case NoticeKind.BANKD_UNCHANGED:
                return ScriptCause.CONFIG_BANKD
            case NoticeKind.BANKD_REFUSED | NoticeKind.BANKD_WAITS if notice.text != self._refusal:
                # It comes again with every attempt.
                self._refusal = notice.text
                return ScriptCause.BANKD_REFUSED
            case NoticeKind.STATE if notice.state is SlotState.OPERATIONAL:
                self._awaits_card = True
            case NoticeKind.SESSION_HELD:
                return ScriptCause.HOLD
            case NoticeKind.SESSION_RESUMED:
                # In service again, with the card that the modem has.
                self._awaits_card = False
                return ScriptCause.RESUME
            case NoticeKind.CARD_INSERTED if self._awaits_card:
                self._awaits_card, self._refusal = False, ""
                return ScriptCause.BANKD_CONNECT
        return None

    def of_lines(self, lines: SlotPhysStatus) -> ScriptCause | None:
        """What the script is called for when the modem shows these lines."""
        before, self._lines = self._lines, lines
        return ScriptCause.MODEM_STATUS if lines != before else None


#: Names of the classic client's connection states.
_STATE_NAMES: Final = {
    DialState.DISCONNECTED: "INIT",
    DialState.CONNECTING: "REESTABLISH",
    DialState.BACKOFF: "REESTABLISH_DELAY",
    DialState.ESTABLISHED: "ESTABLISHED",
    DialState.CONNECTED: "CONNECTED",
}


class EventEnvironment:
    """The variables of the slot, for the script."""

    def __init__(self, server: HostPort) -> None:
        self._server = server
        self._bankd = "(null):0"
        self._bank_slot: BankSlot | None = None
        self._lines: SlotPhysStatus | None = None

    def on_lines(self, lines: SlotPhysStatus) -> None:
        """The modem changed its lines."""
        self._lines = lines

    def variables(
        self,
        *,
        cause: ScriptCause,
        client_slot: ClientSlot | None,
        bank_slot: BankSlot | None,
        bankd: tuple[str, int] | None,
        server_state: DialState,
        bankd_state: DialState,
    ) -> Mapping[str, str]:
        """Everything as it is now. ``bankd`` is host and port, None if none is wanted."""
        if bankd is not None:
            self._bankd = str(HostPort(*bankd))
        elif cause is ScriptCause.CONFIG_BANKD:
            self._bankd = "0.0.0.0:0"
        # The classic client keeps the old slot after its removal.
        self._bank_slot = bank_slot if bank_slot is not None else self._bank_slot
        lines = self._lines
        return {
            "REMSIM_CAUSE": cause.value,
            "REMSIM_CLIENT_VERSION": __version__,
            "REMSIM_SERVER_ADDR": str(self._server),
            "REMSIM_SERVER_STATE": _STATE_NAMES[server_state],
            "REMSIM_BANKD_ADDR": self._bankd,
            "REMSIM_BANKD_STATE": _STATE_NAMES[bankd_state],
            "REMSIM_CLIENT_SLOT": _slot_text(client_slot),
            "REMSIM_BANKD_SLOT": _slot_text(self._bank_slot),
            "REMSIM_SIM_VCC": _flag(None if lines is None else lines.vcc_present),
            "REMSIM_SIM_RST": _flag(None if lines is None else lines.reset_active),
            "REMSIM_SIM_CLK": _flag(None if lines is None else lines.clk_active),
        }


def _slot_text(slot: ClientSlot | BankSlot | None) -> str:
    """``1:2``; the classic client writes no letter, and 0:0 for none."""
    return "0:0" if slot is None else str(slot)[1:]


def _flag(line: bool | None) -> str:
    return "1" if line else "0"
