# SPDX-License-Identifier: Apache-2.0
"""What bankd and client tell of each command to those who keep it or pass it on, whether anybody watches or not."""

from typing import Protocol

from remsim.core.values import dataclass
from remsim.trace.gsmtap import TpduMark
from remsim.trace.tap import NO_ID, CommandId


@dataclass(frozen=True, slots=True)
class DoneCommand:
    """A command at the slot that is called ``slot`` (``B1:3``, ``C7:0``), and what became of it.

    ``spent_s`` is what the card took where the slot is a bank's, how long the modem waited where it is a client's;
    None: nobody knows, or the card was not asked. ``network_s`` is the part of a client's that the bankd did not have.
    """

    slot: str
    tpdu: bytes
    #: Data, SW1, SW2; None: there was no answer.
    response: bytes | None
    #: The slot at the other end; empty: there is none, or it is not known.
    other: str = ""
    command_id: CommandId = NO_ID
    mark: TpduMark = TpduMark.MODEM
    #: The card was asked just now, and not before the modem sent it.
    was_run: bool = True
    spent_s: float | None = None
    network_s: float | None = None


class CommandOutlet(Protocol):
    """Takes what happens at slots. Called in the event loop for each command: must return at once."""

    def on_command(self, done: DoneCommand) -> None:
        """A command was answered, or failed."""
        ...

    def on_atr(self, slot: str, atr: bytes) -> None:
        """The modem's end is given this ATR."""
        ...

    def on_reset(self, slot: str) -> None:
        """The card begins anew."""
        ...

    def on_unknown_card(self, slot: str) -> None:
        """Another card may be there, or it may have been reset unseen."""
        ...


def command_id_text(slot: str, command_id: CommandId) -> str:
    """What people and programs call a command at both ends, as in REST; empty if it has no name.

    ``slot`` is the bank's: it stands where the session has no name of its own.
    """
    if command_id.tag is None:
        return ""
    name = command_id.session.hex() or slot
    behind = f"+{command_id.index}" if command_id.index else ""
    return f"{name}-{command_id.tag}{behind}" if name else ""
