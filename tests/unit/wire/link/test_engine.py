# SPDX-License-Identifier: Apache-2.0
"""The link engine: what it answers by itself, how answers find their requests, abilities, versions."""

from dataclasses import replace

import pytest

from remsim.core.ids import BankSlot
from remsim.wire import ccm
from remsim.wire.errors import LocalProtocolError
from remsim.wire.link import requests
from remsim.wire.link.abilities import TIMES
from remsim.wire.link.engine import (
    ABILITIES,
    ADVERTISE,
    ECHO,
    MAX_UNANSWERED,
    SLOTS,
    IdentityReceived,
    LinkEngine,
    LinkFailed,
    Received,
)
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import (
    NO_FLAGS,
    ComponentType,
    Message,
    ResultCode,
    RsproPdu,
    TpduCardToModem,
    TpduModemToCard,
)
from tests.doubles import engines
from tests.doubles.engines import BANK, CLIENT, client_at_bankd, engine, frame, receive, sent, server_with_bankd

CREATE = rspro.CreateMappingReq(CLIENT, BANK)
REMOVE = rspro.RemoveMappingReq(CLIENT, BANK)
CREATED = rspro.CreateMappingRes(ResultCode.OK)
COMMAND = TpduModemToCard(CLIENT, BANK, NO_FLAGS, bytes(5))
RESPONSE = TpduCardToModem(BANK, CLIENT, NO_FLAGS, b"\x90\0")
SERVER, BANKD, CLIENT_ROLE = ComponentType.REMSIM_SERVER, ComponentType.REMSIM_BANKD, ComponentType.REMSIM_CLIENT


# CCM


def test_ping_is_answered_at_once_even_before_the_introduction() -> None:
    connection = engine(peer=None)
    assert receive(connection, ccm.PING, ccm.PING) == []
    assert connection.data_to_send() == ccm.PONG * 2


def test_identity_request_is_answered() -> None:
    connection = engine()
    assert receive(connection, ccm.ID_GET) == []
    assert connection.data_to_send() == ccm.answer_id_get(b"\x01\x08")


def test_our_identity_request_reports_its_answer() -> None:
    connection = engine()
    connection.send_id_get()
    assert connection.data_to_send() == ccm.ID_GET
    assert receive(connection, ccm.answer_id_get(b"\x01\x08")) == [IdentityReceived()]


def test_identity_is_asked_for_when_the_peer_has_spoken_and_once_only() -> None:
    connection = engine()
    connection.send_id_get(when_heard=True)
    assert connection.data_to_send() == b""
    receive(connection, ccm.PING[:2])
    assert connection.data_to_send() == b""
    receive(connection, ccm.PING[2:] + ccm.PING)
    assert connection.data_to_send() == ccm.PONG * 2 + ccm.ID_GET
    receive(connection, ccm.PING)
    assert connection.data_to_send() == ccm.PONG
    connection.send_id_get(when_heard=True)
    assert connection.data_to_send() == ccm.ID_GET
    assert connection.data_to_send() == b""


# Tags


def test_requests_carry_growing_tags_and_indications_take_one_too() -> None:
    client = client_at_bankd(abilities=ABILITIES)
    status = rspro.ClientSlotStatusInd(CLIENT, BANK, rspro.SlotPhysStatus(reset_active=False))
    tags = [client.send(message, now=0) for message in (COMMAND, status, COMMAND)]
    assert tags == [2, 3, 4]
    assert [pdu.tag for pdu in sent(client) if isinstance(pdu, RsproPdu)] == tags


class EveryTenth:
    """A tag policy of its own, which notes what it was asked about."""

    def __init__(self) -> None:
        self.asked: list[rspro.Message] = []

    def next_tag(self, message: rspro.Message) -> int:
        """Ten more for each message."""
        self.asked.append(message)
        return 10 * len(self.asked)


def test_tags_come_from_the_policy_that_the_engine_is_given() -> None:
    policy = EveryTenth()
    bankd = LinkEngine(identity=engines.identity(BANKD), peer=SERVER, now=0.0, tags=policy)
    receive(bankd, frame(CREATE, tag=77))
    assert bankd.send(CREATED, now=0, reply_to=77) == 77, "an answer takes the tag of its request"
    introduction = rspro.ConnectBankReq(engines.identity(BANKD), 1, 8)
    assert [bankd.send(introduction, now=0) for _ in range(2)] == [10, 20]
    assert policy.asked == [introduction, introduction]


def test_answer_carries_the_tag_of_its_request() -> None:
    bankd = engine(BANKD, SERVER)
    assert receive(bankd, frame(CREATE, tag=77)) == [Received(CREATE, 77)]
    assert bankd.send(CREATED, now=0, reply_to=77) == 77
    assert sent(bankd) == [RsproPdu(77, CREATED)]


@pytest.mark.parametrize("reply_to", [None, 78])
def test_answer_that_nobody_asked_for_is_withheld(reply_to: int | None) -> None:
    # known-limits.md 3: an answer too many kills a classic server.
    bankd = engine(BANKD, SERVER)
    receive(bankd, frame(CREATE, tag=77))
    with pytest.raises(LocalProtocolError, match="answers no open request"):
        bankd.send(CREATED, now=0, reply_to=reply_to)
    assert bankd.data_to_send() == b""


def test_second_answer_is_withheld() -> None:
    bankd = engine(BANKD, SERVER)
    receive(bankd, frame(CREATE, tag=77))
    bankd.send(CREATED, now=0, reply_to=77)
    with pytest.raises(LocalProtocolError, match="answers no open request"):
        bankd.send(CREATED, now=0, reply_to=77)


def test_answer_of_another_kind_does_not_settle_a_request() -> None:
    bankd = engine(BANKD, SERVER)
    receive(bankd, frame(CREATE, tag=77))
    with pytest.raises(LocalProtocolError, match="RemoveMappingRes answers no open request"):
        bankd.send(rspro.RemoveMappingRes(ResultCode.OK), now=0, reply_to=77)


def test_requests_with_equal_tags_are_answered_one_by_one() -> None:
    # Classic peers tag every request 0.
    bankd = engine(BANKD, CLIENT_ROLE)
    receive(bankd, frame(COMMAND) * 2)
    for _ in range(2):
        bankd.send(RESPONSE, now=0, reply_to=0)
    with pytest.raises(LocalProtocolError, match="answers no open request"):
        bankd.send(RESPONSE, now=0, reply_to=0)


def test_waived_request_is_not_answered_any_more() -> None:
    bankd = engine(BANKD, CLIENT_ROLE)
    receive(bankd, frame(COMMAND, tag=5))
    bankd.cancel(6, TpduCardToModem)
    bankd.cancel(5, rspro.CreateMappingRes)
    bankd.cancel(5, TpduCardToModem)
    with pytest.raises(LocalProtocolError, match="answers no open request"):
        bankd.send(RESPONSE, now=0, reply_to=5)


def test_peer_that_lets_requests_pile_up_is_cut_off() -> None:
    bankd = engine(BANKD, CLIENT_ROLE)
    got = receive(bankd, frame(COMMAND) * (MAX_UNANSWERED + 3))
    assert len(got) == MAX_UNANSWERED + 1
    assert isinstance(got[-1], LinkFailed)
    assert receive(bankd, frame(COMMAND), ccm.PING) == []
    assert bankd.data_to_send() == b""


# Matching


def test_own_peer_may_answer_in_any_order() -> None:
    server = server_with_bankd(abilities=ABILITIES)
    other = rspro.CreateMappingReq(CLIENT, BankSlot(1, 3))
    first, second = server.send(CREATE, now=0), server.send(other, now=0)
    assert receive(server, frame(CREATED, tag=second)) == [Received(CREATED, second, other)]
    assert receive(server, frame(CREATED, tag=first)) == [Received(CREATED, first, CREATE)]


@pytest.mark.parametrize("tag", [0, 99])
def test_own_peers_answer_with_a_wrong_tag_answers_nothing(tag: int) -> None:
    server = server_with_bankd(abilities=ABILITIES)
    server.send(CREATE, now=0)
    assert receive(server, frame(CREATED, tag=tag)) == [Received(CREATED, tag, None)]


@pytest.mark.parametrize("abilities", [None, (), (SLOTS,)])
def test_peer_that_echoes_no_tags_is_matched_by_order_within_each_kind(abilities: tuple[str, ...] | None) -> None:
    server = server_with_bankd(abilities=abilities)
    other = rspro.CreateMappingReq(CLIENT, BankSlot(1, 3))
    for message in (CREATE, REMOVE, other):
        server.send(message, now=0)
    removed = rspro.RemoveMappingRes(ResultCode.OK)
    assert receive(server, frame(removed), frame(CREATED), frame(CREATED)) == [
        Received(removed, 0, REMOVE),
        Received(CREATED, 0, CREATE),
        Received(CREATED, 0, other),
    ]


def test_unasked_answer_has_no_request() -> None:
    # known-limits.md 3: it kills a classic server; here it is an event like any other.
    server = server_with_bankd(abilities=None)
    assert receive(server, frame(CREATED)) == [Received(CREATED, 0, None)]


def test_classic_connect_answer_with_its_fixed_tag_is_matched() -> None:
    client = engine(CLIENT_ROLE, BANKD)
    client.send(rspro.ConnectClientReq(client.identity, CLIENT), now=0)
    answer = rspro.ConnectClientRes(engines.identity(BANKD), ResultCode.OK)
    (event,) = receive(client, frame(answer, tag=2342))
    assert isinstance(event, Received)
    assert isinstance(event.request, rspro.ConnectClientReq)


# Abilities


def test_connect_request_names_our_abilities() -> None:
    client = engine(CLIENT_ROLE, SERVER)
    client.send(rspro.ConnectClientReq(client.identity, CLIENT), now=0)
    (pdu,) = sent(client)
    assert isinstance(pdu, RsproPdu)
    assert pdu.msg == rspro.ConnectClientReq(client.identity.with_abilities(ABILITIES), CLIENT)


@pytest.mark.parametrize(
    ("named", "common"),
    [
        (None, None),
        ((), ()),
        ((ECHO,), (ECHO,)),
        ((SLOTS, ECHO), (ECHO, SLOTS)),
        (ABILITIES, ABILITIES),
    ],
)
def test_connect_response_names_the_common_ones_only_if_the_request_named_any(
    named: tuple[str, ...] | None, common: tuple[str, ...] | None
) -> None:
    server = engine(SERVER, None)
    bankd = engines.identity(BANKD).with_abilities(named)
    receive(server, frame(rspro.ConnectBankReq(bankd, 1, 8), tag=3))
    assert server.common_abilities == frozenset(common or ())
    server.send(rspro.ConnectBankRes(server.identity, ResultCode.OK), now=0, reply_to=3)
    (pdu,) = sent(server)
    assert isinstance(pdu, RsproPdu)
    assert pdu.msg == rspro.ConnectBankRes(server.identity.with_abilities(common), ResultCode.OK)


def test_abilities_in_an_answer_that_nobody_asked_for_do_not_count() -> None:
    client = engine(CLIENT_ROLE, BANKD)
    bankd = engines.identity(BANKD).with_abilities(ABILITIES)
    receive(client, frame(rspro.ConnectClientRes(bankd, ResultCode.OK)))
    assert client.common_abilities == frozenset()


def test_both_ends_agree() -> None:
    server, bankd = engine(SERVER, None), engine(BANKD, SERVER, abilities=(ECHO, ADVERTISE))
    tag = bankd.send(rspro.ConnectBankReq(bankd.identity, 1, 8), now=0)
    receive(server, bankd.data_to_send())
    server.send(rspro.ConnectBankRes(server.identity, ResultCode.OK), now=0, reply_to=tag)
    receive(bankd, server.data_to_send())
    assert server.common_abilities == bankd.common_abilities == {ECHO, ADVERTISE}


@pytest.mark.parametrize(
    ("message", "role"),
    [
        (rspro.ConnectBankReq(engines.identity(BANKD), 1, 8), BANKD),
        (rspro.ConnectClientReq(engines.identity(CLIENT_ROLE), CLIENT), CLIENT_ROLE),
        (rspro.ConnectClientReq(engines.identity(BANKD), CLIENT), CLIENT_ROLE),
        # architecture.md 2: a server that dials a bankd.
        (rspro.ConnectClientReq(engines.identity(SERVER)), SERVER),
    ],
)
def test_role_of_the_peer_is_learnt_from_its_introduction(message: Message, role: ComponentType) -> None:
    connection = engine(BANKD, None)
    receive(connection, frame(message))
    assert connection.peer is role


def test_role_that_was_known_stays() -> None:
    connection = engine(SERVER, BANKD)
    receive(connection, frame(rspro.ConnectClientReq(engines.identity(SERVER))))
    assert connection.peer is BANKD


# A session that is attached


def attached_bankd() -> LinkEngine:
    """A bankd's end with a session."""
    bankd = engine(BANKD, CLIENT_ROLE)
    bankd.attach_session(CLIENT, BANK)
    return bankd


def test_session_recognises_its_commands() -> None:
    bankd = attached_bankd()
    assert bankd.receive_tpdu(frame(COMMAND, tag=8)) == (8, COMMAND.data)
    assert bankd.answer_tpdu(8, RESPONSE.data) == frame(RESPONSE, tag=8)


def test_session_recognises_nothing_behind_part_of_a_frame_or_when_it_is_detached() -> None:
    bankd = attached_bankd()
    bankd.receive_data(frame(COMMAND)[:10], 0)
    assert bankd.receive_tpdu(frame(COMMAND)) is None
    receive(bankd, frame(COMMAND)[10:])
    bankd.send(RESPONSE, now=0, reply_to=0)
    assert bankd.receive_tpdu(frame(COMMAND)) == (0, COMMAND.data)
    bankd.detach_session()
    assert bankd.receive_tpdu(frame(COMMAND)) is None


def test_command_of_a_session_that_is_answered_later_is_answered_with_the_same_bytes() -> None:
    bankd = attached_bankd()
    bankd.data_to_send()
    for tag in (8, 9, 10):
        assert bankd.receive_tpdu(frame(COMMAND, tag=tag)) == (tag, COMMAND.data)
    assert bankd.answer_tpdu(8, RESPONSE.data) == frame(RESPONSE, tag=8)
    # As a message it is the same; and what waits goes before.
    bankd.send(RESPONSE, now=0, reply_to=9)
    assert bankd.answer_tpdu(10, RESPONSE.data) == frame(RESPONSE, tag=9) + frame(RESPONSE, tag=10)
    assert bankd.data_to_send() == b""
    with pytest.raises(LocalProtocolError, match="answers no open request"):
        bankd.answer_tpdu(8, RESPONSE.data)


def test_command_that_came_as_an_event_can_be_answered_the_same_way() -> None:
    bankd = attached_bankd()
    bankd.data_to_send()
    assert receive(bankd, frame(COMMAND, tag=8)) == [Received(COMMAND, 8)]
    assert bankd.answer_tpdu(8, RESPONSE.data) == frame(RESPONSE, tag=8)


def test_command_of_a_session_is_answered_once() -> None:
    bankd = attached_bankd()
    bankd.receive_tpdu(frame(COMMAND, tag=8))
    bankd.answer_tpdu(8, RESPONSE.data)
    with pytest.raises(LocalProtocolError, match="answers no open request"):
        bankd.answer_tpdu(8, RESPONSE.data)
    with pytest.raises(LocalProtocolError, match="answers no open request"):
        bankd.send(RESPONSE, now=0, reply_to=8)


def test_command_of_a_session_that_is_void_is_not_answered() -> None:
    bankd = engine(BANKD, CLIENT_ROLE)
    client = engines.identity(CLIENT_ROLE).with_abilities(ABILITIES)
    receive(bankd, frame(rspro.ConnectClientReq(client, CLIENT)))
    bankd.attach_session(CLIENT, BANK)
    bankd.receive_tpdu(frame(COMMAND, tag=8))
    status = rspro.SlotPhysStatus(reset_active=False, card_present=False)
    bankd.send(rspro.BankSlotStatusInd(BANK, CLIENT, status), now=0)
    with pytest.raises(LocalProtocolError, match="answers no open request"):
        bankd.answer_tpdu(8, RESPONSE.data)


def bankd_of_timed_session(abilities: tuple[str, ...] = ABILITIES) -> LinkEngine:
    """A bankd's end with a session whose client has named these abilities."""
    bankd = engine(BANKD, CLIENT_ROLE)
    client = engines.identity(CLIENT_ROLE).with_abilities(abilities)
    receive(bankd, frame(rspro.ConnectClientReq(client, CLIENT)))
    bankd.attach_session(CLIENT, BANK)
    bankd.data_to_send()
    return bankd


def timed(us: int) -> TpduCardToModem:
    """The answer that says that the bankd had the command for so long."""
    return replace(RESPONSE, bank_us=us)


def test_answer_says_how_long_the_command_was_at_the_bankd() -> None:
    bankd = bankd_of_timed_session()
    assert bankd.tells_times
    bankd.receive_tpdu(frame(COMMAND, tag=8), 10.0)
    assert bankd.answer_tpdu(8, RESPONSE.data, 10.25) == frame(timed(250_000), tag=8)


def test_each_of_several_commands_has_a_time_of_its_own_whatever_form_it_came_in() -> None:
    bankd = bankd_of_timed_session()
    bankd.receive_tpdu(frame(COMMAND, tag=8), 10.0)
    bankd.receive_tpdu(frame(COMMAND, tag=9), 11.0)
    assert bankd.receive_tpdu(frame(COMMAND, tag=10) + frame(COMMAND, tag=11), 12.0) is None
    bankd.receive_data(frame(COMMAND, tag=10) + frame(COMMAND, tag=11), 0, 12.0)
    answers = [bankd.answer_tpdu(tag, RESPONSE.data, 12.5) for tag in (9, 11, 8, 10)]
    expected = [(9, 1_500_000), (11, 500_000), (8, 2_500_000), (10, 500_000)]
    assert answers == [frame(timed(us), tag=tag) for tag, us in expected]


@pytest.mark.parametrize(("at", "us"), [(9.0, 0), (10.0 + 2**31, 2**31 - 1)])
def test_time_at_the_bankd_keeps_within_its_range(at: float, us: int) -> None:
    bankd = bankd_of_timed_session()
    bankd.receive_tpdu(frame(COMMAND, tag=8), 10.0)
    assert bankd.answer_tpdu(8, RESPONSE.data, at) == frame(timed(us), tag=8)


def test_void_commands_leave_no_time_behind() -> None:
    bankd = bankd_of_timed_session()
    for tag in (8, 9, 10):
        bankd.receive_tpdu(frame(COMMAND, tag=tag), 10.0)
    bankd.cancel(8, TpduCardToModem)
    status = rspro.SlotPhysStatus(reset_active=False, card_present=False)
    bankd.send(rspro.BankSlotStatusInd(BANK, CLIENT, status), now=0)
    bankd.data_to_send()
    # A bankd sees a command that it answers without having seen it come when a session goes on over another link.
    for tag in (8, 9):
        bankd.expect_response(rspro.TpduModemToCard, tag)
        assert bankd.answer_tpdu(tag, RESPONSE.data, 11.0) == frame(RESPONSE, tag=tag)


def test_peer_that_has_not_named_the_ability_is_told_no_time() -> None:
    bankd = bankd_of_timed_session(tuple(name for name in ABILITIES if name != TIMES))
    assert not bankd.tells_times
    bankd.receive_tpdu(frame(COMMAND, tag=8), 10.0)
    assert bankd.answer_tpdu(8, RESPONSE.data, 10.5) == frame(RESPONSE, tag=8)
    bankd.receive_tpdu(frame(COMMAND, tag=9), 10.0)
    with pytest.raises(LocalProtocolError, match=r"bank_us needs the ability times\.1"):
        bankd.send(timed(1), now=0, reply_to=9)


def test_without_a_session_no_response_is_written() -> None:
    bankd = attached_bankd()
    bankd.receive_tpdu(frame(COMMAND, tag=8))
    bankd.detach_session()
    with pytest.raises(LocalProtocolError, match="no session is attached"):
        bankd.answer_tpdu(8, RESPONSE.data)


def test_session_learns_the_flags_that_its_peer_sends() -> None:
    bankd = attached_bankd()
    odd = TpduModemToCard(CLIENT, BANK, rspro.TpduFlags(final_part=True), bytes(5))
    assert bankd.receive_tpdu(frame(odd)) is None
    assert receive(bankd, frame(odd)) == [Received(odd, 0)]
    assert bankd.receive_tpdu(frame(odd)) == (0, odd.data)


def test_session_recognises_nothing_after_a_failure() -> None:
    bankd = attached_bankd()
    receive(bankd, b"\0\0\xee")
    assert bankd.receive_tpdu(frame(COMMAND)) is None


def test_frames_are_handed_over_together_and_once() -> None:
    client = client_at_bankd(abilities=None)
    client.send(COMMAND, now=0)
    client.send(COMMAND, now=0)
    assert client.data_to_send() == frame(COMMAND, tag=2) + frame(COMMAND, tag=3)
    assert client.data_to_send() == b""


# ID_ACK


@pytest.mark.parametrize(
    ("peer", "is_accepted", "answer"),
    [
        (None, False, [b"\x06"]),
        (CLIENT_ROLE, True, [b"\x06"]),
        # Who has dialled does not answer: with two ends that do it would never stop.
        (SERVER, False, []),
        (BANKD, False, []),
    ],
)
def test_accepting_end_answers_id_ack(peer: ComponentType | None, is_accepted: bool, answer: list[bytes]) -> None:
    connection = LinkEngine(identity=engines.identity(SERVER), peer=peer, now=0, is_accepted=is_accepted)
    connection.data_to_send()
    assert receive(connection, ccm.ID_ACK) == []
    assert sent(connection) == answer


def test_id_ack_ends_between_two_of_ours() -> None:
    server, client = engine(SERVER, None), engine(CLIENT_ROLE, SERVER)
    client.send_id_get()
    exchanged = 0
    while (raw := client.data_to_send()) or (back := server.data_to_send()):
        exchanged += 1
        assert exchanged < 10
        if raw:
            receive(server, raw)
        else:
            receive(client, back)
    assert exchanged == 2


def test_peer_that_leaves_too_many_requests_unanswered_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MAX_OUTSTANDING", 2)
    server = server_with_bankd(abilities=ABILITIES)
    for _ in range(2):
        server.send(CREATE, now=1.0)
    assert len(sent(server)) == 2
    had_failed = server.has_failed
    server.send(CREATE, now=1.0)
    assert (had_failed, server.has_failed) == (False, True)
    assert server.data_to_send() == b""
    (event,) = engines.events(server)
    assert isinstance(event, LinkFailed)
    assert "requests unanswered" in event.reason
