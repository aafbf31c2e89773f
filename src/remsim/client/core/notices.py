# SPDX-License-Identifier: Apache-2.0
"""What a client slot reports: notices, on which metrics, observers and event scripts act, and lines for the log only.

Both are made here, so that each bears the slot's numbers and has its level: a refusal that comes again with every
attempt is worth a line above debug once.
"""

from enum import Enum
from typing import Final

from remsim.card.reset import ResetKind
from remsim.client.core.assignment import Assignment
from remsim.client.core.states import SlotState
from remsim.core.episode import OncePerEpisode
from remsim.core.log_event import Level, LogEvent
from remsim.core.values import dataclass
from remsim.redaction import scrub
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ComponentType, ResultCode


class NoticeKind(Enum):
    """What has changed. The value is the event's name in the log."""

    STATE = "slot_state"
    SERVER_CONNECTED = "server_connected"
    SERVER_REFUSED = "server_refused_us"
    SERVER_LOST = "server_lost"
    IDENTITY = "client_slot_given"
    BANKD_GIVEN = "bankd_given"
    BANKD_UNCHANGED = "bankd_unchanged"
    BANKD_TAKEN = "bankd_taken"
    STATE_RESET = "state_reset"
    BANKD_CONNECTED = "bankd_connected"
    BANKD_REFUSED = "bankd_refused_us"
    BANKD_WAITS = "bankd_waits_for_card"
    BANKD_LOST = "bankd_lost"
    CARD_INSERTED = "card_inserted"
    CARD_REMOVED = "card_removed"
    ATR_MISSING = "atr_missing"
    PEER_ERROR = "error_reported_by_peer"
    SERVER_SAYS = "no_bankd_for_us"
    MODEM_RESET = "modem_reset_card"
    SESSION_HELD = "session_held"
    SESSION_RESUMED = "session_resumed"


#: The others are "info". A lost link has its line already, from the side that dials it.
_LEVELS: Final[dict[NoticeKind, Level]] = {
    NoticeKind.STATE: "debug",
    NoticeKind.SERVER_LOST: "debug",
    NoticeKind.BANKD_LOST: "debug",
    NoticeKind.BANKD_UNCHANGED: "debug",
    NoticeKind.MODEM_RESET: "debug",
    NoticeKind.SERVER_REFUSED: "warning",
    NoticeKind.BANKD_REFUSED: "warning",
    NoticeKind.BANKD_WAITS: "warning",
    NoticeKind.STATE_RESET: "warning",
    NoticeKind.ATR_MISSING: "warning",
    NoticeKind.PEER_ERROR: "warning",
    NoticeKind.SERVER_SAYS: "warning",
}


#: What a refusal means to a person at a terminal; logs and event scripts have the code's name.
_IN_WORDS: Final = {
    ResultCode.ILLEGAL_CLIENT_ID: "it does not let this client number in; its log says why",
    ResultCode.ILLEGAL_SLOT_ID: "it has no such slot",
    ResultCode.UNSUPPORTED_PROTOCOL_VERSION: "it does not know our version of RSPRO",
    ResultCode.UNKNOWN_SLOTMAP: "it knows of no mapping for this client slot",
    ResultCode.IDENTITY_IN_USE: "another program with this client number is connected; stop one of the two",
    ResultCode.CARD_NOT_PRESENT: "there is no card in the slot",
    ResultCode.CARD_UNRESPONSIVE: "the card does not answer, or another program holds its reader",
    ResultCode.CARD_TRANSMISSION_ERROR: "the card answers with errors",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """Something has changed. ``event`` is its line in the log."""

    kind: NoticeKind
    event: LogEvent
    #: The new state, with kind STATE.
    state: SlotState | None = None
    #: How, with kind MODEM_RESET.
    reset: ResetKind | None = None
    #: For how long the session was held, in seconds, with kind SESSION_RESUMED.
    held_s: float | None = None
    #: With kind SESSION_HELD: over the link that was lost, the bankd has answered a command or a change of the lines.
    has_answered: bool = False
    #: The same refusal as at the attempt before.
    is_repeated: bool = False

    @property
    def text(self) -> str:
        """A few words for people; empty if the kind says it all."""
        return str(self.event.fields.get("detail", ""))


class Notices:
    """Makes the notices and log lines of one slot, and remembers what keeps it from its card."""

    def __init__(self, assignment: Assignment) -> None:
        #: Why a peer refused us last; empty once one has accepted us.
        self.refusal = ""
        #: Why the server cannot name us a bankd, in its words.
        self.server_says = ""
        self._assignment = assignment
        self._refusals = OncePerEpisode[str]()

    def make(
        self,
        kind: NoticeKind,
        text: str = "",
        *,
        state: SlotState | None = None,
        reset: ResetKind | None = None,
        held_s: float | None = None,
        has_answered: bool = False,
    ) -> Notice:
        """A notice of this kind, about the slot as it is now."""
        level = _LEVELS.get(kind, "info")
        is_repeated = False
        match kind:
            case NoticeKind.SERVER_REFUSED | NoticeKind.BANKD_REFUSED | NoticeKind.BANKD_WAITS:
                self.refusal = text
                is_repeated = not self._refusals.begins("refusal", (kind, text))
                level = "debug" if is_repeated else level
            case NoticeKind.SERVER_CONNECTED | NoticeKind.BANKD_CONNECTED:
                self.refusal = ""
                self._refusals.ends("refusal")
            case NoticeKind.SERVER_SAYS:
                self.server_says = f"the server says: {text}"
            case _:
                pass
        if kind in (NoticeKind.SERVER_CONNECTED, NoticeKind.BANKD_GIVEN, NoticeKind.BANKD_TAKEN):
            self.server_says = ""
        fields: dict[str, object] = {} if reset is None else {"kind": reset.value}
        return Notice(
            kind, self.log(level, kind.value, text, **fields), state, reset, held_s, has_answered, is_repeated
        )

    def log(self, level: Level, name: str, text: str = "", **fields: object) -> LogEvent:
        """A line for the log only."""
        known = self._assignment
        return LogEvent(level, name, known.bank_slot, known.client_slot, {"detail": text, **fields} if text else fields)

    def ignored(self, what: str) -> LogEvent:
        """A message that has no place here."""
        return self.log("debug", "message_ignored", what)

    def peer_error(self, message: rspro.ErrorInd) -> Notice:
        """An errorInd in one line."""
        words = (message.severity.name.lower(), message.code.name.lower(), scrub(message.error_string or ""))
        return self.make(NoticeKind.PEER_ERROR, " ".join(word for word in words if word))


def in_words(refusal: str) -> str:
    """A refusal as a person wants to read it: instead of the name of a result code, what it means."""
    code = next((code for code in _IN_WORDS if code.name.lower() == refusal), None)
    return refusal if code is None else _IN_WORDS[code]


def refusal_in(answer: rspro.ConnectClientRes, role: ComponentType) -> str:
    """Why this answer to our connect request is not from a program in ``role`` that accepts us; empty if it is."""
    if answer.identity.type is not role:
        # known-limits.md, 9: a failed attempt like any other; the next one may reach the right program.
        return (
            f"{answer.identity.name} is a {_role(answer.identity.type)}, not a {_role(role)}; is that the right port?"
        )
    return "" if answer.result is rspro.ResultCode.OK else answer.result.name.lower()


def _role(component: ComponentType) -> str:
    """What people call a program: server, bankd, client."""
    return component.name.lower().removeprefix("remsim_")
