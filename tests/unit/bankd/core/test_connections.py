# SPDX-License-Identifier: Apache-2.0
"""Connections of clients: who gets in, what they hear, and what ends them."""

from collections.abc import Callable

import pytest

from remsim.bankd.core import connections, session
from remsim.bankd.core.actions import CardAttached, CardDetached, FaultKind
from remsim.bankd.core.states import ConnectionState
from remsim.core.claims import MAX_CHALLENGERS
from remsim.core.identity import Identity, Proof
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitName
from remsim.wire.errors import DecodeError
from remsim.wire.link.events import Event, IdentityReceived, ReceivedUnknown, Undecodable, UnsupportedVersion
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ResultCode, SlotPhysStatus
from tests.doubles.bank import CLIENT, Bank, Transmit, stub_atr
from tests.doubles.reaching import reaches

ATR_REQ = rspro.SetAtrReq(ClientSlot(1, 0), stub_atr(0))


def kinds(bank: Bank, link: int) -> list[str]:
    return [type(message).__name__ for message in bank.sent[link]]


def at_rest(bank: Bank) -> bool:
    return bank.coordinator.is_at_rest


def status(*, rst: bool, vcc: bool | None = None) -> rspro.ClientSlotStatusInd:
    return rspro.ClientSlotStatusInd(ClientSlot(9, 9), BankSlot(9, 9), SlotPhysStatus(rst, vcc))


@pytest.fixture
def bank() -> Bank:
    bank = Bank()
    bank.map(bank.server())
    return bank


def test_mapped_client_is_accepted_and_gets_the_atr(bank: Bank) -> None:
    client = bank.connect()
    assert bank.result(client) is ResultCode.OK
    assert bank.sent[client][1] == ATR_REQ
    assert client in bank.accepted
    (attached,) = bank.attached
    assert isinstance(attached, CardAttached)
    assert (attached.link, attached.client, attached.bank_slot) == (client, ClientSlot(1, 0), BankSlot(1, 0))


def test_answer_carries_the_tag_of_the_request(bank: Bank) -> None:
    client = bank.connect()
    tag = bank.command(client)
    assert bank.reply_tags[client] == [tag - 1, None, tag]


@pytest.mark.parametrize(
    ("is_own", "result"), [(False, ResultCode.CARD_NOT_PRESENT), (True, ResultCode.UNKNOWN_SLOTMAP)]
)
def test_unmapped_client_stays_connected(bank: Bank, is_own: bool, result: ResultCode) -> None:
    client = bank.connect("C2:0", is_own=is_own)
    assert bank.result(client) is result
    assert client not in bank.closed
    assert bank.coordinator.state_counts()[ConnectionState.CONNECTED_CLIENT_WAIT_MAP] == 1


@pytest.mark.parametrize(
    ("kind", "own_result"),
    [
        (FaultKind.NO_READER, ResultCode.CARD_NOT_PRESENT),
        (FaultKind.NO_CARD, ResultCode.CARD_NOT_PRESENT),
        (FaultKind.BUSY, ResultCode.CARD_UNRESPONSIVE),
        (FaultKind.MUTE, ResultCode.CARD_UNRESPONSIVE),
        (FaultKind.PROTOCOL, ResultCode.CARD_TRANSMISSION_ERROR),
        (FaultKind.TRANSMISSION, ResultCode.CARD_TRANSMISSION_ERROR),
    ],
)
@pytest.mark.parametrize("is_own", [False, True])
def test_card_that_cannot_be_opened_is_told_apart_for_own_clients_only(
    bank: Bank, kind: FaultKind, own_result: ResultCode, is_own: bool
) -> None:
    bank.cards.faults[0] = kind
    client = bank.connect(is_own=is_own)
    assert bank.result(client) is (own_result if is_own else ResultCode.CARD_NOT_PRESENT)
    assert client not in bank.closed


def test_late_mapping_serves_the_waiting_client(bank: Bank) -> None:
    client = bank.connect("C2:0", is_own=True)
    bank.map(1, "C2:0", "B1:1")
    assert kinds(bank, client) == ["ConnectClientRes", "SetAtrReq", "BankSlotStatusInd"]


def test_slow_card_is_not_waited_for_longer_than_a_classic_client_does(bank: Bank) -> None:
    bank.is_automatic = False
    client = bank.connect()
    bank.wait(bank.now + connections.CONNECT_ANSWER_S - 0.1)
    assert bank.sent[client] == []
    bank.wait(bank.now + 0.2)
    assert bank.result(client) is ResultCode.CARD_NOT_PRESENT
    bank.let_cards_act()
    assert kinds(bank, client) == ["ConnectClientRes", "SetAtrReq"]


@pytest.mark.parametrize("is_second", [False, True])
def test_connect_request_without_slot_or_repeated_is_refused(bank: Bank, is_second: bool) -> None:
    client = bank.connect("C1:0" if is_second else None)
    if is_second:
        bank.introduce(client)
    results = [m.result for m in bank.sent[client] if isinstance(m, rspro.ConnectClientRes)]
    assert results[-1] is ResultCode.ILLEGAL_CLIENT_ID
    assert client in bank.closed
    assert bank.coordinator.counts.protocol_errors == 1


def test_client_zero_is_an_ordinary_client(bank: Bank) -> None:
    idle = bank.link()
    other = bank.connect("C2:0")
    bank.map(1, "C0:0", "B1:1")
    assert bank.sent[idle] == []
    assert kinds(bank, other) == ["ConnectClientRes"]
    client = bank.connect("C0:0")
    assert bank.result(client) is ResultCode.OK


def test_removed_mapping_closes_the_client_and_powers_off(bank: Bank) -> None:
    client = bank.connect()
    bank.say(1, rspro.RemoveMappingReq(ClientSlot(1, 0), BankSlot(1, 0)))
    assert bank.closed == {client: "mapping removed"}
    assert bank.cards.log == [(0, "open"), (0, "close")]
    bank.lose(client)


def test_removed_mapping_of_a_client_that_is_not_there_closes_nobody(bank: Bank) -> None:
    bank.say(1, rspro.RemoveMappingReq(ClientSlot(1, 0), BankSlot(1, 0)))
    assert bank.closed == {}


def test_card_is_powered_off_before_the_next_client_gets_it(bank: Bank) -> None:
    first = bank.connect()
    bank.is_automatic = False
    bank.command(first)
    bank.map(1, "C2:0", "B1:0")
    assert first in bank.closed
    second = bank.connect("C2:0")
    assert bank.pending == [Transmit(0, bytes.fromhex("00b0000001"))]
    bank.let_cards_act()
    bank.is_automatic = True
    bank.let_cards_act()
    assert [what.split()[0] for _slot, what in bank.cards.log] == ["open", "transmit", "close", "open"]
    assert kinds(bank, second) == ["ConnectClientRes", "SetAtrReq"]
    assert "TpduCardToModem" not in kinds(bank, first)


def test_client_that_leaves_while_its_card_is_opened_hands_it_to_the_next(bank: Bank) -> None:
    bank.is_automatic = False
    first = bank.connect()
    bank.lose(first)
    second = bank.connect()
    bank.let_cards_act()
    assert bank.cards.log == [(0, "open")]
    assert kinds(bank, second) == ["ConnectClientRes", "SetAtrReq"]


@pytest.mark.parametrize(
    "disturb",
    [
        lambda bank, link: bank.command(link, bank="B1:1"),
        lambda bank, link: bank.command(link, client="C1:1"),
        lambda bank, link: bank.command(link, ""),
        lambda bank, link: bank.command(link, "00" * 261),
        lambda bank, link: bank.say(link, rspro.ResetStateReq()),
        lambda bank, link: bank.say(link, rspro.SetAtrReq(ClientSlot(1, 0), b"\x3b\x00")),
        lambda bank, link: bank.event(link, ReceivedUnknown(40, 1)),
        lambda bank, link: bank.event(link, Undecodable(DecodeError("no"), b"")),
        lambda bank, link: bank.event(link, UnsupportedVersion(3, rspro.ResetStateReq())),
    ],
)
def test_what_does_not_belong_ends_the_connection_and_powers_off(
    bank: Bank, disturb: Callable[[Bank, int], object]
) -> None:
    client = bank.connect()
    disturb(bank, client)
    assert client in bank.closed
    assert bank.cards.log[-1] == (0, "close")
    assert bank.coordinator.counts.protocol_errors == 1
    bank.lose(client)
    bank.command(client)


@pytest.mark.parametrize(
    ("sent", "tpdu"),
    [
        ("00a4000c023f0000", "00a4000c023f00"),
        ("80f20000000168", "80f2000000"),
        ("00d600000000021122", "00d60000021122"),
    ],
)
def test_apdu_in_place_of_a_tpdu_reaches_the_card_as_one(bank: Bank, sent: str, tpdu: str) -> None:
    # Programs of PC/SC name Le behind their data.
    client = bank.connect()
    bank.command(client, sent)
    bank.let_cards_act()
    assert bank.cards.log == [(0, "open"), (0, f"transmit {tpdu}")]


@pytest.mark.parametrize("tpdu", ["00", "00b00000", "00a40004023f", "00a4000c023f000000", "00d6000000000311"])
def test_what_is_no_command_is_answered_without_the_card(bank: Bank, tpdu: str) -> None:
    client = bank.connect()
    tag = bank.command(client, tpdu)
    assert client not in bank.closed
    assert bank.sent[client][-1] == rspro.TpduCardToModem(BankSlot(1, 0), ClientSlot(1, 0), rspro.NO_FLAGS, b"\x67\x00")
    assert bank.reply_tags[client][-1] == tag
    assert bank.cards.log == [(0, "open")]


def test_set_atr_res_and_ccm_messages_are_ignored(bank: Bank) -> None:
    client = bank.connect()
    bank.say(client, rspro.SetAtrRes(ResultCode.OK))
    event: Event = IdentityReceived()
    bank.event(client, event)
    assert bank.closed == {}


def test_command_without_card_ends_the_connection(bank: Bank) -> None:
    unmapped = bank.connect("C2:0", is_own=True)
    bank.command(unmapped, client="C2:0")
    before_identification = bank.link()
    bank.command(before_identification)
    bank.presence(0, is_present=False)
    classic = bank.connect()
    bank.command(classic)
    assert set(bank.closed) == {unmapped, before_identification, classic}


def test_command_that_crosses_the_report_of_a_lost_card_is_dropped(bank: Bank) -> None:
    client = bank.connect(is_own=True)
    bank.presence(0, is_present=False)
    bank.command(client)
    assert bank.closed == {}
    assert bank.attached[-1] == CardDetached(bank.coordinator.clients.connections.popitem()[0])
    assert not any("transmit" in what for _slot, what in bank.cards.log)


def test_commands_and_resets_are_done_in_order(bank: Bank) -> None:
    client = bank.connect()
    bank.is_automatic = False
    tags = [bank.command(client, "00b0000001")]
    bank.say(client, status(rst=True))
    tags.append(bank.command(client, "00b0000102"))
    bank.say(client, status(rst=False, vcc=False))
    for _ in range(4):
        bank.let_cards_act()
    assert [what for _slot, what in bank.cards.log] == [
        "open",
        "transmit 00b0000001",
        "warm",
        "transmit 00b0000102",
        "cold",
    ]
    assert bank.reply_tags[client][2:] == tags


@reaches(LimitName.QUEUED_COMMANDS)
def test_too_many_waiting_commands_end_the_connection(bank: Bank) -> None:
    bank.map(1, "C2:0", "B1:1")
    neighbour = bank.connect("C2:0")
    client = bank.connect()
    bank.is_automatic = False
    for _ in range(session.MAX_QUEUED + 1):
        bank.command(client)
    assert client not in bank.closed
    bank.command(client)
    assert set(bank.closed) == {client}
    assert bank.coordinator.counts.limits[LimitName.QUEUED_COMMANDS] == 1
    bank.let_cards_act()
    bank.is_automatic = True
    bank.command(neighbour, client="C2:0", bank="B1:1")
    assert kinds(bank, neighbour)[-1] == "TpduCardToModem"


def test_reset_memory_is_fresh_for_every_connection(bank: Bank) -> None:
    first = bank.connect()
    bank.say(first, status(rst=False, vcc=False))
    bank.lose(first)
    second = bank.connect()
    bank.say(second, status(rst=False, vcc=False))
    assert [what for _slot, what in bank.cards.log] == ["open", "cold", "close", "open", "cold"]


def test_lines_are_remembered_before_there_is_a_card(bank: Bank) -> None:
    client = bank.link()
    bank.say(client, status(rst=True))
    bank.introduce(client)
    bank.say(client, status(rst=True))
    assert bank.cards.log == [(0, "open")]


def test_newcomer_is_refused_if_the_older_connection_lives(bank: Bank) -> None:
    old = bank.connect()
    new, third = bank.connect(), bank.connect()
    assert bank.probed == [old]
    assert bank.sent[new] == []
    bank.answer_probe(old)
    assert bank.result(new) is bank.result(third) is ResultCode.IDENTITY_IN_USE
    assert set(bank.closed) == {new, third}
    assert bank.coordinator.counts.duplicate_clients == 2
    assert bank.command(old)
    assert kinds(bank, old)[-1] == "TpduCardToModem"


def test_newcomer_wins_if_the_older_connection_is_dead(bank: Bank) -> None:
    old = bank.connect()
    new, third = bank.connect(), bank.connect()
    bank.lose(old, "the peer did not answer a probe")
    assert bank.result(new) is ResultCode.OK
    assert bank.cards.log == [(0, "open"), (0, "close"), (0, "open")]
    assert bank.probed == [old, new]
    assert bank.sent[third] == []


C1_PROOF = Proof(Identity.client(1), 1)
SECOND_HOST = "192.0.2.9"


def take_turns(bank: Bank, *, is_own: bool = True) -> tuple[list[int], int]:
    """Two programs with one certificate come in turns; the links that were let in, and the one that was not."""
    let_in: list[int] = []
    for host in ("192.0.2.1", SECOND_HOST, "192.0.2.1"):
        link = bank.link(host, proof=C1_PROOF)
        bank.introduce(link, is_own=is_own)
        if let_in:
            assert bank.closed[let_in[-1]] == "its holder has connected anew"
        let_in.append(link)
        bank.now += 1
    fourth = bank.link(SECOND_HOST, proof=C1_PROOF)
    bank.introduce(fourth, is_own=is_own)
    return let_in, fourth


def test_two_programs_with_one_certificate_do_not_take_over_for_ever(bank: Bank) -> None:
    let_in, fourth = take_turns(bank)
    assert let_in[-1] not in bank.closed
    assert bank.probed == [let_in[-1]]
    bank.answer_probe(let_in[-1])
    assert bank.result(fourth) is ResultCode.IDENTITY_IN_USE
    assert let_in[-1] not in bank.closed
    for link, words in ((let_in[-1], f"a second program, at {SECOND_HOST}"), (fourth, "another program, at 192.0.2.1")):
        (error,) = [message for message in bank.sent[link] if isinstance(message, rspro.ErrorInd)]
        assert error.error_string is not None
        assert error.error_string.startswith(words)
        assert "stop one of the two programs" in error.error_string
    assert bank.events().count("client_contested") == 1
    # It comes again and again, and is refused without a word.
    for _ in range(3):
        bank.now += 50
        again = bank.link(SECOND_HOST, proof=C1_PROOF)
        bank.introduce(again, is_own=True)
        bank.answer_probe(let_in[-1])
        assert bank.result(again) is ResultCode.IDENTITY_IN_USE
    assert bank.events().count("client_contested") == 1
    assert bank.coordinator.clients.claims.contest_refusals == 4


def test_program_that_comes_back_often_gets_in_when_its_old_link_is_dead(bank: Bank) -> None:
    let_in, fourth = take_turns(bank, is_own=False)
    bank.lose(let_in[-1], "the peer did not answer a probe")
    assert bank.result(fourth) is ResultCode.OK
    assert "client_contested" not in bank.events()


def test_contest_of_classic_clients_is_told_in_the_log_only(bank: Bank) -> None:
    let_in, fourth = take_turns(bank, is_own=False)
    bank.answer_probe(let_in[-1])
    assert not any(isinstance(message, rspro.ErrorInd) for link in (let_in[-1], fourth) for message in bank.sent[link])
    assert bank.events().count("client_contested") == 1


def test_program_that_comes_back_goes_before_those_that_wait(bank: Bank) -> None:
    old = bank.connect(proof=C1_PROOF)
    renewed = bank.connect(proof=Proof(Identity.client(1), 2))
    assert bank.probed == [old]
    back = bank.connect(proof=C1_PROOF)
    assert set(bank.closed) == {old}
    assert bank.result(back) is ResultCode.OK
    assert bank.probed == [old, back]
    assert bank.sent[renewed] == []


def test_newcomer_that_leaves_is_forgotten(bank: Bank) -> None:
    old = bank.connect()
    new = bank.connect()
    bank.lose(new)
    bank.answer_probe(old)
    assert bank.sent[new] == []
    assert bank.coordinator.counts.duplicate_clients == 0


def test_newcomer_that_introduces_itself_twice_is_refused(bank: Bank) -> None:
    bank.connect()
    new = bank.connect()
    bank.introduce(new)
    assert bank.result(new) is ResultCode.ILLEGAL_CLIENT_ID
    assert new in bank.closed


@reaches(LimitName.UNSERVED)
def test_oldest_connection_without_a_card_makes_room(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_UNSERVED", 3)
    served = bank.connect()
    links = [bank.link() for _ in range(4)]
    assert set(bank.closed) == {links[0]}
    assert served not in bank.closed
    assert bank.coordinator.counts.crowded_out == 1
    assert bank.coordinator.counts.limits[LimitName.UNSERVED] == 1


@reaches(LimitName.UNSERVED_PER_SOURCE)
def test_source_with_too_many_makes_room_among_its_own(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_UNSERVED_PER_SOURCE", 2)
    patient = bank.link("192.0.2.9")
    links = [bank.link() for _ in range(3)]
    assert set(bank.closed) == {links[0]}
    assert bank.coordinator.counts.limits[LimitName.UNSERVED_PER_SOURCE] == 1
    bank.introduce(patient)
    assert bank.result(patient) is ResultCode.OK


@reaches(LimitName.CHALLENGERS)
def test_one_challenger_too_many_for_a_client_is_refused_and_the_holder_stays(bank: Bank) -> None:
    holder = bank.connect()
    challengers = [bank.connect() for _ in range(MAX_CHALLENGERS)]
    last = bank.connect()
    assert bank.result(last) is ResultCode.IDENTITY_IN_USE
    assert set(bank.closed) == {last}
    assert bank.coordinator.counts.limits[LimitName.CHALLENGERS] == 1
    assert all(bank.sent[link] == [] for link in challengers)
    bank.command(holder)
    assert kinds(bank, holder)[-1] == "TpduCardToModem"
    bank.lose(holder)
    assert bank.result(challengers[0]) is ResultCode.OK


def test_stop_closes_idle_clients_at_once_and_busy_ones_after_their_answer(bank: Bank) -> None:
    bank.map(1, "C2:0", "B1:1")
    busy, idle, unknown = bank.connect(is_own=True), bank.connect("C2:0"), bank.link()
    bank.is_automatic = False
    bank.command(busy)
    bank.command(busy)
    bank.do(bank.coordinator.stop(bank.now))
    assert set(bank.closed) == {idle, unknown}
    assert not at_rest(bank)
    for _ in range(3):
        bank.let_cards_act()
    assert busy in bank.closed
    assert kinds(bank, busy).count("TpduCardToModem") == 1
    assert at_rest(bank)
    assert bank.coordinator.state_counts()[ConnectionState.INIT] == 2


def test_stop_closes_newcomers_too(bank: Bank) -> None:
    old, new = bank.connect(), bank.connect()
    bank.do(bank.coordinator.stop(bank.now))
    assert set(bank.closed) == {old, new}


def test_stop_lets_no_newcomer_take_the_place_of_another(bank: Bank) -> None:
    # A certificate that was renewed, and two connections with it while the one with the old certificate is probed.
    old = bank.connect(proof=Proof(Identity.client(1), 1))
    new = [bank.connect(proof=Proof(Identity.client(1), 2)) for _ in range(2)]
    bank.do(bank.coordinator.stop(bank.now))
    assert set(bank.closed) == {old, *new}
    assert at_rest(bank)


def test_connection_that_comes_up_after_the_stop_is_closed(bank: Bank) -> None:
    bank.do(bank.coordinator.stop(bank.now))
    late = bank.link()
    assert set(bank.closed) == {late}
    assert at_rest(bank)


def test_client_busy_at_the_stop_whose_card_fails_is_closed(bank: Bank) -> None:
    busy = bank.connect(is_own=True)
    bank.is_automatic = False
    bank.command(busy)
    bank.do(bank.coordinator.stop(bank.now))
    bank.fail(FaultKind.MUTE)
    assert busy in bank.closed


def test_identity_without_abilities_marks_a_classic_client(bank: Bank) -> None:
    link = bank.link()
    bank.say(link, rspro.ConnectClientReq(CLIENT.with_abilities(("echo.1",)), ClientSlot(1, 0)))
    bank.presence(0, is_present=False)
    assert link in bank.closed  # of ours, but it would not understand bankSlotStatusInd


def test_newcomer_that_gets_in_while_its_client_is_moved_is_served_once(bank: Bank) -> None:
    old, new = bank.connect(), bank.connect()
    bank.map(1, "C1:0", "B1:1")
    assert set(bank.closed) == {old}
    assert bank.result(new) is ResultCode.OK
    assert bank.cards.log == [(0, "open"), (0, "close"), (1, "open")]
