# SPDX-License-Identifier: Apache-2.0
"""What happened: events, and for admins the audit log, in one list; filtered, live, and to be taken away."""

import json
from collections.abc import AsyncIterator, Iterable
from typing import Final
from urllib.parse import urlencode

from remsim.core.event_kinds import KINDS
from remsim.core.text import rfc3339
from remsim.core.values import dataclass
from remsim.server.core.event_feed import FeedEvent, is_visible
from remsim.server.core.tokens import Grant
from remsim.server.page.live_view import Happenings
from remsim.server.page.rendering import render
from remsim.server.page.slot_views import PageEvent, shown_event
from remsim.server.query import ServerQuery
from remsim.server.store.audit import StoredEntry

#: Rows that are shown at first.
SHOWN: Final = 200
#: Events that are looked through for them, and entries of the audit log.
_LOOKED_THROUGH: Final = 20_000
_AUDIT: Final = 500
_LEVELS: Final = ("debug", "info", "warning", "error")
_PORTION: Final = 256
_MAX_TEXT: Final = 64

#: The kind of an entry of the audit log begins so.
AUDIT_KIND: Final = "audit "


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reader of the list has chosen to see."""

    about: str = ""
    kind: str = ""
    level: str = "info"

    @classmethod
    def of(cls, about: str, kind: str, level: str) -> "Wanted":
        """From what a browser asks; what cannot be is left out."""
        return cls(
            about.strip()[:_MAX_TEXT].lower(),
            kind if kind in KINDS or kind == "audit" else "",
            level if level in _LEVELS else "info",
        )

    @property
    def query(self) -> str:
        """The same, for an address."""
        return urlencode({"about": self.about, "kind": self.kind, "level": self.level})

    def takes(self, event: PageEvent) -> bool:
        """Whether this is wanted."""
        if self.kind and not (event.kind == self.kind or (self.kind == "audit" and event.kind.startswith(AUDIT_KIND))):
            return False
        if _LEVELS.index(event.level) < _LEVELS.index(self.level):
            return False
        text = f"{event.bank_slot} {event.client_slot} {event.detail} {event.kind}".lower()
        return not self.about or self.about in text


def of_entry(stored: StoredEntry) -> PageEvent:
    """An entry of the audit log as a row."""
    entry = stored.entry
    slots = entry.target.split()
    bank = next((slot for slot in slots if slot.startswith("B") and ":" in slot), None)
    client = next((slot for slot in slots if slot.startswith("C") and ":" in slot), None)
    parts = (entry.outcome, entry.target, entry.detail, f"by {entry.actor.who}", f"from {entry.actor.source}")
    return PageEvent(
        number=stored.number,
        at=rfc3339(stored.at),
        kind=f"{AUDIT_KIND}{entry.action}",
        meaning="an entry of the audit log",
        level="info" if entry.outcome == "done" else "warning",
        bank_slot=bank,
        client_slot=client,
        detail=", ".join(part for part in parts if part),
    )


def row(event: PageEvent) -> str:
    """One row."""
    return render("event_row.html", event=event)


def recent(query: ServerQuery, grant: Grant, wanted: Wanted, entries: Iterable[StoredEntry]) -> list[PageEvent]:
    """The newest that are wanted, the newest first."""
    feed = query.feed
    found: list[PageEvent] = []
    for event in reversed(feed.after(max(feed.first - 1, feed.last - _LOOKED_THROUGH), _LOOKED_THROUGH)):
        if len(found) == SHOWN:
            break
        if is_visible(event, grant.scope) and wanted.takes(shown := shown_event(event)):
            found.append(shown)
    audited = [shown for entry in entries if wanted.takes(shown := of_entry(entry))]
    return sorted([*found, *audited], key=lambda event: event.at, reverse=True)[:SHOWN]


async def newest_entries(query: ServerQuery) -> list[StoredEntry]:
    """The end of the audit log. Raises StoreError."""
    found: list[StoredEntry] = []
    after = 0
    while portion := list(await query.audit(after=after, limit=_AUDIT)):
        found = [*found, *portion][-_AUDIT:]
        after = portion[-1].number
        if len(portion) < _AUDIT:
            break
    return found


def happenings(query: ServerQuery, grant: Grant, wanted: Wanted) -> Happenings:
    """New rows as they come. Entries of the audit log come with the next look: each change is an event, too."""

    def show(event: FeedEvent) -> str:
        if not is_visible(event, grant.scope):
            return ""
        shown = shown_event(event)
        return row(shown) if wanted.takes(shown) else ""

    def anew() -> str:
        return "".join(row(event) for event in recent(query, grant, wanted, ())).replace("\n", "")

    return Happenings(query.feed, query.restart_counter, show, anew)


async def exported(query: ServerQuery, grant: Grant, wanted: Wanted, *, with_audit: bool) -> AsyncIterator[str]:
    """All that is kept and wanted, one JSON object a line: events, then the audit log."""
    feed, number = query.feed, query.feed.first - 1
    while events := feed.after(number, _PORTION):
        for event in events:
            number = event.number
            if is_visible(event, grant.scope) and wanted.takes(shown_event(event)):
                yield f'{{"source":"event","number":{event.number},{event.text[1:]}\n'
    after = 0
    while with_audit and (entries := list(await query.audit(after=after, limit=_PORTION))):
        for stored in entries:
            after = stored.number
            if wanted.takes(of_entry(stored)):
                yield f"{json.dumps(_audit_object(stored))}\n"


def _audit_object(stored: StoredEntry) -> dict[str, object]:
    entry = stored.entry
    return {
        "source": "audit",
        "number": stored.number,
        "at": rfc3339(stored.at),
        "who": entry.actor.who,
        "from": entry.actor.source,
        "action": entry.action,
        "target": entry.target,
        "outcome": entry.outcome,
        "detail": entry.detail,
    }
