# SPDX-License-Identifier: Apache-2.0
"""What stands between a modem and its card: in words, since when, and who says so. Nothing here changes anything."""

from collections.abc import Iterator
from typing import Final

from remsim.core.values import dataclass
from remsim.server.core.coordinator import Coordinator
from remsim.server.core.known import Seen, absence
from remsim.server.core.peers import Peer
from remsim.server.core.slotmap import Mapping, MappingState
from remsim.server.waiting_query import card_away
from remsim.wire.messages.rspro import ResultCode

NO_CARD: Final = "there is no card in the slot, or no reader"
READER_FAILS: Final = "the reader has failed several times; it is tried again by itself"


@dataclass(frozen=True, slots=True)
class Lack:
    """One thing that a mapping lacks."""

    text: str
    #: Since when, in seconds since 1970-01-01 UTC; None: since before this run of the server.
    since: float | None
    #: ``server``, ``database``, ``B1`` or ``C7:0``.
    source: str


@dataclass(frozen=True, slots=True)
class Usability:
    """Whether a modem can use its card, as far as the server knows. Times and sources are those of ``Lack``."""

    is_operational: bool
    since: float | None
    source: str


class MappingLacks:
    """What one mapping lacks at this moment: ``now`` in the server's time, ``wall`` in seconds since 1970-01-01 UTC.

    ``started_at`` is when the server was started, by the wall clock.
    """

    __slots__ = ("_bank", "_client", "_coordinator", "_mapping", "_now", "_started_at", "_wall")

    def __init__(
        self, mapping: Mapping, coordinator: Coordinator, *, now: float, wall: float, started_at: float
    ) -> None:
        self._mapping = mapping
        self._coordinator = coordinator
        self._now = now
        self._wall = wall
        self._started_at = started_at
        self._bank = coordinator.peers.by_bank(mapping.bank.bank_id)
        self._client = coordinator.peers.connected_client(mapping.client)

    def all(self) -> list[Lack]:
        """Everything that the modem lacks to use the card, as far as the server knows; empty: nothing."""
        return [*self._at_bank(), *self._at_client()]

    def usability(self) -> Usability:
        """Since when the mapping is operational, or since when the first of what it lacks is missing."""
        for lack in self.all():
            return Usability(is_operational=False, since=lack.since, source=lack.source)
        at, source = max(self._came_about(), default=(None, "server"))
        return Usability(is_operational=True, since=self._since(at), source=source)

    def _since(self, *moments: float | None) -> float | None:
        """By the wall clock, the last of these moments of the server's own time, as far as they are known."""
        known = [at for at in moments if at is not None]
        return self._wall - (self._now - max(known)) if known else None

    def _absent(self, what: str, seen: Seen | None) -> Lack:
        text = absence(what, seen)
        if seen is None or not seen.is_fresh:
            return Lack(text, self._started_at, "database")
        return Lack(text, seen.at, "server")

    def _at_bank(self) -> Iterator[Lack]:
        mapping, bank = self._mapping, self._bank
        name, changed_at = f"B{mapping.bank.bank_id}", mapping.changed_at
        if bank is None:
            yield self._absent(f"bank {mapping.bank.bank_id}", self._coordinator.known.bank(mapping.bank.bank_id))
            return
        if mapping.state is MappingState.REFUSED:
            source = "database" if changed_at is None else name
            yield Lack(problem_of(mapping, bank, self._client), self._since(changed_at), source)
            return
        if mapping.state is not MappingState.ACTIVE:
            yield Lack(f"bank {mapping.bank.bank_id} has not answered yet", self._since(changed_at), "server")
            return
        inventory, follows = self._coordinator.inventory, mapping.follows
        if follows is not None and inventory.number(mapping.bank) != follows:
            since = self._since(inventory.heard_at(mapping.bank))
            yield Lack(card_away(follows, since), since, "database" if since is None else name)
            return
        is_there, presence_at = bank.presence(mapping.bank.slot_nr)
        if is_there is False:
            yield Lack(NO_CARD, self._since(presence_at), name)
        elif mapping.bank.slot_nr in bank.readers:
            yield Lack(READER_FAILS, self._since(bank.reader_heard_at.get(mapping.bank.slot_nr)), name)

    def _at_client(self) -> Iterator[Lack]:
        mapping, client = self._mapping, self._client
        if client is None:
            yield self._absent(f"client {mapping.client}", self._coordinator.known.client(mapping.client))
            return
        begun = self._since(mapping.changed_at, client.since)
        if client.address_problem:
            yield Lack(client.address_problem, begun, "server")
            return
        if mapping.state is not MappingState.ACTIVE:
            return
        told = client.announced
        if told is None or told.bank_slot != mapping.bank or told.bankd.port == 0 or client.announced_result is None:
            yield Lack(f"client {mapping.client} has not answered yet", begun, "server")
        elif client.announced_result != ResultCode.OK:
            text = f"client {mapping.client} refused: {ResultCode(client.announced_result).name}"
            yield Lack(text, self._since(client.answered_at), str(mapping.client))

    def _came_about(self) -> Iterator[tuple[float, str]]:
        """What the mapping needs to be operational: since when it is there, and who says so."""
        mapping, bank, client = self._mapping, self._bank, self._client
        name, nr = f"B{mapping.bank.bank_id}", mapping.bank.slot_nr
        moments = [(mapping.changed_at, name)]
        if bank is not None:
            moments += [(bank.presence(nr)[1], name), (bank.reader_heard_at.get(nr), name)]
        if mapping.follows is not None:
            moments.append((self._coordinator.inventory.heard_at(mapping.bank), name))
        if client is not None:
            moments.append((client.answered_at, str(mapping.client)))
        return ((at, source) for at, source in moments if at is not None)


def problem_of(mapping: Mapping, bank: Peer | None, client: Peer | None) -> str:
    """What stands between a client and its card; ``bank`` and ``client`` are those that are connected."""
    if mapping.state is MappingState.REFUSED and mapping.result is not None:
        if mapping.result == ResultCode.ILLEGAL_SLOT_ID:
            return f"bank {mapping.bank.bank_id} has no slot {mapping.bank.slot_nr}"
        return f"bank {mapping.bank.bank_id} refused the mapping"
    if bank is None:
        return f"bank {mapping.bank.bank_id} is not connected"
    if mapping.is_acknowledged and client is not None and client.address_problem:
        return client.address_problem
    status = bank.slot_status.get(mapping.bank.slot_nr)
    if status is not None and status.card_present is False:
        return NO_CARD
    if mapping.bank.slot_nr in bank.readers:
        return READER_FAILS
    return ""
