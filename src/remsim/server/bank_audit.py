# SPDX-License-Identifier: Apache-2.0
"""What bankds report for the audit log (``auditInd``): checked, limited, and made entries that say who reported it.

A bankd is believed about its own slots only. The actions that we know stand as they are; another one, of a later
version perhaps, is kept under ``bankd.``, so that it never passes for something that the server or an operator did.
One that does not have the form of an action is refused.
"""

import re
from dataclasses import dataclass
from typing import Final

from remsim.limits import LimitCounts, LimitName
from remsim.server.actions import Action, Report
from remsim.server.entries import DONE, REFUSED, Actor, Entry
from remsim.server.peers import Peer
from remsim.server.reports import named, odd
from remsim.wire.additions import AuditInd

#: What bankds of this version report.
KNOWN_ACTIONS: Final = frozenset({"command.block", "gsmtap.reveal", "audit.lost"})
#: With the prefix it fits into 32 characters, which is what the database keeps of an action.
_ACTION: Final = re.compile(r"[a-z]{1,13}(?:\.[a-z]{1,12})?", re.ASCII)
_PREFIX: Final = "bankd."

#: Entries that may come at once: twice what a bankd keeps for a server that was away.
BURST: Final = 1024
#: After that, one is let in every so many seconds: some three million in the 400 days for which entries are kept.
REFILL_S: Final = 10.0
#: A flood is over, and the next one said again, when so many may come at once again.
_EBBED: Final = BURST // 2


@dataclass(slots=True)
class _Allowance:
    """What one bankd may still add: a token bucket. ``at`` is when ``left`` was right."""

    at: float
    left: float = BURST
    is_said: bool = False

    def take(self, now: float) -> bool:
        """Whether one more entry may be added."""
        self.left = min(self.left + max(now - self.at, 0.0) / REFILL_S, BURST)
        self.at = now
        if self.left >= _EBBED:
            self.is_said = False
        if self.left < 1:
            return False
        self.left -= 1
        return True


class BankAudit:
    """One for all bankds."""

    def __init__(self, limits: LimitCounts) -> None:
        self._limits = limits
        # By bank. Those without a certificate share one, under None: there, a number is whatever a peer says.
        self._allowances: dict[int | None, _Allowance] = {}
        #: Entries that were more than a bankd may add.
        self.dropped = 0

    def on_audit(self, peer: Peer, message: AuditInd, now: float) -> list[Action]:
        """A bankd reports something."""
        slot = message.bank_slot
        if slot is not None and (slot.bank_id != peer.bank or slot.slot_nr >= peer.number_of_slots):
            return [odd(peer, "foreign_audit_entry", bank_slot=slot)]
        action = _action(message.action)
        if action is None:
            return [odd(peer, "odd_audit_action", action=message.action)]
        allowance = self._allowances.setdefault(peer.bank if peer.proof else None, _Allowance(now))
        if not allowance.take(now):
            return self._drop(peer, allowance)
        entry = Entry(
            _actor(peer),
            action,
            " ".join(str(each) for each in (slot or f"B{peer.bank}", message.client_slot) if each is not None),
            REFUSED if message.is_refused else DONE,
            "".join(c if " " <= c <= "~" else "?" for c in message.detail or ""),
        )
        fields: dict[str, object] = {"action": action, "target": entry.target, "detail": entry.detail}
        return [Report("info", "bankd_audit", named(peer) | fields), entry]

    def _drop(self, peer: Peer, allowance: _Allowance) -> list[Action]:
        self.dropped += 1
        self._limits.reached(LimitName.BANK_AUDIT)
        if allowance.is_said:
            return []
        allowance.is_said = True
        detail = f"more than {BURST} entries: until they come more slowly, most are counted only"
        return [
            Report("warning", "bankd_audit_limited", named(peer)),
            Entry(_actor(peer), "audit.limit", f"B{peer.bank}", REFUSED, detail),
        ]


def _actor(peer: Peer) -> Actor:
    who = f"B{peer.bank} (plain TCP)" if peer.proof is None else str(peer.proof.identity)
    return Actor(who, str(peer.address.host))


def _action(reported: str) -> str | None:
    if reported in KNOWN_ACTIONS:
        return reported
    return f"{_PREFIX}{reported}" if _ACTION.fullmatch(reported) else None
