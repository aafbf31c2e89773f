# SPDX-License-Identifier: Apache-2.0
"""Which bankds are told who has a certificate, when, and in what parts."""

from remsim.core.identity import Identity, Proof
from remsim.wire.link.actions import LinkId
from remsim.wire.messages.codec import encode_pdu
from remsim.wire.messages.extensions import MAX_CERTIFIED_PART, CertifiedInd
from remsim.wire.messages.rspro import ConnectBankReq, CreateMappingReq, RsproPdu
from tests.doubles.server_world import BANKD, ServerWorld

HOLDERS = frozenset(
    Identity.parse(text) for text in ("client/23", "client/23/4", "client/7/1", "client/7/0", "bank/1", "server/lab")
)


def told(world: ServerWorld, link: LinkId) -> list[CertifiedInd]:
    return [message for message in world.messages(link) if isinstance(message, CertifiedInd)]


def push(world: ServerWorld, *holders: str) -> None:
    world.run(world.coordinator.certified.push(frozenset(Identity.parse(text) for text in holders)))


def test_bankd_hears_of_clients_before_its_mappings() -> None:
    world = ServerWorld()
    world.run(world.coordinator.certified.push(HOLDERS))
    world.post("1:0", "7:0")
    link = world.bank(1, is_own=True, proof=Proof(Identity.bank(1), 1))
    assert told(world, link) == [
        CertifiedInd(is_first=True, is_last=True, clients=("client/7/0", "client/7/1", "client/23"))
    ]
    kinds = world.kinds(link)
    assert kinds.index("CertifiedInd") < kinds.index(CreateMappingReq.__name__)


def test_bankd_on_plain_tcp_is_told_and_nobody_else() -> None:
    world = ServerWorld()
    push(world, "client/23")
    assert len(told(world, world.bank(1, is_own=True))) == 1
    older = world.up()
    world.receive(older, ConnectBankReq(BANKD.with_abilities(("echo.1",)), 2, 8))
    for link in (older, world.bank(3), world.client("8:0", is_own=True)):
        assert told(world, link) == []


def test_changes_go_to_connected_bankds_and_nothing_is_said_twice() -> None:
    world = ServerWorld()
    link = world.bank(1, is_own=True)
    assert told(world, link) == [], "a server without an authority knows nothing, which is not nobody"
    push(world)
    push(world)
    push(world, "client/23")
    push(world, "client/23", "bank/1")
    holders = frozenset({Identity.client(23), Identity.client(24)})
    world.run(world.coordinator.certified.push(holders))
    assert world.coordinator.certified.push(holders) == []
    assert [part.clients for part in told(world, link)] == [(), ("client/23",), ("client/23", "client/24")]


def test_long_list_is_cut_into_parts_that_a_message_can_carry() -> None:
    world = ServerWorld()
    world.run(world.coordinator.certified.push(frozenset(Identity.client(n // 4, n % 4) for n in range(2100))))
    parts = told(world, world.bank(1, is_own=True))
    assert [len(part.clients) for part in parts] == [MAX_CERTIFIED_PART, MAX_CERTIFIED_PART, 52]
    assert [(part.is_first, part.is_last) for part in parts] == [(True, False), (False, False), (False, True)]
    assert sum((part.clients for part in parts), ()) == tuple(f"client/{n // 4}/{n % 4}" for n in range(2100))
    assert all(encode_pdu(RsproPdu(1, part)) for part in parts)


def test_full_part_is_the_last_one() -> None:
    world = ServerWorld()
    world.run(world.coordinator.certified.push(frozenset(Identity.client(n) for n in range(MAX_CERTIFIED_PART))))
    assert [part.is_last for part in told(world, world.bank(1, is_own=True))] == [True]
