# SPDX-License-Identifier: Apache-2.0
"""A bank's coordinator with stand-in cards that act at once: what surrounds it in tests without I/O."""

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from remsim.bankd.core.actions import (
    BankdAction,
    CardAttached,
    CardDetached,
    CardFault,
    CloseCard,
    FaultKind,
    OpenCard,
    Origin,
    ReadNumber,
    ResetCard,
    SendResponse,
    StoreCertified,
    TraceAtr,
    TraceTpdu,
)
from remsim.bankd.core.certified import CertifiedMemory
from remsim.bankd.core.continuity import HoldPolicy
from remsim.bankd.core.coordinator import BankdCoordinator
from remsim.card.identity import CardIdentity
from remsim.card.reset import ResetKind
from remsim.card.status import SW_WRONG_LENGTH
from remsim.card.tpdu import HEADER_LENGTH
from remsim.core.identity import Proof
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.log_event import LogEvent
from remsim.policy.guard import GuardPolicy
from remsim.trace.gsmtap import AtrRecord, TpduRecord, encode_gsmtap
from remsim.wire.link.abilities import ABILITIES, INVENTORY, SLOTS_2
from remsim.wire.link.actions import Accepted, AskIdentity, Close, LinkId, PeerAddress, Probe, Send
from remsim.wire.link.events import Event, ProbeAnswered, Received
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, Message, ResultCode

BANKD = ComponentIdentity(ComponentType.REMSIM_BANKD, "bank", "remsim-bankd", "0")


def stub_atr(slot_nr: int) -> bytes:
    """The ATR that the stand-in library of the recordings gives in reader ``slot_nr``."""
    body = bytes.fromhex("9f96801fc78031a073be211367432007180000") + bytes((slot_nr,))
    check = 0
    for byte in body:
        check ^= byte
    return b"\x3b" + body + bytes((check,))


def stub_response(tpdu: bytes) -> bytes | None:
    """How that library answers; None is a PC/SC error."""
    if len(tpdu) < HEADER_LENGTH:
        return SW_WRONG_LENGTH.to_bytes(2)
    instruction, length = tpdu[1], tpdu[4] or 256
    if instruction == 0xA4:
        return b"\x9f\x17"
    if instruction in (0xB0, 0xC0, 0x84):
        return bytes((tpdu[3] + n) & 0xFF for n in range(length)) + b"\x90\x00"
    if instruction == 0xFE:
        return None
    return b"\x6d\x00" if instruction == 0xCA else b"\x90\x00"


def as_message(action: SendResponse) -> rspro.TpduCardToModem:
    """The message that the link writes for it."""
    return rspro.TpduCardToModem(action.bank_slot, action.client, rspro.NO_FLAGS, action.response)


@dataclass(frozen=True)
class Transmit:
    """A command that a card has and did not answer yet."""

    slot_nr: int
    tpdu: bytes


@dataclass
class StubCard:
    """The card of one slot, as a port for commands."""

    cards: "StubCards"
    slot_nr: int

    def submit(self, tpdu: bytes, /) -> bytes | CardFault | None:
        """Answer at once, or let the test decide when."""
        if not self.cards.is_automatic:
            self.cards.commands.append(Transmit(self.slot_nr, tpdu))
            return None
        return self.cards.exchange(self.slot_nr, tpdu)


@dataclass
class StubCards:
    """Carries out what the coordinator asks of cards: immediately, or what is a command when the test says so."""

    respond: Callable[[bytes], bytes | None] = stub_response
    atr: Callable[[int], bytes] = stub_atr
    #: Commands are answered at once; else they are appended to ``commands``.
    is_automatic: bool = True
    commands: "list[BankdAction | Transmit]" = field(default_factory=list)
    #: What happened, for assertions: (slot number, what).
    log: list[tuple[int, str]] = field(default_factory=list)
    notices: list[LogEvent] = field(default_factory=list)
    datagrams: list[bytes] = field(default_factory=list)
    #: Slots whose card cannot be powered.
    faults: dict[int, FaultKind] = field(default_factory=dict)
    resets: int = 0
    #: Numbers of the cards; one that is not here cannot be read.
    numbers: dict[int, str] = field(default_factory=dict)
    #: What cards say besides, if they are asked for all.
    identities: dict[int, CardIdentity] = field(default_factory=dict)
    #: Set by the test.
    coordinator: BankdCoordinator = field(init=False)

    def ports(self, slots: int) -> list[StubCard]:
        """The cards of so many slots."""
        return [StubCard(self, slot_nr) for slot_nr in range(slots)]

    def exchange(self, slot_nr: int, tpdu: bytes) -> bytes | CardFault:
        """Let a card work."""
        self.log.append((slot_nr, f"transmit {tpdu.hex()}"))
        response = self.respond(tpdu)
        return CardFault(FaultKind.TRANSMISSION, "stub") if response is None else response

    def perform(self, action: BankdAction | Transmit, now: float) -> list[BankdAction]:
        """The coordinator's reaction to the outcome of ``action``."""
        match action:
            case OpenCard(slot_nr):
                self.log.append((slot_nr, "open"))
                if slot_nr in self.faults:
                    return self.coordinator.on_card_failed(slot_nr, CardFault(self.faults[slot_nr], "stub"), now)
                return self.coordinator.on_card_opened(slot_nr, self.atr(slot_nr), now)
            case Transmit(slot_nr, tpdu):
                outcome = self.exchange(slot_nr, tpdu)
                if isinstance(outcome, CardFault):
                    return self.coordinator.on_card_failed(slot_nr, outcome, now)
                answer = self.coordinator.on_card_response(slot_nr, outcome, now)
                return [*([] if answer is None else [answer]), *self.coordinator.take()]
            case ResetCard(slot_nr, kind):
                self.resets += 1
                self.log.append((slot_nr, "cold" if kind is ResetKind.COLD else "warm"))
                return self.coordinator.on_card_reset(slot_nr, self.atr(slot_nr), now)
            case CloseCard(slot_nr):
                self.log.append((slot_nr, "close"))
                return self.coordinator.on_card_closed(slot_nr, now)
            case ReadNumber(slot_nr, reads_all):
                self.log.append((slot_nr, "read all" if reads_all else "read"))
                if self.faults.get(slot_nr) is FaultKind.BUSY:
                    return self.coordinator.on_card_number(slot_nr, None, "stub", now, is_busy=True)
                number = self.numbers.get(slot_nr)
                identity = self.identities.get(slot_nr) if reads_all else None
                return self.coordinator.on_card_number(slot_nr, number, "" if number else "stub", now, identity)
            case LogEvent():
                self.notices.append(action)
            case TraceAtr(slot_nr, atr):
                self.datagrams.append(encode_gsmtap(AtrRecord(slot_nr, atr)))
            case TraceTpdu(slot_nr, tpdu, bytes(response), origin=Origin.MODEM):
                self.datagrams.append(encode_gsmtap(TpduRecord(slot_nr, tpdu, response)))
        return []


CLIENT = ComponentIdentity(ComponentType.REMSIM_CLIENT, "client", "remsim-client", "1")
SERVER = ComponentIdentity(ComponentType.REMSIM_SERVER, "server", "remsim-server", "1")


class Bank:
    """A coordinator with everything around it, at a time that the test sets. Links are numbered from 1.

    Cards act at once while ``is_automatic``; else what was asked of them waits in ``pending``.
    """

    def __init__(
        self,
        *,
        slots: int = 2,
        has_cards: bool = True,
        traced: frozenset[int] = frozenset(),
        memory: CertifiedMemory | None = None,
        reads_numbers: bool = False,
        policy: GuardPolicy = GuardPolicy(()),  # noqa: B008  # immutable
        hold: HoldPolicy | None = None,
    ) -> None:
        self.cards = StubCards()
        self.coordinator = BankdCoordinator(
            bank_id=1,
            cards=self.cards.ports(slots),
            identity=BANKD,
            traced_slots=traced,
            memory=memory,
            reads_numbers=reads_numbers,
            policy=policy,
            hold=hold,
        )
        self.coordinator.is_listening = True
        self.cards.coordinator = self.coordinator
        self.now = 100.0
        self.pending: list[BankdAction | Transmit] = []
        self.cards.commands = self.pending
        self.sent: dict[int, list[Message]] = {}
        self.reply_tags: dict[int, list[int | None]] = {}
        self.closed: dict[int, str] = {}
        self.accepted: list[int] = []
        self.probed: list[int] = []
        self.attached: list[BankdAction] = []
        #: What was to be stored of clients with certificates, each time.
        self.stored: list[tuple[str, ...]] = []
        self._last_link = 0
        self._last_tag = 0
        for slot_nr in range(slots):
            self.presence(slot_nr, is_present=has_cards)
        self.cards.notices.clear()

    @property
    def is_automatic(self) -> bool:
        """Cards act at once."""
        return self.cards.is_automatic

    @is_automatic.setter
    def is_automatic(self, is_automatic: bool) -> None:
        self.cards.is_automatic = is_automatic

    def do(self, actions: list[BankdAction]) -> None:
        """Carry out actions, and those that follow."""
        for action in actions:
            match action:
                case Send(link, message, reply_to):
                    self.sent[link].append(message)
                    self.reply_tags[link].append(reply_to)
                case SendResponse(link, tag):
                    self.sent[link].append(as_message(action))
                    self.reply_tags[link].append(tag)
                case Close(link, reason):
                    self.closed[link] = reason
                case Accepted(link):
                    self.accepted.append(link)
                case Probe(link):
                    self.probed.append(link)
                case AskIdentity():
                    raise AssertionError("a bank asks nobody for an identity")
                case CardAttached() | CardDetached():
                    self.attached.append(action)
                case StoreCertified():
                    self.stored.append(tuple(str(client) for client in self.coordinator.certified.proven()))
                case OpenCard() | CloseCard() | ResetCard() | ReadNumber() if not self.is_automatic:
                    self.pending.append(action)
                case _:
                    self.do(self.cards.perform(action, self.now))

    def let_cards_act(self) -> None:
        """Carry out what waits, once."""
        pending = self.pending.copy()
        self.pending.clear()
        for action in pending:
            self.do(self.cards.perform(action, self.now))

    def fail(self, kind: FaultKind, text: str = "stub") -> None:
        """Let the one card operation that waits fail."""
        (action,) = self.pending
        self.pending.clear()
        assert isinstance(action, OpenCard | ResetCard | Transmit)
        self.do(self.coordinator.on_card_failed(action.slot_nr, CardFault(kind, text), self.now))

    def presence(self, slot_nr: int, *, is_present: bool, reader: str = "reader", cause: str = "test") -> None:
        """A card comes or goes."""
        self.do(self.coordinator.on_presence(slot_nr, is_present=is_present, reader=reader, cause=cause, now=self.now))

    def link(self, host: str = "192.0.2.1", *, is_dialled: bool = False, proof: Proof | None = None) -> int:
        """A new link is up, over TLS if the peer has proven who it is."""
        self._last_link += 1
        number = self._last_link
        self.sent[number], self.reply_tags[number] = [], []
        peer = PeerAddress(IPv4Address(host), 40000 + number)
        self.do(self.coordinator.on_link_up(LinkId(number), peer, self.now, is_dialled=is_dialled, proof=proof))
        return number

    def event(self, link: int, event: Event) -> None:
        """The peer's end of ``link`` sent something."""
        self.do(self.coordinator.on_event(LinkId(link), event, self.now))

    def say(self, link: int, message: Message) -> int:
        """The peer sends a message; its tag."""
        self._last_tag += 1
        self.event(link, Received(message, self._last_tag))
        return self._last_tag

    def lose(self, link: int, reason: str = "closed by the peer") -> None:
        """The link is gone."""
        self.do(self.coordinator.on_link_lost(LinkId(link), reason, self.now))

    def answer_probe(self, link: int) -> None:
        """The peer answers our PING."""
        self.event(link, ProbeAnswered())

    def wait(self, until: float) -> None:
        """Let deadlines up to ``until`` come due."""
        while (due := self.coordinator.next_deadline()) is not None and due <= until:
            self.now = due
            self.do(self.coordinator.handle_timer(due))
        self.now = until

    def server(
        self,
        *,
        is_own: bool = True,
        proof: Proof | None = None,
        hears_health: bool = False,
        wants_all: bool = False,
        keeps: bool = False,
    ) -> int:
        """A server that we dialled and that accepted us; what was said so far is forgotten, unless it ``keeps`` it.

        ``hears_health``: it wants to hear how slots stand, for which a bank always has a deadline. ``wants_all``: it
        wants to know all that cards say without a PIN.
        """
        link = self.link(is_dialled=True, proof=proof)
        unnamed = {*(() if hears_health else (SLOTS_2,)), *(() if wants_all else (INVENTORY,))}
        named = tuple(name for name in ABILITIES if name not in unnamed)
        identity = SERVER.with_abilities(named if is_own else None)
        self.say(link, rspro.ConnectBankRes(identity, ResultCode.OK))
        if not keeps:
            self.sent[link].clear()
        return link

    def map(self, server: int, client: str = "C1:0", bank: str = "B1:0") -> ResultCode:
        """The server orders a mapping."""
        self.say(server, rspro.CreateMappingReq(ClientSlot.parse(client), BankSlot.parse(bank)))
        return next(m.result for m in reversed(self.sent[server]) if isinstance(m, rspro.CreateMappingRes))

    def connect(self, client: str | None = "C1:0", *, is_own: bool = False, proof: Proof | None = None) -> int:
        """A client connects and introduces itself."""
        link = self.link(proof=proof)
        self.introduce(link, client, is_own=is_own)
        return link

    def submit(self, link: int, tpdu: bytes, tag: int = 0) -> bytes | None:
        """A command that the link recognises by itself, of the session that was attached last."""
        attached = [action for action in self.attached if isinstance(action, CardAttached) and action.link == link]
        response = attached[-1].submit(tag, tpdu, Origin.MODEM, self.now)
        self.do(self.coordinator.take())
        return response

    def introduce(self, link: int, client: str | None = "C1:0", *, is_own: bool = False) -> None:
        """Send a connect request."""
        identity = CLIENT.with_abilities(ABILITIES if is_own else None)
        self.say(link, rspro.ConnectClientReq(identity, None if client is None else ClientSlot.parse(client)))

    def command(self, link: int, tpdu: str = "00b0000001", client: str = "C1:0", bank: str = "B1:0") -> int:
        """A client's command, in hex; its tag."""
        slots = ClientSlot.parse(client), BankSlot.parse(bank)
        return self.say(link, rspro.TpduModemToCard(*slots, rspro.NO_FLAGS, bytes.fromhex(tpdu)))

    def result(self, link: int) -> ResultCode:
        """How the one connect request on ``link`` was answered."""
        (result,) = [m.result for m in self.sent[link] if isinstance(m, rspro.ConnectClientRes)]
        return result

    def events(self) -> list[str]:
        """The names of what was noticed so far."""
        return [notice.name for notice in self.cards.notices]
