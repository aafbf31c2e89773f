# SPDX-License-Identifier: Apache-2.0
"""Peers and mappings as JSON objects."""

from ipaddress import ip_address

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.api.v1 import views
from remsim.server.api.v1.views import Json
from remsim.server.core.peers import Peer
from remsim.server.core.slotmap import Mapping, MappingState
from remsim.server.query import BankInfo, ClientInfo, MappingInfo, RuntimeStatus, SlotInfo
from remsim.wire.link.actions import LinkId, PeerAddress
from remsim.wire.messages import rspro
from remsim.wire.messages.extensions import CardInd
from remsim.wire.messages.health import SessionPhase
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, IpPort, ResultCode, SlotPhysStatus
from tests.doubles.server_world import ServerWorld

#: A server without peers and mappings.
COORDINATOR, STATUS = ServerWorld().coordinator, RuntimeStatus()


def make_peer(kind: ComponentType, abilities: tuple[str, ...] | None = None) -> Peer:
    peer = Peer(LinkId(1), PeerAddress(ip_address("192.0.2.1"), 4000), since=0.0)
    peer.identity = ComponentIdentity(
        kind, "n", "remsim-s", "1", "maker", "model", "serial", "hw", "fw"
    ).with_abilities(abilities)
    return peer


def bank_peer() -> Peer:
    peer = make_peer(ComponentType.REMSIM_BANKD, ("echo.1",))
    peer.bank_id = 3
    return peer


def shown_bank(peer: Peer) -> Json:
    return views.bank(BankInfo(peer, COORDINATOR, STATUS), more=True)


def shown_client(peer: Peer) -> Json:
    return views.client(ClientInfo(peer, COORDINATOR, STATUS), more=True)


def test_cards_are_shown_with_shortened_numbers() -> None:
    shown = views.cards({0: "8900101000000000018", 3: "89"})
    assert shown == [{"slotNr": 0, "iccid": "890010…0018"}, {"slotNr": 3, "iccid": "…"}]
    world = ServerWorld()
    link = world.bank(3, is_own=True)
    for slot_nr in (0, 3):
        world.receive(link, CardInd(BankSlot(3, slot_nr), "8900101000000000018"))
    peer = world.coordinator.peers.by_bank(3)
    assert peer is not None
    assert views.bank(BankInfo(peer, world.coordinator, STATUS), more=True)["knownCards"] == 2
    # A bankd that does not tell of its cards may have any number of them.
    assert "knownCards" not in shown_bank(bank_peer())


@pytest.mark.parametrize("number", [0, 65536, 65538, 67044351])
def test_mapping_number_goes_both_ways(number: int) -> None:
    slot = views.slot_of(number)
    assert slot is not None
    assert views.slotmap_id(slot) == number


@pytest.mark.parametrize("number", [1024, 67044352, 1 << 26, (1 << 64) - 1])
def test_number_that_no_slot_has(number: int) -> None:
    assert views.slot_of(number) is None


@pytest.mark.parametrize(
    ("result", "name"), [(0, "ok"), (3, "illegalSlotId"), (100, "cardNotPresent"), (77, "unknown77")]
)
def test_result_has_its_name_of_the_schema(result: int, name: str) -> None:
    assert views.result_name(result) == name


def test_time_is_iso_8601() -> None:
    assert views.time_text(1_000_000_000.5) == "2001-09-09T01:46:40.500Z"


def test_component_shows_everything_that_was_sent() -> None:
    peer = make_peer(ComponentType.REMSIM_SERVER)
    assert peer.identity is not None
    assert "hwModel" not in views.component(peer.identity, more=False)
    assert views.component(peer.identity, more=True) == {
        "type_": "remsimServer",
        "name": "n",
        "software": "remsim-s",
        "swVersion": "1",
        "hwManufacturer": "maker",
        "hwModel": "model",
        "hwSerialNr": "serial",
        "hwVersion": "hw",
        "fwVersion": "fw",
    }


def test_refused_mapping_is_unacknowledged_with_its_result() -> None:
    mapping = Mapping(1, BankSlot(1, 9), ClientSlot(7, 0), 0.0, initial=MappingState.REFUSED, result=3)
    info = MappingInfo(mapping, COORDINATOR, STATUS)
    assert views.mapping(info, more=False) == {
        "bank": {"bankId": 1, "slotNr": 9},
        "client": {"clientId": 7, "slotNr": 0},
        "state": "UNACKNOWLEDGED",
    }
    shown = views.mapping(info, more=True)
    assert shown["problem"] == "bank 1 has no slot 9"
    assert (shown["state"], shown["result"]) == ("UNACKNOWLEDGED", "illegalSlotId")


@pytest.mark.parametrize(("client", "shown"), [(ClientSlot(7, 0), True), (ClientSlot(7, 1), False)])
def test_session_of_a_mapping_is_shown_with_its_age(client: ClientSlot, shown: bool) -> None:
    mapping, world = Mapping(1, BankSlot(1, 0), ClientSlot(7, 0), 0.0), ServerWorld()
    bank = world.bank(1, is_own=True)
    world.receive(bank, rspro.SessionStateInd(BankSlot(1, 0), client, SessionPhase.DETACHED, 1500, 3))
    info = MappingInfo(mapping, world.coordinator, RuntimeStatus(now=lambda: world.now + 0.3))
    expected = {"state": "DETACHED", "ageS": 1.8, "cuts": 3}
    assert views.mapping(info, more=True).get("session") == (expected if shown else None)
    assert "session" not in views.mapping(info, more=False)


@pytest.mark.parametrize(("is_bank_there", "state"), [(False, "NEW"), (True, "UNACKNOWLEDGED")])
def test_new_mapping_of_a_bank_that_is_there_is_unacknowledged(is_bank_there: bool, state: str) -> None:
    # While the database is told that the bankd may know, nobody needs to see a state that v1 does not have there.
    mapping, world = Mapping(1, BankSlot(1, 9), ClientSlot(7, 0), 0.0), ServerWorld()
    if is_bank_there:
        world.bank(1)
    assert views.mapping(MappingInfo(mapping, world.coordinator, STATUS), more=False)["state"] == state


def test_peer_that_is_nothing_yet_shows_its_address() -> None:
    peer = Peer(LinkId(1), PeerAddress(ip_address("192.0.2.1"), 4000), since=0.0)
    assert views.client(ClientInfo(peer, COORDINATOR, STATUS), more=False) == {
        "peer": "192.0.2.1:4000",
        "state": "ESTABLISHED",
    }
    assert shown_client(peer) == {
        "peer": "192.0.2.1:4000",
        "state": "ESTABLISHED",
        "address": "192.0.2.1:4000",
        "connectedAt": "1970-01-01T00:00:00.000Z",
    }


def test_peer_with_whose_certificate_another_program_came_shows_from_where() -> None:
    peer = bank_peer()
    assert "contestedBy" not in shown_bank(peer)
    peer.contested_by = "192.0.2.2"
    assert shown_bank(peer)["contestedBy"] == "192.0.2.2"


def test_slot_shows_a_reader_that_does_not_work() -> None:
    world = ServerWorld()
    link = world.bank(3, is_own=True)
    peer = world.coordinator.peers.by_bank(3)
    assert peer is not None
    world.receive(link, rspro.ReaderHealthInd(BankSlot(3, 1), rspro.ReaderState.SUSPENDED, 4, "card mute"))
    info = BankInfo(peer, world.coordinator, STATUS)
    assert views.slot(info.slots[1]) == {
        "slotNr": 1,
        "reader": {"state": "suspended", "failures": 4, "cause": "card mute"},
    }
    world.receive(link, rspro.ReaderHealthInd(BankSlot(3, 1), rspro.ReaderState.PROBING, 4))
    assert views.slot(info.slots[1])["reader"] == {"state": "probing", "failures": 4}
    assert "reader" not in views.slot(info.slots[0])


def test_client_shows_what_it_was_told_and_whether_it_obeyed() -> None:
    peer = make_peer(ComponentType.REMSIM_CLIENT)
    peer.announced = rspro.ConfigClientBankReq(BankSlot(1, 2), IpPort(ip_address("192.0.2.9"), 9999))
    told: Json = {"bank": {"bankId": 1, "slotNr": 2}, "ip": "192.0.2.9", "port": 9999}
    assert shown_client(peer)["told"] == told
    peer.announced_result = ResultCode.OK
    assert shown_client(peer)["told"] == told | {"result": "ok"}


def test_bank_shows_abilities_and_slots() -> None:
    peer = bank_peer()
    peer.slot_status = {
        2: SlotPhysStatus(reset_active=False, card_present=True),
        1: SlotPhysStatus(reset_active=True, vcc_present=False, clk_active=False, card_present=False),
    }
    assert shown_bank(peer)["abilities"] == ["echo.1"]
    mapping = Mapping(1, BankSlot(3, 2), ClientSlot(7, 0), 0.0)
    mapped = MappingInfo(mapping, COORDINATOR, STATUS)
    assert views.slot(SlotInfo(1, peer.slot_status[1])) == {
        "slotNr": 1,
        "resetActive": True,
        "vccPresent": False,
        "clkActive": False,
        "cardPresent": False,
    }
    assert views.slot(SlotInfo(2, peer.slot_status[2], "8900101000000000018", mapped)) == {
        "slotNr": 2,
        "resetActive": False,
        "cardPresent": True,
        "iccid": "890010…0018",
        "mapping": views.mapping(mapped, more=True),
    }
    assert views.slot(SlotInfo(3)) == {"slotNr": 3}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ((None, None, None), {}),
        ((BankSlot(3, 1), None, "broken"), {"bank": {"bankId": 3, "slotNr": 1}, "text": "broken"}),
        ((None, ClientSlot(7, 0), None), {"client": {"clientId": 7, "slotNr": 0}}),
    ],
)
def test_last_error_is_shown(error: tuple[BankSlot | None, ClientSlot | None, str | None], expected: Json) -> None:
    peer = bank_peer()
    peer.error_count = 2
    peer.last_error = rspro.ErrorInd(
        ComponentType.REMSIM_BANKD, rspro.ErrorSeverity.MAJOR, rspro.ErrorCode.UNEXPECTED_DISCONNECT, *error
    )
    shown = shown_bank(peer)
    assert shown["errors"] == 2
    assert shown["lastError"] == {"severity": "major", "code": "unexpectedDisconnect"} | expected
