# SPDX-License-Identifier: Apache-2.0
"""The decisions of one client slot: which links it wants, what its modem sees, which command goes where.

It relays TPDU, ATR and line changes between one emulator and one bankd, as its server ordains. No socket, clock or
emulator in here: events and the time come in, actions go out.

Every command of the modem gets exactly one ``Respond`` or ``Abort``, in order, unless a reset made it void. A command
is never sent twice: when a link is lost, whether the card executed it is unknown.
"""

from collections import deque
from typing import Final

from remsim.card.atr_policy import AtrPolicy
from remsim.card.errors import AtrError
from remsim.client.core.actions import (
    Abort,
    Action,
    DialBankd,
    HangUpBankd,
    InsertCard,
    RemoveCard,
    ResetModem,
    Respond,
    SelectSim,
    SetAtr,
)
from remsim.client.core.notices import Notice, NoticeKind, address_text, ignored, peer_error, wrong_type
from remsim.client.core.session import Command, Link, refusal_of_undecodable
from remsim.client.core.states import SLOT_TRANSITIONS, SlotEvent, SlotState
from remsim.core.ids import BankSlot, ClientSlot
from remsim.redaction import scrub
from remsim.wire.errors import LocalProtocolError
from remsim.wire.link.actions import Accepted, AskIdentity, Close, LinkId, Send
from remsim.wire.link.engine import (
    Event,
    IdentityReceived,
    Received,
    ReceivedUnknown,
    Undecodable,
    UnsupportedVersion,
)
from remsim.wire.messages import extensions, rspro
from remsim.wire.messages.revocation import StoreRevocations
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, ResultCode, SlotPhysStatus

#: A classic bankd sends the ATR together with its connect answer. One that has not done so by then never will, and the
#: modem gets the configured ATR, as the classic client would show it from the start.
ATR_WAIT_S: Final = 3.0

#: The classic bankd sends the ATR at once, some 40 ms later at most. One that has not done so by then may wait for a
#: sign of life of the modem, and is told how its lines are.
LINES_WAIT_S: Final = 0.1

#: ISO/IEC 7816-4, 5.6: wrong length. The answer to what cannot be a command TPDU.
SW_WRONG_LENGTH: Final = b"\x67\x00"

#: With these results a bankd of ours keeps the link and sends the ATR once there is a card.
_WORTH_WAITING: Final = frozenset(
    {
        ResultCode.CARD_NOT_PRESENT,
        ResultCode.CARD_UNRESPONSIVE,
        ResultCode.CARD_TRANSMISSION_ERROR,
        ResultCode.UNKNOWN_SLOTMAP,
    }
)

#: Why a client without a number gets no further at a classic server, and what to do.
NO_NUMBERS: Final = "the server gives no numbers, so name the client slot (--client ID:SLOT)"

_AS_IT_IS: Final = AtrPolicy()

_IDLE_LINES: Final = SlotPhysStatus(reset_active=False, vcc_present=True, clk_active=True)


class ClientCoordinator:
    """One client slot. ``client_slot`` None: the server is asked for a number."""

    def __init__(
        self,
        *,
        identity: ComponentIdentity,
        client_slot: ClientSlot | None,
        default_atr: bytes,
        keeps_default_atr: bool = False,
        atr_policy: AtrPolicy = _AS_IT_IS,
        resets_for_atr: bool = False,
    ) -> None:
        """``default_atr`` is shown if the bankd names none, or always if ``keeps_default_atr``.

        ``atr_policy`` is what becomes of the bankd's. ``resets_for_atr``: a modem that was shown the default takes
        note of the true one by a reset of its own, rather than by a card that is removed and inserted.
        """
        self.state = SlotState.INIT
        self.client_slot = client_slot
        self.bank_slot: BankSlot | None = None
        #: What the modem was told to be the card's ATR; None if it sees no card.
        self.atr: bytes | None = None
        self._identity = identity
        self._asks_for_number = client_slot is None
        self._default_atr = default_atr
        self._keeps_default_atr = keeps_default_atr
        self._atr_policy = atr_policy
        self._server: Link | None = None
        self._bankd: Link | None = None
        self._bankd_address: rspro.IpPort | None = None
        self._is_remote = False
        self._commands: deque[Command] = deque()
        self._resets_for_atr = resets_for_atr
        self._atr_due: float | None = None
        #: When the bankd is told how the modem's lines are, unless it hears of them before.
        self._lines_due: float | None = None
        self._lines = _IDLE_LINES
        #: The modem sees the default because the bankd named no ATR.
        self._shows_stand_in = False

    @property
    def is_server_connected(self) -> bool:
        """Whether a server has accepted us and is there."""
        return self._server is not None and self._server.is_accepted

    # Links

    def on_link_up(self, link: LinkId, role: ComponentType, now: float) -> list[Action]:
        """A dialled link to the server or the bankd (``role``) is up: introduce ourselves."""
        if role is ComponentType.REMSIM_SERVER:
            self._server = Link(link, is_introduced=not self._asks_for_number)
            if self._asks_for_number:
                # A classic server dies of a connectClientReq without clientSlot (known-limits.md, 1). It closes the
                # link on ID_GET; a server of ours answers, and is asked then.
                return [AskIdentity(link)]
            return [Send(link, rspro.ConnectClientReq(self._identity, self.client_slot))]
        if self._bankd_address is None or self.client_slot is None:
            return [Close(link, "no bankd is wanted")]
        self._bankd = Link(link)
        return [Send(link, rspro.ConnectClientReq(self._identity, self.client_slot))]

    def on_link_lost(self, link: LinkId, reason: str, now: float) -> list[Action]:
        """A link is gone. The one to the server does not matter to a session; dialling again is not our business."""
        if self._server is not None and self._server.id == link:
            lost, self._server = self._server, None
            if lost.is_accepted:
                return [Notice(NoticeKind.SERVER_LOST, reason)]
            return [] if lost.is_introduced else [Notice(NoticeKind.SERVER_REFUSED, f"{NO_NUMBERS}: {reason}")]
        if self._bankd is not None and self._bankd.id == link:
            was_accepted = self._bankd.is_accepted
            actions = self._drop_session(f"link to the bankd lost: {reason}")
            actions += self._step(SlotEvent.BANKD_LOST)
            return [Notice(NoticeKind.BANKD_LOST, reason), *actions] if was_accepted else actions
        return []

    def on_event(self, link: LinkId, event: Event, now: float) -> list[Action]:
        """The peer at the other end of ``link`` sent something."""
        match event:
            case Received():
                if self._server is not None and self._server.id == link:
                    return self._on_server(self._server, event)
                if self._bankd is not None and self._bankd.id == link:
                    return self._on_bankd(self._bankd, event, now)
            case IdentityReceived():
                if self._server is not None and self._server.id == link and not self._server.is_introduced:
                    self._server.is_introduced = True
                    return [Send(link, rspro.ConnectClientReq(self._identity))]
            case Undecodable():
                return self._on_undecodable(link, event)
            case UnsupportedVersion():
                return [Notice(NoticeKind.IGNORED, f"protocol version {event.version}")]
            case ReceivedUnknown():
                return [Notice(NoticeKind.IGNORED, f"unknown PDU alternative {event.number}")]
        return []

    def _on_undecodable(self, link: LinkId, event: Undecodable) -> list[Action]:
        actions: list[Action] = [Notice(NoticeKind.IGNORED, f"undecodable: {event.error}")]
        refusal = refusal_of_undecodable(event.error)
        if refusal is not None and self._server is not None and self._server.id == link:
            actions.append(Send(link, refusal, event.error.tag))
        if self._commands and self._bankd is not None and self._bankd.id == link:
            # It may have been the answer that the modem waits for, and nobody will send it again.
            actions.append(Close(link, "undecodable message while a command waits for its answer"))
        return actions

    # Server

    def _on_server(self, link: Link, event: Received) -> list[Action]:
        match event.message:
            case rspro.ConnectClientRes() if event.request is not None:
                return self._on_server_answer(link, event.message)
            case rspro.ConfigClientIdReq():
                return [
                    Send(link.id, rspro.ConfigClientIdRes(ResultCode.OK), event.tag),
                    *self._take_number(event.message.client_slot),
                ]
            case rspro.ConfigClientBankReq() if link.is_accepted:
                return self._on_config_bank(link, event.message, event.tag)
            case rspro.ResetStateReq() if link.is_own:
                actions = self._hang_up("the server ordered a reset", SlotEvent.STATE_RESET)
                return [
                    Notice(NoticeKind.STATE_RESET),
                    *actions,
                    Send(link.id, rspro.ResetStateRes(ResultCode.OK), event.tag),
                ]
            case extensions.RevocationListInd() if link.is_own:
                whole = link.list_parts.add(event.message)
                return [] if whole is None else [StoreRevocations(whole)]
            case rspro.ErrorInd() as message:
                if message.client_slot is not None and message.client_slot == self.client_slot and message.error_string:
                    # It is about our mapping, and says in words why we hear of no bankd.
                    return [Notice(NoticeKind.SERVER_SAYS, scrub(message.error_string))]
                return [peer_error(message)]
        return [ignored(event.message)]

    def _on_server_answer(self, link: Link, answer: rspro.ConnectClientRes) -> list[Action]:
        refusal = wrong_type(answer, ComponentType.REMSIM_SERVER)
        if not refusal and answer.result is not ResultCode.OK:
            refusal = answer.result.name.lower()
        if refusal:
            return [Notice(NoticeKind.SERVER_REFUSED, refusal), Close(link.id, refusal)]
        link.is_accepted = True
        link.is_own = answer.identity.abilities is not None
        return [
            Accepted(link.id),
            Notice(NoticeKind.SERVER_CONNECTED, answer.identity.name),
            *self._step(SlotEvent.SERVER_ACCEPTED),
        ]

    def _take_number(self, client_slot: ClientSlot) -> list[Action]:
        if client_slot == self.client_slot:
            return []
        self.client_slot = client_slot
        actions: list[Action] = [Notice(NoticeKind.IDENTITY, str(client_slot), client_slot=client_slot)]
        if self._bankd_address is not None:
            # The bankd knows us by the old number, and would close the link on a TPDU that bears the new one.
            actions += self._dial(self._bankd_address, "the client got another number")
        return actions

    def _on_config_bank(self, link: Link, request: rspro.ConfigClientBankReq, tag: int) -> list[Action]:
        answer = Send(link.id, rspro.ConfigClientBankRes(ResultCode.OK), tag)
        if request.bankd.port == 0:
            actions = self._hang_up("the mapping was removed", SlotEvent.BANKD_TAKEN)
            return [answer, Notice(NoticeKind.BANKD_TAKEN), *actions]
        if self.client_slot is None:
            return [Send(link.id, rspro.ConfigClientBankRes(ResultCode.ILLEGAL_CLIENT_ID), tag)]
        is_same = (request.bank_slot, request.bankd) == (self.bank_slot, self._bankd_address)
        if is_same and self._bankd is not None:
            # known-limits.md, 34: a session must not be cut because the server said the same again.
            return [answer, Notice(NoticeKind.BANKD_UNCHANGED)]
        self.bank_slot = request.bank_slot
        return [
            answer,
            Notice(NoticeKind.BANKD_GIVEN, address_text(request.bankd), bank_slot=request.bank_slot),
            *self._dial(request.bankd, "the server gave another bankd"),
        ]

    def _dial(self, address: rspro.IpPort, reason: str) -> list[Action]:
        actions = self._drop_session(reason)
        self._bankd_address = address
        return [*actions, *self._step(SlotEvent.BANKD_GIVEN), DialBankd(address)]

    def _hang_up(self, reason: str, event: SlotEvent) -> list[Action]:
        actions = self._drop_session(reason)
        self._bankd_address = None
        self.bank_slot = None
        return [*actions, HangUpBankd(), *self._step(event)]

    # Bankd

    def _on_bankd(self, link: Link, event: Received, now: float) -> list[Action]:
        match event.message:
            case rspro.ConnectClientRes() if event.request is not None:
                return self._on_bankd_answer(link, event.message, now)
            case rspro.SetAtrReq() if link.is_accepted:
                self._lines_due = None
                return [
                    Send(link.id, rspro.SetAtrRes(ResultCode.OK), event.tag),
                    *self._enter_service(),
                    *self._show_card(event.message.atr),
                ]
            case rspro.TpduCardToModem() if event.request is not None:
                return self._on_response(event.request, event.message.data)
            case rspro.BankSlotStatusInd() if link.is_own:
                if event.message.slot_phys_status.card_present is False:
                    return self._hide_card("the bankd's card is gone")
                return []
            case rspro.ErrorInd():
                return [peer_error(event.message)]
        return [ignored(event.message)]

    def _on_bankd_answer(self, link: Link, answer: rspro.ConnectClientRes, now: float) -> list[Action]:
        link.is_own = answer.identity.abilities is not None
        refusal = wrong_type(answer, ComponentType.REMSIM_BANKD)
        if not refusal and link.is_own and answer.result in _WORTH_WAITING:
            link.is_accepted = True
            return [Accepted(link.id), Notice(NoticeKind.BANKD_WAITS, answer.result.name.lower())]
        if not refusal and answer.result is not ResultCode.OK:
            refusal = answer.result.name.lower()
        if refusal:
            # A classic bankd may find card and mapping later and never tell (rspro.md, 9.2): ask again.
            return [Notice(NoticeKind.BANKD_REFUSED, refusal), Close(link.id, refusal)]
        link.is_accepted = True
        actions = [
            Accepted(link.id),
            Notice(NoticeKind.BANKD_CONNECTED, answer.identity.name),
            *self._enter_service(),
        ]
        if not link.is_own:
            self._lines_due = now + LINES_WAIT_S
        if self._keeps_default_atr:
            return actions + self._show_card(self._default_atr)
        if not link.is_own:
            self._atr_due = now + ATR_WAIT_S
        return actions

    def _enter_service(self) -> list[Action]:
        return self._step(SlotEvent.BANKD_ACCEPTED) if self.state is SlotState.WAIT_BANKD else []

    def _on_response(self, request: rspro.Request, data: bytes) -> list[Action]:
        command = next((known for known in self._commands if known.request is request), None)
        if command is None:
            return []
        self._commands.remove(command)
        if command.is_void:
            return []
        if not rspro.MIN_RESPONSE <= len(data) <= rspro.MAX_RESPONSE:
            return [Abort(f"the card's answer has {len(data)} bytes")]
        return [Respond(data)]

    # What the modem sees

    def _show_card(self, atr: bytes) -> list[Action]:
        self._atr_due = None
        actions: list[Action] = []
        try:
            atr = self._default_atr if self._keeps_default_atr else self._atr_policy.apply(atr)
        except AtrError as error:
            actions.append(Notice(NoticeKind.ATR_UNUSABLE, f"{atr.hex()}: {error}"))
            atr = self._default_atr
        before, self.atr = self.atr, atr
        was_stand_in, self._shows_stand_in = self._shows_stand_in, False
        if was_stand_in and before is not None:
            return actions if before == atr else [*actions, *self._replace_stand_in(atr)]
        if before is not None:
            return [*actions, SetAtr(atr), Notice(NoticeKind.ATR_CHANGED, atr.hex())]
        # Hardware that is connected to a powered modem begins to send its ATR at once, so it must have the right one
        # before. The card is inserted last (known-limits.md, 87): the modem never sees another one first.
        actions.append(SetAtr(atr))
        if not self._is_remote:
            actions.append(SelectSim(remote=True))
        self._is_remote = True
        return [*actions, InsertCard(), ResetModem(), Notice(NoticeKind.CARD_INSERTED, atr.hex())]

    def _replace_stand_in(self, atr: bytes) -> list[Action]:
        """The modem has read an ATR that is not the card's, and reads another one only if something happens to it."""
        changed = Notice(NoticeKind.ATR_CHANGED, atr.hex())
        if self._resets_for_atr:
            return [SetAtr(atr), ResetModem(), changed]
        return [RemoveCard(), SetAtr(atr), InsertCard(), changed]

    def _hide_card(self, reason: str) -> list[Action]:
        actions = self._abort_commands(reason)
        self._atr_due = self._lines_due = None
        self._shows_stand_in = False
        if self.atr is not None:
            self.atr = None
            actions += [RemoveCard(), Notice(NoticeKind.CARD_REMOVED, reason)]
        return actions

    def _drop_session(self, reason: str) -> list[Action]:
        """Forget the bankd's link and give the modem its own card back."""
        self._bankd = None
        actions = self._hide_card(reason)
        if self._is_remote:
            self._is_remote = False
            actions += [SelectSim(remote=False), ResetModem()]
        return actions

    def _abort_commands(self, reason: str) -> list[Action]:
        waiting = [command for command in self._commands if not command.is_void]
        self._commands.clear()
        return [Abort(reason) for _ in waiting]

    # Modem

    def on_tpdu(self, tpdu: bytes, now: float) -> list[Action]:
        """The modem sent a command."""
        if not rspro.MIN_COMMAND <= len(tpdu) <= rspro.MAX_COMMAND:
            # known-limits.md, 85: silence would leave the modem waiting; a bankd would close the link.
            text = f"{len(tpdu)} bytes, {rspro.MIN_COMMAND}..{rspro.MAX_COMMAND} are possible"
            return [Respond(SW_WRONG_LENGTH), Notice(NoticeKind.TPDU_REFUSED, text)]
        if self._bankd is None or self.client_slot is None or self.bank_slot is None or self.atr is None:
            return [Abort("no card is there")]
        request = rspro.TpduModemToCard(self.client_slot, self.bank_slot, rspro.NO_FLAGS, tpdu)
        self._commands.append(Command(request))
        return [Send(self._bankd.id, request)]

    def on_lines(self, lines: SlotPhysStatus, now: float) -> list[Action]:
        """The modem changed VCC, RST or CLK; with VCC gone or RST active, commands in progress are void."""
        self._lines = lines
        is_reset = lines.reset_active or lines.vcc_present is False
        if is_reset:
            for command in self._commands:
                command.is_void = True
        link = self._bankd
        if link is None or not link.is_accepted or self.client_slot is None or self.bank_slot is None:
            return []
        self._lines_due = None
        shown = [lines]
        if is_reset and not link.has_shown_lines and not link.is_own:
            # A classic bankd acts on edges and may remember the lines of the client before us (known-limits.md, 46);
            # rspro.md, 9.4 therefore wants a full cycle.
            shown.insert(0, _IDLE_LINES)
        link.has_shown_lines = True
        return [Send(link.id, rspro.ClientSlotStatusInd(self.client_slot, self.bank_slot, status)) for status in shown]

    def _show_lines(self) -> list[Action]:
        """Tell a bankd that has sent no ATR how the modem's lines are: it may wait for that."""
        self._lines_due = None
        link = self._bankd
        if link is None or self.client_slot is None or self.bank_slot is None:
            return []
        link.has_shown_lines = True
        return [Send(link.id, rspro.ClientSlotStatusInd(self.client_slot, self.bank_slot, self._lines))]

    # Time and state

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` is due."""
        return min((due for due in (self._atr_due, self._lines_due) if due is not None), default=None)

    def handle_timer(self, now: float) -> list[Action]:
        """Do what is due at ``now``."""
        actions = [] if self._lines_due is None or now < self._lines_due else self._show_lines()
        if self._atr_due is None or now < self._atr_due:
            return actions
        actions.append(Notice(NoticeKind.ATR_MISSING, self._default_atr.hex()))
        actions += self._show_card(self._default_atr)
        self._shows_stand_in = True
        return actions

    def _step(self, event: SlotEvent) -> list[Action]:
        following = SLOT_TRANSITIONS.get((self.state, event))
        if following is None:
            raise LocalProtocolError(f"client slot: {event.value} in state {self.state.value}")
        if following is self.state:
            return []
        self.state = following
        return [Notice(NoticeKind.STATE, following.value, state=following)]
