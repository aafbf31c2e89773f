# SPDX-License-Identifier: Apache-2.0
"""What happened, for those who follow it: the last events, each with a number from which a reader goes on. Without I/O.

Fed with the events from which the log is made. Only those are kept that tell of banks, clients, cards and mappings,
and all of these: unlike lines of the log they are never held back, because readers keep a picture up to date by them.
Readers have a position here and nothing else, so a slow one costs no memory.
"""

import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from remsim.core.event_kinds import KINDS
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.log_event import LogEvent
from remsim.core.text import rfc3339
from remsim.core.values import dataclass
from remsim.server.core.tokens import Scope

#: Events that are kept, ...
MAX_EVENTS: Final = 100_000
#: ... unless their text is longer than this, in bytes, together. Most have some 200 bytes, and 150 beside their text.
MAX_TEXT_BYTES: Final = 64 << 20
#: One event that is longer, because a peer has sent so much text, is kept without its data.
MAX_EVENT_BYTES: Final = 4096

#: Turns fields into what may be shown.
Redact = Callable[[Mapping[str, object]], dict[str, object]]


@dataclass(frozen=True, slots=True)
class EventDraft:
    """An event before it has a number: its kind, its JSON object as text, and what it is about."""

    kind: str
    text: str
    banks: tuple[int, ...]
    clients: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """One event: its number, kind, and JSON object as text; and what it is about, for those with a limited view."""

    number: int
    kind: str
    text: str
    banks: tuple[int, ...]
    clients: tuple[int, ...]


class Audience(Protocol):
    """Who hears of all events, and is to miss none that tells of a stored change."""

    @property
    def is_empty(self) -> bool:
        """Whether nobody is to hear of anything."""
        ...

    def wants(self, draft: EventDraft) -> bool:
        """Whether such an event is for anybody."""
        ...

    def on_event(self, event: FeedEvent) -> None:
        """It happened."""
        ...

    def on_told(self, announcement: int) -> None:
        """All events of the announcement with this number were given."""
        ...


class EventFeed:
    """The newest events. Numbers begin with 1 at each start. ``redact`` makes values presentable."""

    def __init__(self, redact: Redact, *, most: int = MAX_EVENTS, most_bytes: int = MAX_TEXT_BYTES) -> None:
        self._redact = redact
        self._most = most
        self._most_bytes = most_bytes
        self._events: deque[FeedEvent] = deque()
        self._bytes = 0
        #: The number of the newest event; 0: there was none.
        self.last = 0

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._events)

    @property
    def newest(self) -> FeedEvent:
        """The newest event; there must be one."""
        return self._events[-1]

    @property
    def first(self) -> int:
        """The number of the oldest event that is kept; one more than ``last`` if none is."""
        return self.last + 1 - len(self._events)

    def on_event(self, event: LogEvent, wall: float) -> bool:
        """Something happened, at this time (seconds since 1970-01-01 UTC). Returns whether it is kept."""
        draft = self.draft(event, wall)
        if draft is not None:
            self.keep(draft)
        return draft is not None

    def draft(self, event: LogEvent, wall: float) -> EventDraft | None:
        """What is kept of something that happens at this time; None: nothing."""
        banks, clients = _about(event)
        if event.name not in KINDS or (event.name == "peer_lost" and not banks and not clients):
            return None
        at = rfc3339(wall)
        text = self._text(event, at)
        if len(text) > MAX_EVENT_BYTES:
            text = self._text(LogEvent(event.level, event.name, event.bank_slot, event.client_slot), at)
        return EventDraft(event.name, text, banks, clients)

    def keep(self, draft: EventDraft) -> FeedEvent:
        """It has happened: it gets the next number."""
        self.last += 1
        event = FeedEvent(self.last, draft.kind, draft.text, draft.banks, draft.clients)
        self._events.append(event)
        self._bytes += len(event.text)
        while len(self._events) > self._most or self._bytes > self._most_bytes:
            self._bytes -= len(self._events.popleft().text)
        return event

    def after(self, number: int, most: int) -> list[FeedEvent]:
        """Up to ``most`` events behind this number, oldest first. What is not kept any more is left out."""
        start = max(0, number + 1 - self.first)
        return [self._events[place] for place in range(start, min(start + most, len(self._events)))]

    def is_lost(self, number: int) -> bool:
        """Whether something behind this number is not kept any more, or the number is none of this run."""
        return number + 1 < self.first or number > self.last

    def _text(self, event: LogEvent, at: str) -> str:
        """Without its number, which the reader's answer puts in front; ASCII, so its length is that of its bytes."""
        shown: dict[str, object] = {"at": at, "kind": event.name, "level": event.level}
        if event.bank_slot is not None:
            shown["bank_slot"] = str(event.bank_slot)
        if event.client_slot is not None:
            shown["client_slot"] = str(event.client_slot)
        shown["data"] = self._redact(event.shown_fields())
        return json.dumps(shown, separators=(",", ":"))


def is_visible(event: FeedEvent | EventDraft, scope: Scope) -> bool:
    """A token with limits hears of what is within them as a whole; what names nothing concerns everything."""
    if not scope.is_limited:
        return True
    return bool(event.banks or event.clients) and (
        all(scope.has_bank(bank) for bank in event.banks) and all(scope.has_client(client) for client in event.clients)
    )


def _about(event: LogEvent) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The banks and clients that an event tells of."""
    banks: set[int] = set()
    clients: set[int] = set()
    bank, client = event.fields.get("bank"), event.fields.get("client")
    if isinstance(bank, int):
        banks.add(bank)
    if isinstance(client, int):
        clients.add(client)
    for value in (event.bank_slot, event.client_slot, *event.fields.values()):
        if isinstance(value, BankSlot):
            banks.add(value.bank_id)
        elif isinstance(value, ClientSlot):
            clients.add(value.client_id)
    return tuple(banks), tuple(clients)
