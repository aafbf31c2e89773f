# SPDX-License-Identifier: Apache-2.0
"""``remsim ctl lock``, ``unlock`` and ``reinsert``: orders about one slot that change no mapping.

The models of v2 are imported when a command runs, because help needs none.
"""

from typing import Annotated

from cyclopts import App, Parameter

from remsim.cli.ctl.session import Given, dumped
from remsim.core.errors import ConfigError
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.text import escape

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
    """Let the modem of CLIENT:SLOT see its card removed, and inserted again."""
    from remsim.rest import calls

    slot = str(ClientSlot.parse(client_slot.upper()))
    with session.rest.v2() as rest:
        made = rest.do(calls.reinsert_card(slot))
    shown = dumped(made)
    return session.show(shown, lambda: print(f"{made.client} gets {made.bank} inserted again"))
