# SPDX-License-Identifier: Apache-2.0
"""Cards that are moved between two banks, while banks and server come and go: mappings that follow their card.

Whatever happens: no card is mapped twice, nobody is given the card of another, and nobody loses his mapping. Once
everybody is there and has told what he has, each mapping is where its card is, if it may be there.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core.slotmap import ConflictError
from remsim.wire.link.actions import LinkId
from remsim.wire.messages.extensions import CardInd
from remsim.wire.messages.rspro import CreateMappingReq, RemoveMappingReq
from tests.doubles.server_world import ServerWorld

BANKS = (1, 2)
SLOTS = tuple(BankSlot(bank, nr) for bank in BANKS for nr in range(3))
#: The last one is followed by nobody.
CARDS = ("8900101234567890018", "8900101234567890026", "8900101234567890034", "8900101234567890042")
FOLLOWERS = {ClientSlot(7 + nr, 0): iccid for nr, iccid in enumerate(CARDS[:3])}
OPERATED = (ClientSlot(20, 0), ClientSlot(21, 0))

slots = st.sampled_from(SLOTS)
cards = st.sampled_from(CARDS)


class Moves(RuleBasedStateMachine):
    """The test's hands: it moves cards, pulls plugs, and maps other clients."""

    def __init__(self) -> None:
        super().__init__()
        self.world = ServerWorld()
        self.links: dict[int, LinkId] = {}
        self.places: dict[str, BankSlot] = {}
        self.is_refused = False
        self.dead: set[int] = set()

    # The cards

    def _tell(self, slot: BankSlot) -> None:
        link = self.links.get(slot.bank_id)
        if link is not None and link in self.world.open and slot.bank_id not in self.dead:
            found = next((iccid for iccid, place in self.places.items() if place == slot), None)
            self.world.receive(link, CardInd(slot, found))

    @initialize()
    def begin(self) -> None:
        """Everybody has a card, and follows it."""
        self.places = dict(zip(CARDS, SLOTS, strict=False))
        for bank in BANKS:
            self.connect(bank)
        for (client, iccid), slot in zip(FOLLOWERS.items(), SLOTS, strict=False):
            change = self.world.coordinator.plan_change([], [(slot, client)], follows={slot: iccid})
            assert change is not None
            self.world.run([change])

    @rule(iccid=cards)
    def take_out(self, iccid: str) -> None:
        """A card is in nobody's slot."""
        slot = self.places.pop(iccid, None)
        if slot is not None:
            self._tell(slot)

    @rule(iccid=cards, slot=slots)
    def put_in(self, iccid: str, slot: BankSlot) -> None:
        """A card is put into a slot; what was there is taken out, and its bank may hear of that later."""
        before = self.places.pop(iccid, None)
        for other in [each for each, place in self.places.items() if place == slot]:
            del self.places[other]
        self.places[iccid] = slot
        self._tell(slot)
        if before is not None:
            self._tell(before)

    # Programs

    @precondition(lambda self: any(self.links.get(bank) not in self.world.open for bank in BANKS))
    @rule(bank=st.sampled_from(BANKS))
    def connect(self, bank: int) -> None:
        """A bankd comes, and tells of all its slots."""
        if self.links.get(bank) not in self.world.open:
            self.links[bank] = self.world.bank(bank, slots=3, is_own=True)
            for slot in SLOTS:
                if slot.bank_id == bank:
                    self._tell(slot)

    @rule(bank=st.sampled_from(BANKS))
    def lose(self, bank: int) -> None:
        """A bankd is gone, or the link of one that died before is."""
        self.dead.discard(bank)
        if bank in self.links:
            self.world.lose(self.links[bank])

    @rule(bank=st.sampled_from(BANKS))
    def die(self, bank: int) -> None:
        """A bankd tells nothing any more; that its link is lost, the server notices later."""
        self.dead.add(bank)

    @rule()
    def kill_server(self) -> None:
        """What was not committed is lost."""
        self.world.is_store_slow = False
        self.dead.clear()
        self.world.start()

    @precondition(lambda self: not self.world.is_store_slow)
    @rule()
    def hold_database(self) -> None:
        """It takes its time from now on."""
        self.world.is_store_slow = True

    @precondition(lambda self: self.world.is_store_slow)
    @rule()
    def commit(self) -> None:
        """It has taken everything."""
        self.world.is_store_slow = False
        self.world.commit()

    @precondition(lambda self: self.world.waiting)
    @rule()
    def refuse(self) -> None:
        """It takes nothing of what waits."""
        self.is_refused = True
        self.world.is_store_slow, self.world.is_store_broken = False, True
        self.world.commit()
        self.world.is_store_broken = False

    @rule()
    def answer(self) -> None:
        """The bankds answer what they owe."""
        for link in self.links.values():
            for kind in (RemoveMappingReq, CreateMappingReq):
                while link in self.world.open and self.world.unanswered(link, kind):
                    self.world.answer(link, kind)

    # Operators

    @rule(slot=slots, client=st.sampled_from(OPERATED))
    def map_other(self, slot: BankSlot, client: ClientSlot) -> None:
        """Another client gets a slot, if it is free."""
        try:
            self.world.run([self.world.coordinator.plan_creation(slot, client)])
        except ConflictError:
            return

    @rule(client=st.sampled_from(OPERATED))
    def unmap_other(self, client: ClientSlot) -> None:
        """Its mapping is deleted."""
        mapping = self.world.coordinator.slotmap.by_client_slot(client)
        deletion = None if mapping is None else self.world.coordinator.plan_deletion([mapping])
        if deletion is not None:
            self.world.run([deletion])

    # What holds at all times

    @invariant()
    def nobody_loses_a_mapping(self) -> None:
        """In memory and in the database, each follower is mapped or waits, once."""
        live = [row for row in self.world.rows.mappings.values() if row.is_live]
        parked = list(self.world.rows.parked.values())
        if not live and not parked:
            return  # before the beginning
        stored = sorted((row.client, row.follows) for row in live if row.client in FOLLOWERS)
        stored += [(each.client, each.iccid) for each in parked]
        assert sorted(stored) == sorted(FOLLOWERS.items())
        slotmap = self.world.coordinator.slotmap
        known = [(each.client, each.follows) for each in slotmap if each.client in FOLLOWERS]
        known += [(each.client, each.iccid) for each in slotmap.parked()]
        assert sorted(known) == sorted(FOLLOWERS.items())

    @invariant()
    def no_slot_is_mapped_twice(self) -> None:
        """Nor any card."""
        live = [row.bank for row in self.world.rows.mappings.values() if row.is_live]
        assert len(live) == len(set(live))

    def teardown(self) -> None:
        """At the end, too."""
        self.look()

    @rule()
    def look(self) -> None:
        """Everybody is there, and every decision is committed."""
        self.commit()
        for bank in self.dead.copy():
            self.lose(bank)
        for bank in BANKS:
            self.connect(bank)
        if self.is_refused:
            # What could not be stored is looked at again when something else is.
            self.is_refused = False
            self.world.run([self.world.coordinator.plan_labels("B1:0", ["x"])])
        self.nobody_loses_a_mapping()
        slotmap = self.world.coordinator.slotmap
        for client, iccid in FOLLOWERS.items():
            place, mapping = self.places.get(iccid), slotmap.by_client_slot(client)
            here = None if place is None else slotmap.by_bank_slot(place)
            if place is not None and (here is None or here.client not in OPERATED):
                assert mapping is not None
                assert mapping.bank == place
            elif mapping is not None:
                # It waits in its old slot, in which there is no other card.
                assert mapping.bank not in self.places.values()


TestMoves = Moves.TestCase
TestMoves.settings = settings(max_examples=100, stateful_step_count=40)
