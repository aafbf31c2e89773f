# SPDX-License-Identifier: Apache-2.0
"""The views of one bank slot and of one client slot: what v2 says of them, and their history."""

import json
from collections.abc import Callable, Mapping
from typing import Final

from remsim.card.atr import mend_atr, parse_atr
from remsim.card.errors import AtrError
from remsim.core.event_kinds import KINDS
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.values import dataclass
from remsim.rest.leases import LeaseModel
from remsim.rest.models import MappingModel
from remsim.server.api.routing import sight_of
from remsim.server.api.v2.views import Views
from remsim.server.core.event_feed import FeedEvent, is_visible
from remsim.server.core.tokens import Grant, TokenRole
from remsim.server.page import states
from remsim.server.page.clients import client_model
from remsim.server.page.leases import lease_of
from remsim.server.page.live_view import LiveView
from remsim.server.page.rendering import render
from remsim.server.query import ServerQuery
from remsim.server.runtime import ServerRuntime

#: Events that a view of one thing looks through, the newest, and shows.
_LOOKED_THROUGH: Final = 5000
_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class PageEvent:
    """An event as a row."""

    number: int
    at: str
    kind: str
    meaning: str
    level: str
    bank_slot: str | None
    client_slot: str | None
    detail: str


def shown_event(event: FeedEvent) -> PageEvent:
    """An event, its data in words."""
    found: Mapping[str, object] = json.loads(event.text)
    data = found.get("data")
    fields = data if isinstance(data, dict) else {}
    text, hint = fields.get("text"), fields.get("hint")
    if isinstance(text, str) and text:
        detail = f"{text}; {hint}" if hint else text
    else:
        told = {name: value for name, value in fields.items() if value is not None and value != ""}
        detail = ", ".join(f"{name.replace('_', ' ')} {_plain(value)}" for name, value in told.items())
    where, who = found.get("bank_slot"), found.get("client_slot")
    return PageEvent(
        number=event.number,
        at=str(found.get("at", "")),
        kind=event.kind,
        meaning=KINDS.get(event.kind, ""),
        level=str(found.get("level", "info")),
        bank_slot=where if isinstance(where, str) else None,
        client_slot=who if isinstance(who, str) else None,
        detail=detail,
    )


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(str(part) for part in value) if isinstance(value, list) else str(value)


def bank_slot_pieces(runtime: ServerRuntime, grant: Grant, slot: BankSlot) -> Callable[[], Mapping[str, str]] | None:
    """What makes the pieces of a bank slot's view; None: the caller may not see it, or there is none."""
    query = runtime.query
    if not grant.allows(TokenRole.VIEWER, bank_id=slot.bank_id) or slot.bank_id not in query.known_banks():
        return None
    if all(found.slot_nr != slot.slot_nr for found in query.slots_of_bank(slot.bank_id)):
        return None
    views = Views(query, sight_of(grant))

    def make() -> Mapping[str, str]:
        bank = views.bank(slot.bank_id)
        found = next((one for one in query.slots_of_bank(slot.bank_id) if one.slot_nr == slot.slot_nr), None)
        if found is None:
            return {}
        model = views.bank_slot(slot.bank_id, found, is_whole=True)
        values = {
            "bank": bank,
            "slot": model,
            "s": states.of_bank_slot(model, bank.link),
            "atr": _atr(model.atr),
            "lease": None if model.mapping is None else _lease(runtime, grant, model.mapping),
            "may": grant.allows(TokenRole.OPERATOR, bank_id=slot.bank_id),
            "history": _history(query, grant, lambda event: event.bank_slot == str(slot)),
        }
        return {name: render(f"slot_{name}.html", **values) for name in ("head", "facts", "health", "history")}

    return make


def client_slot_pieces(
    runtime: ServerRuntime, grant: Grant, slot: ClientSlot
) -> Callable[[], Mapping[str, str]] | None:
    """What makes the pieces of a client slot's view; None: the caller may not see it, or there is none."""
    query = runtime.query
    if not grant.allows(TokenRole.VIEWER, client_id=slot.client_id) or slot not in query.known_clients():
        return None
    views = Views(query, sight_of(grant))

    def make() -> Mapping[str, str]:
        model = client_model(query, views, grant, slot, is_whole=True)
        values = {
            "slot": model,
            "s": states.of_client_slot(model),
            "lease": lease_of(runtime, grant, slot),
            "may": grant.allows(TokenRole.OPERATOR, client_id=slot.client_id),
            "history": _history(query, grant, lambda event: event.client_slot == str(slot)),
        }
        return {name: render(f"client_{name}.html", **values) for name in ("head", "facts", "health", "history")}

    return make


def _lease(runtime: ServerRuntime, grant: Grant, mapping: MappingModel) -> LeaseModel | None:
    """The lease that has a mapping."""
    found = lease_of(runtime, grant, ClientSlot.parse(mapping.client))
    return found if found is not None and found.mapping is not None and found.mapping.bank == mapping.bank else None


def live_view_of(query: ServerQuery, make: Callable[[], Mapping[str, str]], slot: BankSlot | ClientSlot) -> LiveView:
    """A view that is kept up to date by the events about a slot."""

    def is_about(event: FeedEvent) -> bool:
        if isinstance(slot, BankSlot):
            return slot.bank_id in event.banks or not event.banks
        return slot.client_id in event.clients or not event.clients

    async def pieces() -> Mapping[str, str]:
        return make()

    return LiveView(query.feed, pieces, is_about)


def _history(query: ServerQuery, grant: Grant, is_wanted: Callable[[PageEvent], bool]) -> list[PageEvent]:
    feed = query.feed
    events = feed.after(max(feed.first - 1, feed.last - _LOOKED_THROUGH), _LOOKED_THROUGH)
    found: list[PageEvent] = []
    for event in reversed(events):
        if len(found) == _SHOWN:
            break
        if is_visible(event, grant.scope):
            shown = shown_event(event)
            if is_wanted(shown):
                found.append(shown)
    return found


def _atr(text: str | None) -> str | None:
    """An ATR in words."""
    if text is None:
        return None
    try:
        # Readers deliver some with a wrong check byte.
        atr = parse_atr(mend_atr(bytes.fromhex(text)))
    except (AtrError, ValueError):
        return "cannot be decoded"
    protocols = ", ".join(f"T={number}" for number in atr.protocols) or "T=0"
    interface = " ".join(f"{name} {value:02X}" for name, value in atr.interface.items())
    words = f"{protocols}, {atr.convention} convention"
    return f"{words}; {interface}" if interface else words
