# SPDX-License-Identifier: Apache-2.0
"""What is wrong, one line each: what, since when, and what to do.

First the server's warnings, which it gives to everybody. Then what stands between a modem and its card without being
a warning yet: a page says at once what a warning says after a minute. All within the token's limits.
"""

from collections.abc import Iterator

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.text import counted, rfc3339
from remsim.core.values import dataclass
from remsim.server.api.routing import sight_of
from remsim.server.api.v2.views import Views
from remsim.server.core.tokens import Grant, TokenRole
from remsim.server.core.warnings import Alert
from remsim.server.mapping_lacks import NO_CARD, READER_FAILS
from remsim.server.page import states
from remsim.server.runtime import ServerRuntime


@dataclass(frozen=True, slots=True)
class PageProblem:
    """One line of the list of problems."""

    #: What it is about, and the address of its page.
    subject: str
    address: str
    text: str
    since: str | None
    source: str
    todo: str
    is_grave: bool = True


def find_problems(runtime: ServerRuntime, views: Views, grant: Grant) -> list[PageProblem]:
    """All of them, the grave ones first."""
    warnings = [alert for alert in runtime.warnings if alert.is_visible(grant.scope)]
    told = {alert.about for alert in warnings}
    told |= {str(alert.other) for alert in warnings if alert.other is not None}
    found = [_of_warning(alert) for alert in warnings]
    found += _of_banks(runtime, views, grant, told)
    found += _of_mappings(runtime, views, grant, told)
    return sorted(found, key=lambda problem: (not problem.is_grave, problem.since or ""))


def address_of(about: str) -> str:
    """The page of a slot, a client slot, a bank, a client or the server."""
    if about.startswith("B"):
        return f"/slots/{about}" if ":" in about else f"/#bank{about[1:]}"
    if about.startswith("C"):
        return f"/clients/{about}" if ":" in about else f"/?q={about.lower()}:"
    return "/activity"


def _of_warning(alert: Alert) -> PageProblem:
    is_grave = alert.severity == "error" or alert.kind in ("card-pulled", "mapping-refused", "bank-absent")
    since = rfc3339(alert.since)
    return PageProblem(alert.about, address_of(alert.about), alert.text, since, "server", alert.hint, is_grave=is_grave)


def _of_banks(runtime: ServerRuntime, views: Views, grant: Grant, told: set[str]) -> Iterator[PageProblem]:
    query = runtime.query
    for number in query.known_banks():
        name = f"B{number}"
        if name in told or query.bank(number) is not None or not grant.allows(TokenRole.VIEWER, bank_id=number):
            continue
        bank = views.bank(number)
        text = f"bank {number} is not connected"
        if bank.mappings:
            text += f": {counted(bank.mappings, 'mapping')} without a card"
        todo = "start remsim bankd on its host" + (f" ({bank.name})" if bank.name else "") + ", or look at its log"
        grave = bank.mappings > 0
        yield PageProblem(name, address_of(name), text, bank.link.since, bank.link.source, todo, is_grave=grave)


def _of_mappings(runtime: ServerRuntime, views: Views, grant: Grant, told: set[str]) -> Iterator[PageProblem]:
    for info in runtime.query.mappings(sight_of(grant)):
        if not info.is_bank_connected or not (missing := info.missing) or _is_told(info.bank, info.client, told):
            continue
        model = states.of_mapping(views.mapping(info))
        address = address_of(str(info.bank if info.is_client_connected else info.client))
        subject, is_grave = f"{info.client} → {info.bank}", model.state == "problem"
        todo = _todo(missing[0])
        yield PageProblem(subject, address, model.text, model.since, model.source, todo, is_grave=is_grave)


def _is_told(bank: BankSlot, client: ClientSlot, told: set[str]) -> bool:
    return not told.isdisjoint({str(bank), str(client), f"B{bank.bank_id}"})


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
