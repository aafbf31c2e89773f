# SPDX-License-Identifier: Apache-2.0
"""Banks, clients and mappings as tables for people.

Takes the JSON objects of REST v1 as they come: members may be missing, and texts come from peers, so they are
escaped and never read as markup.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from remsim.cli.rest import JsonObject
from remsim.core.text import escape
from remsim.core.values import dataclass

#: Without a terminal a line must not be folded, or grep would miss half of it.
_UNFOLDED_WIDTH: Final = 500

#: Cells that are longer, or sentences, are folded where a terminal is too narrow; no others are.
_MAX_UNFOLDED: Final = 24

#: In place of the other end of a mapping which the token is not for.
HIDDEN: Final = "hidden"


@dataclass(frozen=True, slots=True)
class TableOf:
    """The columns of a list, and what is said of an empty one."""

    columns: tuple[str, ...]
    nothing: str


#: What each of the functions below is.
Printer = Callable[[Sequence[JsonObject]], None]

_GOOD_STATES: Final = frozenset({"ok", "ACTIVE", "active", "CONNECTED_BANKD", "CONNECTED_CLIENT"})


def print_banks(banks: Sequence[JsonObject]) -> None:
    """Print one line per connected bank."""
    rows = [
        [_peer(bank), _state(bank), _text(bank, "numberOfSlots"), _text(bank, "knownCards"), *_component(bank)]
        for bank in banks
    ]
    _print_table(["BANK", "STATE", "SLOTS", "CARDS", "NAME", "SOFTWARE"], rows, nothing="no bank is connected")


def print_bank(bank: JsonObject, verdicts: Mapping[str, str] = MappingProxyType({})) -> None:
    """Print one bank, and a line for each of its slots, as far as the server knows them.

    ``verdicts`` on its slots, by ``B1:3``; empty: nobody gave any.
    """
    print_banks([bank])
    slots = bank.get("slots")
    if not isinstance(slots, list):
        return
    print()
    rows = [_slot(slot) for slot in slots if isinstance(slot, dict)]
    name = _peer(bank)
    rows = [[*row[:4], verdicts.get(f"{name}:{row[0]}", ""), *row[4:]] for row in rows]
    has_readers = any(row[1] for row in rows)
    columns = ["SLOT", "READER", "CARD", "ICCID", "HEALTH", "CLIENT SLOT", "STATE", "PROBLEM"]
    # Not every bankd tells, and not every server judges.
    for place, is_known in ((4, bool(verdicts)), (1, has_readers)):
        if not is_known:
            columns = [*columns[:place], *columns[place + 1 :]]
            rows = [[*row[:place], *row[place + 1 :]] for row in rows]
    _print_table(columns, rows, nothing="no slot is known")


def _slot(slot: JsonObject) -> list[str]:
    mapping = slot.get("mapping")
    hidden = HIDDEN if slot.get("hiddenMapping") is True else ""
    mapped = [hidden, "", ""] if not isinstance(mapping, dict) else [client_slot_text(mapping), *_outcome(mapping)]
    is_present = slot.get("cardPresent", True if "iccid" in slot else None)
    card = {True: "yes", False: "no"}.get(is_present, "") if isinstance(is_present, bool) else ""
    return [_text(slot, "slotNr"), _reader(slot), card, _text(slot, "iccid"), *mapped]


def _reader(slot: JsonObject) -> str:
    """The name of a slot's reader, and what is wrong with it."""
    name, health = _text(slot, "readerName"), slot.get("reader")
    state = _text(health, "state") if isinstance(health, dict) else ""
    return f"{name} ({state})" if name and state else name or state


def _outcome(mapping: JsonObject) -> list[str]:
    """State of a mapping, and why its client has no card, in the words of REST v2."""
    missing = mapping.get("missing")
    if isinstance(missing, list):
        return [_state(mapping), "; ".join(escape(str(text)) for text in missing)]
    # Servers of the C suite, and older ones of ours, tell less.
    problem = _text(mapping, "problem") or _text(mapping, "result")
    if not problem and mapping.get("clientConnected") is False:
        problem = "client is not connected"
    return [_state(mapping), problem]


def print_clients(clients: Sequence[JsonObject], verdicts: Mapping[str, str] = MappingProxyType({})) -> None:
    """Print one line per connected client slot. ``verdicts`` on them, by ``C7:0``; empty: nobody gave any."""
    rows = [[_peer(client), *_mapped(client), *_component(client)] for client in clients]
    columns = ["CLIENT", "BANK SLOT", "STATE", "HEALTH", "NAME", "SOFTWARE", "PROBLEM"]
    rows = [[*row[:3], verdicts.get(row[0], ""), *row[4:], row[3]] for row in rows]
    if not verdicts:
        del columns[3]
        rows = [[*row[:3], *row[4:]] for row in rows]
    _print_table(columns, rows, nothing="no client is connected")


def _mapped(client: JsonObject) -> list[str]:
    """Bank slot, state and problem of a client's mapping; the state of its link if it has none."""
    mapping = client.get("mapping")
    if isinstance(mapping, dict):
        return [bank_slot_text(mapping), *_outcome(mapping)]
    return [HIDDEN if client.get("hiddenMapping") is True else "", _state(client), ""]


def print_mappings(mappings: Sequence[JsonObject]) -> None:
    """Print one line per mapping."""
    rows = [[bank_slot_text(item), client_slot_text(item), *_outcome(item)] for item in mappings]
    _print_table(["BANK SLOT", "CLIENT SLOT", "STATE", "PROBLEM"], rows, nothing="nothing is mapped")


#: Lists of REST v2: their columns, and what is said of an empty one. What is in them is escaped here.
SLOTS: Final = TableOf(
    ("SLOT", "CARD", "ICCID", "LABELS", "HEALTH", "CLIENT SLOT", "STATE", "MISSING"), "no slot is known"
)
CARDS: Final = TableOf(("ICCID", "SLOT", "CARD", "LABELS", "CLIENT SLOT"), "no bank has told of a card")
LEASES: Final = TableOf(("LEASE", "POOL", "CLIENT SLOT", "STATE", "BANK SLOT", "UNTIL", "MISSING"), "no card is lent")
WEBHOOKS: Final = TableOf(("WEBHOOK", "URL", "KINDS", "WAITING", "STATE"), "events are sent to nobody")
DELIVERIES: Final = TableOf(
    ("DELIVERY", "KIND", "STATE", "AT", "ATTEMPTS", "OUTCOME"), "nothing was sent, and nothing waits"
)
WARNINGS: Final = TableOf(("SEVERITY", "ABOUT", "KIND", "FOR", "WHAT IS WRONG", "WHAT TO DO"), "nothing is wrong")


def print_rows(table: TableOf, rows: Sequence[Sequence[str]]) -> None:
    """Print one line per thing."""
    _print_table(table.columns, [[escape(cell) for cell in row] for row in rows], nothing=table.nothing)


def print_warnings(rows: Sequence[Sequence[str]]) -> None:
    """Print one line per warning; on a terminal, which may be narrow, what to do stands below what is wrong."""
    if not sys.stdout.isatty():
        print_rows(WARNINGS, rows)
        return
    columns = ["ABOUT", "KIND", "FOR", "WHAT IS WRONG, AND WHAT TO DO"]
    cells = [[escape(cell) for cell in row] for row in rows]
    shown = [
        [about, f"{kind}\n{severity}", age, f"{text}\n→ {hint}"] for severity, about, kind, age, text, hint in cells
    ]
    _print_table(columns, shown, nothing=WARNINGS.nothing)


def print_parts(rows: Sequence[Sequence[str]]) -> None:
    """Print one line per part of the time that commands took."""
    _print_table(["PART", "TIME", "SHARE", "EACH"], rows, nothing="no time was measured")


def bank_slot_text(mapping: JsonObject) -> str:
    """Return ``B1:3`` for the bank side of a mapping."""
    return _pair("B", mapping.get("bank"), "bankId")


def client_slot_text(mapping: JsonObject) -> str:
    """Return ``C7:0`` for the client side of a mapping."""
    return _pair("C", mapping.get("client"), "clientId")


def _pair(letter: str, value: object, key: str) -> str:
    if not isinstance(value, dict):
        return "?"
    return escape(f"{letter}{value.get(key, '?')}:{value.get('slotNr', '?')}")


def _text(item: JsonObject, key: str) -> str:
    value = item.get(key)
    return "" if value is None else escape(str(value))


def audit_line(item: JsonObject) -> str:
    """One line of the audit log."""
    detail = _text(item, "detail")
    what = f"{_text(item, 'action')} {_text(item, 'target')}: {_text(item, 'outcome')}"
    by = f"{_text(item, 'who')} from {_text(item, 'source')}"
    return f"{_text(item, 'at')}  {by}  {what}" + (f" ({detail})" if detail else "")


def _peer(item: JsonObject) -> str:
    return _text(item, "peer")


def _state(item: JsonObject) -> str:
    contested = _text(item, "contestedBy")
    return _text(item, "state") + (f", contested by {contested}" if contested else "")


def _component(item: JsonObject) -> list[str]:
    identity = item.get("component_id")
    if not isinstance(identity, dict):
        return ["", ""]
    return [_text(identity, "name"), f"{_text(identity, 'software')} {_text(identity, 'swVersion')}".strip()]


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, nothing: str) -> None:
    # Only for tables: most commands print a line or JSON.
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    is_terminal = sys.stdout.isatty()
    console = Console(width=None if is_terminal else _UNFOLDED_WIDTH, highlight=False)
    if not rows:
        console.print(nothing, style="dim")
        return
    # Two spaces between columns; one of them is the box's.
    box, space = (SIMPLE_HEAD, 1) if is_terminal else (None, 2)
    table = Table(box=box, show_edge=False, pad_edge=False, padding=(0, space, 0, 0), header_style="bold")
    for place, column in enumerate(columns):
        width = max(len(line) for row in rows for line in row[place].split("\n"))
        # A heading makes no column wider than a narrow terminal needs.
        heading = column.replace(" ", "\n") if is_terminal and width < len(column) else column
        # "12 min" is one thing, a sentence is not.
        is_short = width <= _MAX_UNFOLDED and all(row[place].count(" ") < 2 for row in rows)
        table.add_column(heading, no_wrap=is_short or not is_terminal, overflow="fold", vertical="top")
    for row in rows:
        table.add_row(*(Text(cell, style="green" if cell in _GOOD_STATES else "") for cell in row))
    console.print(table)
