# SPDX-License-Identifier: Apache-2.0
"""The verdict on every slot, and when others hear that one has changed. Without I/O.

Verdicts are made of what is known when they are asked for, so none is older than its facts. What is kept here is which
one each slot had last, and since when. Those that time itself ends, or begins, are looked at again every few seconds.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitCounts, LimitName
from remsim.core.log_event import LogEvent
from remsim.core.rate_limit import TokenBuckets
from remsim.core.values import dataclass
from remsim.server.core.actions import Action
from remsim.server.core.health_reports import HealthReports
from remsim.server.core.known import KnownPeers, absence
from remsim.server.core.latency_history import LatencyHistory
from remsim.server.core.peers import Peer, PeerTable
from remsim.server.core.slotmap import SlotMap
from remsim.server.core.verdicts import (
    ClientFacts,
    SlotFacts,
    SlotVerdict,
    VerdictKind,
    client_verdict,
    slot_verdict,
)
from remsim.wire.link.abilities import CLIENT, SLOTS_2
from remsim.wire.messages.health import ClientHealthInd, ClientPhase, SessionPhase, SlotHealthInd

#: How often those are looked at that change with time.
LOOK_S: Final = 2.0
#: Changes of one bank or client that others hear of at once, and how soon there is one more: a bank that is switched
#: off has a thousand at once, one that flaps has not.
EVENT_BURST: Final = 1024
EVENT_INTERVAL_S: Final = 1.0
#: All banks and clients that there can be.
_MAX_OWNERS: Final = 2048

#: A bank slot or a client slot.
Place = BankSlot | ClientSlot


@dataclass(frozen=True, slots=True)
class HealthStanding:
    """A verdict, and since when there is one of its kind, in the time that coordinators are given."""

    verdict: SlotVerdict
    since: float


class HealthBoard:
    """The verdicts on all slots. It looks at ``peers``, ``slotmap`` and ``known``, and changes nothing there."""

    def __init__(self, peers: PeerTable, slotmap: SlotMap, known: KnownPeers, limits: LimitCounts) -> None:
        self._peers = peers
        self._slotmap = slotmap
        self._known = known
        self._limits = limits
        self._last: dict[Place, tuple[VerdictKind, float]] = {}
        self._unsteady: dict[Place, None] = {}
        self._next_look: float | None = None
        #: How long commands took of late.
        self.latency = LatencyHistory(limits)
        self._budget = TokenBuckets(burst=EVENT_BURST, interval_s=EVENT_INTERVAL_S, most_keys=_MAX_OWNERS)

    # What is known

    def slot(self, slot: BankSlot, now: float) -> HealthStanding:
        """How a bank slot is."""
        return self._standing(slot, slot_verdict(self._slot_facts(slot, now)), now)

    def client(self, slot: ClientSlot, now: float) -> HealthStanding:
        """How a client slot is."""
        return self._standing(slot, client_verdict(self._client_facts(slot, now)), now)

    def troubled(self) -> list[Place]:
        """The slots whose verdict, when it was last looked at, was that somebody should look at them."""
        return [place for place, (kind, _) in self._last.items() if kind.is_trouble]

    def counts(self) -> Mapping[VerdictKind, int]:
        """How many slots of connected peers have each verdict, as it was when it was last looked at."""
        return Counter(kind for kind, _ in self._last.values())

    def _standing(self, place: Place, verdict: SlotVerdict, now: float) -> HealthStanding:
        if verdict.age_s is not None:
            return HealthStanding(verdict, now - verdict.age_s)
        kind, since = self._last.get(place, (None, now))
        return HealthStanding(verdict, since if kind is verdict.kind else now)

    def _slot_facts(self, slot: BankSlot, now: float) -> SlotFacts:
        bank, nr = self._peers.by_bank(slot.bank_id), slot.slot_nr
        mapping = self._slotmap.by_bank_slot(slot)
        if bank is None:
            unknown = absence(f"bank {slot.bank_id}", self._known.bank(slot.bank_id))
            return SlotFacts(None, 0.0, None, None, 0.0, None, mapping is not None, unknown)
        heard, session = bank.slot_health.get(nr), bank.sessions.get(nr)
        return SlotFacts(
            None if heard is None else heard.report,
            0.0 if heard is None else now - heard.at,
            bank.readers.get(nr),
            session,
            0.0 if session is None else max(0.0, now - session.since),
            bank.presence(nr)[0],
            mapping is not None,
            _silence(bank, f"bank {slot.bank_id}", SLOTS_2) if heard is None else "",
        )

    def _client_facts(self, slot: ClientSlot, now: float) -> ClientFacts:
        client = self._peers.connected_client(slot)
        if client is None:
            return ClientFacts(None, 0.0, absence(f"client {slot}", self._known.client(slot)))
        heard = client.client_health
        if heard is None:
            return ClientFacts(None, 0.0, _silence(client, f"client {slot}", CLIENT))
        return ClientFacts(heard.report, now - heard.at)

    # What happens

    def on_slot(self, slot: BankSlot, now: float) -> list[Action]:
        """Something of a connected bank's slot may have changed."""
        standing = self.slot(slot, now)
        bank = self._peers.by_bank(slot.bank_id)
        session = None if bank is None else bank.sessions.get(slot.slot_nr)
        is_held = session is not None and session.state == SessionPhase.DETACHED.name
        return self._note(slot, standing, now, is_unsteady=is_held)

    def on_report(self, peer: Peer, slot: BankSlot, now: float) -> list[Action]:
        """The same, if the slot is one of the bank that reports it; reports about others are dropped."""
        is_its_own = slot.bank_id == peer.bank_id and slot.slot_nr < peer.number_of_slots
        return self.on_slot(slot, now) if is_its_own else []

    def on_told(
        self, peer: Peer, message: SlotHealthInd | ClientHealthInd, reports: HealthReports, now: float
    ) -> list[Action]:
        """A peer tells how a slot stands; ``reports`` keeps that, or refuses it."""
        if isinstance(message, SlotHealthInd):
            if (refused := reports.on_slot(peer, message, now)) is not None:
                return refused
            self.latency.note(message.bank_slot, message.card_time, message.latency, now)
            return self.on_report(peer, message.bank_slot, now)
        if (refused := reports.on_client(peer, message, now)) is not None:
            return refused
        self.latency.note(message.client_slot, message.round_trip, message.latency, now, message.network)
        return self.on_client(message.client_slot, now)

    def on_client(self, slot: ClientSlot, now: float) -> list[Action]:
        """Something of a connected client's slot may have changed."""
        standing = self.client(slot, now)
        client = self._peers.connected_client(slot)
        heard = None if client is None else client.client_health
        waits = heard is not None and heard.report.phase in (ClientPhase.WAIT_BANKD, ClientPhase.HOLDING)
        return self._note(slot, standing, now, is_unsteady=waits)

    def forget(self, peer: Peer) -> None:
        """A peer is gone; with it, all that was known of its slots."""
        if peer.client is not None:
            places: list[Place] = [peer.client]
        elif peer.bank_id is not None:
            places = [BankSlot(peer.bank_id, nr) for nr in range(peer.number_of_slots)]
        else:
            return
        for place in places:
            self._last.pop(place, None)
            self._unsteady.pop(place, None)
        if not self._unsteady:
            self._next_look = None

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` is due."""
        return self._next_look

    def handle_timer(self, now: float) -> list[Action]:
        """Look again at those that change with time."""
        if self._next_look is None or now < self._next_look:
            return []
        self._next_look = None
        actions: list[Action] = []
        for place in list(self._unsteady):
            actions += self.on_slot(place, now) if isinstance(place, BankSlot) else self.on_client(place, now)
        return actions

    def _note(self, place: Place, standing: HealthStanding, now: float, *, is_unsteady: bool) -> list[Action]:
        verdict = standing.verdict
        if verdict.kind.is_trouble or is_unsteady:
            self._unsteady[place] = None
            if self._next_look is None:
                self._next_look = now + LOOK_S
        else:
            self._unsteady.pop(place, None)
        before, _ = self._last.get(place, (VerdictKind.OK, now))
        self._last[place] = verdict.kind, standing.since
        # What is not known any more, or was not yet, is no change of health.
        if before is verdict.kind or (not before.is_trouble and not verdict.kind.is_trouble):
            return []
        owner = place.bank_id if isinstance(place, BankSlot) else -1 - place.client_id
        if not self._budget.take(owner, now):
            self._limits.reached(LimitName.HEALTH_EVENTS)
            return []
        bank, client = (place, None) if isinstance(place, BankSlot) else (None, place)
        fields: dict[str, object] = {"verdict": verdict.kind.value, "before": before.value}
        if verdict.text:
            fields |= {"text": verdict.text, "hint": verdict.advice}
        return [LogEvent("warning" if verdict.kind.is_trouble else "info", "slot_health", bank, client, fields)]


def _silence(peer: Peer, name: str, ability: str) -> str:
    """Why a connected peer has told nothing."""
    if peer.identity is not None and ability in (peer.identity.abilities or ()):
        return f"{name} has not told yet"
    return f"{name} does not tell"
