# SPDX-License-Identifier: Apache-2.0
"""Takes what peers tell of the health of their slots: checked, cleaned, limited, and kept with the peer.

A report is kept until the next one, or until the link is lost: of an absent peer the server knows nothing. What a peer
sends faster than programs of ours do is dropped, unread.
"""

from dataclasses import replace
from typing import Final

from remsim.card.iccid import is_iccid
from remsim.core.limits import LimitCounts, LimitName
from remsim.core.rate_limit import TokenBuckets
from remsim.core.text import escape
from remsim.server.core.actions import Action
from remsim.server.core.log_events import ignored
from remsim.server.core.peers import Heard, Peer
from remsim.wire.link.actions import LinkId
from remsim.wire.messages.health import ClientHealthInd, SlotHealthInd

#: Reports of one link that are read at once, and in a second after that: twice what a bankd of ours sends. With a full
#: bucket, a bank of 1 024 slots that has just come is heard at any speed.
BURST: Final = 1024
PER_SECOND: Final = 200
#: Links whose buckets are remembered: all peers of the largest installation.
_MAX_LINKS: Final = 4096


class HealthReports:
    """Takes the reports of all peers. ``limits`` counts those that were too many."""

    def __init__(self, limits: LimitCounts) -> None:
        self._limits = limits
        self._budget = TokenBuckets(burst=BURST, interval_s=1 / PER_SECOND, most_keys=_MAX_LINKS)

    def on_slot(self, peer: Peer, message: SlotHealthInd, now: float) -> list[Action] | None:
        """A bankd tells how a slot stands. None: it is kept."""
        slot = message.bank_slot
        if slot.bank_id != peer.bank_id or slot.slot_nr >= peer.number_of_slots:
            return [ignored(peer, "foreign_slot_health", slot)]
        if not self.takes(peer.link, now):
            return [ignored(peer, "too_many_reports", slot)]
        iccid = message.iccid
        report = replace(
            message,
            reader=_clean(message.reader),
            iccid=iccid if iccid is not None and is_iccid(iccid) else None,
        )
        peer.slot_health[slot.slot_nr] = Heard(report, now)
        return None

    def on_client(self, peer: Peer, message: ClientHealthInd, now: float) -> list[Action] | None:
        """A client tells how its slot stands. None: it is kept."""
        if message.client_slot != peer.client:
            return [ignored(peer, "foreign_client_health")]
        if not self.takes(peer.link, now):
            return [ignored(peer, "too_many_reports")]
        report = replace(
            message,
            emulator=_clean(message.emulator),
            board=_clean(message.board),
            firmware=_clean(message.firmware),
        )
        peer.client_health = Heard(report, now)
        return None

    def takes(self, link: LinkId, now: float) -> bool:
        """Whether one more report of this link is read."""
        if self._budget.take(link, now):
            return True
        self._limits.reached(LimitName.HEALTH_REPORTS)
        return False


def _clean(text: str | None) -> str | None:
    """A text of a peer, to be kept and shown to anybody."""
    return None if text is None else escape(text)
