# SPDX-License-Identifier: Apache-2.0
"""What the screen shows, as a value: lists of REST v2 in, rows with their ages out. Without I/O; time is an argument.

A state is as old as the server said, and older by the time that has passed since. Where the server is not heard, every
state stands as of then, and says so: a wrong "connected" would be worse than none.
"""

from collections.abc import Iterable, Iterator
from dataclasses import field
from typing import Final

from remsim.core.ids import BankSlot
from remsim.core.text import counted, escape
from remsim.core.values import dataclass
from remsim.rest.models import BankModel, BankSlotModel, ClientModel, ClientSlotModel, EventModel, Observed
from remsim.rest.warnings import WarningModel

#: Events that are kept for their list.
MAX_EVENTS: Final = 500
#: Characters of a cell that peers or people have chosen.
_MAX_TEXT: Final = 60
_MAX_PROBLEM: Final = 400


@dataclass(frozen=True, slots=True)
class TableRow:
    """One line of a table: its name, its cells, and whether something is wrong with it."""

    name: str
    cells: tuple[str, ...]
    is_wrong: bool = False


@dataclass(frozen=True, slots=True)
class KnownProblem:
    """What is wrong, where, and for how long (seconds, None: not known)."""

    where: str
    text: str
    age_s: float | None
    #: The server calls it an error.
    is_error: bool = False


@dataclass(slots=True)
class _Kept:
    """A model, and when it was heard."""

    model: BankModel | BankSlotModel | ClientSlotModel
    at: float


@dataclass(slots=True)
class Overview:
    """All that one server says."""

    _banks: dict[int, _Kept] = field(default_factory=dict)
    _slots: dict[str, _Kept] = field(default_factory=dict)
    _clients: dict[str, _Kept] = field(default_factory=dict)
    _warnings: list[WarningModel] = field(default_factory=list)
    _warned_at: float = 0.0
    #: Newest last.
    events: list[EventModel] = field(default_factory=list)
    #: Since when nothing is heard from the server, and why; None while it is.
    stale_since: float | None = None
    stale_reason: str = ""
    #: Lists have come at least once.
    has_heard: bool = False

    # In

    def replace(
        self, banks: Iterable[BankModel], slots: Iterable[BankSlotModel], clients: Iterable[ClientModel], now: float
    ) -> None:
        """All lists anew."""
        self._banks = {bank.bank: _Kept(bank, now) for bank in banks}
        self._slots = {slot.slot: _Kept(slot, now) for slot in slots}
        self._clients = {slot.slot: _Kept(slot, now) for client in clients for slot in client.slots}
        self.stale_since, self.has_heard = None, True

    def put_slot(self, slot: BankSlotModel, now: float) -> None:
        """One slot of a bank anew."""
        self._slots[slot.slot] = _Kept(slot, now)

    def put_client(self, slot: ClientSlotModel, now: float) -> None:
        """One client slot anew."""
        self._clients[slot.slot] = _Kept(slot, now)

    def warn(self, warnings: Iterable[WarningModel], now: float) -> None:
        """All that the server warns of."""
        self._warnings, self._warned_at = list(warnings), now

    def add_event(self, event: EventModel) -> None:
        """Something happened."""
        self.events.append(event)
        del self.events[:-MAX_EVENTS]

    def lose(self, reason: str, now: float) -> None:
        """The server is not heard any more."""
        if self.stale_since is None:
            self.stale_since = now
        self.stale_reason = reason

    # Out

    def counts(self) -> str:
        """How much there is of what, in one line."""
        banks = [kept.model for kept in self._banks.values() if isinstance(kept.model, BankModel)]
        clients = [kept.model for kept in self._clients.values() if isinstance(kept.model, ClientSlotModel)]
        here = sum(bank.link.state == "connected" for bank in banks)
        cards = sum(slot.card.state == "present" for slot, _ in self._each_slot())
        online = sum(client.link.state == "connected" for client in clients)
        return (
            f"banks {here}/{len(banks)}  cards {cards}/{len(self._slots)} slots  "
            f"clients {online}/{len(clients)}  mapped {sum(bool(slot.mapping) for slot, _ in self._each_slot())}"
        )

    def problems(self, now: float) -> list[KnownProblem]:
        """What is wrong, errors and then the newest first: what the server warns of, and what it will soon."""
        waited = max(0.0, now - self._warned_at)
        found = [
            KnownProblem(each.about, _cut_problem(each), each.age_s + waited, each.severity == "error")
            for each in self._warnings
        ]
        warned = {each.about for each in self._warnings}
        others = [*self._bank_problems(now), *self._slot_problems(now)]
        found += [problem for problem in others if warned.isdisjoint(problem.where.split("-"))]
        return sorted(found, key=_urgency)

    def slot_rows(self, now: float, wanted: str = "") -> list[TableRow]:
        """Slots of banks in their order: slot, card, number or label, client, mapping, age of that state."""
        rows = []
        for slot, at in sorted(self._each_slot(), key=lambda each: _order(each[0].slot)):
            mapping = slot.mapping
            shown = ", ".join(slot.labels) or slot.iccid or ""
            if mapping is None:
                client, state, age = "hidden" if slot.hidden_mapping else "", "", _age(slot.card, at, now)
            else:
                client = mapping.client
                state, age = _mapping_words(slot), _age(mapping.usability or mapping.state, at, now)
            cells = (slot.slot, _card_words(slot), _cut(shown), client, state, age_text(age))
            if _holds(wanted, cells):
                rows.append(TableRow(slot.slot, cells, self._is_wrong(slot)))
        return rows

    def client_rows(self, now: float, wanted: str = "") -> list[TableRow]:
        """Client slots in their order: slot, link, age, name or label, card, software."""
        rows = []
        for kept in self._clients.values():
            client = kept.model
            if isinstance(client, ClientSlotModel):
                mapping = client.mapping
                hidden = "hidden" if client.hidden_mapping else ""
                bank = hidden if mapping is None else mapping.bank or ""
                name = ", ".join(client.labels) or client.name or ""
                age = age_text(_age(client.link, kept.at, now))
                cells = (client.slot, client.link.state, age, _cut(name), bank, _cut(client.version or ""))
                if _holds(wanted, cells):
                    is_wrong = mapping is not None and client.link.state != "connected"
                    rows.append(TableRow(client.slot, cells, is_wrong))
        return sorted(rows, key=lambda row: _order(row.name))

    def event_rows(self, wanted: str = "") -> list[TableRow]:
        """What happened, the newest first: time, kind, slots, details."""
        rows = []
        for event in reversed(self.events):
            where = " ".join(each for each in (event.bank_slot, event.client_slot) if each)
            data = escape(" ".join(f"{key}={value}" for key, value in event.data.items()))
            cells = (event.at[11:19], event.kind, where, _cut(data))
            if _holds(wanted, cells):
                rows.append(TableRow(event.id, cells, event.level in ("warning", "error")))
        return rows

    def slot(self, name: str) -> BankSlotModel | None:
        """A slot of a bank, as last heard."""
        kept = self._slots.get(name)
        return kept.model if kept is not None and isinstance(kept.model, BankSlotModel) else None

    def _each_slot(self) -> Iterator[tuple[BankSlotModel, float]]:
        for kept in self._slots.values():
            if isinstance(kept.model, BankSlotModel):
                yield kept.model, kept.at

    def _is_wrong(self, slot: BankSlotModel) -> bool:
        mapping = slot.mapping
        return slot.reader is not None or (mapping is not None and bool(mapping.missing))

    def _is_connected(self, slot: BankSlotModel) -> bool:
        """Whether its bank is there; if not, that is the one problem of all its slots."""
        kept = self._banks.get(BankSlot.parse(slot.slot).bank_id)
        return kept is not None and isinstance(kept.model, BankModel) and kept.model.link.state == "connected"

    def _bank_problems(self, now: float) -> Iterator[KnownProblem]:
        for kept in self._banks.values():
            bank = kept.model
            if isinstance(bank, BankModel) and bank.link.state != "connected" and bank.mappings:
                text = f"not connected; {counted(bank.mappings, 'mapping')} of it: is its bankd running?"
                yield KnownProblem(f"B{bank.bank}", text, _age(bank.link, kept.at, now))

    def _slot_problems(self, now: float) -> Iterator[KnownProblem]:
        for slot, at in self._each_slot():
            if slot.reader is not None:
                text = f"its reader has failed several times ({slot.reader}): look at card and reader"
                yield KnownProblem(slot.slot, text, None)
            mapping = slot.mapping
            if mapping is not None and mapping.missing and self._is_connected(slot):
                where = f"{mapping.client}-{mapping.bank}"
                text = "; ".join(escape(each) for each in mapping.missing)
                yield KnownProblem(where, text, _age(mapping.usability or mapping.state, at, now))


def age_text(age_s: float | None) -> str:
    """A duration as people read it: 4s, 12m, 3h, 9d; empty if it is not known."""
    if age_s is None:
        return ""
    for unit, seconds in (("d", 86400), ("h", 3600), ("m", 60)):
        if age_s >= seconds:
            return f"{int(age_s // seconds)}{unit}"
    return f"{int(age_s)}s"


def _age(state: Observed, at: float, now: float) -> float | None:
    return None if state.age_s is None else state.age_s + max(0.0, now - at)


def _card_words(slot: BankSlotModel) -> str:
    return slot.card.state if slot.reader is None else f"reader {slot.reader}"


def _mapping_words(slot: BankSlotModel) -> str:
    mapping = slot.mapping
    if mapping is None:
        return ""
    if mapping.state.state == "active" and mapping.missing:
        return "waits"
    return mapping.state.state


def _cut_problem(warning: WarningModel) -> str:
    """What is wrong, and what to do, as long as a wide terminal."""
    return escape(f"{warning.text}: {warning.hint}")[:_MAX_PROBLEM]


def _urgency(problem: KnownProblem) -> tuple[bool, bool, float, str]:
    return not problem.is_error, problem.age_s is None, problem.age_s or 0.0, problem.where


def _order(name: str) -> tuple[int, int]:
    slot = BankSlot.parse(f"B{name[1:]}")
    return slot.bank_id, slot.slot_nr


def _cut(text: str) -> str:
    text = escape(text)
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}…"


def _holds(wanted: str, cells: Iterable[str]) -> bool:
    return wanted.casefold() in " ".join(cells).casefold()
