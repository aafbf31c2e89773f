# SPDX-License-Identifier: Apache-2.0
"""Banks and clients that were ever here, connected or not: which are absent, and since when. Without I/O.

Fed with the same notes that the database gets: one at each connect, one at each leave. Times are seconds since
1970-01-01 UTC.
"""

from collections import OrderedDict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from remsim.core.ids import ClientSlot
from remsim.core.limits import LimitCounts, LimitName
from remsim.core.values import dataclass
from remsim.server.core.actions import Note, NoteBank, NoteClient

#: Client slots that are remembered: more than the largest installation has. On plaintext links a peer can claim any
#: number, so there is a bound.
MAX_CLIENTS: Final = 16_384


@dataclass(frozen=True, slots=True)
class Seen:
    """A bank or client, and when it was noted last: at its last connect, or when it left."""

    note: NoteBank | NoteClient
    at: float
    #: It was noted by this run of the server.
    is_fresh: bool


def absence(what: str, seen: Seen | None) -> str:
    """In words, that a bank or client is not connected, and since when."""
    if seen is None:
        return f"{what} was never connected"
    at = datetime.fromtimestamp(seen.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if seen.is_fresh:
        return f"{what} is not connected since {at}"
    return f"{what} has not connected since the server was started; it was there at {at}"


class KnownPeers:
    """All that were ever here. ``banks`` and ``clients`` are of earlier runs; ``limits`` counts those forgotten."""

    def __init__(
        self,
        banks: Iterable[tuple[NoteBank, float]] = (),
        clients: Iterable[tuple[NoteClient, float]] = (),
        *,
        limits: LimitCounts,
    ) -> None:
        self._limits = limits
        self._banks = {note.bank_id: Seen(note, at, is_fresh=False) for note, at in banks}
        # The one that was noted longest ago comes first.
        self._clients: OrderedDict[ClientSlot, Seen] = OrderedDict()
        for note, at in sorted(clients, key=lambda known: known[1])[-MAX_CLIENTS:]:
            self._clients[note.client] = Seen(note, at, is_fresh=False)

    def note(self, note: Note, wall: float) -> None:
        """Something is stored; what is not about a bank or client is ignored."""
        match note:
            case NoteBank():
                self._banks[note.bank_id] = Seen(note, wall, is_fresh=True)
            case NoteClient():
                self._clients.pop(note.client, None)
                self._clients[note.client] = Seen(note, wall, is_fresh=True)
                if len(self._clients) > MAX_CLIENTS:
                    self._clients.popitem(last=False)
                    self._limits.reached(LimitName.KNOWN_CLIENTS)

    def bank(self, bank_id: int) -> Seen | None:
        """What is known of a bank."""
        return self._banks.get(bank_id)

    def client(self, slot: ClientSlot) -> Seen | None:
        """What is known of a client slot."""
        return self._clients.get(slot)

    def banks(self) -> Iterable[int]:
        """Their ids."""
        return self._banks.keys()

    def clients(self) -> Iterable[ClientSlot]:
        """Their slots."""
        return self._clients.keys()
