# SPDX-License-Identifier: Apache-2.0
"""What peers report that moves nothing: status, errors, and entries for the audit log.

It is checked, limited, kept with the peer to be looked at, and logged.
"""

import re
from typing import Final

from remsim.core.episode import LineVerdict
from remsim.core.ids import MAX_ID, BankSlot
from remsim.core.limits import LimitCounts, LimitName
from remsim.core.log_event import LogEvent
from remsim.core.rate_limit import FloodLimit
from remsim.redaction import scrub
from remsim.server.core.actions import DONE, REFUSED, Action, Actor, Entry
from remsim.server.core.log_events import ignored, peer_event
from remsim.server.core.peers import Peer, SessionReport
from remsim.wire.link.actions import Close
from remsim.wire.messages.extensions import AuditInd
from remsim.wire.messages.health import SessionPhase
from remsim.wire.messages.rspro import (
    BankSlotStatusInd,
    ConnectClientRes,
    ErrorInd,
    ReaderHealthInd,
    ReaderState,
    SessionStateInd,
)


def on_slot_status(peer: Peer, message: BankSlotStatusInd, now: float) -> list[Action]:
    """A bankd says whether there is a card in a slot."""
    slot, status = message.from_bank_slot, message.slot_phys_status
    if slot.bank_id != peer.bank_id:
        return [ignored(peer, "foreign_slot_status", slot)]
    before = peer.slot_status.get(slot.slot_nr)
    if before is None or before.card_present is not status.card_present:
        peer.slot_heard_at[slot.slot_nr] = now
    peer.slot_status[slot.slot_nr] = status
    return [LogEvent("info", "bank_slot_status", slot, fields={"card_present": status.card_present})]


def forget_absence(peer: Peer, slot: BankSlot) -> None:
    """A bankd has a new mapping of this slot. If there is still no card, it says so next."""
    status = peer.slot_status.get(slot.slot_nr)
    if status is not None and status.card_present is False:
        del peer.slot_status[slot.slot_nr]


def on_reader_health(peer: Peer, message: ReaderHealthInd, now: float) -> list[Action]:
    """A bankd says that a reader does not work, or works again."""
    slot = message.bank_slot
    if slot.bank_id != peer.bank_id or slot.slot_nr >= peer.number_of_slots:
        return [ignored(peer, "foreign_reader_health", slot)]
    before = peer.readers.get(slot.slot_nr)
    if message.state is ReaderState.WORKING:
        peer.readers.pop(slot.slot_nr, None)
    else:
        peer.readers[slot.slot_nr] = message
    is_new = (before is None) is not (message.state is ReaderState.WORKING)
    if is_new:
        peer.reader_heard_at[slot.slot_nr] = now
    fields: dict[str, object] = {"state": message.state.name, "failures": message.failures}
    return [LogEvent("info" if is_new else "debug", "bank_reader_health", slot, fields=fields)]


def on_session_state(peer: Peer, message: SessionStateInd, now: float) -> list[Action]:
    """A bankd says how the session of a mapping stands."""
    slot = message.bank_slot
    if slot.bank_id != peer.bank_id or slot.slot_nr >= peer.number_of_slots:
        return [ignored(peer, "foreign_session_state", slot)]
    before = peer.sessions.get(slot.slot_nr)
    state = message.phase.name
    if message.phase is SessionPhase.NONE:
        peer.sessions.pop(slot.slot_nr, None)
    else:
        since = now - message.age_ms / 1000
        peer.sessions[slot.slot_nr] = SessionReport(message.client_slot, state, since, message.cuts)
    if (SessionPhase.NONE.name if before is None else before.state) == state:
        return []
    fields: dict[str, object] = {"state": state.lower(), "cuts": message.cuts}
    return [LogEvent("debug", "session_state", slot, message.client_slot, fields)]


def on_error(peer: Peer, error: ErrorInd) -> list[Action]:
    """A peer says that something went wrong."""
    peer.error_count += 1
    peer.last_error = error
    fields: dict[str, object] = {
        "severity": error.severity.name,
        "code": error.code.name,
        "text": scrub(error.error_string or ""),
        "about_bank_slot": error.bank_slot,
        "about_client_slot": error.client_slot,
    }
    return [peer_event("warning", "peer_reports_error", peer, **fields)]


def on_dial_refused(peer: Peer, answer: ConnectClientRes) -> list[Action]:
    """A bankd that we dialled does not want us; if it did, it would have sent connectBankReq."""
    event = peer_event("warning", "bankd_refused_server", peer, result=answer.result.name)
    return [event, Close(peer.link, "the bankd refused us")]


#: What bankds of this version report.
KNOWN_ACTIONS: Final = frozenset({"command.block", "gsmtap.reveal", "audit.lost"})
#: With the prefix it fits into 32 characters, which is what the database keeps of an action.
_ACTION: Final = re.compile(r"[a-z]{1,13}(?:\.[a-z]{1,12})?", re.ASCII)
_PREFIX: Final = "bankd."

#: Entries that may come at once: twice what a bankd keeps for a server that was away.
BURST: Final = 1024
#: After that, one is let in every so many seconds: some three million in the 400 days for which entries are kept.
REFILL_S: Final = 10.0
#: All that there can be, and one for those without a certificate.
_ALLOWANCES: Final = MAX_ID + 2


class BankAudit:
    """Takes the audit entries of all bankds. ``limits`` counts those that were more than a bankd may add."""

    def __init__(self, limits: LimitCounts) -> None:
        self._limits = limits
        # By bank. Those without a certificate share one, under None: there, a number is whatever a peer says.
        self._budget = FloodLimit(burst=BURST, interval_s=REFILL_S, most_keys=_ALLOWANCES)
        #: Entries that were more than a bankd may add.
        self.dropped = 0

    def on_audit(self, peer: Peer, message: AuditInd, now: float) -> list[Action]:
        """A bankd reports something."""
        slot = message.bank_slot
        if slot is not None and (slot.bank_id != peer.bank or slot.slot_nr >= peer.number_of_slots):
            return [ignored(peer, "foreign_audit_entry", slot)]
        action = _action(message.action)
        if action is None:
            return [ignored(peer, "odd_audit_action", action=message.action)]
        verdict = self._budget.check(peer.bank if peer.proof else None, now)
        if verdict is not LineVerdict.PASS:
            return self._drop(peer, is_first=verdict is LineVerdict.FIRST_HELD_BACK)
        entry = Entry(
            _actor(peer),
            action,
            " ".join(str(each) for each in (slot or f"B{peer.bank}", message.client_slot) if each is not None),
            REFUSED if message.is_refused else DONE,
            "".join(c if " " <= c <= "~" else "?" for c in message.detail or ""),
        )
        fields: dict[str, object] = {"action": action, "target": entry.target, "detail": entry.detail}
        return [peer_event("info", "bankd_audit", peer, **fields), entry]

    def _drop(self, peer: Peer, *, is_first: bool) -> list[Action]:
        self.dropped += 1
        self._limits.reached(LimitName.BANK_AUDIT)
        if not is_first:
            return []
        detail = f"more than {BURST} entries: until they come more slowly, most are counted only"
        return [
            peer_event("warning", "bankd_audit_limited", peer),
            Entry(_actor(peer), "audit.limit", f"B{peer.bank}", REFUSED, detail),
        ]


def _actor(peer: Peer) -> Actor:
    who = f"B{peer.bank} (plain TCP)" if peer.proof is None else str(peer.proof.identity)
    return Actor(who, str(peer.address.host))


def _action(reported: str) -> str | None:
    if reported in KNOWN_ACTIONS:
        return reported
    return f"{_PREFIX}{reported}" if _ACTION.fullmatch(reported) else None
