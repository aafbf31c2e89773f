# SPDX-License-Identifier: Apache-2.0
"""The overview as pieces of HTML, each with the version at which it changed: what a browser lacks is what is newer.

A board is shared by all viewers who may see and press the same. Events say which slots to look at again; now and then
everything is looked at, so that nothing stays wrong that no event tells of. Work is done in portions: the server's
links come first.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.api.routing import sight_of
from remsim.server.api.v2.views import Views
from remsim.server.core.event_feed import FeedEvent
from remsim.server.core.tokens import Grant, TokenRole
from remsim.server.page import states
from remsim.server.page.clients import client_model
from remsim.server.page.problems import find_problems
from remsim.server.page.rendering import render, template
from remsim.server.runtime import ServerRuntime

#: Pieces between two looks at others' work: a portion takes a few milliseconds.
_PORTION: Final = 16
#: More events than these at once: everything is looked at instead.
_MAX_EVENTS: Final = 2000
#: Everything is looked at this often.
SWEEP_S: Final = 10.0
#: Removals that are remembered; who is further behind gets everything anew.
_MAX_GONE: Final = 1000

CLIENTS: Final = "clients"
BANKS: Final = "banks"
PROBLEMS: Final = "problems"

_epochs = count(1)


@dataclass(slots=True)
class Piece:
    """One element of the page."""

    html: str
    #: When it changed, and when it came.
    version: int
    born: int


@dataclass(slots=True)
class Dirt:
    """What is to be looked at again."""

    everything: bool = False
    banks: set[int] = field(default_factory=set)
    bank_slots: set[str] = field(default_factory=set)
    clients: set[int] = field(default_factory=set)
    client_slots: set[str] = field(default_factory=set)

    def add(self, event: FeedEvent) -> None:
        """Something happened."""
        found: Mapping[str, object] = json.loads(event.text)
        where, who = found.get("bank_slot"), found.get("client_slot")
        if isinstance(where, str):
            self.bank_slots.add(where)
        if isinstance(who, str):
            self.client_slots.add(who)
        named = {BankSlot.parse(where).bank_id} if isinstance(where, str) else set()
        self.banks |= set(event.banks) - named
        self.clients |= set(event.clients) - ({ClientSlot.parse(who).client_id} if isinstance(who, str) else set())
        # A label of a card names no slot.
        self.everything |= not (event.banks or event.clients)


class OverviewBoard:
    """For one scope, and one set of buttons."""

    def __init__(self, runtime: ServerRuntime, grant: Grant) -> None:
        self._runtime = runtime
        self._query = query = runtime.query
        self._grant = grant
        self._views = Views(query, sight_of(grant))
        self._may_write = grant.role >= TokenRole.OPERATOR
        self._turn = asyncio.Lock()
        self._seen = 0
        self._swept_at = float("-inf")
        self._looked_at = float("-inf")
        self._sent: dict[int, str] = {}
        self._gone: list[tuple[int, str]] = []
        #: Told apart from boards before: versions mean nothing there.
        self.epoch = next(_epochs)
        self.version = 0
        self.pieces: dict[str, Piece] = {}
        #: Events tell of everything here.
        self.others = None
        #: The pieces in each list of the page, in order.
        self.lists: dict[str, list[str]] = {BANKS: [], CLIENTS: []}

    async def look(self, now: float, *, spacing_s: float = 0.0) -> None:
        """Bring everything up to date, unless that was done less than ``spacing_s`` ago."""
        async with self._turn:
            if now - self._looked_at < spacing_s:
                return
            if self._seen == self._query.feed.last and now - self._swept_at < SWEEP_S:
                self._looked_at = now
                return
            dirt = self._dirt(now)
            self._sent.clear()
            before, self.version = self.version, self.version + 1
            self._has_changed = False
            await self._look_at_banks(dirt)
            await self._look_at_clients(dirt)
            found = find_problems(self._runtime, self._views, self._grant)
            self._put(PROBLEMS, render("problems.html", problems=found))
            self._looked_at = now
            if not self._has_changed:
                self.version = before

    def newer_than(self, epoch: int, version: int) -> str:
        """What a browser lacks that has this version, as HTML for its swaps; empty: nothing."""
        if epoch != self.epoch or version > self.version or (self._gone and version < self._gone[0][0] - 1):
            return self._everything()
        found = self._sent.get(version)
        if found is None:
            found = self._sent[version] = "".join(self._changes(version))
        return found

    # What is on it

    def bank_html(self, number: int) -> str:
        """A bank with its tiles."""
        wall = f"w{number}"
        tiles = "".join(self.pieces[name].html for name in self.lists.get(wall, ()))
        return (
            f'<section class="bank" id="bank{number}" aria-labelledby="h{number}">{self.pieces[f"h{number}"].html}'
            f'<ul class="tiles" id="{wall}">{tiles}</ul></section>'
        )

    @property
    def banks_html(self) -> str:
        """All banks."""
        return "".join(self.bank_html(int(name.removeprefix("bank"))) for name in self.lists[BANKS])

    @property
    def clients_html(self) -> str:
        """All client slots."""
        return "".join(self.pieces[name].html for name in self.lists[CLIENTS])

    # Looking

    def _dirt(self, now: float) -> Dirt:
        feed = self._query.feed
        dirt = Dirt(everything=now - self._swept_at >= SWEEP_S or feed.is_lost(self._seen))
        events = [] if dirt.everything else feed.after(self._seen, _MAX_EVENTS + 1)
        for event in events[:_MAX_EVENTS]:
            dirt.add(event)
        dirt.everything |= len(events) > _MAX_EVENTS
        self._seen = feed.last
        if dirt.everything:
            self._swept_at = now
        # The mappings of a client concern its tiles, and those of a bank its clients.
        for slot in [] if dirt.everything else list(self._query.mappings(sight_of(self._grant))):
            where, who = str(slot.bank), str(slot.client)
            if who in dirt.client_slots or slot.client.client_id in dirt.clients:
                dirt.bank_slots.add(where)
            if where in dirt.bank_slots or slot.bank.bank_id in dirt.banks:
                dirt.client_slots.add(who)
        return dirt

    async def _look_at_banks(self, dirt: Dirt) -> None:
        query, views = self._query, self._views
        known = [number for number in query.known_banks() if self._grant.allows(TokenRole.VIEWER, bank_id=number)]
        tile, header = template("tile.html"), template("bank.html")
        touched = {BankSlot.parse(slot).bank_id for slot in dirt.bank_slots} | dirt.banks
        for number in known:
            is_whole = dirt.everything or number in dirt.banks or f"h{number}" not in self.pieces
            if not is_whole and number not in touched:
                continue
            bank = views.bank(number)
            self._put(f"h{number}", header.render(bank=bank, s=states.of_bank(bank)))
            names: list[str] = []
            for turn, slot in enumerate(query.slots_of_bank(number)):
                name = f"s{number}-{slot.slot_nr}"
                names.append(name)
                if is_whole or f"B{number}:{slot.slot_nr}" in dirt.bank_slots or name not in self.pieces:
                    model = views.bank_slot(number, slot)
                    s = states.of_bank_slot(model, bank.link)
                    client = None if model.mapping is None else self._name_of(model.mapping.client)
                    self._put(name, tile.render(slot=model, s=s, client=client, bank=number, may=self._may_write))
                    if turn % _PORTION == 0:
                        await asyncio.sleep(0)
            self._arrange(f"w{number}", names)
        self._arrange(BANKS, [f"bank{number}" for number in known])

    async def _look_at_clients(self, dirt: Dirt) -> None:
        row = template("client_row.html")
        names: list[str] = []
        for turn, slot in enumerate(self._query.known_clients()):
            if not self._grant.allows(TokenRole.VIEWER, client_id=slot.client_id):
                continue
            name = f"c{slot.client_id}-{slot.slot_nr}"
            names.append(name)
            is_dirty = dirt.everything or str(slot) in dirt.client_slots or slot.client_id in dirt.clients
            if is_dirty or name not in self.pieces:
                model = client_model(self._query, self._views, self._grant, slot)
                bank = None if model.mapping is None else model.mapping.bank
                labels = () if bank is None else self._query.labels(bank)
                s = states.of_client_slot(model)
                self._put(name, row.render(slot=model, s=s, card_labels=labels, may=self._may_write))
                if turn % _PORTION == 0:
                    await asyncio.sleep(0)
        self._arrange(CLIENTS, names)

    def _name_of(self, client: str) -> str | None:
        seen = self._query.seen_client(ClientSlot.parse(client))
        return None if seen is None else seen.note.name

    def _put(self, name: str, html: str) -> None:
        # In a stream each line would cost a name of its own.
        html = html.replace("\n", "")
        piece = self.pieces.get(name)
        if piece is None:
            self.pieces[name] = Piece(html, self.version, self.version)
        elif piece.html == html:
            return
        else:
            piece.html, piece.version = html, self.version
        self._has_changed = True

    def _arrange(self, place: str, names: list[str]) -> None:
        before = self.lists.get(place, [])
        if before == names:
            return
        self._has_changed = True
        self.lists[place] = names
        if place == BANKS:
            for name in set(names) - set(before):
                self.pieces[name] = Piece("", self.version, self.version)
        for name in set(before) - set(names):
            self.pieces.pop(name, None)
            self._gone.append((self.version, name))
            if place == BANKS:
                number = name.removeprefix("bank")
                for inner in [f"h{number}", *self.lists.pop(f"w{number}", ())]:
                    self.pieces.pop(inner, None)
        del self._gone[:-_MAX_GONE]

    # Telling

    def _everything(self) -> str:
        return (
            f'<div hx-swap-oob="innerHTML:#{BANKS}">{self.banks_html}</div>'
            f'<ul hx-swap-oob="innerHTML:#{CLIENTS}">{self.clients_html}</ul>'
            f"{swapped(self.pieces[PROBLEMS].html)}"
        )

    def _changes(self, version: int) -> Iterable[str]:
        for at, name in self._gone:
            if at > version and name not in self.pieces:
                yield f'<i id="{name}" hx-swap-oob="delete"></i>'
        yield from self._changes_of_list(BANKS, version)
        for place in self.lists[BANKS]:
            number = place.removeprefix("bank")
            if self.pieces[place].born <= version:
                header = self.pieces[f"h{number}"]
                if header.version > version:
                    yield swapped(header.html)
                yield from self._changes_of_list(f"w{number}", version)
        yield from self._changes_of_list(CLIENTS, version)
        if self.pieces[PROBLEMS].version > version:
            yield swapped(self.pieces[PROBLEMS].html)

    def _changes_of_list(self, place: str, version: int) -> Iterable[str]:
        # A browser finds all places before it fills any: those that come together are put in together.
        before, together = f"afterbegin:#{place}", ""
        for name in self.lists.get(place, ()):
            piece = self.pieces[name]
            if piece.born > version:
                together += self.bank_html(int(name.removeprefix("bank"))) if place == BANKS else piece.html
                continue
            if together:
                yield _inserted(before, together)
                together = ""
            if piece.version > version and piece.html:
                yield swapped(piece.html)
            before = f"afterend:#{name}"
        if together:
            yield _inserted(before, together)


def _inserted(where: str, html: str) -> str:
    return f'<ul hx-swap-oob="{where}">{html}</ul>'


def swapped(html: str) -> str:
    """An element, so that it takes the place of the one with its id."""
    tag, _, rest = html.partition(" ")
    return f'{tag} hx-swap-oob="outerMorph" {rest}'
