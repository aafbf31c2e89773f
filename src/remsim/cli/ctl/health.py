# SPDX-License-Identifier: Apache-2.0
"""``remsim ctl health``: what is wrong with slots, and what to do; or all that is known of one slot.

The models of v2 are imported when the command runs, because help needs none.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cyclopts import App

from remsim.cli.ctl.session import Given, IdText, dumped
from remsim.core.errors import IdRangeError
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.text import counted, escape, lasting

if TYPE_CHECKING:
    from remsim.rest.models import (
        BankSlotModel,
        ClientFiguresModel,
        ClientSlotModel,
        DurationsModel,
        HealthModel,
        LinesModel,
        SlotFiguresModel,
    )

Row = tuple[str, str]


def add_to(commands: App) -> None:
    """Give ``remsim ctl`` this command."""
    commands.command(health)


def health(slot: IdText = None, /, *, session: Given) -> int:
    """Say what is wrong with bank slots and client slots, and what to do; or all of one slot: B1:3 or C7:0."""
    from remsim.rest import calls

    if slot is None:
        return _all(session)
    text = slot.upper()
    with session.rest.v2() as rest:
        if text.startswith("B"):
            bank = rest.do(calls.show_bank_slot(str(BankSlot.parse(text))))
            shown, rows = dumped(bank), list(_bank_rows(bank))
        elif text.startswith("C"):
            client = rest.do(calls.show_client_slot(str(ClientSlot.parse(text))))
            shown, rows = dumped(client), list(_client_rows(client))
        else:
            raise IdRangeError(f"{slot!r} is no slot", hint="write it as B1:3 or C7:0")
    return session.show(shown, lambda: _print_rows(rows))


def of_bank(session: Given, bank_id: int) -> dict[str, str]:
    """The verdicts on the slots of a bank; none from a server that knows no v2."""
    from remsim.rest import RestApiError, calls

    try:
        with session.rest.v2() as rest:
            slots = list(rest.items(calls.list_bank_slots(bank_id)))
    except RestApiError:
        return {}
    return {slot.slot: slot.health.kind for slot in slots if slot.health is not None}


def of_clients(session: Given) -> dict[str, str]:
    """The verdicts on all client slots; none from a server that knows no v2."""
    from remsim.rest import RestApiError, calls

    try:
        with session.rest.v2() as rest:
            slots = [slot for client in rest.items(calls.list_clients()) for slot in client.slots]
    except RestApiError:
        return {}
    return {slot.slot: slot.health.kind for slot in slots if slot.health is not None}


def _all(session: Given) -> int:
    from remsim.rest import calls

    with session.rest.v2() as rest:
        banks = [bank.bank for bank in rest.items(calls.list_banks())]
        slots = [slot for bank_id in banks for slot in rest.items(calls.list_bank_slots(bank_id))]
        clients = [slot for client in rest.items(calls.list_clients()) for slot in client.slots]
    found: list[tuple[str, HealthModel]] = [(slot.slot, slot.health) for slot in slots if slot.health is not None]
    found += [(slot.slot, slot.health) for slot in clients if slot.health is not None]
    troubled = [(slot, item) for slot, item in found if item.trouble]
    shown = [{"slot": slot, **dumped(item)} for slot, item in found]
    return session.show(shown, lambda: _print_troubled(troubled, found))


def _print_troubled(troubled: "Sequence[tuple[str, HealthModel]]", found: "Sequence[tuple[str, HealthModel]]") -> None:
    width = max((len(slot) for slot, _ in troubled), default=0)
    for slot, item in troubled:
        print(f"{slot:{width}}  {escape(item.verdict)} (for {lasting(item.age_s)})")
        print(f"{'':{width}}  {escape(item.advice)}")
    kinds = Counter("unwell" if item.trouble else item.kind for _, item in found)
    parts = [f"{kinds[kind] or 'none'} {word}" for kind, word in (("unwell", "in trouble"), ("ok", "well"))]
    if unknown := len(found) - kinds["unwell"] - kinds["ok"]:
        parts.append(f"{unknown} not known")
    print(f"{counted(len(found), 'slot')}: {', '.join(parts)}")


def _print_rows(rows: Sequence[Row]) -> None:
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print(f"{name:{width}}  {escape(text)}")


def _bank_rows(slot: "BankSlotModel") -> Iterator[Row]:
    yield "slot", ", ".join((slot.slot, *slot.labels))
    yield from _verdict_rows(slot.health)
    card = [slot.card.state + _for(slot.card.age_s)]
    card += [f"ICCID {slot.iccid}"] if slot.iccid else []
    card += [f"ATR {slot.atr}"] if slot.atr else []
    yield "card", ", ".join(card)
    if (told := slot.inventory) is not None:
        parts = (told.service_provider, told.imsi and f"IMSI {told.imsi}", told.eid and f"EID {told.eid}")
        yield "says", ", ".join(part for part in parts if part) or "nothing"
    if slot.reader_name:
        yield "reader", slot.reader_name
    if slot.lock is not None:
        yield "locked", f"{slot.lock.reason}{_for(slot.lock.age_s)}"
    if slot.mapping is not None:
        yield "mapping", "; ".join((f"{slot.mapping.client}, {slot.mapping.state.state}", *slot.mapping.missing))
    elif slot.hidden_mapping:
        yield "mapping", "one that the token is not for"
    if slot.session is not None:
        session = slot.session
        cuts = counted(session.cuts, "cut")
        yield "session", f"{session.client}, {session.state}{_for(session.age_s)}, {cuts}"
    if slot.health is not None and slot.health.figures is not None:
        yield from _slot_figures(slot.health.figures)


def _slot_figures(figures: "SlotFiguresModel") -> Iterator[Row]:
    yield "commands", f"{figures.commands}, {counted(figures.resets, 'reset')}"
    errors = (
        f"{figures.transmission_errors} in transmission, {figures.mutes} without an answer, {figures.other_errors} "
        f"others; {figures.recoveries} recovered"
    )
    yield "errors", errors
    if figures.last_error is not None:
        yield "last error", f"{figures.last_error.kind}, {lasting(figures.last_error.age_s)} ago"
    yield from _durations("card time", figures.card_time)
    yield "told", f"{lasting(figures.age_s)} ago"


def _client_rows(slot: "ClientSlotModel") -> Iterator[Row]:
    yield "slot", ", ".join((slot.slot, *slot.labels))
    yield from _verdict_rows(slot.health)
    yield "link", slot.link.state + _for(slot.link.age_s)
    if slot.mapping is not None:
        yield "mapping", f"{slot.mapping.bank or 'no slot'}, {slot.mapping.state.state}"
    elif slot.hidden_mapping:
        yield "mapping", "one that the token is not for"
    if slot.session is not None:
        bank = f", {slot.session.bank}" if slot.session.bank else ""
        yield "session", f"{slot.session.state}{_for(slot.session.age_s)}{bank}"
    if slot.emulator:
        yield "emulator", slot.emulator
    if slot.board is not None:
        about = [slot.board.name or "board", "there" if slot.board.present else "away"]
        yield "board", ", ".join(about + ([f"firmware {slot.board.firmware}"] if slot.board.firmware else []))
    if slot.lines is not None:
        yield "lines", _lines(slot.lines)
    yield from _durations("round trip", slot.round_trip)
    yield from _durations("network", slot.network, "PING" if slot.network and slot.network.by == "pings" else "command")
    if slot.health is not None and slot.health.figures is not None:
        yield from _client_figures(slot.health.figures)


def _lines(lines: "LinesModel") -> str:
    words = {True: "on", False: "off", None: "not known"}
    text = f"VCC {words[lines.vcc]}, CLK {words[lines.clk]}, RST {'active' if lines.reset else 'inactive'}"
    speed = "" if lines.f_index is None else f", speed {lines.f_index:X}{lines.d_index or 0:X}"
    return f"{text}{speed}{_for(lines.age_s)}"


def _client_figures(figures: "ClientFiguresModel") -> Iterator[Row]:
    text = f"{figures.commands}, {figures.failures or 'none'} without an answer, {counted(figures.resets, 'reset')}"
    yield "commands", text
    yield (
        "cuts",
        f"{figures.cuts}, {figures.resumes} resumed; longest hold {figures.longest_hold_s:.1f} s",
    )
    if figures.guesses_hit or figures.guesses_missed:
        yield "answers ahead", f"{figures.guesses_hit} used, {figures.guesses_missed} missed"
    yield "told", f"{lasting(figures.age_s)} ago"


def _verdict_rows(found: "HealthModel | None") -> Iterator[Row]:
    if found is None:
        yield "health", "an older server, which does not tell"
        return
    yield "health", f"{found.verdict or found.kind}{_for(found.age_s) if found.trouble else ''}"
    if found.advice:
        yield "advice", found.advice


def _durations(name: str, found: "DurationsModel | None", of_what: str = "command") -> Iterator[Row]:
    if found is not None:
        of = counted(found.samples, of_what)
        yield name, f"p50 {found.p50_us / 1000:.1f} ms, p99 {found.p99_us / 1000:.1f} ms, of the last {of}"


def _for(age_s: float | None) -> str:
    return "" if age_s is None else f" for {lasting(age_s)}"
