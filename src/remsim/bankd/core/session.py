# SPDX-License-Identifier: Apache-2.0
"""What a bank remembers, without the decisions: sessions, card slots, and plain counts that ``metrics`` shows."""

from collections import deque
from dataclasses import dataclass, field

from remsim.bankd.core.actions import FaultKind, ResetKind
from remsim.bankd.core.states import (
    CardEvent,
    CardState,
    SessionEvent,
    SessionState,
    next_card_state,
    next_session_state,
)
from remsim.core.identity import Proof
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitCounts
from remsim.wire.link.actions import LinkId, PeerAddress
from remsim.wire.messages.rspro import ConnectClientReq, SlotPhysStatus


@dataclass(slots=True)
class BankdCounts:
    """Totals since the start."""

    #: Commands that a card answered.
    tpdus: int = 0
    #: Resets that a card survived.
    resets: int = 0
    #: Operations of a card that failed, by kind.
    faults: dict[FaultKind, int] = field(default_factory=lambda: dict.fromkeys(FaultKind, 0))
    #: Newcomers with the identity of a client that proved to be alive.
    duplicate_clients: int = 0
    #: Clients whose certificate, or the lack of one, was not good for the client slot that they claimed.
    impostors: int = 0
    #: Servers that wanted a bank which another server governs.
    second_servers: int = 0
    #: Connections that were closed because there were too many without a card.
    crowded_out: int = 0
    #: Connections that were closed because their peer broke the protocol.
    protocol_errors: int = 0
    #: Commands that a rule kept from the card, and those that one only noted.
    blocked_commands: int = 0
    noted_commands: int = 0
    #: Entries for the server's audit log that were dropped, because no server took them for long.
    audit_dropped: int = 0
    #: How often each limit was reached.
    limits: LimitCounts = field(default_factory=LimitCounts)


@dataclass(slots=True)
class ResetEdges:
    """Turns the lines of the modem's slot into resets (rspro.md, 9.4): edges count, not levels.

    Fresh for every connection: what the previous client left behind would swallow a reset.
    """

    vcc: bool = True
    rst: bool = False

    def on_status(self, status: SlotPhysStatus) -> ResetKind | None:
        """The reset that this change of lines asks for, if any."""
        kind = None
        if status.vcc_present is False:
            kind = ResetKind.COLD if self.vcc else None
        elif status.reset_active and not self.rst:
            kind = ResetKind.WARM
        if status.vcc_present is not None:
            self.vcc = status.vcc_present
        self.rst = status.reset_active
        return kind


@dataclass(frozen=True, slots=True)
class QueuedTpdu:
    """A command that waits until the card is free."""

    tag: int
    data: bytes


@dataclass(eq=False, slots=True)
class Session:
    """What is known of one connection to us."""

    link: LinkId
    peer: PeerAddress
    #: What its certificate says; None on a link without TLS.
    proof: Proof | None = None
    state: SessionState = SessionState.CONNECTED_WAIT_ID
    #: The client slot that the peer may act for; None until it is accepted.
    client: ClientSlot | None = None
    #: The connect request while its answer is due, with its tag.
    request: ConnectClientReq | None = None
    request_tag: int = 0
    #: It named abilities, so it understands more than the classic messages.
    is_own: bool = False
    #: It understands bankSlotStatusInd (ability ``slots.1``).
    hears_slots: bool = False
    position: "CardSlot | None" = None
    edges: ResetEdges = field(default_factory=ResetEdges)
    queue: "deque[QueuedTpdu | ResetKind]" = field(default_factory=deque)
    #: Newcomers with the same identity, waiting to learn whether this connection lives.
    contenders: "list[Session]" = field(default_factory=list)
    #: The connection that this newcomer contends with.
    challenger: "Session | None" = None
    #: The bank stops: the session ends after the command in progress.
    is_ending: bool = False

    def step(self, event: SessionEvent) -> None:
        """Move on. Raises LocalProtocolError if the table does not allow it."""
        self.state = next_session_state(self.state, event)


@dataclass(eq=False, slots=True)
class CardSlot:
    """One slot of this bank: what its card does, and for whom."""

    bank_slot: BankSlot
    state: CardState = CardState.OFF
    #: There is a card in the reader, as far as the reader tells.
    is_present: bool = False
    #: Name of the reader, for the log.
    reader: str = ""
    #: The number of the card that is in the reader now, where it was read.
    iccid: str | None = None
    #: The session that wants the card.
    session: Session | None = None
    #: The session that the card was powered for; it is powered off before another gets it.
    powered_for: Session | None = None
    #: The last ATR that the card gave.
    atr: bytes = b""
    #: The command in progress: for whom, its tag, and its bytes; None during a reset.
    caller: Session | None = None
    tag: int = 0
    tpdu: bytes | None = None
    #: Attempts in a row to power the card that failed, and why the last one did.
    failures: int = 0
    fault: FaultKind | None = None

    @property
    def slot_nr(self) -> int:
        """The number within the bank."""
        return self.bank_slot.slot_nr

    def step(self, event: CardEvent) -> None:
        """Move on. Raises LocalProtocolError if the table does not allow it."""
        self.state = next_card_state(self.state, event)
