# SPDX-License-Identifier: Apache-2.0
"""What a client slot tells about itself, and the words for it. Decides nothing."""

from dataclasses import dataclass
from enum import Enum

from remsim.client.core.states import SlotState
from remsim.core.ids import BankSlot, ClientSlot
from remsim.redaction import scrub
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ComponentType


class NoticeKind(Enum):
    """What happened, for the log, the metrics and whoever watches a slot. The value is the event's name in the log."""

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
    ATR_CHANGED = "atr_changed"
    ATR_MISSING = "atr_missing"
    ATR_UNUSABLE = "atr_unusable"
    PEER_ERROR = "error_reported_by_peer"
    SERVER_SAYS = "no_bankd_for_us"
    IGNORED = "message_ignored"
    TPDU_REFUSED = "tpdu_refused"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something worth telling. ``text`` is a few words for people."""

    kind: NoticeKind
    text: str = ""
    state: SlotState | None = None
    client_slot: ClientSlot | None = None
    bank_slot: BankSlot | None = None


def wrong_type(answer: rspro.ConnectClientRes, role: ComponentType) -> str:
    """Why this answer is not from a program in ``role``; empty if it is."""
    if answer.identity.type is not role:
        # known-limits.md, 9: a failed attempt like any other; the next one may reach the right program.
        return f"{answer.identity.name} is a {answer.identity.type.name.lower()}, not a {role.name.lower()}"
    return ""


def peer_error(message: rspro.ErrorInd) -> Notice:
    """An errorInd in one line."""
    words = (message.severity.name, message.code.name, scrub(message.error_string or ""))
    return Notice(NoticeKind.PEER_ERROR, " ".join(word for word in words if word).lower())


def ignored(message: rspro.Message) -> Notice:
    """A message that has no place here."""
    return Notice(NoticeKind.IGNORED, type(message).__name__)


def address_text(address: rspro.IpPort) -> str:
    """``192.0.2.1:9999`` or ``[2001:db8::1]:9999``."""
    return f"[{address.ip}]:{address.port}" if address.ip.version == 6 else f"{address.ip}:{address.port}"
