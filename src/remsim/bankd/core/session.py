# SPDX-License-Identifier: Apache-2.0
"""A client's use of a card, and what it is made of: the connection, the card position, and the session between them.

``CardSession.submit`` is the one path of a command: length, guard, state table, card, counting and trace are dealt
with there and nowhere else. A card that answers at once does so through the call; all others later, by ``complete``.
"""

from collections import deque
from dataclasses import field
from typing import Final, Protocol

from remsim.ahead.client_side import Used
from remsim.ahead.figures import AheadFigures
from remsim.ahead.view import CardView
from remsim.bankd.core.actions import (
    BankdAction,
    CardFault,
    FaultKind,
    Origin,
    SendResponse,
    SubmitCommand,
    TraceTpdu,
)
from remsim.bankd.core.breaker import SlotBreaker
from remsim.bankd.core.continuity import Continuity
from remsim.bankd.core.slot_record import SlotRecord
from remsim.bankd.core.states import (
    CARD_TRANSITIONS,
    CONNECTION_TRANSITIONS,
    HOLD_TRANSITIONS,
    CardEvent,
    CardState,
    ConnectionInput,
    ConnectionState,
    HoldEvent,
    HoldState,
)
from remsim.card.identity import CardIdentity
from remsim.card.reset import ResetKind
from remsim.card.status import SW_WRONG_LENGTH
from remsim.card.t0_exchange import mend_tpdu
from remsim.card.tpdu import is_well_formed
from remsim.core.identity import Proof
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitCounts, LimitName
from remsim.core.state_machine import Stateful
from remsim.core.values import dataclass
from remsim.policy.guard import BLOCKED_RESPONSE
from remsim.session.ledger import Standing
from remsim.session.lines import ResetEdges
from remsim.session.token import SessionTokens
from remsim.trace.tap import SlotTap
from remsim.wire.link.actions import LinkId, PeerAddress
from remsim.wire.messages.rspro import (
    MAX_COMMAND,
    ConnectClientReq,
    ResumeInd,
    SessionEnd,
)

#: Commands of one client that wait for its card. A modem has one in flight; more is a client that does not listen.
MAX_QUEUED: Final = 256
#: The answer to what is no command of T=0: its length is not what its P3 says.
_WRONG_LENGTH: Final = SW_WRONG_LENGTH.to_bytes(2)

# Python 3.11 takes longer to find a member of an enum by its name than to look the next state up, so the members that
# each command needs are found once.
_READY: Final = CardState.READY
_COMMAND: Final = CardEvent.COMMAND
_DONE: Final = CardEvent.DONE
_IN_SERVICE: Final = ConnectionState.CONNECTED_CLIENT_MAPPED_CARD
_DETACHED: Final = HoldState.DETACHED
_NEW: Final = Standing.NEW
_GUESS: Final = Origin.GUESS


@dataclass(slots=True)
class BankdCounts:
    """Totals since the start."""

    #: Commands that were answered.
    tpdus: int = 0
    #: Commands of modems whose cards answered at once, in the call.
    at_once: int = 0
    #: Resets that a card survived.
    resets: int = 0
    #: Operations of a card that failed, by kind.
    faults: dict[FaultKind, int] = field(default_factory=lambda: dict.fromkeys(FaultKind, 0))
    #: Newcomers with the identity of a client that proved to be alive.
    duplicate_clients: int = 0
    #: Clients whose certificate, or the lack of one, was not good for the client slot that they claimed.
    impostors: int = 0
    #: Servers that wanted a bank which has an active server already.
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
    #: Commands that were run before the modem sent them, and those of them that it did send.
    ahead_guesses: int = 0
    ahead_hits: int = 0
    #: How often each limit was reached.
    limits: LimitCounts = field(default_factory=LimitCounts)


class Connection(Stateful[ConnectionState, ConnectionInput]):
    """What is known of one connection to us."""

    __slots__ = (
        "client",
        "edges",
        "hears_ahead",
        "hears_slots",
        "is_own",
        "link",
        "peer",
        "proof",
        "request",
        "request_tag",
        "returning",
        "returns",
        "session",
    )

    TRANSITIONS = CONNECTION_TRANSITIONS

    def __init__(self, link: LinkId, peer: PeerAddress, proof: Proof | None = None) -> None:
        """``proof`` is what the peer's certificate says; None on a link without TLS."""
        super().__init__(ConnectionState.CONNECTED_WAIT_ID)
        self.link = link
        self.peer = peer
        self.proof = proof
        #: The client slot that the peer may act for; None until it is accepted.
        self.client: ClientSlot | None = None
        #: The connect request while its answer is due, with its tag.
        self.request: ConnectClientReq | None = None
        self.request_tag = 0
        #: The peer named abilities, so it understands more than the classic messages.
        self.is_own = False
        #: The peer understands bankSlotStatusInd (ability ``slots.1``).
        self.hears_slots = False
        #: The peer keeps answers to commands that its modem has not sent yet (ability ``ahead.1``).
        self.hears_ahead = False
        #: The peer can return to a session over another link (ability ``resume.1``); and what it shows to do so now.
        self.returns = False
        self.returning: ResumeInd | None = None
        #: The session that it is attached to; None until there is a mapping.
        self.session: CardSession | None = None
        self.edges = ResetEdges()


class CardPort(Protocol):
    """The card of one slot, as far as commands go."""

    def submit(self, tpdu: bytes, /) -> bytes | CardFault | None:
        """Exchange one command for a response of legal length, or a fault, at once.

        None: the coordinator's ``on_card_response`` or ``on_card_failed`` is called later.
        """
        ...


@dataclass(slots=True)
class SlotUsage:
    """What one slot was used for, since the start."""

    #: Commands of modems that were answered.
    commands: int = 0
    #: Seconds that the card worked while a modem waited, and those for which sessions were held without a link.
    card_s: float = 0.0
    held_s: float = 0.0
    #: Of answers ahead, but for the session that runs.
    ahead: AheadFigures = field(default_factory=AheadFigures)


class CardSlot(Stateful[CardState, CardEvent]):
    """One slot of this bank: what its card does, and for whom."""

    __slots__ = (
        "atr",
        "bank_slot",
        "breaker",
        "caller",
        "card",
        "ended",
        "fault",
        "iccid",
        "identity",
        "is_present",
        "is_traced",
        "origin",
        "powered_for",
        "reader",
        "record",
        "session",
        "tag",
        "tpdu",
        "usage",
    )

    TRANSITIONS = CARD_TRANSITIONS

    def __init__(self, bank_slot: BankSlot, card: CardPort, *, is_traced: bool = False) -> None:
        super().__init__(CardState.OFF)
        self.bank_slot = bank_slot
        self.card = card
        self.is_traced = is_traced
        #: There is a card in the reader, as far as the reader tells.
        self.is_present = False
        #: Name of the reader, for the log.
        self.reader = ""
        #: The number of the card that is in the reader now, where it was read.
        self.iccid: str | None = None
        #: What else it says without a PIN, where that was read.
        self.identity: CardIdentity | None = None
        #: The session that wants the card.
        self.session: CardSession | None = None
        #: The session that the card was powered for; it is powered off before another gets it.
        self.powered_for: CardSession | None = None
        #: The last ATR that the card gave.
        self.atr = b""
        #: The command in progress: for whom, its tag, and its bytes; None during a reset.
        self.caller: CardSession | None = None
        self.tag = 0
        self.tpdu: bytes | None = None
        #: Who asked for it.
        self.origin = Origin.MODEM
        #: Why the last attempt to power the card failed.
        self.fault: FaultKind | None = None
        #: How soon it is tried again.
        self.breaker = SlotBreaker(bank_slot.slot_nr)
        #: Counts and faults, of which its health is told.
        self.record = SlotRecord()
        #: The last session here that somebody could have returned to, and why that is over.
        self.ended: tuple[SessionTokens, SessionEnd] | None = None
        self.usage = SlotUsage()

    @property
    def slot_nr(self) -> int:
        """The number within the bank."""
        return self.bank_slot.slot_nr

    def on_card_time(self, seconds: float) -> None:
        """The card took so long for the command that runs; told before its response is.

        While it runs a guess, no modem waits for it.
        """
        self.record.card_times.observe(seconds)
        if self.origin is not _GUESS:
            self.usage.card_s += seconds


class SessionGuard(Protocol):
    """Rules about the commands of one session."""

    def blocks(self, tpdu: bytes, now: float, /) -> bool:
        """Whether the card must not see this command."""
        ...

    def concerns(self, tpdu: bytes, /) -> bool:
        """Whether any rule is about this command. Nothing is noted."""
        ...

    def on_exchange(self, tpdu: bytes, response: bytes, /) -> None:
        """The card answered a command."""
        ...

    def on_reset(self) -> None:
        """The card was reset."""
        ...


class SessionOwner(Protocol):
    """What a session needs of the card positions' owner."""

    def on_fault(self, slot: CardSlot, fault: CardFault, now: float) -> None:
        """A command failed at once."""
        ...

    def on_recovered(self, slot: CardSlot) -> None:
        """A card that has failed answers again."""
        ...

    def refuse(self, session: "CardSession", reason: str, now: float) -> None:
        """End the session because its client broke the protocol."""
        ...


@dataclass(frozen=True, slots=True)
class QueuedCommand:
    """A command that waits until the card is free."""

    tag: int
    tpdu: bytes
    origin: Origin


class SessionAhead(Protocol):
    """Answers ahead of one session, see ``ahead``."""

    @property
    def figures(self) -> AheadFigures:
        """What they have done so far."""
        ...

    @property
    def round_trip_s(self) -> float:
        """How far the modem is."""
        ...

    @property
    def view(self) -> CardView:
        """What is selected."""
        ...

    def take(self, tag: int, tpdu: bytes, origin: Origin, now: float) -> bytes | None:
        """As ``CardSession.take``."""
        ...

    def submit(self, tag: int, tpdu: bytes, origin: Origin, now: float) -> bytes | None:
        """As ``CardSession.submit``."""
        ...

    def complete(self, response: bytes, now: float) -> SendResponse | None:
        """The card answered later than at once."""
        ...

    def on_used(self, used: Used) -> None:
        """The client has used answers."""
        ...

    @property
    def is_unsettled(self) -> bool:
        """Commands that wait must wait for another turn."""
        ...

    def on_turn(self, now: float) -> bool:
        """Nothing else is to be done just now. False: not even what waits, another turn follows."""
        ...

    def on_detached(self) -> None:
        """The link is lost; the session is held."""
        ...

    def on_attached(self) -> None:
        """The session goes on over another link."""
        ...

    def on_reset(self) -> None:
        """The card was reset, or loses its power."""
        ...


class CardSession(Stateful[HoldState, HoldEvent]):
    """One client's use of one card, from the mapping that both have in common on. Its connection attaches to it."""

    __slots__ = (
        "_counts",
        "_out",
        "_owner",
        "ahead",
        "client",
        "connection",
        "continuity",
        "cuts",
        "guard",
        "is_ending",
        "queue",
        "since",
        "slot",
    )

    TRANSITIONS = HOLD_TRANSITIONS

    def __init__(
        self, slot: CardSlot, client: ClientSlot, *, owner: SessionOwner, out: list[BankdAction], counts: BankdCounts
    ) -> None:
        super().__init__(HoldState.ATTACHED)
        self.slot = slot
        self.client = client
        self._owner = owner
        self._out = out
        self._counts = counts
        #: Where commands come from and answers go; None while nobody is attached.
        self.connection: Connection | None = None
        #: Asked before each command, told of each response; None: no rule is about this session.
        self.guard: SessionGuard | None = None
        self.queue: deque[QueuedCommand | ResetKind | Used] = deque()
        #: Runs commands that the modem will probably send; None: those that it has sent only.
        self.ahead: SessionAhead | None = None
        #: What it takes to go on over another link; None if the session ends with its link.
        self.continuity: Continuity | None = None
        #: How often its link was lost while it was held.
        self.cuts = 0
        #: Since when it has been in its state; None: it is not in service.
        self.since: float | None = None
        #: The bank stops: the session ends after the command in progress.
        self.is_ending = False

    # Attaching

    def attach(self, connection: Connection) -> None:
        """Commands come from this connection now."""
        self.connection, connection.session = connection, self

    def detach(self) -> None:
        """Nobody commands the card for the time being. What waits to be done for the connection is dropped."""
        if self.connection is not None:
            self.connection.session = None
        self.connection = None
        self.queue.clear()

    @property
    def is_in_service(self) -> bool:
        """The card is powered for this session, and its client knows that."""
        connection = self.connection
        return self._state is _DETACHED if connection is None else connection.state is _IN_SERVICE

    @property
    def waiting(self) -> int:
        """Commands that run or wait to be run."""
        slot = self.slot
        runs = slot.caller is self and slot.tpdu is not None and slot.state is CardState.BUSY
        return runs + sum(isinstance(command, QueuedCommand) for command in self.queue)

    # Commands

    @property
    def entry(self) -> SubmitCommand:
        """Where commands of the client come in."""
        if self.ahead is not None:
            return self.ahead.take
        return self.submit if self.continuity is None else self.take

    def take(self, tag: int, tpdu: bytes, origin: Origin, now: float) -> bytes | None:
        """``submit`` for a session that outlives its link: a command that comes again is not run again."""
        continuity = self.continuity
        if continuity is None:
            return self.submit(tag, tpdu, origin, now)
        if continuity.is_unsettled:
            continuity.settle()
        standing = continuity.ledger.take_command(tag, tpdu)
        if standing is _NEW:
            return self.submit(tag, tpdu, origin, now)
        if standing is Standing.ANSWERED:
            return continuity.ledger.response
        if standing is not Standing.RUNNING:
            self._owner.refuse(self, f"command with tag {tag}: {standing.value}", now)
        return None

    def submit(self, tag: int, tpdu: bytes, origin: Origin, now: float) -> bytes | None:
        """Take a command: run it, queue it, or end the session (rspro.md, 9.3).

        Returns the response if it is there at once. Else ``complete`` follows, unless the session ends before. One that
        is no command of T=0, or that a rule blocks, does not reach the card.
        """
        slot, guard = self.slot, self.guard
        # A card that is idle and powered for the session which has the slot: that session is in service.
        if not (
            slot.state is _READY and slot.powered_for is self and slot.session is self and 1 <= len(tpdu) <= MAX_COMMAND
        ):
            self.put_off(tag, tpdu, origin, now)
            return None
        slot.step(_COMMAND)
        is_command = is_well_formed(tpdu)
        if not is_command:
            # Of a program that sends APDUs. A card that waits for data which do not come is lost.
            tpdu = mend_tpdu(tpdu)
            is_command = is_well_formed(tpdu)
        # All is noted before the card hears of it: a reader's thread then runs while nothing is left to be done here.
        slot.caller, slot.tag, slot.tpdu = self, tag, tpdu
        outcome: bytes | CardFault | None
        if not is_command:
            outcome = _WRONG_LENGTH
        elif guard is not None and guard.blocks(tpdu, now):
            outcome = BLOCKED_RESPONSE
        else:
            outcome = slot.card.submit(tpdu)
            if outcome is None:
                return None
            if isinstance(outcome, CardFault):
                self._owner.on_fault(slot, outcome, now)
                return None
            if guard is not None:
                guard.on_exchange(tpdu, outcome)
        self._counts.at_once += 1
        self._on_answered(tag, tpdu, outcome)
        return outcome

    def put_off(self, tag: int, tpdu: bytes, origin: Origin, now: float) -> None:
        """Take a command that cannot run now: it waits for the card, or ends the session."""
        if not self.is_in_service:
            # One that crossed our message that the card is gone was not executed, and its client knows that.
            if self.connection is not None and not self.connection.hears_slots:
                self._owner.refuse(self, "command without a card", now)
        elif not 1 <= len(tpdu) <= MAX_COMMAND:
            self._owner.refuse(self, f"command of {len(tpdu)} bytes", now)
        else:
            self.enqueue(QueuedCommand(tag, tpdu, origin), now)

    def enqueue(self, command: QueuedCommand | ResetKind | Used, now: float) -> None:
        """Let it wait until the card is free."""
        if len(self.queue) >= MAX_QUEUED:
            self._counts.limits.reached(LimitName.QUEUED_COMMANDS)
            self._owner.refuse(self, f"more than {MAX_QUEUED} commands waiting", now)
        else:
            self.queue.append(command)

    def drop_void(self, waits_for: int | None) -> None:
        """Of the commands that have not been run, nobody waits for any but this one. Resets are due all the same."""
        self.queue = deque(
            command for command in self.queue if not isinstance(command, QueuedCommand) or command.tag == waits_for
        )

    def run_queued(self, command: QueuedCommand, now: float) -> None:
        """Run a command that has waited; the card is free."""
        submit = self.submit if self.ahead is None else self.ahead.submit
        response = submit(command.tag, command.tpdu, command.origin, now)
        if response is not None:
            self.answer(command.tag, response)

    def complete(self, response: bytes) -> SendResponse | None:
        """The card answered the command in progress, later than at once. Returns what is to be done first of all."""
        slot = self.slot
        tag, tpdu = slot.tag, slot.tpdu
        assert tpdu is not None
        # The guard may have come while the command ran, and is told of the response all the same.
        if self.guard is not None:
            self.guard.on_exchange(tpdu, response)
        self._on_answered(tag, tpdu, response)
        connection, continuity = self.connection, self.continuity
        if connection is None or slot.session is not self or not (continuity is None or continuity.is_awaited(tag)):
            return None
        return SendResponse(connection.link, tag, self.client, slot.bank_slot, response)

    def _on_answered(self, tag: int, tpdu: bytes, response: bytes) -> None:
        slot = self.slot
        slot.step(_DONE)
        slot.caller = None
        if self.continuity is not None:
            self.continuity.ledger.complete(tag, response)
        self._counts.tpdus += 1
        slot.usage.commands += 1
        slot.record.on_answered(response)
        if slot.breaker.failures:
            self._owner.on_recovered(slot)
        if slot.is_traced:
            was_run = response is not BLOCKED_RESPONSE and response is not _WRONG_LENGTH
            self._out.append(
                TraceTpdu(slot.bank_slot.slot_nr, tpdu, response, was_run=was_run, session=self.label, tag=tag)
            )

    @property
    def label(self) -> bytes:
        """Its name in traces; empty if it ends with its link."""
        return b"" if self.continuity is None else self.continuity.tokens.label

    def answer(self, tag: int, response: bytes) -> None:
        """Send a response to the client, if one is attached."""
        if self.connection is not None and self.is_awaited(tag):
            self._out.append(SendResponse(self.connection.link, tag, self.client, self.slot.bank_slot, response))

    def is_awaited(self, tag: int) -> bool:
        """Whether the link that there is now waits for this answer: not one to what a reset made void on another."""
        return self.continuity is None or self.continuity.is_awaited(tag)


#: What has a deadline.
Due = Connection | CardSlot | CardSession | SlotTap
