# SPDX-License-Identifier: Apache-2.0
"""``remsim ctl latency``: where the time of a slot's commands goes, and what answers ahead did about it.

The client knows how long its modem waited, the bankd for how long its card worked; the network has the rest. The two
count since their own starts, so the card's part is taken by commands. The models of v2 are imported when the command
runs, because help needs none.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cyclopts import App

from remsim.cli.ctl import tables
from remsim.cli.ctl.session import Given
from remsim.core.errors import IdRangeError, RemsimError
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.text import counted, escape, lasting
from remsim.core.values import dataclass

if TYPE_CHECKING:
    from remsim.rest import Rest
    from remsim.rest.models import LatencyModel, NetworkModel


class NothingToldError(RemsimError):
    """Neither end has told how its commands fare."""


@dataclass(frozen=True, slots=True)
class SlotLatency:
    """What is known of a slot pair. ``age_s``: how old the newest report is."""

    bank_slot: str | None = None
    client_slot: str | None = None
    bank: "LatencyModel | None" = None
    client: "LatencyModel | None" = None
    age_s: float | None = None
    #: As the client tells it.
    network: "NetworkModel | None" = None


@dataclass(frozen=True, slots=True)
class Parts:
    """Where the time of the modem's commands went, in seconds; None: nobody knows."""

    commands: int
    #: Those of them that were not answered ahead.
    round_trips: int
    waited_s: float | None
    card_s: float | None
    network_s: float | None
    hold_s: float
    is_network_measured: bool


def add_to(commands: App) -> None:
    """Give ``remsim ctl`` this command."""
    commands.command(latency)


def latency(slot: str, /, *, session: Given) -> int:
    """Say where the time of a slot's commands goes, and what answers ahead save: B1:3 or C7:0."""
    with session.rest.v2() as rest:
        told = _told(rest, slot)
    if told.bank is None and told.client is None:
        raise NothingToldError(
            f"neither bankd nor client has told how the commands of {slot.upper()} fare",
            hint="both do so, if they are of this version or later and connected; remsim ctl health says more",
        )
    return session.show(as_json(told), lambda: _print(told))


def _told(rest: "Rest", slot: str) -> SlotLatency:
    """What the server knows of the slot, and of that to which it is mapped."""
    from remsim.rest import calls

    text = slot.upper()
    bank: str | None
    client: str | None
    if text.startswith("B"):
        shown = rest.do(calls.show_bank_slot(str(BankSlot.parse(text))))
        bank, client = shown.slot, None if shown.mapping is None else shown.mapping.client
    elif text.startswith("C"):
        of_client = rest.do(calls.show_client_slot(str(ClientSlot.parse(text))))
        client, mapping = of_client.slot, of_client.mapping
        bank = None if mapping is None else mapping.bank
    else:
        raise IdRangeError(f"{slot!r} is no slot", hint="write it as B1:3 or C7:0")
    health = None if bank is None else rest.do(calls.show_bank_slot(bank)).health
    of_bank = None if health is None else health.figures
    modem = None if client is None else rest.do(calls.show_client_slot(client))
    figures = None if modem is None or modem.health is None else modem.health.figures
    return SlotLatency(
        bank_slot=bank,
        client_slot=client,
        bank=None if of_bank is None else of_bank.latency,
        client=None if figures is None else figures.latency,
        network=None if modem is None else modem.network,
        age_s=min((each.age_s for each in (of_bank, figures) if each is not None), default=None),
    )


def parts_of(bank: "LatencyModel | None", client: "LatencyModel | None") -> Parts:
    """Put together what both ends know; one of them is there."""
    base = client or bank
    assert base is not None
    card_s = None
    if bank is not None and bank.card_s is not None:
        # The two have counted for different times.
        card_s = bank.card_s if client is None else _share(bank.card_s, client.round_trips, bank.round_trips)
    if client is not None and client.waited_s is not None:
        rest_s = max(client.waited_s - client.hold_s - (card_s or 0.0), 0.0)
        is_whole = card_s is not None
        return Parts(
            client.commands,
            client.round_trips,
            client.waited_s,
            min(card_s, client.waited_s) if card_s is not None else None,
            rest_s,
            client.hold_s,
            is_whole,
        )
    network_s = None if base.round_trip_s is None else base.round_trip_s * base.round_trips
    return Parts(base.commands, base.round_trips, None, card_s, network_s, base.hold_s, is_network_measured=False)


def _share(whole: float, some: int, many: int) -> float:
    return whole * some / many if many else 0.0


def as_json(told: SlotLatency) -> dict[str, object]:
    """For programs: the parts, what answers ahead did, and what each end said."""
    parts = parts_of(told.bank, told.client)
    return {
        "bank_slot": told.bank_slot,
        "client_slot": told.client_slot,
        "commands": parts.commands,
        "round_trips": parts.round_trips,
        "waited_s": parts.waited_s,
        "card_s": parts.card_s,
        "network_s": parts.network_s,
        "hold_s": parts.hold_s,
        "network": None if told.network is None else told.network.model_dump(mode="json"),
        "ahead": _ahead(told),
        "age_s": told.age_s,
        "bankd": None if told.bank is None else told.bank.model_dump(mode="json", exclude_none=True),
        "client": None if told.client is None else told.client.model_dump(mode="json", exclude_none=True),
    }


def _ahead(told: SlotLatency) -> dict[str, object]:
    """The client knows best what was of use; of wrong guesses only the bankd knows."""
    of_use, bank = told.client or told.bank, told.bank
    assert of_use is not None
    return {
        "hits": of_use.hits,
        "misses": of_use.misses,
        "guesses": None if bank is None else bank.guesses,
        "undone": None if bank is None else bank.undone,
        "restores": None if bank is None else bank.restores,
        "saved_s": of_use.saved_s,
    }


def _print(told: SlotLatency) -> None:
    for line in lines_of(told):
        print(escape(line))
    parts = parts_of(told.bank, told.client)
    print()
    tables.print_parts(list(rows_of(parts)))


def lines_of(told: SlotLatency) -> Iterator[str]:
    """Sentences above the table."""
    parts = parts_of(told.bank, told.client)
    pair = " with ".join(slot for slot in (told.bank_slot, told.client_slot) if slot)
    waited = "" if parts.waited_s is None else f"; the modem waited {parts.waited_s:.2f} s for its answers"
    yield f"{pair}: {counted(parts.commands, 'command')}, {parts.round_trips} of them took a round trip{waited}"
    ahead = _ahead(told)
    if not ahead["hits"] and not ahead["guesses"]:
        yield "nothing is answered ahead"
    else:
        saved = f"{ahead['hits']}, {ahead['saved_s']:.2f} s saved"
        yield f"answered ahead: {saved}; times that another command came: {ahead['misses']}"
        if ahead["guesses"] is not None:
            undone = f"{ahead['undone']}, by {ahead['restores']} commands that select again"
            yield f"guesses: {ahead['guesses']}; undone: {undone}"
    if told.network is not None:
        yield _network(told.network)
    if told.age_s is not None:
        yield f"told {lasting(told.age_s)} ago"


def _network(found: "NetworkModel") -> str:
    counted_by = "command" if found.by == "commands" else "PING"
    last = f"the last {counted(found.samples, counted_by)}" if found.samples > 1 else f"the last {counted_by}"
    return f"network, by {last}: median {found.p50_us / 1000:.1f} ms, 99 % below {found.p99_us / 1000:.1f} ms"


def rows_of(parts: Parts) -> Iterator[Sequence[str]]:
    """The table: part, time, share of all, time of each round trip."""
    known = [each for each in (parts.card_s, parts.network_s, parts.hold_s) if each is not None]
    whole = parts.waited_s or sum(known)
    network = "network" if parts.is_network_measured else "network, estimated"
    if parts.waited_s is not None and parts.card_s is None:
        network = "card and network"
    for name, seconds, of_each in (
        ("card", parts.card_s, True),
        (network, parts.network_s, True),
        ("hold", parts.hold_s, False),
    ):
        if seconds is None:
            continue
        share = f"{100 * seconds / whole:.0f} %" if whole else ""
        each = f"{1000 * seconds / parts.round_trips:.1f} ms" if of_each and parts.round_trips else ""
        yield name, f"{seconds:.2f} s", share, each
