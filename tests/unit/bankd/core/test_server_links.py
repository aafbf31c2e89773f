# SPDX-License-Identifier: Apache-2.0
"""Links to servers: one is active, orders are answered once and in order, everything else is ignored."""

from ipaddress import IPv4Address

import pytest

from remsim.bankd.core.states import ConnectionState
from remsim.core.claims import MAX_CHALLENGERS
from remsim.core.identity import Identity, Proof
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitName
from remsim.wire.errors import DecodeError
from remsim.wire.link.abilities import ABILITIES
from remsim.wire.link.events import IdentityReceived, ReceivedUnknown, Undecodable
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ResultCode, SlotPhysStatus
from tests.doubles.bank import BANKD, SERVER, Bank
from tests.doubles.reaching import reaches

C1, C2, B0 = ClientSlot(1, 0), ClientSlot(2, 0), BankSlot(1, 0)
OWN_SERVER = SERVER.with_abilities(ABILITIES)


def dial_in(bank: Bank) -> int:
    """A server of ours dials the bank."""
    link = bank.link()
    bank.say(link, rspro.ConnectClientReq(OWN_SERVER))
    return link


def accept(bank: Bank, link: int, result: ResultCode = ResultCode.OK) -> None:
    bank.say(link, rspro.ConnectBankRes(OWN_SERVER, result))


def test_dialled_server_is_introduced_to(monkeypatch: pytest.MonkeyPatch) -> None:
    bank = Bank()
    link = bank.link(is_dialled=True)
    assert bank.sent[link] == [rspro.ConnectBankReq(BANKD, 1, 2)]
    assert link not in bank.accepted
    accept(bank, link)
    assert link in bank.accepted
    accept(bank, link)
    assert bank.events().count("server_connected") == 1


def test_requests_are_answered_once_in_order_with_their_tags() -> None:
    bank = Bank()
    server = bank.server()
    requests: list[rspro.Message] = [
        rspro.CreateMappingReq(C1, B0),
        rspro.CreateMappingReq(C1, BankSlot(2, 0)),
        rspro.RemoveMappingReq(C2, B0),
        rspro.RemoveMappingReq(C1, B0),
        rspro.ResetStateReq(),
    ]
    bank.reply_tags[server].clear()
    tags = [bank.say(server, request) for request in requests]
    assert bank.reply_tags[server] == tags
    results = [getattr(message, "result", None) for message in bank.sent[server]]
    wanted = [ResultCode.OK, ResultCode.ILLEGAL_BANK_ID, ResultCode.UNKNOWN_SLOTMAP, ResultCode.OK, ResultCode.OK]
    assert results == wanted


def test_reset_state_closes_served_clients_only() -> None:
    bank = Bank()
    server = bank.server()
    bank.map(server)
    served, waiting = bank.connect(), bank.connect("C2:0")
    bank.say(server, rspro.ResetStateReq())
    assert set(bank.closed) == {served}
    assert waiting not in bank.closed
    # Answered first; then the server hears of the session's end.
    *_, answer, end = bank.sent[server]
    assert answer == rspro.ResetStateRes(ResultCode.OK)
    assert isinstance(end, rspro.SessionStateInd)


def test_loss_of_the_server_disturbs_nobody() -> None:
    bank = Bank()
    server = bank.server()
    bank.map(server)
    client = bank.connect()
    bank.lose(server)
    bank.command(client)
    assert bank.closed == {}
    again = bank.server()
    assert bank.map(again) is ResultCode.OK
    assert bank.closed == {}


def test_messages_that_do_not_belong_are_ignored() -> None:
    bank = Bank()
    link = bank.link(is_dialled=True)
    bank.say(link, rspro.CreateMappingReq(C1, B0))
    assert len(bank.sent[link]) == 1
    accept(bank, link)
    bank.sent[link].clear()
    bank.say(link, rspro.ConfigClientIdReq(C1))
    bank.say(
        link,
        rspro.ErrorInd(SERVER.type, rspro.ErrorSeverity.MINOR, rspro.ErrorCode.UNEXPECTED_DISCONNECT),
    )
    bank.event(link, ReceivedUnknown(40, 1))
    bank.event(link, Undecodable(DecodeError("no"), b""))
    bank.event(link, IdentityReceived())
    assert bank.sent[link] == []
    assert bank.closed == {}
    assert "server_reports_error" in bank.events()
    assert "server_message_undecodable" in bank.events()


def test_peer_that_is_no_server_is_left_and_may_be_tried_again() -> None:
    bank = Bank()
    link = bank.link(is_dialled=True)
    bank.say(link, rspro.ConnectBankRes(BANKD, ResultCode.OK))
    assert link in bank.closed
    assert link not in bank.accepted


def test_refusal_is_logged_once() -> None:
    bank = Bank()
    for _ in range(3):
        link = bank.link(is_dialled=True)
        accept(bank, link, ResultCode.IDENTITY_IN_USE)
        assert link in bank.closed
    levels = [notice.level for notice in bank.cards.notices if notice.name == "server_refused"]
    assert levels == ["warning", "debug", "debug"]


def test_server_that_dials_in_is_introduced_to_and_becomes_active() -> None:
    bank = Bank()
    link = dial_in(bank)
    assert bank.sent[link] == [rspro.ConnectBankReq(BANKD, 1, 2)]
    accept(bank, link)
    assert bank.map(link) is ResultCode.OK
    assert bank.coordinator.state_counts()[ConnectionState.CONNECTED_SERVER] == 1
    bank.lose(link)
    assert bank.coordinator.control.active_server is None
    assert "server_lost" in bank.events()


@pytest.mark.parametrize("classic", [False, True])
def test_unknown_peer_without_slot_is_no_server(classic: bool) -> None:
    bank = Bank()
    link = bank.link()
    identity = SERVER if classic else BANKD.with_abilities(ABILITIES)
    bank.say(link, rspro.ConnectClientReq(identity))
    assert bank.result(link) is ResultCode.ILLEGAL_CLIENT_ID
    assert link in bank.closed


def test_second_server_is_turned_away_while_the_first_one_lives() -> None:
    bank = Bank()
    first = bank.server()
    second, third = dial_in(bank), dial_in(bank)
    assert bank.probed == [first]
    bank.answer_probe(first)
    assert bank.result(second) is bank.result(third) is ResultCode.IDENTITY_IN_USE
    assert set(bank.closed) == {second, third}
    assert bank.coordinator.counts.second_servers == 2
    notices = [notice for notice in bank.cards.notices if notice.name == "second_server"]
    assert {str(notices[0].fields["peer"]), str(notices[0].fields["active_server"])} == {
        "192.0.2.1:40001",
        "192.0.2.1:40002",
    }


def test_second_server_takes_over_from_a_dead_one() -> None:
    bank = Bank()
    first = dial_in(bank)
    accept(bank, first)
    second, third = dial_in(bank), bank.link(is_dialled=True)
    bank.lose(first, "the peer did not answer a probe")
    assert bank.sent[second] == [rspro.ConnectBankReq(BANKD, 1, 2)]
    accept(bank, second)
    accept(bank, third)
    assert third in bank.closed
    assert bank.map(second) is ResultCode.OK


def test_server_that_waits_and_answers_unasked_waits_no_longer() -> None:
    bank = Bank()
    first = bank.server()
    second = dial_in(bank)
    accept(bank, second)
    assert bank.result(second) is ResultCode.IDENTITY_IN_USE
    assert set(bank.closed) == {second}
    bank.answer_probe(first)
    assert bank.coordinator.counts.second_servers == 1


@reaches(LimitName.CHALLENGERS)
def test_one_server_too_many_is_turned_away_while_others_wait() -> None:
    bank = Bank()
    first = bank.server()
    waiting = [dial_in(bank) for _ in range(MAX_CHALLENGERS)]
    last = dial_in(bank)
    assert bank.result(last) is ResultCode.IDENTITY_IN_USE
    assert set(bank.closed) == {last}
    assert bank.coordinator.counts.limits[LimitName.CHALLENGERS] == 1
    assert bank.map(first) is ResultCode.OK
    bank.lose(first)
    assert all(bank.sent[link] == [rspro.ConnectBankReq(BANKD, 1, 2)] for link in waiting)


def test_two_links_of_one_server_do_not_take_over_from_each_other() -> None:
    # A server that we dial while it dials us: both links are introduced before either is accepted.
    proof = Proof(Identity.server("lab"), 1)
    bank = Bank()
    links = [bank.link(is_dialled=True, proof=proof), bank.link(is_dialled=True, proof=proof)]
    for link in links:
        accept(bank, link)
    assert set(bank.closed) == {links[1]}
    assert bank.probed == []
    assert "server_contested" not in bank.events()


def test_waiting_server_that_leaves_is_forgotten() -> None:
    bank = Bank()
    first = bank.server()
    second = dial_in(bank)
    bank.lose(second)
    bank.answer_probe(first)
    assert bank.sent[second] == []
    assert bank.coordinator.counts.second_servers == 0


def test_own_server_hears_of_cards_in_mapped_slots() -> None:
    bank = Bank()
    server = bank.server()
    bank.presence(1, is_present=False)
    bank.map(server)
    bank.sent[server].clear()
    bank.presence(0, is_present=False)
    bank.presence(0, is_present=True)
    states = [SlotPhysStatus(reset_active=False, card_present=present) for present in (False, True)]
    assert bank.sent[server] == [rspro.BankSlotStatusInd(B0, C1, state) for state in states]


def test_own_server_hears_of_a_card_that_is_missing_when_mapped() -> None:
    bank = Bank(has_cards=False)
    server = bank.server()
    bank.map(server)
    assert bank.sent[server][-1] == rspro.BankSlotStatusInd(
        B0, C1, SlotPhysStatus(reset_active=False, card_present=False)
    )


def test_classic_server_hears_nothing_it_could_not_bear() -> None:
    bank = Bank()
    server = bank.server(is_own=False)
    bank.map(server)
    bank.command(bank.connect(), "00fe000000")
    bank.presence(0, is_present=False)
    assert bank.sent[server] == [rspro.CreateMappingRes(ResultCode.OK)]
    bank.lose(server)
    bank.presence(0, is_present=True)
    bank.command(bank.connect(), "00fe000000")


def test_server_of_ours_hears_of_a_missing_card_again_when_it_was_restarted() -> None:
    bank = Bank(has_cards=False)
    first = bank.server()
    bank.map(first)
    bank.lose(first)
    second = bank.server()
    bank.map(second)
    absent = SlotPhysStatus(reset_active=False, card_present=False)
    assert bank.sent[second] == [rspro.CreateMappingRes(ResultCode.OK), rspro.BankSlotStatusInd(B0, C1, absent)]


def test_two_servers_with_one_certificate_do_not_take_over_for_ever() -> None:
    proof = Proof(Identity.server("lab"), 1)
    bank = Bank()
    links: list[int] = []
    for host in ("192.0.2.1", "192.0.2.2", "192.0.2.1"):
        link = bank.link(host, is_dialled=True, proof=proof)
        if links:
            assert bank.closed[links[-1]] == "the server has connected anew"
            bank.lose(links[-1])
        bank.say(link, rspro.ConnectBankRes(SERVER.with_abilities(ABILITIES), ResultCode.OK))
        links.append(link)
    fourth = bank.link("192.0.2.2", is_dialled=True, proof=proof)
    assert bank.probed == [links[-1]]
    bank.answer_probe(links[-1])
    assert fourth in bank.closed
    assert links[-1] not in bank.closed
    error = bank.sent[links[-1]][-1]
    assert isinstance(error, rspro.ErrorInd)
    assert error.error_string is not None
    assert error.error_string.startswith("a second program, at 192.0.2.2")
    assert bank.events().count("server_contested") == 1


def test_server_that_refuses_says_why_before_it_does() -> None:
    bank = Bank()
    link = bank.link(is_dialled=True)
    error = rspro.ErrorInd(
        sender=rspro.ComponentType.REMSIM_SERVER,
        severity=rspro.ErrorSeverity.MAJOR,
        code=rspro.ErrorCode.UNKNOWN_CLIENT_CONNECTED,
        error_string="another program was here first",
    )
    bank.say(link, error)
    (notice,) = [notice for notice in bank.cards.notices if notice.name == "server_reports_error"]
    assert notice.fields["text"] == "another program was here first"


ADDRESSES = (
    rspro.AdvertisedAddress(rspro.IpPort(IPv4Address("192.0.2.1"), 9100), rspro.AddressKind.PLAINTEXT),
    rspro.AdvertisedAddress(rspro.IpPort(IPv4Address("192.0.2.1"), 9101), rspro.AddressKind.TLS),
)


@pytest.mark.parametrize("addresses", [None, ADDRESSES])
def test_server_of_ours_hears_where_clients_reach_the_bank_before_anything_else(
    addresses: tuple[rspro.AdvertisedAddress, ...] | None,
) -> None:
    bank = Bank()
    bank.coordinator.control.advertise = addresses
    link = bank.link(is_dialled=True)
    # The request itself is the classic one: what a strict decoder does not know, it would refuse.
    assert bank.sent[link] == [rspro.ConnectBankReq(BANKD, 1, 2)]
    accept(bank, link)
    bank.say(link, rspro.CreateMappingReq(C1, B0))
    assert bank.sent[link][1] == rspro.AddressesInd(addresses or ())
    assert any(isinstance(message, rspro.CreateMappingRes) for message in bank.sent[link][2:])


@pytest.mark.parametrize("named", [None, ("echo.1",)])
def test_server_that_does_not_take_addresses_hears_of_none(named: tuple[str, ...] | None) -> None:
    bank = Bank()
    bank.coordinator.control.advertise = ADDRESSES
    link = bank.link(is_dialled=True)
    bank.say(link, rspro.ConnectBankRes(SERVER.with_abilities(named), ResultCode.OK))
    assert [type(message) for message in bank.sent[link]] == [rspro.ConnectBankReq]
