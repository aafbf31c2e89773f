# SPDX-License-Identifier: Apache-2.0
"""``remsim ctl lock``, ``unlock`` and ``reinsert``: orders about one slot that change no mapping.

The models of v2 are imported when a command runs, because help needs none.
"""

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from remsim.cli.ctl.session import Given, dumped
from remsim.core.errors import ConfigError, RemsimError
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.text import escape

if TYPE_CHECKING:
    from remsim.rest import Rest
    from remsim.rest.models import MappingModel

#: The server takes no longer one.
_MAX_REASON = 200

Reason = Annotated[str, Parameter(help="Why; shown to all who meet the lock.")]


def add_to(commands: App) -> None:
    """Give ``remsim ctl`` these commands."""
    for command in (lock, unlock, reinsert):
        commands.command(command)


def lock(bank_slot: str, reason: Reason, /, *, session: Given) -> int:
    """Give a bank slot no new mapping and no lease from now on; what it has goes on."""
    from remsim.rest import calls

    slot = str(BankSlot.parse(bank_slot.upper()))
    if not 1 <= len(reason.strip()) <= _MAX_REASON:
        raise ConfigError("that is no reason", hint=f"write 1..{_MAX_REASON} characters")
    with session.rest.v2() as rest:
        made = rest.do(calls.lock_slot(slot, reason))
    return session.show(dumped(made), lambda: print(f"{slot} is locked: {escape(made.reason)}"))


def unlock(bank_slot: str, /, *, session: Given) -> int:
    """Let a locked bank slot be mapped again."""
    from remsim.rest import calls

    slot = str(BankSlot.parse(bank_slot.upper()))
    with session.rest.v2() as rest:
        rest.do(calls.unlock_slot(slot))
    return session.show({}, lambda: print(f"{slot} is not locked any more"))


def reinsert(client_slot: str, /, *, session: Given) -> int:
    """Let the modem of CLIENT:SLOT see its card removed, and inserted again; exit status 1 if it may not see it."""
    from remsim.rest import calls

    slot = str(ClientSlot.parse(client_slot.upper()))
    with session.rest.v2() as rest:
        made = rest.do(calls.reinsert_card(slot))
        absent = _absent(rest, made)
    if absent and not session.is_json:
        hint = f"the mapping was made again; what it lacks is in: remsim ctl mappings {slot}"
        raise RemsimError(f"the modem of {slot} may not have seen it: {absent} is not connected", hint=hint)
    session.show(dumped(made), lambda: print(f"{made.client} gets {made.bank} inserted again"))
    return 1 if absent else 0


def _absent(rest: "Rest", mapping: "MappingModel") -> str:
    """Which end of a mapping is not connected to the server, its client first; empty if both are."""
    from remsim.rest import calls

    if rest.do(calls.show_client_slot(mapping.client)).link.state == "absent":
        return f"client {mapping.client}"
    bank_id = None if mapping.bank is None else BankSlot.parse(mapping.bank).bank_id
    if bank_id is not None and rest.do(calls.show_bank(bank_id)).link.state == "absent":
        return f"bank {bank_id}"
    return ""
