# SPDX-License-Identifier: Apache-2.0
"""Banks, clients and mappings as tables for people.

Takes the JSON objects of REST v1 as they come: members may be missing, and texts come from strangers, so they are
escaped and never read as markup.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from remsim.cli.rest_client import JsonObject
from remsim.logs import escape

#: Without a terminal a line must not be folded, or grep would miss half of it.
_UNFOLDED_WIDTH: Final = 500

#: What each of the functions below is.
Printer = Callable[[Sequence[JsonObject]], None]

_GOOD_STATES: Final = frozenset({"ACTIVE", "CONNECTED_BANKD", "CONNECTED_CLIENT"})


def print_banks(banks: Sequence[JsonObject]) -> None:
    """Print one line per connected bank."""
    rows = [
        [_peer(bank), _state(bank), _text(bank, "numberOfSlots"), _text(bank, "knownCards"), *_component(bank)]
        for bank in banks
    ]
    _print_table(["BANK", "STATE", "SLOTS", "CARDS", "NAME", "SOFTWARE"], rows, nothing="no bank is connected")


def print_clients(clients: Sequence[JsonObject]) -> None:
    """Print one line per connected client slot."""
    rows = [[_peer(client), _state(client), *_component(client)] for client in clients]
    _print_table(["CLIENT", "STATE", "NAME", "SOFTWARE"], rows, nothing="no client is connected")


def print_mappings(mappings: Sequence[JsonObject]) -> None:
    """Print one line per mapping."""
    rows = [[bank_slot_text(item), client_slot_text(item), _state(item), _text(item, "result")] for item in mappings]
    _print_table(["BANK SLOT", "CLIENT SLOT", "STATE", "RESULT"], rows, nothing="nothing is mapped")


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
    return _text(item, "state")


def _component(item: JsonObject) -> list[str]:
    identity = item.get("component_id")
    if not isinstance(identity, dict):
        return ["", ""]
    return [_text(identity, "name"), f"{_text(identity, 'software')} {_text(identity, 'swVersion')}".strip()]


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, nothing: str) -> None:
    is_terminal = sys.stdout.isatty()
    console = Console(width=None if is_terminal else _UNFOLDED_WIDTH, highlight=False)
    if not rows:
        console.print(nothing, style="dim")
        return
    table = Table(box=SIMPLE_HEAD if is_terminal else None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=not is_terminal)
    for row in rows:
        table.add_row(*(Text(cell, style="green" if cell in _GOOD_STATES else "") for cell in row))
    console.print(table)
