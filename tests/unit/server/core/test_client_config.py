# SPDX-License-Identifier: Apache-2.0
"""What clients are told, and when not."""

from ipaddress import ip_address

import pytest

from remsim.core.identity import Identity, Proof
from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core.client_config import no_address
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import AddressKind, AdvertisedAddress, IpPort, ResultCode
from tests.doubles.server_world import BANKD, ServerWorld


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


def test_client_that_has_the_same_slot_again_is_not_told_of_the_deletion() -> None:
    world = ServerWorld()
    bank = world.bank(1)
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    world.delete("1:0")
    world.answer(bank, rspro.RemoveMappingReq)
    world.post("1:0", "7:0")
    client = world.client("7:0")
    assert world.told(client) == []
    world.answer(bank, rspro.CreateMappingReq, ResultCode.ILLEGAL_SLOT_ID)
    assert world.told(client) == ["B1:0 none"]


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


def test_newer_mapping_makes_the_deletion_of_an_older_one_obsolete() -> None:
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


def test_second_refusal_tells_nothing_new() -> None:
    world = ServerWorld()
    bank, client = world.bank(1), world.client("7:0")
    world.post("1:9", "7:0")
    world.answer(bank, rspro.CreateMappingReq, ResultCode.ILLEGAL_SLOT_ID)
    world.lose(bank)
    bank = world.bank(1)
    world.answer(bank, rspro.CreateMappingReq, ResultCode.ILLEGAL_SLOT_ID)
    assert world.told(client) == ["B1:9 none"]


def test_address_of_a_bankd_that_returns_is_the_last_one_until_it_says_so() -> None:
    world = ServerWorld()
    bank, client = world.bank(1, advertise=advertise("192.0.2.1")), world.client("7:0")
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    world.lose(bank)
    bank = world.up("192.0.2.99")
    world.receive(bank, rspro.ConnectBankReq(BANKD.with_abilities(("advertise.1",)), 1, 8))
    another = world.client("8:0")
    assert world.told(client) == ["B1:0 192.0.2.1:9990"]
    world.receive(bank, rspro.AddressesInd(advertise("192.0.2.2")))
    world.answer(bank, rspro.CreateMappingReq)
    assert world.told(client) == ["B1:0 192.0.2.1:9990", "B1:0 192.0.2.2:9990"]
    assert world.told(another) == []


def test_classic_bankd_is_where_it_calls_from_whatever_was_before() -> None:
    world = ServerWorld()
    bank, client = world.bank(1, advertise=advertise("192.0.2.1")), world.client("7:0")
    world.lose(bank)
    bank = world.bank(1, "192.0.2.50")
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    assert world.told(client) == ["B1:0 192.0.2.50:9999"]


CERTIFIED_CLIENT = Proof(Identity.client(7), 1)


def test_client_that_cannot_be_sent_to_its_bankd_is_told_why_once() -> None:
    """Mapped, and nobody says a word: a certified client, and a bankd without a TLS address."""
    world = ServerWorld()
    bank = world.bank(1)
    client = world.client("7:0", is_own=True, proof=CERTIFIED_CLIENT)
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    (error,) = [message for message in world.messages(client) if isinstance(message, rspro.ErrorInd)]
    assert error.error_string is not None
    assert "no TLS address" in error.error_string
    assert (str(error.bank_slot), str(error.client_slot)) == ("B1:0", "C7:0")
    peer = world.coordinator.peers.by_client(ClientSlot(7, 0))
    assert peer is not None
    assert peer.address_problem == error.error_string
    # The bankd has got a certificate.
    world.receive(bank, rspro.AddressesInd((*advertise("192.0.2.9"), said_tls("192.0.2.9"))))
    assert peer.address_problem == ""
    assert world.told(client) == ["B1:0 192.0.2.9:9990"]


def said_tls(host: str) -> AdvertisedAddress:
    return AdvertisedAddress(IpPort(ip_address(host), 9990), AddressKind.TLS)


def test_classic_client_is_not_told_in_a_message_that_it_does_not_know() -> None:
    world = ServerWorld()
    bank, client = world.bank(1, advertise=advertise("2001:db8::1")), world.client("7:0")
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    assert not [message for message in world.messages(client) if isinstance(message, rspro.ErrorInd)]


def test_absence_of_a_card_is_forgotten_with_a_new_mapping() -> None:
    """A bankd that still has none says so behind its answer; while nothing is mapped it may say nothing."""
    world = ServerWorld()
    bank = world.bank(1, is_own=True)
    gone = rspro.SlotPhysStatus(reset_active=False, card_present=False)
    world.receive(bank, rspro.BankSlotStatusInd(BankSlot(1, 0), ClientSlot(7, 0), gone))
    peer = world.coordinator.peers.by_bank(1)
    assert peer is not None
    assert peer.slot_status == {0: gone}
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    assert peer.slot_status == {}


@pytest.mark.parametrize(
    ("kind", "is_ipv6_only", "words"),
    [
        (AddressKind.TLS, False, "no TLS address"),
        (AddressKind.PLAINTEXT, False, "no plaintext address"),
        (AddressKind.PLAINTEXT, True, "IPv6 addresses only"),
    ],
)
def test_missing_address_says_what_is_missing(kind: AddressKind, is_ipv6_only: bool, words: str) -> None:
    assert words in no_address(1, kind=kind, is_ipv6_only=is_ipv6_only)
