# SPDX-License-Identifier: Apache-2.0
"""Which clients have, or had, a certificate, without I/O: those are refused on links without TLS.

A client is known to have one when it has shown it here, or when a server said so (``certifiedInd``). The list only
grows, whatever a server says later: a certificate was issued once and for all, and a server with another authority, or
none, knows less. What is proven is stored and is there again after a restart: what a client has shown, and what a
server with a certificate said. What a server on plain TCP says holds until the end of the program; it could be anybody,
and nobody could take back what it said.

If the stored list cannot be read, nobody knows who is on it. Then everybody is refused on plain TCP until a server with
a certificate has told the whole list: with an empty one, damage to the file would let everybody in, and not to
start would also hurt all those with certificates.
"""

from collections.abc import Iterable
from typing import Final, Protocol

from remsim.bankd.core.actions import BankdAction, StoreCertified
from remsim.core.errors import RemsimError
from remsim.core.identity import Identity, Role
from remsim.core.ids import MAX_ID, ClientSlot
from remsim.core.log_event import LogEvent
from remsim.core.values import dataclass
from remsim.wire.link.actions import LinkId
from remsim.wire.messages.extensions import CertifiedInd

#: A bit for each slot of a client. All clients with all their slots, the most there can be, are 1024 such numbers, or
#: some 160 kilobytes; no list, however long, takes more.
_ALL_SLOTS: Final = (1 << (MAX_ID + 1)) - 1

_Slots = dict[int, int]


@dataclass(frozen=True, slots=True)
class CertifiedMemory:
    """What earlier runs have stored; not ``is_readable``: something, but nobody knows what."""

    clients: tuple[Identity, ...] = ()
    is_readable: bool = True


class PlainSessions(Protocol):
    """Who must follow when a client turns out to have a certificate."""

    def close_plain(self, now: float) -> None:
        """End the sessions without TLS that there is an objection to."""
        ...


class CertifiedClients:
    """The list of one bank. Actions are appended to ``out``."""

    def __init__(self, memory: CertifiedMemory, out: list[BankdAction]) -> None:
        self._out = out
        # Slots by client, as bits: those that are known, and those of them that are proven.
        self._known: _Slots = {}
        self._proven: _Slots = {}
        self._is_whole = memory.is_readable
        # The link on which a list is coming in from its first part on.
        self._list_from: LinkId | None = None
        #: Set by the coordinator.
        self.sessions: PlainSessions
        _add(self._known, memory.clients)
        _add(self._proven, memory.clients)

    def objection(self, claimed: ClientSlot) -> str:
        """What there is against this client on a link without TLS; nothing if it may be let in."""
        if self._known.get(claimed.client_id, 0) >> claimed.slot_nr & 1:
            return f"a certificate was issued to {claimed}: plain TCP is refused"
        return "" if self._is_whole else "nobody knows who has a certificate: plain TCP is refused"

    def on_shown(self, holder: Identity, now: float) -> None:
        """A client has shown its certificate."""
        self._learn([holder], now, is_proven=True)

    def on_part(self, link: LinkId, part: CertifiedInd, now: float, *, is_proven: bool) -> None:
        """A server tells a part of its list; ``is_proven``: it has a certificate itself."""
        if part.is_first:
            self._list_from = link
        holders = [holder for text in part.clients if (holder := _client(text)) is not None]
        if len(holders) < len(part.clients):
            unusable = len(part.clients) - len(holders)
            self._out.append(LogEvent("warning", "certified_list_has_unknown_entries", fields={"count": unusable}))
        # Each part holds by itself, whatever becomes of the rest.
        self._learn(holders, now, is_proven=is_proven)
        if part.is_last and self._list_from == link:
            self._list_from = None
            self._on_whole_list(is_proven=is_proven)

    def _on_whole_list(self, *, is_proven: bool) -> None:
        if is_proven and not self._is_whole:
            self._is_whole = True
            self._out.append(LogEvent("info", "certified_list_restored"))
            self._out.append(StoreCertified())

    def _learn(self, holders: Iterable[Identity], now: float, *, is_proven: bool) -> None:
        holders = tuple(holders)
        is_new = _add(self._known, holders)
        # An incomplete list must not take the place of the one that cannot be read: it would pass for the whole.
        if is_proven and _add(self._proven, holders) and self._is_whole:
            self._out.append(StoreCertified())
        if is_new:
            self._out.append(LogEvent("info", "certified_list", fields={"clients": len(self._known)}))
            self.sessions.close_plain(now)

    def proven(self) -> tuple[Identity, ...]:
        """What is to be stored, by number."""
        found: list[Identity] = []
        for client_id, slots in sorted(self._proven.items()):
            if slots == _ALL_SLOTS:
                found.append(Identity.client(client_id))
            else:
                found += [Identity.client(client_id, nr) for nr in range(MAX_ID + 1) if slots >> nr & 1]
        return tuple(found)


def _client(text: str) -> Identity | None:
    try:
        identity = Identity.parse(text)
    except RemsimError:
        return None
    return identity if identity.role is Role.CLIENT else None


def _add(known: _Slots, holders: Iterable[Identity]) -> bool:
    """Whether any of these clients was not known."""
    is_new = False
    for holder in holders:
        assert holder.number is not None
        slots = _ALL_SLOTS if holder.slot_nr is None else 1 << holder.slot_nr
        before = known.get(holder.number, 0)
        known[holder.number] = before | slots
        is_new = is_new or before | slots != before
    return is_new
