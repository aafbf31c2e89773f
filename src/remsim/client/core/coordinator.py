# SPDX-License-Identifier: Apache-2.0
"""The decisions of one client slot: what it wants of its two links, and which of its parts an event is for.

``server_link`` knows what the server says, ``session`` what runs between modem and bankd. No socket, clock or emulator
in here: events and the time come in, actions go out.
"""

from typing import ClassVar, Final

from remsim.ahead.as_message import as_message
from remsim.ahead.client_side import AnswersAhead
from remsim.ahead.figures import LatencyFigures
from remsim.card.atr_policy import AtrPolicy
from remsim.client.core.actions import Action, DialBankd, HangUpBankd
from remsim.client.core.assignment import Assignment, address_text
from remsim.client.core.health import ClientHealth
from remsim.client.core.notices import Notice, NoticeKind, Notices
from remsim.client.core.options import AtrOptions, HoldOptions
from remsim.client.core.server_link import SlotServerLink
from remsim.client.core.session import Session
from remsim.client.core.states import SLOT_TRANSITIONS, SlotEvent, SlotState
from remsim.client.core.tracing import ClientTrace
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.state_machine import Stateful, Transitions
from remsim.wire.link.actions import Close, LinkId
from remsim.wire.link.engine import (
    Event,
    IdentityReceived,
    Received,
    ReceivedUnknown,
    Undecodable,
    UnsupportedVersion,
)
from remsim.wire.link.tags import TagPolicy
from remsim.wire.messages.extensions import TraceReq
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, IpPort, ResultCode, SlotPhysStatus

_AS_IT_IS: Final = AtrPolicy()


class ClientCoordinator(Stateful[SlotState, SlotEvent]):
    """One client slot (``server_link.Orders``)."""

    TRANSITIONS: ClassVar[Transitions[SlotState, SlotEvent]] = SLOT_TRANSITIONS

    def __init__(
        self,
        *,
        identity: ComponentIdentity,
        client_slot: ClientSlot | None,
        default_atr: bytes,
        keeps_default_atr: bool = False,
        atr_policy: AtrPolicy = _AS_IT_IS,
        resets_for_atr: bool = False,
        hold: HoldOptions = HoldOptions(),  # noqa: B008  # immutable
    ) -> None:
        """``client_slot`` None: the server is asked for a number. For the rest see ``AtrOptions``."""
        super().__init__(SlotState.INIT)
        self._assignment = Assignment(client_slot)
        self._notices = Notices(self._assignment)
        self._server = SlotServerLink(self._assignment, self._notices, identity=identity, orders=self)
        self._session = Session(
            self._assignment,
            self._notices,
            identity=identity,
            atr=AtrOptions(default_atr, keeps_default_atr, atr_policy, resets_for_atr),
            on_served=self._on_served,
            hold=hold,
        )
        #: What the server is told while somebody watches the slot there.
        self.trace = ClientTrace(self._assignment)
        #: What the server is told of this slot. It hears of what the runtime alone knows, too.
        self.health = ClientHealth(self._assignment, self._session.ahead, lambda: as_message(self.latency))

    # How it stands

    @property
    def tags(self) -> TagPolicy:
        """What numbers the messages to the bankd, over all links of a session."""
        return self._session.tags

    @property
    def ahead(self) -> AnswersAhead:
        """Answers to commands that the modem has not sent yet, and how often they were of use."""
        return self._session.ahead

    @property
    def label(self) -> bytes | None:
        """The session's name in traces, empty if it ends with its link. None: the bankd is a classic one."""
        return self._session.label

    @property
    def latency(self) -> LatencyFigures:
        """Where the time of the modem's commands went, since the program's start."""
        return self._session.waits.figures

    @property
    def client_slot(self) -> ClientSlot | None:
        """The slot's number; None until the server has given it one."""
        return self._assignment.client_slot

    @property
    def bank_slot(self) -> BankSlot | None:
        """The bank slot that it is mapped to."""
        return self._assignment.bank_slot

    @property
    def atr(self) -> bytes | None:
        """What the modem was told to be the card's ATR; None if it sees no card."""
        return self._session.atr

    @property
    def is_server_connected(self) -> bool:
        """Whether a server has accepted us and is there."""
        return self._server.is_accepted

    @property
    def refusal(self) -> str:
        """Why a peer refused us last; empty once one has accepted us."""
        return self._notices.refusal

    @property
    def server_says(self) -> str:
        """Why the server cannot name us a bankd, in its words; empty if it has not said."""
        return self._notices.server_says

    # Links

    def on_link_up(self, link: LinkId, role: ComponentType, now: float) -> list[Action]:
        """A dialled link to the server or the bankd (``role``) is up: introduce ourselves."""
        if role is ComponentType.REMSIM_SERVER:
            return self._server.on_link_up(link)
        if self._assignment.bankd is None or self._assignment.client_slot is None:
            return [Close(link, "no bankd is wanted")]
        return self._session.on_link_up(link)

    def on_link_lost(self, link: LinkId, reason: str, now: float) -> list[Action]:
        """A link is gone. The one to the server does not matter to a session; dialling again is not our business."""
        return self._noted(self._on_link_lost(link, reason, now), now)

    def _on_link_lost(self, link: LinkId, reason: str, now: float) -> list[Action]:
        if self._server.owns(link):
            self.trace.on_link_lost(link)
            return self._server.on_link_lost(reason)
        if not self._session.owns(link):
            return []
        was_accepted = self._session.is_accepted
        held = self._session.hold(reason, now)
        if held is not None:
            held += self._move(SlotEvent.LINK_HELD)
            return [self._notices.make(NoticeKind.BANKD_LOST, reason), *held] if was_accepted else held
        actions = self._session.end(f"link to the bankd lost: {reason}", is_lost=True)
        actions += self._move(SlotEvent.BANKD_LOST)
        return [self._notices.make(NoticeKind.BANKD_LOST, reason), *actions] if was_accepted else actions

    def on_event(self, link: LinkId, event: Event, now: float) -> list[Action]:
        """The peer at the other end of ``link`` sent something."""
        return self._noted(self._on_event(link, event, now), now)

    def _on_event(self, link: LinkId, event: Event, now: float) -> list[Action]:
        match event:
            case Received():
                if self._session.owns(link):
                    return self._unless_held(self._session.on_message(event, now))
                if self._server.owns(link):
                    message = event.message
                    if isinstance(message, TraceReq) and self._server.is_accepted:
                        if self.trace.on_request(message, link, now):
                            return []
                    return self._server.on_message(event)
            case IdentityReceived():
                return self._server.on_identity() if self._server.owns(link) else []
            case Undecodable():
                actions: list[Action] = [self._notices.ignored(f"undecodable: {event.error}")]
                if self._server.owns(link):
                    return actions + self._server.on_undecodable(event.error)
                return actions + self._session.on_undecodable() if self._session.owns(link) else actions
            case UnsupportedVersion():
                return [self._notices.ignored(f"protocol version {event.version}")]
            case ReceivedUnknown():
                return [self._notices.ignored(f"unknown PDU alternative {event.number}")]
        return []

    # What the server orders

    def on_server_accepted(self) -> list[Action]:
        """The server knows us."""
        return self._move(SlotEvent.SERVER_ACCEPTED)

    def take_client_slot(self, client_slot: ClientSlot) -> list[Action]:
        """The slot has this number from now on."""
        known = self._assignment
        if client_slot == known.client_slot:
            return []
        known.client_slot = client_slot
        actions: list[Action] = [self._notices.make(NoticeKind.IDENTITY, str(client_slot))]
        if known.bankd is not None:
            # The bankd knows us by the old number, and would close the link on a TPDU that bears the new one.
            actions += self._dial(known.bankd, "the client got another number")
        return actions

    def take_bankd(self, bank_slot: BankSlot, address: IpPort) -> tuple[ResultCode, list[Action]]:
        """The slot is mapped to ``bank_slot``, whose bankd is at ``address``."""
        known = self._assignment
        if known.client_slot is None:
            return ResultCode.ILLEGAL_CLIENT_ID, []
        if (bank_slot, address) == (known.bank_slot, known.bankd) and (
            self._session.is_linked or self._session.is_held
        ):
            # known-limits.md, 34: a session must not be cut because the server said the same again.
            return ResultCode.OK, [self._notices.make(NoticeKind.BANKD_UNCHANGED)]
        known.bank_slot = bank_slot
        given = self._notices.make(NoticeKind.BANKD_GIVEN, address_text(address))
        return ResultCode.OK, [given, *self._dial(address, "the server gave another bankd")]

    def drop_bankd(self) -> list[Action]:
        """The slot is not mapped any more."""
        actions = self._hang_up("the mapping was removed", SlotEvent.BANKD_TAKEN)
        return [self._notices.make(NoticeKind.BANKD_TAKEN), *actions]

    def reset(self) -> list[Action]:
        """The slot forgets its mapping."""
        actions = self._hang_up("the server ordered a reset", SlotEvent.STATE_RESET)
        return [self._notices.make(NoticeKind.STATE_RESET), *actions]

    def _dial(self, address: IpPort, reason: str) -> list[Action]:
        actions = self._session.end(reason)
        self._assignment.bankd = address
        return [*actions, *self._move(SlotEvent.BANKD_GIVEN), DialBankd(address)]

    def _hang_up(self, reason: str, event: SlotEvent) -> list[Action]:
        actions = self._session.end(reason)
        self._assignment.bankd = self._assignment.bank_slot = None
        return [*actions, HangUpBankd(), *self._move(event)]

    def _on_served(self) -> list[Action]:
        waits = self.state in (SlotState.WAIT_BANKD, SlotState.HOLDING)
        return self._move(SlotEvent.BANKD_ACCEPTED) if waits else []

    # Modem

    def on_tpdu(self, number: int, tpdu: bytes, came_at: float, now: float) -> list[Action]:
        """The modem sent a command, at ``came_at`` of the caller's clock. ``number`` is the emulator's."""
        return self._session.on_tpdu(number, tpdu, came_at, now)

    def on_lines(self, lines: SlotPhysStatus, now: float) -> list[Action]:
        """The modem changed VCC, RST or CLK; with VCC gone or RST active, commands in progress are void."""
        self.health.on_lines(lines, now)
        return self._noted(self._session.on_lines(lines, now), now)

    # Time and state

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` is due."""
        due = (self._session.next_deadline(), self.health.due, self.trace.next_deadline())
        return min((at for at in due if at is not None), default=None)

    def handle_timer(self, now: float) -> list[Action]:
        """Do what is due at ``now``."""
        actions = self._noted(self._unless_held(self._session.handle_timer(now)), now)
        return [*actions, *self.health.on_due(now), *self.trace.handle_timer(now)]

    def stop(self) -> list[Action]:
        """The program ends: the bankd is told, so that it does not hold the session."""
        return self._session.leave()

    def _unless_held(self, actions: list[Action]) -> list[Action]:
        """A session that was held and is not any more, without having gone on, leaves the slot without one."""
        if self.state is SlotState.HOLDING and not self._session.is_held:
            actions += self._move(SlotEvent.HOLD_OVER)
        return actions

    def _noted(self, actions: list[Action], now: float) -> list[Action]:
        """What is to be done next is noted for what the server is told of us."""
        for action in actions:
            if isinstance(action, Notice):
                self.health.on_notice(action, now)
        self.health.look(self.state, self._server.health_link, now, hears_network=self._server.hears_network)
        return actions

    def _move(self, event: SlotEvent) -> list[Action]:
        before = self.state
        following = self.step(event)
        if following is before:
            return []
        return [self._notices.make(NoticeKind.STATE, following.value, state=following)]
