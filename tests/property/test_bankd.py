# SPDX-License-Identifier: Apache-2.0
"""A bank under arbitrary events: what must hold whatever clients, servers and cards do, and in whatever order.

Cards act late and may fail. After every step the states fit together; a command runs on the card at most once, and only
for the client that is mapped; answers go to the link that asked, in order; a card is powered off between two clients.
A card that came is read once, before anybody gets it, and the server has been told what was read.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from remsim.bankd.core import audit
from remsim.bankd.core.actions import CardFault, CloseCard, FaultKind, OpenCard, ReadNumber, ResetCard
from remsim.bankd.core.breaker import DELAYS_S, JITTER, MAX_BUSY_DELAY_S, TRIPS_AFTER
from remsim.bankd.core.states import BreakerState, CardState, ConnectionState
from remsim.core.identity import Identity, Proof
from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire.errors import DecodeError
from remsim.wire.link.abilities import ABILITIES
from remsim.wire.link.actions import LinkId
from remsim.wire.link.events import ReceivedUnknown, Undecodable
from remsim.wire.messages import extensions, rspro
from remsim.wire.messages.extensions import AuditInd, CertifiedInd
from remsim.wire.messages.rspro import SlotPhysStatus
from tests.doubles.bank import SERVER, Bank, Transmit

SLOTS = 2
#: The last one may get a certificate; those before it never have one.
clients = st.sampled_from(["C1:0", "C2:0", "C0:0", "C3:0"])
OWNER = Proof(Identity.client(3), 1)
banks = st.sampled_from(["B1:0", "B1:1", "B1:2", "B2:0"])
slot_numbers = st.integers(0, SLOTS - 1)


class BankMachine(RuleBasedStateMachine):
    """Cards answer when a rule says so."""

    @initialize()
    def start(self) -> None:
        self.bank = Bank(slots=SLOTS, reads_numbers=True)
        self.bank.is_automatic = False
        self.server = self._server(is_own=True)
        self.open_links: set[int] = set()
        self.serial = 0
        #: Commands as they reached a card.
        self.executed: list[bytes] = []
        #: How many cards each slot has had, and how many readings have ended there.
        self.inserted = dict.fromkeys(range(SLOTS), 1)
        self.readings = dict.fromkeys(range(SLOTS), 0)

    def _server(self, *, is_own: bool) -> int:
        """The active server, with all that it hears."""
        link = self.bank.link(is_dialled=True)
        self.bank.say(
            link, rspro.ConnectBankRes(SERVER.with_abilities(ABILITIES if is_own else None), rspro.ResultCode.OK)
        )
        return link

    def _link(self, data: st.DataObject) -> int | None:
        live = sorted(self.open_links - set(self.bank.closed))
        return data.draw(st.sampled_from(live)) if live else None

    @rule(client=clients | st.none(), is_own=st.booleans())
    def connect(self, client: str | None, is_own: bool) -> None:
        self.open_links.add(self.bank.connect(client, is_own=is_own))

    @rule(is_own=st.booleans())
    def connect_with_certificate(self, is_own: bool) -> None:
        self.open_links.add(self.bank.connect("C3:0", is_own=is_own, proof=OWNER))

    @rule(clients=st.lists(st.sampled_from(["client/3", "client/3/1", "bank/3", ""]), max_size=3), more=st.booleans())
    def server_tells_who_has_a_certificate(self, clients: list[str], more: bool) -> None:
        self.bank.say(self.server, CertifiedInd(is_first=not more, is_last=more, clients=tuple(clients)))

    @rule(client=clients, slot_nr=slot_numbers, is_own=st.booleans())
    def serve(self, client: str, slot_nr: int, is_own: bool) -> None:
        """What chance alone rarely brings about: a client in service, or on its way."""
        self.presence(slot_nr, is_present=True)
        self.order(client, f"B1:{slot_nr}", is_removal=False)
        self.connect(client, is_own=is_own)
        self.card_acts(None)

    @rule(data=st.data(), same_client=st.booleans())
    def leave_and_return(self, data: st.DataObject, same_client: bool) -> None:
        link = self._link(data)
        if link is not None:
            session = self.bank.coordinator.clients.connections.get(LinkId(link))
            self.disturb_by("lost", link)
            if same_client and session is not None and session.client is not None:
                self.connect(str(session.client), is_own=session.is_own)

    @rule()
    def connect_silently(self) -> None:
        self.open_links.add(self.bank.link())

    @rule(data=st.data(), client=clients, bank=banks.filter(lambda name: name.startswith("B1")))
    def command(self, data: st.DataObject, client: str, bank: str) -> None:
        link = self._link(data)
        if link is not None:
            connection = self.bank.coordinator.clients.connections.get(LinkId(link))
            session = connection.session if connection is not None else None
            if session is not None and data.draw(st.integers(0, 3)):
                client, bank = str(session.client), str(session.slot.bank_slot)
            self.serial += 1
            self.bank.command(link, f"00d60000{4:02x}{self.serial:08x}", client=client, bank=bank)

    @rule(data=st.data(), rst=st.booleans(), vcc=st.none() | st.booleans())
    def lines(self, data: st.DataObject, rst: bool, vcc: bool | None) -> None:
        link = self._link(data)
        if link is not None:
            status = SlotPhysStatus(rst, vcc)
            self.bank.say(link, rspro.ClientSlotStatusInd(ClientSlot(1, 0), BankSlot(1, 0), status))

    @rule(data=st.data(), what=st.sampled_from(["again", "unknown", "noise", "atr", "lost", "alive"]))
    def disturb(self, data: st.DataObject, what: str) -> None:
        link = self._link(data)
        if link is not None:
            self.disturb_by(what, link)

    def disturb_by(self, what: str, link: int) -> None:
        """The peer does something that is not its everyday business."""
        match what:
            case "again":
                self.bank.introduce(link)
            case "unknown":
                self.bank.event(link, ReceivedUnknown(40, 1))
            case "noise":
                self.bank.event(link, Undecodable(DecodeError("noise"), b""))
            case "atr":
                self.bank.say(link, rspro.SetAtrRes(rspro.ResultCode.OK))
            case "alive":
                self.bank.answer_probe(link)
            case _:
                self.bank.lose(link)
                self.open_links.discard(link)

    @rule(client=clients, bank=banks, is_removal=st.booleans())
    def order(self, client: str, bank: str, is_removal: bool) -> None:
        make = rspro.RemoveMappingReq if is_removal else rspro.CreateMappingReq
        before = len(self.bank.sent[self.server])
        self.bank.say(self.server, make(ClientSlot.parse(client), BankSlot.parse(bank)))
        results = [type(message).__name__ for message in self.bank.sent[self.server][before:]]
        assert results.count(make.__name__.replace("Req", "Res")) == 1

    @rule()
    def reset_state(self) -> None:
        self.bank.say(self.server, rspro.ResetStateReq())

    @rule(is_own=st.booleans())
    def exchange_server(self, is_own: bool) -> None:
        self.bank.lose(self.server)
        self.server = self._server(is_own=is_own)

    @rule(slot_nr=slot_numbers, is_present=st.booleans())
    def presence(self, slot_nr: int, is_present: bool) -> None:
        if is_present and not self.bank.coordinator.cards.is_card_present(slot_nr):
            self.inserted[slot_nr] += 1
            self.bank.cards.numbers[slot_nr] = f"89{slot_nr}{self.inserted[slot_nr]}"
        self.bank.presence(slot_nr, is_present=is_present)

    @rule(fault=st.none() | st.sampled_from(FaultKind))
    def card_acts(self, fault: FaultKind | None) -> None:
        if not self.bank.pending:
            return
        action = self.bank.pending.pop(0)
        assert isinstance(action, OpenCard | ResetCard | Transmit | CloseCard | ReadNumber)
        coordinator, now = self.bank.coordinator, self.bank.now
        position = coordinator.cards.positions[action.slot_nr]
        is_due = coordinator.cards.numbers.is_due(position)
        if isinstance(action, Transmit):
            self.executed.append(action.tpdu)
        # Where another program has the reader, no card is asked.
        if isinstance(action, ReadNumber) and fault is not FaultKind.BUSY:
            self.readings[action.slot_nr] += 1
        if fault is None or isinstance(action, CloseCard):
            self.bank.do(self.bank.cards.perform(action, now))
        elif isinstance(action, ReadNumber):
            self.bank.do(coordinator.on_card_number(action.slot_nr, None, "x", now, is_busy=fault is FaultKind.BUSY))
        else:
            self.bank.do(coordinator.on_card_failed(action.slot_nr, CardFault(fault, "x"), now))
        if isinstance(action, OpenCard) and is_due:
            assert position.state is not CardState.READY, "a card that was not read is given to a client"

    @rule(seconds=st.floats(0.1, 80.0))
    def time_passes(self, seconds: float) -> None:
        self.bank.wait(self.bank.now + seconds)

    @invariant()
    def states_fit_together(self) -> None:
        if not hasattr(self, "bank"):
            return
        coordinator = self.bank.coordinator
        waiting: set[int] = set()
        for action in self.bank.pending:
            assert isinstance(action, OpenCard | ResetCard | Transmit | CloseCard | ReadNumber)
            assert action.slot_nr not in waiting, "two operations at a time"
            waiting.add(action.slot_nr)
        for position in coordinator.cards.positions:
            working = (CardState.READING, CardState.OPENING, CardState.BUSY, CardState.CLOSING)
            is_working = position.state in working
            assert is_working == (position.slot_nr in waiting)
            session = position.session
            if session is None:
                assert position.state is not CardState.WAITING
                continue
            connection = session.connection
            assert session.slot is position
            assert connection is not None
            assert connection.session is session
            assert connection.client == session.client
            mapping = coordinator.mappings.of_slot(position.slot_nr)
            assert mapping is not None
            assert mapping.client == session.client
            if connection.state is ConnectionState.CONNECTED_CLIENT_MAPPED_CARD:
                assert position.powered_for is session
                assert position.state in (CardState.READY, CardState.BUSY)
            else:
                assert connection.state is ConnectionState.CONNECTED_CLIENT_MAPPED
                assert not session.queue
                assert position.state not in (CardState.OFF, CardState.READY), "nothing goes on"
        for link, connection in coordinator.clients.connections.items():
            assert int(link) not in self.bank.closed
            if connection.state is ConnectionState.CONNECTED_CLIENT_WAIT_MAP:
                assert connection.client is not None
                assert coordinator.mappings.of_client(connection.client) is None

    @invariant()
    def readers_that_fail_are_tried_again_and_not_too_soon(self) -> None:
        if not hasattr(self, "bank"):
            return
        bank, next_deadline = self.bank, self.bank.coordinator.next_deadline()
        for position in bank.coordinator.cards.positions:
            breaker = position.breaker
            is_waiting = position.state is CardState.WAITING and position.is_present
            if is_waiting and position.fault is not FaultKind.PROTOCOL:
                assert next_deadline is not None, "it is never tried again"
                assert next_deadline <= bank.now + DELAYS_S[-1] * (1 + JITTER)
            if breaker.state is BreakerState.CLOSED:
                continue
            assert breaker.failures >= TRIPS_AFTER
            if breaker.state is BreakerState.OPEN:
                assert position.state not in (CardState.OPENING, CardState.READY, CardState.BUSY)

    @invariant()
    def nobody_with_a_certificate_is_served_without(self) -> None:
        if hasattr(self, "bank"):
            for session in self.bank.coordinator.clients.connections.values():
                if session.proof is None and session.client is not None:
                    assert not self.bank.coordinator.certified.objection(session.client)

    @invariant()
    def numbers_are_read_once_and_told(self) -> None:
        if not hasattr(self, "bank"):
            return
        coordinator = self.bank.coordinator
        active_server = coordinator.control.active_server
        heard = {
            message.bank_slot.slot_nr: message.iccid
            for message in self.bank.sent[self.server]
            if isinstance(message, extensions.CardInd)
        }
        for position in coordinator.cards.positions:
            nr = position.slot_nr
            assert self.readings[nr] <= self.inserted[nr]
            assert position.iccid is None or position.is_present
            assert position.iccid in (None, self.bank.cards.numbers.get(nr))
            if active_server is not None and active_server.abilities is None:
                assert not heard
            elif position.state is not CardState.READING and not coordinator.cards.numbers.is_due(position):
                assert heard[nr] == position.iccid
            if position.state is CardState.OFF and position.is_present:
                numbers, due = coordinator.cards.numbers, coordinator.next_deadline()
                assert not numbers.is_due(position) or numbers.is_put_off(position), "nobody reads it"
                if numbers.is_put_off(position):
                    assert due is not None, "nobody tries again"
                    assert due <= self.bank.now + MAX_BUSY_DELAY_S * (1 + JITTER), "nobody tries again soon"

    @invariant()
    def no_command_runs_twice(self) -> None:
        if hasattr(self, "bank"):
            assert len(set(self.executed)) == len(self.executed)

    @invariant()
    def every_connect_request_is_answered_at_most_once_with_ok(self) -> None:
        if not hasattr(self, "bank"):
            return
        for link in self.open_links:
            results = [m.result for m in self.bank.sent[link] if isinstance(m, rspro.ConnectClientRes)]
            # A second request on a link is refused, and that ends it.
            assert len(results) <= 1 or (len(results) == 2 and link in self.bank.closed)

    def teardown(self) -> None:
        """Whatever state it is in, a bank can stop, once its cards have finished."""
        if not hasattr(self, "bank"):
            return
        self.bank.do(self.bank.coordinator.stop(self.bank.now))
        for _ in range(4):
            self.bank.let_cards_act()
        assert self.bank.coordinator.is_at_rest


TestBankMachine = BankMachine.TestCase
TestBankMachine.settings = settings(max_examples=100, stateful_step_count=60)


@given(st.lists(st.sampled_from(["lose", "accept"]) | st.integers(1, audit.MAX_KEPT), max_size=8))
def test_each_audit_entry_is_sent_once_in_order_kept_or_counted(steps: list[str | int]) -> None:
    bank, link, made, links = Bank(), 0, 0, list[int]()
    for step in steps:
        if step == "lose" and link:
            bank.lose(link)
            link = 0
        elif step == "accept" and not link:
            link = bank.link(is_dialled=True)
            links.append(link)
            bank.say(link, rspro.ConnectBankRes(SERVER.with_abilities(("audit.1",)), rspro.ResultCode.OK))
        elif isinstance(step, int):
            for _ in range(step):
                made += 1
                entry = AuditInd("command.block", is_refused=True, detail=str(made))
                bank.do(bank.coordinator.on_audit(entry, bank.now))
    sent = [message for each in links for message in bank.sent[each] if isinstance(message, AuditInd)]
    numbers = [int(entry.detail or "") for entry in sent if entry.action == "command.block"]
    lost = [int((entry.detail or "").split()[0]) for entry in sent if entry.action == "audit.lost"]
    dropped = bank.coordinator.counts.audit_dropped
    assert numbers == sorted(set(numbers))
    if link:
        assert sum(lost) == dropped
        assert len(numbers) + dropped == made
    else:
        assert made - dropped - len(numbers) <= audit.MAX_KEPT
