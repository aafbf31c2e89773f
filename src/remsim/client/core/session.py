# SPDX-License-Identifier: Apache-2.0
"""What runs in a client slot: the link to its bankd, the card that the modem sees, the commands in flight. No I/O.

Every command of the modem gets exactly one ``Respond`` or ``Abort``, unless a reset made it void. A command is never
sent twice: when a link is lost, whether the card executed it is unknown.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from remsim.card.atr_policy import AtrPolicy
from remsim.card.errors import AtrError
from remsim.card.reset import ResetKind
from remsim.client.core.actions import (
    Abort,
    Action,
    Command,
    InsertCard,
    RemoveCard,
    ResetModem,
    Respond,
    SelectSim,
    SetAtr,
)
from remsim.client.core.assignment import Assignment
from remsim.client.core.notices import Notice, NoticeKind, Notices, refusal_in
from remsim.core.deadlines import Deadlines
from remsim.wire.link.actions import Accepted, Close, LinkId, Send
from remsim.wire.link.engine import Received
from remsim.wire.messages import rspro
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

_IDLE_LINES: Final = SlotPhysStatus(reset_active=False, vcc_present=True, clk_active=True)


@dataclass(frozen=True, slots=True)
class AtrOptions:
    """Which ATR the modem sees."""

    #: Shown if the bankd names none, or always if ``keeps_default``.
    default: bytes
    keeps_default: bool
    #: What becomes of the bankd's.
    policy: AtrPolicy
    #: A modem that was shown the default takes note of the true one by a reset of its own, rather than by a card that
    #: is removed and inserted.
    resets_modem: bool


@dataclass(slots=True)
class _Link:
    """What is known of the link to the bankd."""

    id: LinkId
    is_accepted: bool = False
    #: The bankd named abilities, so it is a program of ours.
    is_own: bool = False
    #: A status was sent, so the bankd's idea of our lines is ours.
    has_shown_lines: bool = False


class _Due(Enum):
    """What a session waits for."""

    ATR = "the bankd's ATR"
    LINES = "the modem's first sign of life"


class Session:
    """One slot's. ``on_served`` is called when the bankd serves us, and returns what is to be done then."""

    def __init__(
        self,
        assignment: Assignment,
        notices: Notices,
        *,
        identity: ComponentIdentity,
        atr: AtrOptions,
        on_served: Callable[[], list[Action]],
    ) -> None:
        #: What the modem was told to be the card's ATR; None if it sees no card.
        self.atr: bytes | None = None
        self._assignment = assignment
        self._notices = notices
        self._identity = identity
        self._options = atr
        self._on_served = on_served
        self._link: _Link | None = None
        self._is_remote = False
        #: Oldest first. A void one stays until its answer comes, or the card goes.
        self._commands: deque[Command] = deque()
        self._deadlines = Deadlines[_Due]()
        self._lines = _IDLE_LINES
        #: The modem keeps the card from running, and whether VCC was off since it did.
        self._is_held = self._had_no_power = False
        #: The modem sees the default because the bankd named no ATR.
        self._shows_stand_in = False

    # The link

    @property
    def is_linked(self) -> bool:
        """Whether there is a link to the bankd."""
        return self._link is not None

    @property
    def is_accepted(self) -> bool:
        """Whether the bankd has accepted us."""
        return self._link is not None and self._link.is_accepted

    def owns(self, link: LinkId) -> bool:
        """Whether this is the link to the bankd."""
        return self._link is not None and self._link.id == link

    def on_link_up(self, link: LinkId) -> list[Action]:
        """The link to the bankd is up: introduce ourselves."""
        self._link = _Link(link)
        return [Send(link, rspro.ConnectClientReq(self._identity, self._assignment.client_slot))]

    def end(self, reason: str) -> list[Action]:
        """Forget the bankd's link and give the modem its own card back."""
        self._link = None
        actions = self._hide_card(reason)
        if self._is_remote:
            self._is_remote = False
            actions += [SelectSim(remote=False), ResetModem()]
        return actions

    # What the bankd says

    def on_message(self, event: Received, now: float) -> list[Action]:
        """A message of the bankd."""
        link = self._link
        if link is None:
            return []
        match event.message:
            case rspro.TpduCardToModem() if event.request is not None:
                return self._on_response(event.request, event.message.data)
            case rspro.ConnectClientRes() if event.request is not None:
                return self._on_connect_answer(link, event.message, now)
            case rspro.SetAtrReq() if link.is_accepted:
                self._deadlines.cancel(_Due.LINES)
                return [
                    Send(link.id, rspro.SetAtrRes(ResultCode.OK), event.tag),
                    *self._on_served(),
                    *self._show_card(event.message.atr),
                ]
            case rspro.BankSlotStatusInd() if link.is_own:
                if event.message.slot_phys_status.card_present is False:
                    return self._hide_card("the bankd's card is gone")
                return []
            case rspro.ErrorInd():
                return [self._notices.peer_error(event.message)]
        return [self._notices.ignored(type(event.message).__name__)]

    def on_undecodable(self) -> list[Action]:
        """The bankd sent something that cannot be read."""
        if self._link is None or not self._commands:
            return []
        # It may have been the answer that the modem waits for, and nobody will send it again.
        return [Close(self._link.id, "undecodable message while a command waits for its answer")]

    def _on_connect_answer(self, link: _Link, answer: rspro.ConnectClientRes, now: float) -> list[Action]:
        link.is_own = answer.identity.abilities is not None
        is_bankd = answer.identity.type is ComponentType.REMSIM_BANKD
        if is_bankd and link.is_own and answer.result in _WORTH_WAITING:
            link.is_accepted = True
            return [Accepted(link.id), self._notices.make(NoticeKind.BANKD_WAITS, answer.result.name.lower())]
        refusal = refusal_in(answer, ComponentType.REMSIM_BANKD)
        if refusal:
            # A classic bankd may find card and mapping later and never tell (rspro.md, 9.2): ask again.
            return [self._notices.make(NoticeKind.BANKD_REFUSED, refusal), Close(link.id, refusal)]
        link.is_accepted = True
        actions = [
            Accepted(link.id),
            self._notices.make(NoticeKind.BANKD_CONNECTED, answer.identity.name),
            *self._on_served(),
        ]
        if not link.is_own:
            self._deadlines.set(_Due.LINES, now + LINES_WAIT_S)
        if self._options.keeps_default:
            return actions + self._show_card(self._options.default)
        if not link.is_own:
            self._deadlines.set(_Due.ATR, now + ATR_WAIT_S)
        return actions

    def _on_response(self, request: rspro.Request, data: bytes) -> list[Action]:
        command = next((known for known in self._commands if known.request is request), None)
        if command is None:
            return []
        self._commands.remove(command)
        if command.is_void:
            return []
        if not rspro.MIN_RESPONSE <= len(data) <= rspro.MAX_RESPONSE:
            return [Abort(command, f"the card's answer has {len(data)} bytes")]
        return [Respond(command, data)]

    # What the modem sees

    def _show_card(self, atr: bytes) -> list[Action]:
        self._deadlines.cancel(_Due.ATR)
        actions: list[Action] = []
        options = self._options
        try:
            atr = options.default if options.keeps_default else options.policy.apply(atr)
        except AtrError as error:
            actions.append(self._notices.log("warning", "atr_unusable", f"{atr.hex()}: {error}"))
            atr = options.default
        before, self.atr = self.atr, atr
        was_stand_in, self._shows_stand_in = self._shows_stand_in, False
        if was_stand_in and before is not None:
            return actions if before == atr else [*actions, *self._replace_stand_in(atr)]
        if before is not None:
            return [*actions, SetAtr(atr), self._notices.log("info", "atr_changed", atr.hex())]
        # Hardware that is connected to a powered modem begins to send its ATR at once, so it must have the right one
        # before. The card is inserted last (known-limits.md, 87): the modem never sees another one first.
        actions.append(SetAtr(atr))
        if not self._is_remote:
            actions.append(SelectSim(remote=True))
        self._is_remote = True
        return [*actions, InsertCard(), ResetModem(), self._notices.make(NoticeKind.CARD_INSERTED, atr.hex())]

    def _replace_stand_in(self, atr: bytes) -> list[Action]:
        """The modem has read an ATR that is not the card's, and reads another one only if something happens to it."""
        changed = self._notices.log("info", "atr_changed", atr.hex())
        if self._options.resets_modem:
            return [SetAtr(atr), ResetModem(), changed]
        return [RemoveCard(), SetAtr(atr), InsertCard(), changed]

    def _hide_card(self, reason: str) -> list[Action]:
        actions: list[Action] = [Abort(command, reason) for command in self._commands if not command.is_void]
        self._commands.clear()
        self._deadlines.cancel(_Due.ATR)
        self._deadlines.cancel(_Due.LINES)
        self._shows_stand_in = False
        if self.atr is not None:
            self.atr = None
            actions += [RemoveCard(), self._notices.make(NoticeKind.CARD_REMOVED, reason)]
        return actions

    # What the modem does

    def on_tpdu(self, number: int, tpdu: bytes, came_at: float) -> list[Action]:
        """The modem sent a command."""
        command = Command(number, tpdu, came_at)
        if not rspro.MIN_COMMAND <= len(tpdu) <= rspro.MAX_COMMAND:
            # known-limits.md, 85: silence would leave the modem waiting; a bankd would close the link.
            text = f"{len(tpdu)} bytes, {rspro.MIN_COMMAND}..{rspro.MAX_COMMAND} are possible"
            return [Respond(command, SW_WRONG_LENGTH), self._notices.log("warning", "tpdu_refused", text)]
        link, known = self._link, self._assignment
        if link is None or known.client_slot is None or known.bank_slot is None or self.atr is None:
            return [Abort(command, "no card is there")]
        command.request = rspro.TpduModemToCard(known.client_slot, known.bank_slot, rspro.NO_FLAGS, tpdu)
        self._commands.append(command)
        return [Send(link.id, command.request)]

    def on_lines(self, lines: SlotPhysStatus) -> list[Action]:
        """The modem changed VCC, RST or CLK; with VCC gone or RST active, commands in progress are void."""
        self._lines = lines
        is_reset = lines.reset_active or lines.vcc_present is False
        if is_reset:
            for command in self._commands:
                command.is_void = True
        told = self._told_reset(lines, is_reset=is_reset)
        link = self._link
        if link is None or not link.is_accepted:
            return [*told]
        shown = [lines]
        if is_reset and not link.has_shown_lines and not link.is_own:
            # A classic bankd acts on edges and may remember the lines of the client before us (known-limits.md, 46);
            # rspro.md, 9.4 therefore wants a full cycle.
            shown.insert(0, _IDLE_LINES)
        return [*told, *self._show_lines(link, shown)]

    def _told_reset(self, lines: SlotPhysStatus, *, is_reset: bool) -> list[Notice]:
        """Hardware tells of each line as it changes; only when all let the card run, the reset is complete.

        For metrics and notices only: the bankd resets the card by the lines themselves.
        """
        if is_reset:
            self._is_held = True
            self._had_no_power |= lines.vcc_present is False
            return []
        if not self._is_held:
            return []
        kind = ResetKind.COLD if self._had_no_power else ResetKind.WARM
        self._is_held = self._had_no_power = False
        return [self._notices.make(NoticeKind.MODEM_RESET, reset=kind)]

    def _show_lines(self, link: _Link, shown: list[SlotPhysStatus]) -> list[Action]:
        known = self._assignment
        if known.client_slot is None or known.bank_slot is None:
            return []
        self._deadlines.cancel(_Due.LINES)
        link.has_shown_lines = True
        return [
            Send(link.id, rspro.ClientSlotStatusInd(known.client_slot, known.bank_slot, status)) for status in shown
        ]

    # Time

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` is due."""
        return self._deadlines.next()

    def handle_timer(self, now: float) -> list[Action]:
        """Do what is due at ``now``."""
        actions: list[Action] = []
        while (due := self._deadlines.pop_due(now)) is not None:
            if due is _Due.ATR:
                actions += self._show_stand_in()
            elif self._link is not None:
                # A bankd that has sent no ATR may wait to hear how the modem's lines are.
                actions += self._show_lines(self._link, [self._lines])
        return actions

    def _show_stand_in(self) -> list[Action]:
        default = self._options.default
        actions = [self._notices.make(NoticeKind.ATR_MISSING, default.hex()), *self._show_card(default)]
        self._shows_stand_in = True
        return actions
