# SPDX-License-Identifier: Apache-2.0
"""Whatever peers tell of their slots: only of their own, bounded, safe to show, and forgotten with the peer."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core.verdicts import VerdictKind
from remsim.wire.messages.extensions import CardInd
from remsim.wire.messages.health import ClientHealthInd, InventoryInd, SlotHealthInd
from remsim.wire.messages.rspro import Message, ReaderHealthInd, SessionStateInd
from tests.doubles.server_world import ServerWorld
from tests.doubles.strategies import BY_CLASS

SLOTS = 4
slots = st.builds(BankSlot, st.integers(1, 2), st.integers(0, SLOTS))


def about(kind: type[Message]) -> st.SearchStrategy[Message]:
    """Messages of this class, about slots of this bank, of others, and beyond."""
    return st.builds(_at, BY_CLASS[kind], slots)


def _at(message: Message, slot: BankSlot) -> Message:
    assert isinstance(message, SlotHealthInd | InventoryInd | SessionStateInd | ReaderHealthInd | CardInd)
    return replace(message, bank_slot=slot)


told = st.one_of(*(about(kind) for kind in (SlotHealthInd, InventoryInd, SessionStateInd, ReaderHealthInd, CardInd)))
of_clients = BY_CLASS[ClientHealthInd]


@given(messages=st.lists(told | of_clients, max_size=30), steps=st.lists(st.floats(0, 4000), max_size=5))
def test_reports_are_bounded_and_safe(messages: list[Message], steps: list[float]) -> None:
    world = ServerWorld(keeps_imsi=True)
    bank, client = world.bank(1, slots=SLOTS, is_own=True), world.client("C7:0", is_own=True)
    waits = iter(steps)
    for number, message in enumerate(messages):
        world.receive(client if isinstance(message, ClientHealthInd) else bank, message)
        if number % 5 == 4:
            world.advance(next(waits, 0.0))
        check(world)
    world.lose(bank)
    world.lose(client)
    health = world.coordinator.health
    assert health.counts() == {}
    for slot in (BankSlot(1, 0), BankSlot(2, 0)):
        assert health.slot(slot, world.now).verdict.kind is VerdictKind.UNKNOWN
    assert health.client(ClientSlot(7, 0), world.now).verdict.kind is VerdictKind.UNKNOWN


def check(world: ServerWorld) -> None:
    """What holds at any time."""
    board, now = world.coordinator.health, world.now
    assert sum(board.counts().values()) <= SLOTS + 1
    for peer in world.coordinator.peers.banks():
        assert set(peer.slot_health) <= set(range(SLOTS))
    for nr in range(SLOTS):
        standing = board.slot(BankSlot(1, nr), now)
        assert standing.since <= now
        assert f"{standing.verdict.text}{standing.verdict.advice}".isprintable()
        assert len(standing.verdict.text) <= 1200
    assert board.slot(BankSlot(2, 0), now).verdict.kind is VerdictKind.UNKNOWN
    for event in world.log:
        if event.name in ("slot_health", "session_state"):
            assert event.bank_slot is None or event.bank_slot.bank_id == 1
