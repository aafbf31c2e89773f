# SPDX-License-Identifier: Apache-2.0
"""What clients are told, and when not."""

from ipaddress import ip_address

from remsim.ids import ClientSlot
from remsim.wire import rspro
from remsim.wire.rspro import AddressKind, AdvertisedAddress, IpPort, ResultCode
from tests.doubles.server_world import ServerWorld


def advertise(*addresses: str) -> tuple[AdvertisedAddress, ...]:
    return tuple(AdvertisedAddress(IpPort(ip_address(text), 9990), AddressKind.PLAINTEXT) for text in addresses)


def answer_of(world: ServerWorld) -> int | None:
    """What client 7:0 said to what it was told last."""
    peer = world.coordinator.peers.by_client(ClientSlot(7, 0))
    assert peer is not None
    return peer.announced_result


def test_classic_client_gets_no_ipv6_address() -> None:
    world = ServerWorld()
    bank, client = world.bank(1, advertise=advertise("2001:db8::1")), world.client("7:0")
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    assert world.told(client) == []
    assert "bankd_has_no_address_for_client" in world.reported()


def test_classic_client_gets_ipv6_where_the_operator_allows_it() -> None:
    world = ServerWorld(ipv6_clients=frozenset({7}))
    bank, client = world.bank(1, advertise=advertise("2001:db8::1")), world.client("7:0")
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    assert world.told(client) == ["B1:0 2001:db8::1:9990"]


def test_own_client_gets_the_ip_version_that_it_uses() -> None:
    world = ServerWorld()
    bank = world.bank(1, advertise=advertise("2001:db8::1", "192.0.2.9"))
    over_ipv4, over_ipv6 = world.client("7:0", is_own=True), world.client("8:0", "2001:db8::7", is_own=True)
    for slot, client in ((0, "7:0"), (1, "8:0")):
        world.post(f"1:{slot}", client)
        world.answer(bank, rspro.CreateMappingReq)
    assert world.told(over_ipv4) == ["B1:0 192.0.2.9:9990"]
    assert world.told(over_ipv6) == ["B1:1 2001:db8::1:9990"]


def test_answer_of_the_client_is_kept() -> None:
    world = ServerWorld()
    bank, client = world.bank(1), world.client("7:0")
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    assert answer_of(world) is None
    world.answer(client, rspro.ConfigClientBankReq, ResultCode.ILLEGAL_BANK_ID)
    assert answer_of(world) == ResultCode.ILLEGAL_BANK_ID
    assert "client_did_not_obey" in world.reported()


def test_answer_to_an_older_configuration_is_not_taken_for_the_newest() -> None:
    world = ServerWorld()
    bank, client = world.bank(1), world.client("7:0")
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    world.delete("1:0")
    world.answer(client, rspro.ConfigClientBankReq)
    assert world.rows.releases == {1}
    world.answer(client, rspro.ConfigClientBankReq)
    assert world.rows.releases == set()


def test_newer_deletion_replaces_an_older_one_that_the_client_has_not_heard_of() -> None:
    world = ServerWorld()
    bank = world.bank(1)
    for slot in (0, 1):
        world.post(f"1:{slot}", "7:0")
        world.answer(bank, rspro.CreateMappingReq)
        world.delete(f"1:{slot}")
        world.answer(bank, rspro.RemoveMappingReq)
    assert world.rows.releases == {2}
    assert world.told(world.client("7:0")) == ["B1:1 none"]


def test_deletion_that_a_client_has_not_heard_of_replaces_an_older_one() -> None:
    world = ServerWorld()
    bank, client = world.bank(1), world.client("7:0")
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    world.delete("1:0")
    world.post("2:0", "7:0")
    other = world.bank(2)
    world.delete("2:0")
    world.answer(other, rspro.CreateMappingReq)
    assert world.told(client) == ["B1:0 192.0.2.9:9999", "B1:0 none"]


def test_newer_mapping_makes_the_deletion_of_an_older_one_old_news() -> None:
    world = ServerWorld()
    bank = world.bank(1)
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    world.delete("1:0")
    world.post("1:1", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    assert world.rows.releases == set()
    assert world.told(world.client("7:0")) == ["B1:1 192.0.2.9:9999"]


def test_mapping_that_is_refused_after_it_was_active_calls_the_client_back() -> None:
    world = ServerWorld()
    bank, client = world.bank(1), world.client("7:0")
    world.post("1:5", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    world.lose(bank)
    bank = world.bank(1, slots=4)
    world.answer(bank, rspro.CreateMappingReq, ResultCode.ILLEGAL_SLOT_ID)
    assert world.told(client)[-1] == "B1:5 none"
    assert not world.rows.mappings[1].is_acknowledged


def test_second_refusal_is_no_news() -> None:
    world = ServerWorld()
    bank, client = world.bank(1), world.client("7:0")
    world.post("1:9", "7:0")
    world.answer(bank, rspro.CreateMappingReq, ResultCode.ILLEGAL_SLOT_ID)
    world.lose(bank)
    bank = world.bank(1)
    world.answer(bank, rspro.CreateMappingReq, ResultCode.ILLEGAL_SLOT_ID)
    assert world.told(client) == ["B1:9 none"]
