# SPDX-License-Identifier: Apache-2.0
"""What the client's coordinator asks of the I/O around it, besides the link actions of ``wire.link.actions``."""

from dataclasses import field

from remsim.client.core.notices import Notice
from remsim.core.log_event import LogEvent
from remsim.core.values import dataclass
from remsim.wire.link.actions import AnnounceReturn, LinkAction
from remsim.wire.messages.revocation import StoreRevocations
from remsim.wire.messages.rspro import IpPort, TpduModemToCard


@dataclass(slots=True)
class Command:
    """A command of the modem, from the moment it came until it is answered, void, or given up.

    The session has one for each command in flight. The emulator keeps what it needs to answer (SIMtrace2:
    ``t0.Command``), the link its request.
    """

    #: The emulator's number for it, which goes with the answer.
    number: int
    tpdu: bytes
    #: In seconds of the caller's clock.
    came_at: float
    #: In seconds of the coordinator's time.
    taken_at: float = field(default=0.0, compare=False)
    #: How it went to the bankd; None if it did not.
    request: TpduModemToCard | None = field(default=None, compare=False)
    #: The modem was reset meanwhile and does not wait for the answer any more.
    is_void: bool = field(default=False, compare=False)
    #: The operation tag of its answer, and the place behind it of one that came ahead: for traces.
    tag: int | None = field(default=None, compare=False)
    index: int = field(default=0, compare=False)
    #: How long the bankd had it, as that tells with the answer, in microseconds.
    bank_us: int | None = field(default=None, compare=False)
    #: It waited here before it was sent, or its link was lost.
    is_delayed: bool = field(default=False, compare=False)

    @property
    def is_measure(self) -> bool:
        """Whether what it took, less what the bankd took, is the network's time: it was not answered ahead, say."""
        return self.request is not None and not self.index and not self.is_delayed


@dataclass(frozen=True, slots=True)
class DialBankd:
    """Connect to the bankd at ``address`` for ever; a link to another one, or to the same, is closed first."""

    address: IpPort


@dataclass(frozen=True, slots=True)
class HangUpBankd:
    """Close the link to the bankd and do not dial it again."""


@dataclass(frozen=True, slots=True)
class SelectSim:
    """Connect the modem to the emulated card, or back to the card in its own socket."""

    remote: bool


@dataclass(frozen=True, slots=True)
class SetAtr:
    """The card's answer to reset, from now on."""

    atr: bytes


@dataclass(frozen=True, slots=True)
class InsertCard:
    """Show the modem that a card is there."""


@dataclass(frozen=True, slots=True)
class RemoveCard:
    """Show the modem that there is no card."""


@dataclass(frozen=True, slots=True)
class GiveUpCard:
    """No card will come as things are: what waits for one need not wait longer."""


@dataclass(frozen=True, slots=True)
class ResetModem:
    """Pulse the modem's own reset line where there is one."""


@dataclass(frozen=True, slots=True)
class Respond:
    """The answer to ``command``: data, SW1, SW2."""

    command: Command
    response: bytes


@dataclass(frozen=True, slots=True)
class Abort:
    """``command`` gets no answer; whether the card executed it is unknown."""

    command: Command
    reason: str


#: What is asked of the emulator.
EmulatorAction = SelectSim | SetAtr | InsertCard | RemoveCard | GiveUpCard | ResetModem | Respond | Abort
Action = LinkAction | AnnounceReturn | StoreRevocations | DialBankd | HangUpBankd | EmulatorAction | Notice | LogEvent
