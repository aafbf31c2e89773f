# SPDX-License-Identifier: Apache-2.0
"""The first start: how far an empty server has come, and what the commands of a new host need."""

from collections.abc import Mapping
from typing import Final

from fastapi import Request

from remsim.server.page.rendering import render
from remsim.server.query import ServerQuery

_STEPS: Final = ("bank", "client", "mapping")
#: Banks and clients have numbers below this.
_NUMBERS: Final = 1025


def pieces(query: ServerQuery) -> Mapping[str, str]:
    """What is done of each step; empty: it is not, now."""
    bank = next(iter(query.banks(lambda _bank: True)), None)
    client = next(iter(query.clients(lambda _client: True)), None)
    mapping = next((found for found in query.mappings(lambda _bank, _client: True) if not found.missing), None)
    said = {
        "bank": "" if bank is None else f"done: bank {bank.bank_id} is connected",
        "client": "" if client is None else f"done: {client.slot} is connected",
        "mapping": "" if mapping is None else f"done: {mapping.client} has {mapping.bank}",
    }
    return {step: render("start_said.html", step=step, said=said[step]) for step in _STEPS}


def joining(request: Request, query: ServerQuery) -> dict[str, object]:
    """What the commands of a new host need: numbers that are free, and where it reaches this server."""
    banks, clients = set(query.known_banks()), {slot.client_id for slot in query.known_clients()}
    next_bank = next(number for number in range(1, _NUMBERS) if number not in banks)
    next_client = next(number for number in range(1, _NUMBERS) if number not in clients)
    return {
        "has_authority": getattr(request.app.state, "authority", None) is not None,
        "rspro": request.app.state.rspro_port,
        "next_bank": next_bank,
        "next_client": next_client,
        "first_bank": min(banks, default=next_bank),
        "first_client": min(clients, default=next_client),
    }
