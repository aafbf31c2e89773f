# SPDX-License-Identifier: Apache-2.0
"""A modem, its client, a bankd and its card over a simulated link that fails where the test wants, in simulated time.

Coordinators, link engines and the dialling schedule are the real ones; sockets, clocks, emulator and reader are not.
The card answers with the number of commands since its reset, so one that is lost or run twice shows in all later
answers.
"""

from collections import deque
from collections.abc import Iterator
from ipaddress import IPv4Address
from itertools import count

from remsim.bankd.core.actions import (
    BankdAction,
    CardAttached,
    CardDetached,
    CardFault,
    CloseCard,
    FaultKind,
    OpenCard,
    Origin,
    ResetCard,
    RunAhead,
    SendResponse,
)
from remsim.bankd.core.ahead import AheadPolicy
from remsim.bankd.core.continuity import HoldPolicy
from remsim.bankd.core.coordinator import BankdCoordinator
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
from remsim.client.core.coordinator import ClientCoordinator
from remsim.client.core.notices import Notice, NoticeKind
from remsim.client.core.states import SlotState
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.log_event import LogEvent
from remsim.session.hold import HoldTimes
from remsim.wire.link.abilities import REGISTRY
from remsim.wire.link.actions import (
    Accepted,
    AnnounceReturn,
    AskIdentity,
    Close,
    LinkId,
    PeerAddress,
    Probe,
    Send,
)
from remsim.wire.link.dialing import Dial, DialAction, DialSchedule, DialState
from remsim.wire.link.engine import LinkEngine, LinkFailed
from remsim.wire.link.events import Received
from remsim.wire.link.keep_alive import KeepAliveTimes
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, IpPort, ResultCode, SlotPhysStatus
from tests.doubles.cut_parts import CountingCard, CutPipe, LinkFailure, ScriptedModem, frame_sizes

CLIENT_SLOT, BANK_SLOT = ClientSlot(7, 0), BankSlot(1, 0)
ATR = bytes.fromhex("3b9f96801fc78031a073be21136743200718000001a5")
ADDRESS = IpPort(IPv4Address("192.0.2.1"), 9999)
CLIENT = ComponentIdentity(ComponentType.REMSIM_CLIENT, "client", "remsim-client", "1")
BANKD = ComponentIdentity(ComponentType.REMSIM_BANKD, "bank", "remsim-bankd", "1")
SERVER = ComponentIdentity(ComponentType.REMSIM_SERVER, "server", "remsim-server", "1")
OFF = SlotPhysStatus(reset_active=True, vcc_present=False, clk_active=False)
ON = SlotPhysStatus(reset_active=False, vcc_present=True, clk_active=True)
OWN = KeepAliveTimes(2.0, 3.0)
#: Seconds that the card takes for a command, and how long the modem waits for anything before it gives up.
CARD_S, PATIENCE_S = 0.02, 300.0


class CutWorld:
    """Everything, from the first connection on. ``cut_at`` counts delivered bytes, from 0; None: no link ever fails."""

    def __init__(
        self,
        script: list[bytes | None],
        *,
        failure: LinkFailure = LinkFailure.RST,
        cut_at: int | None = None,
        is_behind: bool = False,
        ahead: AheadPolicy | None = None,
        card: type[CountingCard] = CountingCard,
    ) -> None:
        self.now = 0.0
        self.failure = failure
        self.cut_at = cut_at
        #: The link fails as soon as the byte before that place was delivered, rather than when the next one would be.
        self.is_behind = is_behind
        self.delivered = 0
        #: Sizes of what was delivered, in order, and of the frames therein.
        self.chunks: list[int] = []
        self.frames: list[int] = []
        self.refused_until = 0.0
        self.refusals = 0
        self.further_cuts = 4
        self.states: set[tuple[object, ...]] = set()
        #: What the coordinators said, and when.
        self.log: list[tuple[float, Notice | LogEvent]] = []
        self._links = count(10)
        self._timers: list[tuple[float, int, object]] = []
        self._order = count()
        self.modem = ScriptedModem(script)
        self.card = card(lambda tpdu: self.later(CARD_S, lambda: self.card_answers(tpdu)))
        self.pipes: list[CutPipe] = []
        tokens = count(1)
        self.bank = BankdCoordinator(
            bank_id=1,
            cards=[self.card],
            identity=BANKD,
            reads_numbers=False,
            hold=HoldPolicy(
                HoldTimes(),
                needs_proof=False,
                random=lambda size: next(tokens).to_bytes(size),
                is_shared=lambda _: False,
            ),
            ahead=ahead,
        )
        self.bank.is_listening = True
        self.client = ClientCoordinator(identity=CLIENT, client_slot=CLIENT_SLOT, default_atr=b"\x3b\x00")
        self.dial = DialSchedule(random=lambda: 0.5)
        self._submit: dict[LinkId, CardAttached] = {}
        self._begin()

    def _begin(self) -> None:
        """The server has told both ends of the mapping."""
        server = LinkId(1)
        address = PeerAddress(IPv4Address("192.0.2.9"), 9998)
        self.do_bank(self.bank.on_presence(0, is_present=True, reader="reader", cause="", now=0.0))
        self.do_bank(self.bank.on_link_up(server, address, 0.0, is_dialled=True))
        self.do_bank(self.bank.on_event(server, Received(rspro.ConnectBankRes(SERVER, ResultCode.OK), 1), 0.0))
        self.do_bank(self.bank.on_event(server, Received(rspro.CreateMappingReq(CLIENT_SLOT, BANK_SLOT), 1), 0.0))
        link = LinkId(2)
        (introduction,) = self.client.on_link_up(link, ComponentType.REMSIM_SERVER, 0.0)
        assert isinstance(introduction, Send)
        request = introduction.message
        assert isinstance(request, rspro.ConnectClientReq)
        answer = Received(rspro.ConnectClientRes(SERVER, ResultCode.OK), 1, request)
        self.do_client(self.client.on_event(link, answer, 0.0))
        self.do_client(self.client.on_event(link, Received(rspro.ConfigClientBankReq(BANK_SLOT, ADDRESS), 2), 0.0))

    # Time

    def later(self, seconds: float, what: object) -> None:
        """Call ``what`` after a while."""
        self._timers.append((self.now + seconds, next(self._order), what))
        self._timers.sort(key=lambda timer: timer[:2])

    def run(self) -> None:
        """Until the modem has all it wants, or nothing happens any more."""
        limit = self.now + PATIENCE_S
        while not self.is_done():
            if self._deliver():
                continue
            self._note_state()
            due = min(self._deadlines(), default=None)
            if due is None or due > limit:
                return
            self.now = max(self.now, due)
            self._on_time()

    def is_done(self) -> bool:
        """The modem has been through its script and has its card, and the session is there."""
        modem = self.modem
        is_through = modem.at >= len(modem.script) and modem.awaited is None and modem.has_card
        return is_through and self.client.state is SlotState.OPERATIONAL

    def _deadlines(self) -> Iterator[float]:
        if self._timers:
            yield self._timers[0][0]
        found = [self.client.next_deadline(), self.bank.next_deadline(), self.dial.next_deadline()]
        for pipe in self.pipes:
            if pipe.client_is_up:
                found.append(pipe.client.next_deadline())
            if pipe.bankd_is_up:
                found.append(pipe.bankd.next_deadline())
            if pipe.blocked_until > self.now and (pipe.to_bank or pipe.to_client):
                found.append(pipe.blocked_until)
        yield from (due for due in found if due is not None)

    def _on_time(self) -> None:
        now = self.now
        while self._timers and self._timers[0][0] <= now:
            _, _, what = self._timers.pop(0)
            assert callable(what)
            what()
        for pipe in list(self.pipes):
            if pipe.client_is_up:
                pipe.client.handle_timer(now)
                self._pump_client(pipe)
            if pipe.bankd_is_up:
                pipe.bankd.handle_timer(now)
                self._pump_bankd(pipe)
        if (due := self.client.next_deadline()) is not None and due <= now:
            self.do_client(self.client.handle_timer(now))
        if (due := self.bank.next_deadline()) is not None and due <= now:
            self.do_bank(self.bank.handle_timer(now))
        if (due := self.dial.next_deadline()) is not None and due <= now:
            self._do_dial(self.dial.handle_timer(now))

    def _note_state(self) -> None:
        slot = self.bank.cards.positions[0]
        session = slot.session
        connections = tuple(sorted(c.state.value for c in self.bank.clients.connections.values()))
        self.states.add(
            (
                self.client.state,
                self.dial.state,
                slot.state,
                None if session is None else session.state,
                0 if session is None else session.waiting,
                connections,
                self.modem.awaited is not None,
                self.modem.has_card,
            )
        )

    # The link

    def _deliver(self) -> bool:
        for pipe in self.pipes:
            if pipe.is_silent or pipe.blocked_until > self.now:
                continue
            if pipe.to_bank and pipe.bankd_is_up:
                self._arrive(pipe, pipe.to_bank, is_to_bank=True)
                return True
            if pipe.to_client and pipe.client_is_up:
                self._arrive(pipe, pipe.to_client, is_to_bank=False)
                return True
        return False

    def _arrive(self, pipe: CutPipe, queue: deque[bytes], *, is_to_bank: bool) -> None:
        data = queue.popleft()
        if self.cut_at is not None and self.delivered + len(data) > self.cut_at:
            keep = self.cut_at - self.delivered
            self.cut_at = None
            data, rest = data[:keep], data[keep:]
            queue.appendleft(rest)
            if data:
                self._hand_over(pipe, data, is_to_bank=is_to_bank)
            self._fail(pipe)
            return
        self.delivered += len(data)
        self.chunks.append(len(data))
        self.frames += frame_sizes(data)
        self._receive(pipe, data, is_to_bank=is_to_bank)
        if self.is_behind and self.delivered == self.cut_at:
            self.cut_at = None
            self._fail(pipe)

    def _receive(self, pipe: CutPipe, data: bytes, *, is_to_bank: bool) -> None:
        """Data arrive, not cut."""
        self._hand_over(pipe, data, is_to_bank=is_to_bank)

    def _hand_over(self, pipe: CutPipe, data: bytes, *, is_to_bank: bool) -> None:
        if not is_to_bank:
            pipe.client.receive_data(data, self.now)
            self._pump_client(pipe)
            return
        found = pipe.bankd.receive_tpdu(data)
        if found is None:
            pipe.bankd.receive_data(data, self.now)
            self._pump_bankd(pipe)
            return
        tag, tpdu = found
        response = self._submit[pipe.link].submit(tag, tpdu, Origin.MODEM, self.now)
        if response is not None:
            self._write(pipe, pipe.to_client, pipe.bankd.answer_tpdu(tag, response))
        self.do_bank(self.bank.take())

    def _write(self, pipe: CutPipe, queue: deque[bytes], data: bytes) -> None:
        if data and not pipe.is_silent:
            queue.append(data)

    def _pump_client(self, pipe: CutPipe) -> None:
        while pipe.client_is_up and (event := pipe.client.next_event()) is not None:
            if isinstance(event, LinkFailed):
                self._client_loses(pipe, event.reason)
                return
            self.do_client(self.client.on_event(pipe.link, event, self.now))
        if pipe.client_is_up:
            self._write(pipe, pipe.to_bank, pipe.client.data_to_send())

    def _pump_bankd(self, pipe: CutPipe) -> None:
        while pipe.bankd_is_up and (event := pipe.bankd.next_event()) is not None:
            if isinstance(event, LinkFailed):
                self._bankd_loses(pipe, event.reason)
                return
            self.do_bank(self.bank.on_event(pipe.link, event, self.now))
        if pipe.bankd_is_up:
            self._write(pipe, pipe.to_client, pipe.bankd.data_to_send())

    def _client_loses(self, pipe: CutPipe, reason: str) -> None:
        if not pipe.client_is_up:
            return
        pipe.client_is_up = False
        pipe.to_client.clear()
        self.do_client(self.client.on_link_lost(pipe.link, reason, self.now))
        if self.dial.state in (DialState.CONNECTED, DialState.ESTABLISHED) and pipe is self._newest():
            self._do_dial(self.dial.on_failed(self.now))

    def _bankd_loses(self, pipe: CutPipe, reason: str) -> None:
        if not pipe.bankd_is_up:
            return
        pipe.bankd_is_up = False
        pipe.to_bank.clear()
        self.do_bank(self.bank.on_link_lost(pipe.link, reason, self.now))

    def _newest(self) -> CutPipe:
        return self.pipes[-1]

    def _fail(self, pipe: CutPipe) -> None:
        """The link fails, here and now."""
        match self.failure:
            case LinkFailure.SILENCE:
                pipe.is_silent = True
                pipe.to_bank.clear()
                pipe.to_client.clear()
            case LinkFailure.DELAY:
                pipe.blocked_until = self.now + 2.5
            case LinkFailure.FIN:
                self._drain(pipe)
                self._end(pipe)
            case LinkFailure.HALF_OPEN_BANKD:
                pipe.to_bank.clear()
                pipe.is_silent = True
                self._client_loses(pipe, "cut")
            case LinkFailure.HALF_OPEN_CLIENT:
                pipe.to_client.clear()
                pipe.is_silent = True
                self._bankd_loses(pipe, "cut")
            case LinkFailure.AGAIN:
                # Soon: within what is said when a client returns, a bit later each time.
                self.further_cuts -= 1
                if self.further_cuts:
                    self.cut_at = self.delivered + self.delivered % 173
                self._end(pipe)
            case LinkFailure.REFUSED_TWICE:
                self.refusals = 2
                self._end(pipe)
            case LinkFailure.REFUSED_LONG:
                self.refused_until = self.now + 70.0
                self._end(pipe)
            case LinkFailure.MODEM_RESET:
                self.later(0.0, self._modem_resets)
                self._end(pipe)
            case LinkFailure.CARD_FAULT:
                self.card.is_faulty = True
                self._end(pipe)
            case LinkFailure.RST:
                self._end(pipe)

    def _drain(self, pipe: CutPipe) -> None:
        """What was under way to the end that did not fail arrives still."""
        for data in list(pipe.to_client):
            if pipe.client_is_up:
                pipe.client.receive_data(data, self.now)
                self._pump_client(pipe)
        pipe.to_client.clear()

    def _end(self, pipe: CutPipe) -> None:
        pipe.to_bank.clear()
        pipe.to_client.clear()
        self._bankd_loses(pipe, "cut")
        self._client_loses(pipe, "cut")

    # Dialling

    def _do_dial(self, actions: list[DialAction]) -> None:
        for action in actions:
            if isinstance(action, Dial):
                self.later(0.001, self._connect)
            else:
                pipe = self._newest()
                pipe.client_is_up = False
                self._bankd_loses(pipe, "hung up")

    def _connect(self) -> None:
        if self.dial.state is not DialState.CONNECTING:
            return
        if self.refusals or self.now < self.refused_until:
            self.refusals = max(0, self.refusals - 1)
            self._do_dial(self.dial.on_failed(self.now))
            return
        link = LinkId(next(self._links))
        client = LinkEngine(
            identity=CLIENT,
            peer=ComponentType.REMSIM_BANKD,
            tags=self.client.tags,
            abilities=REGISTRY,
            now=self.now,
            keep_alive=KeepAliveTimes(),
            resume_keep_alive=OWN,
        )
        bankd = LinkEngine(
            identity=BANKD,
            peer=ComponentType.REMSIM_CLIENT,
            abilities=REGISTRY,
            is_accepted=True,
            now=self.now,
            keep_alive=KeepAliveTimes(30.0, 10.0, 30.0),
            resume_keep_alive=OWN,
        )
        pipe = CutPipe(link, client, bankd)
        self.pipes = [known for known in self.pipes if known.client_is_up or known.bankd_is_up] + [pipe]
        address = PeerAddress(IPv4Address("192.0.2.7"), 40000 + link)
        self.do_bank(self.bank.on_link_up(link, address, self.now))
        self.dial.on_tcp_up(self.now)
        self.do_client(self.client.on_link_up(link, ComponentType.REMSIM_BANKD, self.now))
        self._pump_client(pipe)

    def _pipe(self, link: LinkId) -> CutPipe | None:
        return next((pipe for pipe in self.pipes if pipe.link == link), None)

    # What the client wants done

    def do_client(self, actions: list[Action]) -> None:
        """Carry out actions of the client."""
        for action in actions:
            match action:
                case Send(link, message, reply_to):
                    pipe = self._pipe(link)
                    if pipe is not None and pipe.client_is_up:
                        pipe.client.send(message, now=self.now, reply_to=reply_to)
                        if not isinstance(message, rspro.ConnectClientReq):
                            self._write(pipe, pipe.to_bank, pipe.client.data_to_send())
                case AnnounceReturn(link, message):
                    pipe = self._pipe(link)
                    assert pipe is not None
                    pipe.client.announce_return(message)
                case Close(link, reason):
                    pipe = self._pipe(link)
                    if pipe is not None:
                        self._write(pipe, pipe.to_bank, pipe.client.data_to_send())
                        self._client_loses(pipe, reason)
                        self.later(0.0, lambda pipe=pipe, reason=reason: self._bankd_loses(pipe, reason))
                case Accepted(link):
                    pipe = self._pipe(link)
                    if pipe is not None:
                        pipe.client.connected()
                        if self.dial.state is DialState.ESTABLISHED:
                            self.dial.on_accepted(self.now)
                case DialBankd():
                    self._do_dial(self.dial.want("bankd", 9999, self.now))
                case HangUpBankd():
                    self._do_dial(self.dial.unwant(self.now))
                case Respond(command, response):
                    self._modem_gets(command.number, response)
                case Abort(command, reason):
                    self._modem_gets(command.number, reason)
                case InsertCard():
                    self.modem.has_card = True
                    self.modem.insertions += 1
                    self.later(0.0, self._modem_acts)
                case RemoveCard():
                    self.modem.has_card = False
                    self.modem.removals += 1
                case Notice() | LogEvent():
                    self.log.append((self.now, action))
                    if isinstance(action, Notice) and action.kind is NoticeKind.SESSION_HELD:
                        self.dial.on_use(self.now, has_answered=action.has_answered)
                case SelectSim() | SetAtr() | ResetModem() | Probe() | AskIdentity():
                    pass
                case _:
                    raise AssertionError(action)

    # What the bankd wants done

    def do_bank(self, actions: list[BankdAction]) -> None:
        """Carry out actions of the bankd."""
        for action in actions:
            match action:
                case Send(link, message, reply_to):
                    pipe = self._pipe(link)
                    if pipe is not None and pipe.bankd_is_up:
                        pipe.bankd.send(message, now=self.now, reply_to=reply_to)
                        self._write(pipe, pipe.to_client, pipe.bankd.data_to_send())
                case SendResponse(link, tag):
                    pipe = self._pipe(link)
                    if pipe is not None and pipe.bankd_is_up:
                        self._write(pipe, pipe.to_client, pipe.bankd.answer_tpdu(tag, action.response))
                case Close(link, reason):
                    pipe = self._pipe(link)
                    if pipe is not None and pipe.bankd_is_up:
                        self._write(pipe, pipe.to_client, pipe.bankd.data_to_send())
                        pipe.bankd_is_up = False
                        self.later(0.0, lambda pipe=pipe, reason=reason: self._client_hears_end(pipe, reason))
                case Accepted(link):
                    pipe = self._pipe(link)
                    if pipe is not None:
                        pipe.bankd.connected()
                case Probe(link):
                    pipe = self._pipe(link)
                    if pipe is not None and pipe.bankd_is_up:
                        pipe.bankd.probe(self.now, action.timeout_s)
                        self._write(pipe, pipe.to_client, pipe.bankd.data_to_send())
                case CardAttached(link):
                    self._submit[link] = action
                    pipe = self._pipe(link)
                    if pipe is not None:
                        pipe.bankd.attach_session(action.client, action.bank_slot)
                case CardDetached(link):
                    pipe = self._pipe(link)
                    if pipe is not None:
                        pipe.bankd.detach_session()
                case RunAhead(_, delay_s):
                    self.later(delay_s, lambda: self.do_bank(self.bank.on_ahead_turn(0, self.now)))
                case OpenCard():
                    self.later(0.001, self._card_opens)
                case ResetCard():
                    self.later(0.001, self._card_resets)
                case CloseCard():
                    self.later(0.001, lambda: self.do_bank(self.bank.on_card_closed(0, self.now)))
                case LogEvent():
                    self.log.append((self.now, action))
                case _:
                    pass

    def _client_hears_end(self, pipe: CutPipe, reason: str) -> None:
        if not pipe.is_silent:
            self._drain(pipe)
            self._client_loses(pipe, reason)

    # The card

    def _card_opens(self) -> None:
        self.card.reset()
        self.card.is_faulty = False
        self.do_bank(self.bank.on_card_opened(0, ATR, self.now))

    def _card_resets(self) -> None:
        self.card.reset()
        self.do_bank(self.bank.on_card_reset(0, ATR, self.now))

    def card_answers(self, tpdu: bytes) -> None:
        """The command that runs is done."""
        if self.card.is_faulty:
            self.card.executed.append(tpdu)
            self.do_bank(self.bank.on_card_failed(0, CardFault(FaultKind.TRANSMISSION, "fault"), self.now))
            return
        answer = self.bank.on_card_response(0, self.card.execute(tpdu), self.now)
        self.do_bank(([] if answer is None else [answer]) + self.bank.take())

    # The modem

    def _modem_acts(self) -> None:
        """Give the next command of the script."""
        modem = self.modem
        if not modem.has_card or modem.awaited is not None or modem.at >= len(modem.script):
            return
        command = modem.script[modem.at]
        modem.at += 1
        if command is None:
            self._lines()
            self.later(0.001, self._modem_acts)
            return
        modem.number += 1
        modem.awaited = modem.at - 1
        self._tell_client(self.client.on_tpdu(modem.number, command, self.now, self.now))

    def _lines(self) -> None:
        for lines in (OFF, ON):
            self._tell_client(self.client.on_lines(lines, self.now))

    def _tell_client(self, actions: list[Action]) -> None:
        self.do_client(actions)
        for pipe in self.pipes:
            if pipe.client_is_up:
                self._pump_client(pipe)

    def _modem_gets(self, number: int, what: bytes | str) -> None:
        modem = self.modem
        assert number == modem.number
        assert modem.awaited is not None
        modem.answers[modem.awaited] = what
        modem.awaited = None
        self.later(0.001, self._modem_acts)

    def _modem_resets(self) -> None:
        """A reset of its own will: what it waited for is void."""
        modem = self.modem
        if not modem.has_card:
            return
        if modem.awaited is not None:
            modem.answers[modem.awaited] = "void"
            modem.awaited = None
        self._lines()
        self.later(0.001, self._modem_acts)
