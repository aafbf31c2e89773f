# SPDX-License-Identifier: Apache-2.0
"""Slots that somebody watches: who is asked to trace them, and what was told, joined by command. No I/O.

A watched slot has a ``TraceFeed``. Its bankd or client is asked, and so is the other end of its mapping, because each
knows one half: the bankd what the card took, the client how long its modem waited. Both halves of a command have one
id; whichever comes first waits for the other for a moment. Peers end by themselves some time after they were asked
last, so nothing is left behind by a server that ends.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitCounts, LimitName
from remsim.core.values import dataclass
from remsim.server.core.actions import Action
from remsim.server.core.log_events import ignored
from remsim.server.core.peers import Peer, PeerState, PeerTable
from remsim.server.core.slotmap import SlotMap
from remsim.wire.link.abilities import TRACE
from remsim.wire.link.actions import Send
from remsim.wire.messages.extensions import TraceInd, TraceKind, TraceOrigin, TraceRecord, TraceReq

#: A trace ends so long after the last who watched.
LINGER_S: Final = 30.0
#: Peers are asked again so often while somebody watches.
RENEW_S: Final = 5.0
#: The other half of a command is waited for.
JOIN_S: Final = 0.5
#: Records that are kept of a slot, for those who watch it; and commands that wait for their other half.
KEPT_RECORDS: Final = 2000
MAX_PENDING: Final = 400
#: Slots that can be watched at a time: each may send 200 records a second.
MAX_TRACED: Final = 32

Slot = BankSlot | ClientSlot
#: Session, tag, place.
CommandKey = tuple[bytes, int, int]


class TooManyTracesError(Exception):
    """No further slot can be watched."""


@dataclass(frozen=True, slots=True)
class TraceEntry:
    """One record as it is shown, or (``record`` is None) how many records were left out by ``source``."""

    number: int
    #: In the time that coordinators are given.
    at: float
    #: Who tells of it.
    source: Slot
    bank: BankSlot | None
    client: ClientSlot | None
    record: TraceRecord | None
    left_out: int = 0
    #: What the card took, and how long the modem waited.
    card_us: int | None = None
    total_us: int | None = None

    @property
    def network_us(self) -> int | None:
        """What is left of the modem's waiting without the card's time: both links, and both programs."""
        if self.card_us is None or self.total_us is None:
            return None
        return max(0, self.total_us - self.card_us)


@dataclass(frozen=True, slots=True)
class TraceEnd:
    """One end of a slot's mapping, and whether it tells; ``problem`` says why not."""

    slot: Slot
    problem: str = ""


@dataclass(slots=True)
class _Pending:
    entry: TraceEntry
    key: CommandKey | None
    due: float
    is_whole: bool


class TraceFeed:
    """What is told of one watched slot; readers have a position in it and nothing else."""

    def __init__(self, slot: Slot, began: int) -> None:
        """``began`` is the number behind which its entries are counted."""
        self.slot = slot
        self.began = began
        self.watchers = 0
        #: When it is forgotten; None while somebody watches.
        self.ends_at: float | None = None
        #: Who was asked.
        self.ends: tuple[TraceEnd, ...] = ()
        #: The number of the newest entry, or ``began``.
        self.last = began
        self._entries: deque[TraceEntry] = deque(maxlen=KEPT_RECORDS)
        self._pending: deque[_Pending] = deque()
        self._by_key: dict[CommandKey, _Pending] = {}
        self._left_out: dict[Slot, int] = {}

    @property
    def first(self) -> int:
        """The number of the oldest entry that is kept."""
        return self.last + 1 - len(self._entries)

    def after(self, number: int, most: int) -> list[TraceEntry]:
        """Up to ``most`` entries behind this number, oldest first."""
        start = max(0, number + 1 - self.first)
        return [self._entries[place] for place in range(start, min(start + most, len(self._entries)))]

    def next_deadline(self) -> float | None:
        """When a command has waited for its other half for long enough."""
        return self._pending[0].due if self._pending else None

    def on_told(self, source: Slot, message: TraceInd, now: float) -> None:
        """A peer tells of this slot, or of the other end of its mapping."""
        self._note_left_out(source, message, now)
        for record in message.records:
            self._on_record(source, message, record, now)
        self.settle(now)

    def forget_source(self, source: Slot) -> None:
        """A peer begins anew: it counts from 0."""
        self._left_out.pop(source, None)

    def settle(self, now: float) -> None:
        """Show what is complete, or has waited for long enough, in the order in which it came."""
        pending = self._pending
        while pending and (pending[0].is_whole or pending[0].due <= now or len(pending) > MAX_PENDING):
            done = pending.popleft()
            if done.key is not None:
                self._by_key.pop(done.key, None)
            self._show(done.entry)

    def _note_left_out(self, source: Slot, message: TraceInd, now: float) -> None:
        before = self._left_out.get(source, 0)
        self._left_out[source] = message.left_out
        more = message.left_out - before if message.left_out >= before else message.left_out
        if more > 0:
            entry = TraceEntry(0, now, source, message.bank_slot, message.client_slot, None, left_out=more)
            self._pending.append(_Pending(entry, None, now, is_whole=True))

    def _on_record(self, source: Slot, message: TraceInd, record: TraceRecord, now: float) -> None:
        spent = record.spent_us
        is_bank = isinstance(source, BankSlot)
        card_us, total_us = (spent, None) if is_bank else (None, spent)
        entry = TraceEntry(
            0,
            now - record.age_us / 1e6,
            source,
            message.bank_slot,
            message.client_slot,
            record,
            card_us=card_us,
            total_us=total_us,
        )
        key = self._key(record)
        known = None if key is None else self._by_key.get(key)
        if known is not None and key is not None and known.entry.source != source:
            known.entry, known.is_whole = _joined(known.entry, entry), True
            del self._by_key[key]
            return
        waits = key is not None and self._tells_other(source)
        if known is not None:
            # The same tag once more: of another link, without sessions that outlive theirs.
            known.is_whole = True
        pending = _Pending(entry, key if waits else None, now + JOIN_S if waits else now, is_whole=not waits)
        self._pending.append(pending)
        if waits and key is not None:
            self._by_key[key] = pending

    def _key(self, record: TraceRecord) -> CommandKey | None:
        is_modems = record.kind is TraceKind.COMMAND and record.origin is TraceOrigin.MODEM
        if not is_modems or record.tag is None:
            return None
        return record.session or b"", record.tag, record.index or 0

    def _tells_other(self, source: Slot) -> bool:
        return any(end.slot != source and not end.problem for end in self.ends)

    def _show(self, entry: TraceEntry) -> None:
        self.last += 1
        self._entries.append(replace(entry, number=self.last))


def _joined(one: TraceEntry, other: TraceEntry) -> TraceEntry:
    """The two halves of a command; the bankd's bytes count, because the card had them."""
    bank, client = (one, other) if isinstance(one.source, BankSlot) else (other, one)
    return replace(bank, client=bank.client or client.client, total_us=client.total_us)


class Traces:
    """All slots that are watched."""

    def __init__(self, peers: PeerTable, slotmap: SlotMap, limits: LimitCounts) -> None:
        self._peers = peers
        self._slotmap = slotmap
        self._limits = limits
        self._feeds: dict[Slot, TraceFeed] = {}
        self._renew_at: float | None = None
        self._began = 0

    def __len__(self) -> int:
        """Return how many slots are watched, or were a moment ago."""
        return len(self._feeds)

    def feed(self, slot: Slot) -> TraceFeed | None:
        """What is told of this slot, if it is watched."""
        return self._feeds.get(slot)

    # Who watches

    def has_room(self, slot: Slot) -> bool:
        """Whether this slot can be watched."""
        return slot in self._feeds or len(self._feeds) < MAX_TRACED

    def watch(self, slot: Slot, now: float) -> tuple[TraceFeed, list[Action]]:
        """One more watches this slot; ``leave`` is to be called for each. Raises TooManyTracesError."""
        feed = self._feeds.get(slot)
        if feed is None:
            if not self.has_room(slot):
                self._limits.reached(LimitName.TRACED_SLOTS)
                raise TooManyTracesError
            feed = self._feeds[slot] = TraceFeed(slot, self._began)
        feed.watchers += 1
        feed.ends_at = None
        if self._renew_at is None:
            self._renew_at = now + RENEW_S
        return feed, self._ask(feed)

    def leave(self, feed: TraceFeed, now: float) -> list[Action]:
        """One watches no more. Somebody may come back, so the slot is traced for a while."""
        feed.watchers -= 1
        if feed.watchers:
            return []
        feed.ends_at = now + LINGER_S
        return self._ask(feed)

    def on_accepted(self, peer: Peer) -> list[Action]:
        """A peer has come: it is asked at once."""
        if not self._feeds or not _can_trace(peer):
            return []
        actions: list[Action] = []
        for feed in self._feeds.values():
            feed.ends = self._ends(feed.slot)
            for end in feed.ends:
                if self._peer_of(end.slot) is peer:
                    feed.forget_source(end.slot)
                    actions.append(_request(peer, end.slot))
        return actions

    # What is told

    def on_told(self, peer: Peer, message: TraceInd, now: float) -> list[Action]:
        """A peer tells of a slot of its own."""
        bank, client = message.bank_slot, message.client_slot
        source: Slot | None = client if peer.client is not None else bank
        is_own = source is not None and self._peer_of(source) is peer
        if source is None or not is_own:
            return [ignored(peer, "foreign_trace", slot=source)]
        # What a peer says of others counts if it is so.
        other = next((slot for slot in self._slots_of(source) if slot != source), None)
        if other not in (bank, client):
            other = None
            message = replace(message, bank_slot=None) if source == client else replace(message, client_slot=None)
        for slot in (source, other):
            feed = None if slot is None else self._feeds.get(slot)
            if feed is not None:
                feed.on_told(source, message, now)
        return []

    # Time

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` is due."""
        if self._renew_at is None:
            return None
        due = [self._renew_at]
        for feed in self._feeds.values():
            due += [at for at in (feed.next_deadline(), feed.ends_at) if at is not None]
        return min(due)

    def handle_timer(self, now: float) -> list[Action]:
        """Do what is due."""
        if self._renew_at is None:
            return []
        for feed in list(self._feeds.values()):
            feed.settle(now)
            if feed.ends_at is not None and feed.ends_at <= now:
                del self._feeds[feed.slot]
                # Who comes back with a number of that feed is told that it is over.
                self._began = max(self._began, feed.last + 1)
        if not self._feeds:
            self._renew_at = None
            return []
        if self._renew_at > now:
            return []
        self._renew_at = now + RENEW_S
        return [action for feed in self._feeds.values() if feed.watchers for action in self._ask(feed)]

    # Who is asked

    def _ask(self, feed: TraceFeed) -> list[Action]:
        feed.ends = self._ends(feed.slot)
        actions: list[Action] = []
        for end in feed.ends:
            peer = self._peer_of(end.slot)
            if peer is not None and not end.problem:
                actions.append(_request(peer, end.slot))
        return actions

    def _ends(self, slot: Slot) -> tuple[TraceEnd, ...]:
        return tuple(TraceEnd(each, self._problem(each)) for each in self._slots_of(slot))

    def _slots_of(self, slot: Slot) -> Iterator[Slot]:
        yield slot
        if isinstance(slot, BankSlot):
            mapping = self._slotmap.by_bank_slot(slot)
            if mapping is not None:
                yield mapping.client
        else:
            mapping = self._slotmap.by_client_slot(slot)
            if mapping is not None:
                yield mapping.bank

    def _problem(self, slot: Slot) -> str:
        peer = self._peer_of(slot)
        if peer is None:
            return f"{_whose(slot)} is not connected"
        if isinstance(slot, BankSlot) and slot.slot_nr >= peer.number_of_slots:
            return f"bank {slot.bank_id} has {peer.number_of_slots} slots"
        return "" if _can_trace(peer) else f"the program of {_whose(slot)} cannot trace: a classic one, or an older one"

    def _peer_of(self, slot: Slot) -> Peer | None:
        if isinstance(slot, ClientSlot):
            return self._peers.connected_client(slot)
        peer = self._peers.by_bank(slot.bank_id)
        return peer if peer is not None and peer.state is PeerState.CONNECTED_BANKD else None


def _whose(slot: Slot) -> str:
    return f"bank {slot.bank_id}" if isinstance(slot, BankSlot) else f"client {slot}"


def _can_trace(peer: Peer) -> bool:
    return peer.identity is not None and TRACE in (peer.identity.abilities or ())


def _request(peer: Peer, slot: Slot) -> Send:
    for_ms = round(LINGER_S * 1000)
    if isinstance(slot, BankSlot):
        return Send(peer.link, TraceReq(for_ms, bank_slot=slot))
    return Send(peer.link, TraceReq(for_ms, client_slot=slot))
