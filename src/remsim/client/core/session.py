# SPDX-License-Identifier: Apache-2.0
"""What runs in a client slot: the link to its bankd, the card that the modem sees, the commands in flight. No I/O.

Every command of the modem gets exactly one ``Respond`` or ``Abort``, unless a reset made it void. A command is never
executed twice. When a link is lost, whether the card executed the command in flight is unknown, and the session ends;
unless the bankd holds its end, too (``kept_session``): then it is held, and goes on over the next link.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, cast

from remsim.ahead.client_side import AnswersAhead, SentAhead, Used
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
from remsim.client.core.kept_session import KeptSession
from remsim.client.core.modem_lines import IDLE_LINES, cycle_of
from remsim.client.core.notices import Notice, NoticeKind, Notices, refusal_in
from remsim.client.core.options import AtrOptions, HoldOptions
from remsim.client.core.waits import Waits
from remsim.core.deadlines import Deadlines
from remsim.core.text import counted
from remsim.session.hold import HoldTimes
from remsim.session.lines import ResetEdges
from remsim.session.outbox import ReturnPlan
from remsim.wire.link.abilities import AHEAD, RESUME
from remsim.wire.link.actions import Accepted, AnnounceReturn, Close, LinkId, Send
from remsim.wire.link.engine import Received
from remsim.wire.link.tags import SessionTags
from remsim.wire.messages import extensions, rspro
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, ResultCode, SessionEnd, SlotPhysStatus

#: A classic bankd sends the ATR together with its connect answer. One that has not done so by then never will, and the
#: modem gets the configured ATR, as the classic client would show it from the start.
ATR_WAIT_S: Final = 3.0

#: A bankd that has sent no ATR until then may wait for a sign of the modem, and is told how its lines are. Not earlier,
#: as one without a card may not expect it; not later, as the ATR should come before the default is shown.
LINES_WAIT_S: Final = 2.0

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


@dataclass(slots=True)
class _Link:
    """What is known of the link to the bankd."""

    id: LinkId
    is_accepted: bool = False
    #: The bankd named abilities, so it is a program of ours.
    is_own: bool = False
    #: It sends answers ahead.
    is_ahead: bool = False
    #: The bankd has answered a command of the modem or a change of its lines.
    has_answered: bool = False
    #: A status was sent, so the bankd's idea of our lines is ours.
    has_shown_lines: bool = False
    #: Lines as the bankd was shown them, until it lets the session outlive the link.
    edges: ResetEdges = field(default_factory=ResetEdges)


class _Due(Enum):
    """What a session waits for."""

    ATR = "the bankd's ATR"
    LINES = "the modem's first sign of life"
    HOLD = "the end of the hold time"
    STALL = "the time for which the emulator lets a command wait"


class Session:
    """What runs in one slot. ``on_served`` is called when the bankd serves us, and returns what is to be done then."""

    def __init__(
        self,
        assignment: Assignment,
        notices: Notices,
        *,
        identity: ComponentIdentity,
        atr: AtrOptions,
        on_served: Callable[[], list[Action]],
        hold: HoldOptions,
    ) -> None:
        #: What the modem was told to be the card's ATR; None if it sees no card.
        self.atr: bytes | None = None
        self._assignment = assignment
        self._notices = notices
        self._identity = identity
        self._options = atr
        self._on_served = on_served
        self._hold = hold
        #: Numbers what goes to the bankd, over all links of a session.
        self.tags = SessionTags()
        #: Answers to commands that the modem has not sent yet.
        self.ahead = AnswersAhead()
        self.waits = Waits(self.ahead)
        self._kept: KeptSession | None = None
        self._link: _Link | None = None
        self._is_remote = False
        #: Oldest first. A void one stays until its answer comes, or the card goes.
        self._commands: deque[Command] = deque()
        self._deadlines = Deadlines[_Due]()
        self._lines = IDLE_LINES
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

    @property
    def label(self) -> bytes | None:
        """The session's name in traces, empty if it ends with its link. None: the bankd, a classic one, has no tags."""
        if self._kept is not None:
            return self._kept.label
        return b"" if self._link is not None and self._link.is_own else None

    def owns(self, link: LinkId) -> bool:
        """Whether this is the link to the bankd."""
        return self._link is not None and self._link.id == link

    @property
    def is_held(self) -> bool:
        """Whether the session goes on as soon as there is a link that takes it up."""
        return self._kept is not None and self._kept.hold is not None

    def on_link_up(self, link: LinkId) -> list[Action]:
        """The link to the bankd is up: introduce ourselves."""
        self._link = _Link(link)
        self.tags.begin_link()
        introduction = Send(link, rspro.ConnectClientReq(self._identity, self._assignment.client_slot))
        kept = self._kept
        if kept is None:
            return [introduction]
        return [AnnounceReturn(link, rspro.ResumeInd(kept.token, kept.outbox.awaited)), introduction]

    def hold(self, reason: str, now: float) -> list[Action] | None:
        """The link is lost: keep the modem waiting. None: this session ends with its link."""
        kept = self._kept
        if kept is None or self.atr is None:
            return None
        link, self._link = self._link, None
        self.ahead.on_link_lost()
        for command in self._commands:
            command.is_delayed = True
        if not kept.begin_hold(now, is_busy=bool(self._commands)):
            return []
        self._watch(kept)
        text = f"{counted(len(self._commands), 'command')} waiting: {reason}"
        has_answered = link is not None and link.has_answered
        return [self._notices.make(NoticeKind.SESSION_HELD, text, has_answered=has_answered)]

    def end(self, reason: str, *, is_lost: bool = False) -> list[Action]:
        """Forget the bankd's link and give the modem its own card back. ``is_lost``: the link is gone already."""
        actions = [] if is_lost else self.leave()
        self._link = None
        actions += self._give_back(reason)
        self.tags.restart()
        return actions

    def leave(self) -> list[Action]:
        """The session ends with its link. Without a word, the bankd would hold it for us."""
        link, kept, self._kept = self._link, self._kept, None
        for due in (_Due.HOLD, _Due.STALL):
            self._deadlines.cancel(due)
        if link is None or kept is None or not link.is_accepted:
            return []
        return [Send(link.id, rspro.SessionEndInd(SessionEnd.LEAVING))]

    def _give_back(self, reason: str) -> list[Action]:
        """The modem gets its own card back."""
        actions = self._hide_card(reason)
        if self._is_remote:
            self._is_remote = False
            actions += [SelectSim(remote=False), ResetModem()]
        return actions

    def _watch(self, kept: KeptSession) -> None:
        """Set the deadlines of a session that is held, or drop them."""
        for due, at in ((_Due.HOLD, kept.hold_deadline), (_Due.STALL, kept.stall_deadline)):
            if at is None:
                self._deadlines.cancel(due)
            else:
                self._deadlines.set(due, at)

    # What the bankd says

    def on_message(self, event: Received, now: float) -> list[Action]:
        """A message of the bankd."""
        link = self._link
        if link is None:
            return []
        match event.message:
            case extensions.AheadInd() if link.is_ahead:
                return self._on_ahead(link, event.message, now)
            case rspro.TpduCardToModem() if self._kept is not None:
                return self._on_kept_response(link, self._kept, event, now)
            case rspro.TpduCardToModem() if event.request is not None:
                return self._on_response(event.request, event.tag, event.message, now)
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
                if self._kept is not None:
                    link.has_answered = True
                    self._kept.outbox.lines_acknowledged(event.tag)
                return []
            case rspro.SessionInd() if link.is_accepted:
                return self._on_session(link, event.message, now)
            case rspro.SessionEndInd():
                return self._give_back(f"the bankd ended the session: {event.message.cause.name.lower()}")
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
        link.is_ahead = AHEAD in (answer.identity.abilities or ())
        is_bankd = answer.identity.type is ComponentType.REMSIM_BANKD
        if is_bankd and link.is_own and answer.result in _WORTH_WAITING:
            link.is_accepted = True
            return [Accepted(link.id), self._notices.make(NoticeKind.BANKD_WAITS, answer.result.name.lower())]
        refusal = refusal_in(answer, ComponentType.REMSIM_BANKD)
        if refusal:
            # It may take us back later: a session is held until its time is over. A classic bankd may find card and
            # mapping later and never tell (rspro.md, 9.2): ask again.
            return [self._notices.make(NoticeKind.BANKD_REFUSED, refusal), Close(link.id, refusal)]
        link.is_accepted = True
        if self.is_held and RESUME in (answer.identity.abilities or ()):
            # The session goes on with sessionInd.
            return [Accepted(link.id), self._notices.make(NoticeKind.BANKD_CONNECTED, answer.identity.name)]
        lost = self._give_back("another program is at the bankd's place") if self.is_held else []
        actions = [
            *lost,
            Accepted(link.id),
            self._notices.make(NoticeKind.BANKD_CONNECTED, answer.identity.name),
            *self._on_served(),
        ]
        if not link.is_own:
            self._deadlines.set(_Due.LINES, now + LINES_WAIT_S)
        # One that lets sessions outlive their link says so, and sends its ATR, right behind this. A command of
        # the modem must not come before: nobody would know of it when the link is lost.
        if self._options.keeps_default and RESUME not in (answer.identity.abilities or ()):
            return actions + self._show_card(self._options.default)
        if not link.is_own:
            self._deadlines.set(_Due.ATR, now + ATR_WAIT_S)
        return actions

    def _on_response(self, request: rspro.Request, tag: int, got: rspro.TpduCardToModem, now: float) -> list[Action]:
        command = next((known for known in self._commands if known.request is request), None)
        if command is None:
            return []
        self._commands.remove(command)
        if command.is_void:
            return []
        self.ahead.on_answer(tag)
        self.waits.on_answer(now - command.taken_at)
        command.bank_us = got.bank_us
        return [self._answer(command, got.data, tag)]

    def _answer(self, command: Command, data: bytes, tag: int, index: int = 0) -> Action:
        command.tag, command.index = tag, index
        if not rspro.MIN_RESPONSE <= len(data) <= rspro.MAX_RESPONSE:
            return Abort(command, f"the card's answer has {len(data)} bytes")
        return Respond(command, data)

    # A session that outlives its link

    def _on_session(self, link: _Link, told: rspro.SessionInd, now: float) -> list[Action]:
        """The bankd lets the session outlive its link, or takes one up again."""
        times = self._hold.times.shorter(HoldTimes(told.hold_idle_ms / 1000, told.hold_busy_ms / 1000))
        kept = self._kept
        if kept is None or not told.is_resumed:
            actions = [] if kept is None else self._give_back("the bankd began another session")
            self._kept = KeptSession(told.token, times, edges=link.edges, stall_limit_s=self._hold.stall_limit_s)
            return actions
        hold = kept.hold
        kept.renew(told.token, times)
        # As at the bankd: what follows on this link, also another session, goes on from the lines as they were shown.
        link.edges = kept.edges
        self._watch(kept)
        if hold is not None and hold.busy_since is not None:
            self.waits.on_held(now - hold.busy_since)
        self.ahead.on_link_up()
        held_s = 0.0 if hold is None else hold.age(now)
        text = f"held {held_s:.1f} s, {counted(len(self._commands), 'command')} in progress, card undisturbed"
        resumed = self._notices.make(NoticeKind.SESSION_RESUMED, text, held_s=held_s)
        return [*self._on_served(), resumed, *self._go_on(link, kept, kept.outbox.on_return(told.last_tag))]

    def _go_on(self, link: _Link, kept: KeptSession, plan: ReturnPlan) -> list[Action]:
        """Send what the bankd does not have: resets first."""
        actions: list[Action] = []
        if plan.shows_lines:
            actions += self._send_lines(link, kept, cycle_of(plan.reset, self._lines))
        if plan.sends_command:
            command = self._commands[0]
            assert command.request is not None
            if plan.needs_new_tag:
                command.request = replace(command.request)
            actions += self._send_command(link, kept, command.request)
        return actions + self._send_next(link, kept)

    def _send_next(self, link: _Link, kept: KeptSession) -> list[Action]:
        """Send the oldest command that waits, if no other waits for its answer."""
        if kept.hold is not None or kept.outbox.awaited is not None or not self._commands:
            return []
        request = self._commands[0].request
        assert request is not None
        return self._send_command(link, kept, request)

    def _send_command(self, link: _Link, kept: KeptSession, request: rspro.TpduModemToCard) -> list[Action]:
        told = self._tell(self.ahead.report())
        kept.outbox.command_sent(self.tags.number_command(request))
        self.ahead.on_sent(request.data)
        return [*told, Send(link.id, request)]

    def _send_lines(self, link: _Link, kept: KeptSession, shown: list[SlotPhysStatus]) -> list[Action]:
        known = self._assignment
        assert known.client_slot is not None
        assert known.bank_slot is not None
        actions: list[Action] = []
        for status in shown:
            message = rspro.ClientSlotStatusInd(known.client_slot, known.bank_slot, status)
            reset = kept.edges.on_status(status)
            kept.outbox.lines_sent(self.tags.number(message), reset)
            actions.append(Send(link.id, message))
        return actions

    def _on_kept_response(self, link: _Link, kept: KeptSession, event: Received, now: float) -> list[Action]:
        tag, message = event.tag, cast(rspro.TpduCardToModem, event.message)
        if not kept.outbox.command_answered(tag):
            return []
        link.has_answered = True
        self.ahead.on_answer(tag)
        command = self._commands.popleft()
        self.waits.on_answer(now - command.taken_at)
        command.bank_us = message.bank_us
        answer = self._answer(command, message.data, tag)
        return [answer, *self._send_next(link, kept)] if self._commands else [answer]

    def _on_stall_over(self, kept: KeptSession, now: float) -> list[Action]:
        """The emulator cannot let its modem wait any longer."""
        commands = tuple(self._commands)
        self._commands.clear()
        kept.outbox.void()
        kept.on_waiting(now, is_busy=False)
        self._watch(kept)
        return [Abort(command, f"no link to the bankd for {kept.stall_limit_s:g} s") for command in commands]

    # Answers that come ahead

    def _on_ahead(self, link: _Link, message: extensions.AheadInd, now: float) -> list[Action]:
        """The bankd answers what it thinks the modem will send; the modem may have done so meanwhile."""
        hit = self.ahead.on_ahead(SentAhead(message.base, message.index, message.command, message.response))
        command = next((known for known in self._commands if not known.is_void), None)
        if hit is None or command is None:
            return []
        self._commands.remove(command)
        self.waits.on_hit(now - command.taken_at)
        answered = [self._answer(command, hit.response, hit.base, hit.index), *self._tell(hit.report)]
        if self._kept is None:
            return answered
        # The bankd's own answer is still to come, and is passed over.
        self._kept.outbox.void()
        return [*answered, *self._send_next(link, self._kept)]

    def _tell(self, used: Used | None) -> list[Action]:
        """Tell the bankd which answers were used."""
        link = self._link
        return [] if used is None or link is None else [Send(link.id, extensions.AheadUsedInd(used.base, used.count))]

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
        if before == atr and self._kept is not None:
            # A bankd that does not know whether we have it says it again.
            return actions
        if before is not None:
            return [*actions, SetAtr(atr), self._notices.log("info", "atr_changed", atr.hex())]
        # Hardware that is connected to a powered modem begins to send its ATR at once, so it must have the right one
        # before. The card is inserted last (known-limits.md, 87): the modem never sees another one first.
        actions.append(SetAtr(atr))
        self.waits.begin()
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
        for due in _Due:
            self._deadlines.cancel(due)
        self._kept = None
        self.ahead.on_reset()
        self._shows_stand_in = False
        if self.atr is not None:
            self.atr = None
            actions += [RemoveCard(), self._notices.make(NoticeKind.CARD_REMOVED, reason)]
            figures = self.waits.of_session
            if figures.hits or figures.misses:
                actions.append(self._notices.log("info", "answered_ahead", "", **figures.shown()))
        return actions

    # What the modem does

    def on_tpdu(self, number: int, tpdu: bytes, came_at: float, now: float) -> list[Action]:
        """The modem sent a command."""
        command = Command(number, tpdu, came_at, now)
        if not rspro.MIN_COMMAND <= len(tpdu) <= rspro.MAX_COMMAND:
            # known-limits.md, 85: silence would leave the modem waiting; a bankd would close the link.
            text = f"{len(tpdu)} bytes, {rspro.MIN_COMMAND}..{rspro.MAX_COMMAND} are possible"
            return [Respond(command, SW_WRONG_LENGTH), self._notices.log("warning", "tpdu_refused", text)]
        link, known, kept = self._link, self._assignment, self._kept
        if (link is None and kept is None) or known.client_slot is None or known.bank_slot is None or self.atr is None:
            return [Abort(command, "no card is there")]
        if not self._commands and (hit := self.ahead.on_command(tpdu)) is not None:
            self.waits.on_hit(0.0)
            return [self._answer(command, hit.response, hit.base, hit.index), *self._tell(hit.report)]
        command.request = rspro.TpduModemToCard(known.client_slot, known.bank_slot, rspro.NO_FLAGS, tpdu)
        self._commands.append(command)
        if kept is None:
            assert link is not None
            told = self._tell(self.ahead.report())
            self.ahead.on_sent(tpdu)
            return [*told, Send(link.id, command.request)]
        command.is_delayed = link is None or kept.hold is not None or len(self._commands) > 1
        if link is not None and kept.hold is None:
            return self._send_next(link, kept)
        kept.on_waiting(now, is_busy=True)
        self._watch(kept)
        return []

    def on_lines(self, lines: SlotPhysStatus, now: float) -> list[Action]:
        """The modem changed VCC, RST or CLK; with VCC gone or RST active, commands in progress are void."""
        self._lines = lines
        is_reset = lines.reset_active or lines.vcc_present is False
        used = self._tell(self.ahead.report()) if is_reset else []
        if is_reset:
            self.ahead.on_reset()
            for command in self._commands:
                command.is_void = True
        told = self._told_reset(lines, is_reset=is_reset)
        link = self._link
        if self._kept is not None:
            return [*told, *used, *self._on_kept_lines(link, self._kept, lines, now, is_reset=is_reset)]
        if link is None or not link.is_accepted:
            return [*told]
        shown = [lines]
        if is_reset and not link.has_shown_lines and not link.is_own:
            # A classic bankd acts on edges and may remember the lines of the client before us (known-limits.md, 46);
            # rspro.md, 9.4 therefore wants a full cycle.
            shown.insert(0, IDLE_LINES)
        return [*told, *used, *self._show_lines(link, shown)]

    def _on_kept_lines(
        self, link: _Link | None, kept: KeptSession, lines: SlotPhysStatus, now: float, *, is_reset: bool
    ) -> list[Action]:
        if is_reset:
            # Answers are known by their tags, so one to a void command is not mistaken for another.
            self._commands.clear()
            kept.outbox.void()
        if link is not None and kept.hold is None:
            return self._send_lines(link, kept, [lines])
        kept.outbox.lines_not_sent(kept.edges.on_status(lines))
        kept.on_waiting(now, is_busy=bool(self._commands))
        self._watch(kept)
        return []

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
        for status in shown:
            link.edges.on_status(status)
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
            elif due is _Due.HOLD:
                actions += self._on_hold_over()
            elif due is _Due.STALL:
                assert self._kept is not None
                actions += self._on_stall_over(self._kept, now)
            elif self._link is not None:
                # A bankd that has sent no ATR may wait to hear how the modem's lines are.
                actions += self._show_lines(self._link, [self._lines])
        return actions

    def _on_hold_over(self) -> list[Action]:
        """The bankd was away for too long. A link that has not taken the session up is given up with it."""
        link, self._link = self._link, None
        closing = [] if link is None else [Close(link.id, "hold time over")]
        actions = [*closing, *self._give_back("no link to the bankd within the hold time")]
        self.tags.restart()
        return actions

    def _show_stand_in(self) -> list[Action]:
        default = self._options.default
        actions = [self._notices.make(NoticeKind.ATR_MISSING, default.hex()), *self._show_card(default)]
        self._shows_stand_in = True
        return actions
