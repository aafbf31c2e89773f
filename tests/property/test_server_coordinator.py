# SPDX-License-Identifier: Apache-2.0
"""The server against bankds and clients that come, go, answer late, refuse and lose messages, in any order.

The bankds keep their mappings by the rules of rspro.md, 9.1, over any loss of the link; the clients
remember what they were told last. Whatever happened before: once everybody is connected and has answered everything,
each bankd has exactly the mappings that are desired of it, and each client is where it should be.
"""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core.peer_reports import BURST, REFILL_S
from remsim.server.core.reconciler import STORE_RETRY_S
from remsim.server.core.slotmap import ConflictError, MappingState
from remsim.wire.link.actions import LinkId
from remsim.wire.messages import extensions, rspro
from remsim.wire.messages.extensions import AuditInd
from remsim.wire.messages.rspro import ConfigClientBankReq, CreateMappingReq, RemoveMappingReq, ResultCode
from tests.doubles.server_world import ServerWorld

BANKS = (1, 2)
#: The last slot number is one that no bankd has.
SLOTS_OF_A_BANK = 2
SLOT_NRS = (0, 1, 2)
CLIENTS = (5, 6, 7)

banks = st.sampled_from(BANKS)
bank_slots = st.builds(BankSlot, banks, st.sampled_from(SLOT_NRS))
clients = st.sampled_from(CLIENTS)


class Bankd:
    """One bankd: what it has, and how far it has read what was sent on its link."""

    def __init__(self, bank_id: int) -> None:
        self.bank_id = bank_id
        self.mappings: dict[BankSlot, ClientSlot] = {}
        self.link: LinkId | None = None
        self.has_read = 0

    def carry_out(self, request: CreateMappingReq | RemoveMappingReq) -> ResultCode:
        """rspro.md, 9.1."""
        if request.bank.slot_nr >= SLOTS_OF_A_BANK:
            return ResultCode.ILLEGAL_SLOT_ID
        if isinstance(request, RemoveMappingReq):
            if self.mappings.get(request.bank) != request.client:
                return ResultCode.UNKNOWN_SLOTMAP
            del self.mappings[request.bank]
            return ResultCode.OK
        self.mappings = {bank: client for bank, client in self.mappings.items() if client != request.client}
        self.mappings[request.bank] = request.client
        return ResultCode.OK


class Modem:
    """One client: what it was told last, over all its links."""

    def __init__(self, client_id: int) -> None:
        self.slot = ClientSlot(client_id, 0)
        self.told: ConfigClientBankReq | None = None
        self.link: LinkId | None = None
        self.has_read = 0


class ServerMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.world = ServerWorld()
        self.bankds = {number: Bankd(number) for number in BANKS}
        self.modems = {number: Modem(number) for number in CLIENTS}

    # Operators

    @rule(bank=bank_slots, client=clients)
    def post(self, bank: BankSlot, client: int) -> None:
        try:
            self.world.post(str(bank), f"{client}:0")
        except ConflictError:
            return

    @rule(bank=bank_slots)
    def delete(self, bank: BankSlot) -> None:
        mapping = self.world.coordinator.slotmap.by_bank_slot(bank)
        decision = None if mapping is None else self.world.coordinator.plan_deletion([mapping])
        if decision is not None:
            self.world.run([decision])

    @rule()
    def delete_all(self) -> None:
        decision = self.world.coordinator.plan_deletion(self.world.coordinator.slotmap)
        if decision is not None:
            self.world.run([decision])

    @rule(bank_id=banks)
    def reset_bank(self, bank_id: int) -> None:
        if self.bankds[bank_id].link is not None:
            self.world.run(self.world.coordinator.reset_bank(bank_id))

    # The server and its database

    @rule()
    def restart(self) -> None:
        """The server dies: what waits for the database is lost, what is committed is there again."""
        self.world.start()
        for peer in self._peers():
            peer.link = None

    @rule(is_slow=st.booleans())
    def change_database(self, is_slow: bool) -> None:
        self.world.is_store_slow = is_slow

    @precondition(lambda self: self.world.waiting)
    @rule()
    def commit(self) -> None:
        self.world.commit()

    @precondition(lambda self: self.world.waiting)
    @rule()
    def fail_to_commit(self) -> None:
        self.world.is_store_broken = True
        self.world.commit()
        self.world.is_store_broken = False

    @rule(seconds=st.sampled_from([0.5, 5.0, 31.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.world.advance(seconds)
        for peer in self._peers():
            if peer.link in self.world.closed:
                peer.link = None

    # Bankds

    @rule(bank_id=banks, host=st.sampled_from(["192.0.2.1", "192.0.2.2"]))
    def connect_bankd(self, bank_id: int, host: str) -> None:
        bankd = self.bankds[bank_id]
        if bankd.link is None:
            bankd.link, bankd.has_read = self.world.bank(bank_id, host, slots=SLOTS_OF_A_BANK, is_own=True), 0
            for removal in [m for m in self.world.messages(bankd.link) if isinstance(m, RemoveMappingReq)]:
                again = self.world.coordinator.slotmap.by_bank_slot(removal.bank)
                assert again is None or again.client != removal.client or again.is_ending

    @rule(bank_id=banks, loses_memory=st.booleans())
    def lose_bankd(self, bank_id: int, loses_memory: bool) -> None:
        bankd = self.bankds[bank_id]
        if bankd.link is not None:
            self.world.lose(bankd.link)
            bankd.link = None
        if loses_memory:
            bankd.mappings = {}

    @rule(bank_id=banks)
    def bankd_answers(self, bank_id: int) -> None:
        bankd = self.bankds[bank_id]
        if bankd.link is None or bankd.link not in self.world.open:
            return
        messages = self.world.messages(bankd.link)
        while bankd.has_read < len(messages):
            message = messages[bankd.has_read]
            bankd.has_read += 1
            if isinstance(message, rspro.ResetStateReq):
                bankd.mappings = {}
                self.world.answer(bankd.link, rspro.ResetStateReq)
                return
            if isinstance(message, CreateMappingReq | RemoveMappingReq):
                self.world.answer(bankd.link, type(message), bankd.carry_out(message))
                return

    @rule(bank_id=banks, slot=bank_slots, iccid=st.none() | st.text("0123456789x", min_size=1, max_size=20))
    def bankd_tells_a_number(self, bank_id: int, slot: BankSlot, iccid: str | None) -> None:
        bankd = self.bankds[bank_id]
        if bankd.link is None or bankd.link not in self.world.open:
            return
        asked = len(self.world.asked_policy)
        before = self.world.coordinator.inventory.last_number(slot)
        self.world.receive(bankd.link, extensions.CardInd(slot, iccid))
        inventory = self.world.coordinator.inventory
        if slot.bank_id == bank_id and slot.slot_nr < SLOTS_OF_A_BANK and (iccid is None or iccid.isdecimal()):
            assert inventory.number(slot) == iccid
            assert inventory.last_number(slot) == (iccid or before)
        assert self.world.asked_policy[asked:] == ([slot] if inventory.last_number(slot) != before else [])

    # Clients

    @rule(client=clients)
    def connect_client(self, client: int) -> None:
        modem = self.modems[client]
        if modem.link is None:
            modem.link, modem.has_read = self.world.client(str(modem.slot)), 0

    @rule(client=clients)
    def lose_client(self, client: int) -> None:
        modem = self.modems[client]
        if modem.link is not None:
            self.world.lose(modem.link)
            modem.link = None

    @rule(client=clients)
    def client_reads(self, client: int) -> None:
        modem = self.modems[client]
        if modem.link is None:
            return
        messages = self.world.messages(modem.link)
        while modem.has_read < len(messages):
            message = messages[modem.has_read]
            modem.has_read += 1
            if isinstance(message, ConfigClientBankReq):
                modem.told = message
                self.world.answer(modem.link, ConfigClientBankReq)

    # What must hold

    @invariant()
    def no_client_is_told_the_same_twice_in_a_row(self) -> None:
        for link in self.world.sent:
            told = self.world.told(link)
            assert all(first != second for first, second in pairwise(told))

    @invariant()
    def no_pair_of_slots_is_mapped_twice(self) -> None:
        live = list(self.world.coordinator.slotmap)
        assert len({m.bank for m in live}) == len({m.client for m in live}) == len(live)

    @invariant()
    def what_the_server_knows_is_what_the_database_holds(self) -> None:
        if not self.world.waiting:
            stored = {row.id for row in self.world.rows.mappings.values() if row.is_live}
            assert {m.id for m in self.world.coordinator.slotmap} == stored
        inventory = self.world.coordinator.inventory
        for slot in (BankSlot(bank_id, nr) for bank_id in BANKS for nr in SLOT_NRS):
            assert inventory.last_number(slot) == self.world.rows.cards.get(slot)
            assert inventory.number(slot) in (None, inventory.last_number(slot))

    @rule()
    def settle(self) -> None:
        self.world.is_store_slow = False
        self.world.commit()
        # What the database could not store is tried again.
        self.let_time_pass(STORE_RETRY_S)
        for number in BANKS:
            self.connect_bankd(number, "192.0.2.1")
        for number in CLIENTS:
            self.connect_client(number)
        for _ in range(200):
            before = self._count()
            for number in BANKS:
                self.bankd_answers(number)
            for number in CLIENTS:
                self.client_reads(number)
            if self._count() == before and not self._is_anything_unread():
                break
        self._check_settled()

    def _count(self) -> int:
        return sum(len(sent) for sent in self.world.sent.values())

    def _is_anything_unread(self) -> bool:
        return any(p.link is not None and p.has_read < len(self.world.messages(p.link)) for p in self._peers())

    def _peers(self) -> list[Bankd | Modem]:
        return [*self.bankds.values(), *self.modems.values()]

    def _check_settled(self) -> None:
        slotmap = self.world.coordinator.slotmap
        for bankd in self.bankds.values():
            desired = {m.bank: m.client for m in slotmap.live_of_bank(bankd.bank_id)}
            possible = {bank: client for bank, client in desired.items() if bank.slot_nr < SLOTS_OF_A_BANK}
            assert bankd.mappings == possible
        assert slotmap.removal_count() == 0
        assert not self.world.rows.removals
        for mapping in slotmap:
            is_possible = mapping.bank.slot_nr < SLOTS_OF_A_BANK
            assert mapping.state is (MappingState.ACTIVE if is_possible else MappingState.REFUSED)
        for modem in self.modems.values():
            self._check_client(modem)

    def _check_client(self, modem: Modem) -> None:
        mapping = self.world.coordinator.slotmap.by_client_slot(modem.slot)
        if mapping is not None and mapping.state is MappingState.ACTIVE:
            assert modem.told is not None
            addresses = self.world.coordinator.configurator.bank_addresses[mapping.bank.bank_id]
            assert (modem.told.bank_slot, modem.told.bankd) == (mapping.bank, addresses[0].address)
        else:
            assert modem.told is None or modem.told.bankd.port == 0


TestServer = ServerMachine.TestCase
TestServer.settings = settings(stateful_step_count=40)


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, REFILL_S, 1000.0]), st.integers(1, 600)), max_size=6))
def test_one_bankd_adds_no_more_entries_than_it_may_and_what_is_more_is_counted(
    floods: list[tuple[float, int]],
) -> None:
    world = ServerWorld()
    link, began = world.bank(1, is_own=True), world.now
    for pause_s, count in floods:
        world.now += pause_s
        for _ in range(count):
            world.receive(link, AuditInd("command.block", is_refused=True))
    added = [entry for entry in world.entries if entry.action == "command.block"]
    said = [entry for entry in world.entries if entry.action == "audit.limit"]
    assert len(added) <= BURST + (world.now - began) / REFILL_S
    assert len(added) + world.coordinator.bank_audit.dropped == sum(count for _, count in floods)
    assert bool(said) == bool(world.coordinator.bank_audit.dropped)
    assert len(said) <= 1 + (world.now - began) / REFILL_S / (BURST / 2)
