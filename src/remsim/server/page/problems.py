# SPDX-License-Identifier: Apache-2.0
"""What is wrong, one line each: what, since when, and what to do. Derived from what v2 says, within the token's limits.

A cause is told once: the cards of a bank that is away are not each a problem of their own.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from remsim.core.text import counted
from remsim.rest import models
from remsim.server.api.routing import sight_of
from remsim.server.api.v2.views import Views
from remsim.server.core.tokens import Grant, TokenRole
from remsim.server.page import states
from remsim.server.query import NO_CARD, READER_FAILS, ServerQuery


@dataclass(frozen=True, slots=True)
class PageProblem:
    """One line."""

    #: What it is about, ``B1``, ``B1:3`` or ``C7:0``, and the address of its page.
    subject: str
    address: str
    text: str
    since: str | None
    source: str
    todo: str
    is_grave: bool = True


def find_problems(query: ServerQuery, views: Views, grant: Grant) -> list[PageProblem]:
    """All of them, the grave ones first."""
    found = [*_of_banks(query, views, grant), *_of_mappings(query, views, grant)]
    return sorted(found, key=lambda problem: (not problem.is_grave, problem.since or ""))


def _of_banks(query: ServerQuery, views: Views, grant: Grant) -> Iterator[PageProblem]:
    for number in query.known_banks():
        if not grant.allows(TokenRole.VIEWER, bank_id=number):
            continue
        info = query.bank(number)
        if info is None:
            bank = views.bank(number)
            is_used = bank.mappings > 0
            text = f"bank {number} is not connected"
            if is_used:
                text += f": {counted(bank.mappings, 'mapping')} without a card"
            todo = "start remsim bankd on its host" + (f" ({bank.name})" if bank.name else "") + ", or look at its log"
            yield PageProblem(
                f"B{number}", f"/#bank{number}", text, bank.link.since, bank.link.source, todo, is_grave=is_used
            )
        else:
            for slot in info.slots:
                if slot.reader is not None and slot.mapping is None:
                    model = views.bank_slot(number, slot)
                    yield _of_slot(model, READER_FAILS)


def _of_slot(slot: models.BankSlotModel, text: str) -> PageProblem:
    return PageProblem(slot.slot, f"/slots/{slot.slot}", text, slot.card.since, slot.card.source, _todo(text))


def _of_mappings(query: ServerQuery, views: Views, grant: Grant) -> Iterator[PageProblem]:
    for info in query.mappings(sight_of(grant)):
        if not info.is_bank_connected:
            continue
        missing = info.missing
        if not missing:
            continue
        model = views.mapping(info)
        if not info.is_client_connected:
            client = views.client_slot(info.client)
            since, source, address = client.link.since, client.link.source, f"/clients/{info.client}"
        else:
            since, source, address = model.state.since, model.state.source, f"/slots/{info.bank}"
        is_grave = states.of_mapping(model).state == "problem"
        subject = f"{info.client} → {info.bank}"
        yield PageProblem(
            subject, address, states.short(missing[0]), since, source, _todo(missing[0]), is_grave=is_grave
        )


def _todo(text: str) -> str:
    """What a person does about it."""
    if text == NO_CARD:
        return "put the card back, or give the client another one"
    if text == READER_FAILS:
        return "look at the reader and its cable, or move the card to another slot"
    if text.startswith("client") and "not connected" in text:
        return "start remsim client at the modem, or unmap it"
    if "refused" in text:
        return "look at the peer's log, then map it again"
    if "not answered" in text:
        return "wait a moment; if it stays, look at the peer's log"
    return "look at the log of the peer that is named"
