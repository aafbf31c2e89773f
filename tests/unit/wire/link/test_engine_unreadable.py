# SPDX-License-Identifier: Apache-2.0
"""The link engine and what it cannot or may not read: later versions, unknown messages, broken bytes."""

from ipaddress import IPv4Address

import pytest

from remsim.wire import ccm
from remsim.wire.link.engine import (
    MAX_UNANSWERED,
    LinkFailed,
    Received,
    ReceivedUnknown,
    Undecodable,
    UnsupportedVersion,
)
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import (
    NO_FLAGS,
    RESPONSE_TO,
    ComponentType,
    Message,
    ResultCode,
    RsproPdu,
    TpduModemToCard,
    UnknownMessage,
)
from tests.doubles import engines
from tests.doubles.engines import BANK, CLIENT, engine, frame, receive, sent

CREATE = rspro.CreateMappingReq(CLIENT, BANK)
REMOVE = rspro.RemoveMappingReq(CLIENT, BANK)
CREATED = rspro.CreateMappingRes(ResultCode.OK)
COMMAND = TpduModemToCard(CLIENT, BANK, NO_FLAGS, bytes(5))
SERVER, BANKD, CLIENT_ROLE = ComponentType.REMSIM_SERVER, ComponentType.REMSIM_BANKD, ComponentType.REMSIM_CLIENT


def request(kind: type[Message]) -> rspro.Request:
    """A request of each class."""
    samples: list[rspro.Request] = [
        rspro.ConnectBankReq(engines.identity(BANKD), 1, 8),
        rspro.ConnectClientReq(engines.identity(CLIENT_ROLE), CLIENT),
        CREATE,
        REMOVE,
        rspro.ConfigClientIdReq(CLIENT),
        rspro.SetAtrReq(CLIENT, b"\x3b\0"),
        COMMAND,
        rspro.ConfigClientBankReq(BANK, rspro.IpPort(IPv4Address("127.0.0.1"), 9999)),
        rspro.ResetStateReq(),
    ]
    (found,) = [sample for sample in samples if type(sample) is kind]
    return found


@pytest.mark.parametrize("kind", RESPONSE_TO)
@pytest.mark.parametrize("version", [3, 32])
def test_request_of_a_later_version_is_refused(kind: type[rspro.Request], version: int) -> None:
    # known-limits.md 92, 93.
    connection = engine(peer=None)
    message = request(kind)
    assert receive(connection, frame(message, tag=9, version=version)) == [UnsupportedVersion(version, message)]
    answers = sent(connection)
    if kind is TpduModemToCard:
        assert answers == []  # its response carries no result
        return
    (pdu,) = answers
    assert isinstance(pdu, RsproPdu)
    assert (pdu.tag, pdu.version) == (9, rspro.VERSION)
    assert pdu.msg == rspro.refusal(kind, ResultCode.UNSUPPORTED_PROTOCOL_VERSION, connection.identity)


@pytest.mark.parametrize("message", [CREATED, rspro.BankSlotStatusInd(BANK, CLIENT, rspro.SlotPhysStatus(True))])  # noqa: FBT003
def test_other_message_of_a_later_version_is_reported(message: Message) -> None:
    connection = engine()
    assert receive(connection, frame(message, version=3)) == [UnsupportedVersion(3, message)]
    assert connection.data_to_send() == b""


def test_unknown_alternative_of_a_later_version_is_reported_as_such() -> None:
    raw = bytes.fromhex("000eee07300b800103810105a203bf2800")
    assert receive(engine(), raw) == [UnsupportedVersion(3, UnknownMessage(40))]


def test_request_of_a_later_version_is_refused_even_if_its_content_is_not_known() -> None:
    connection = engine()
    raw = bytes.fromhex("000dee07300a800103810105a202a400")
    assert receive(connection, raw) == [UnsupportedVersion(3, UnknownMessage(4))]
    assert sent(connection) == [RsproPdu(5, rspro.CreateMappingRes(ResultCode.UNSUPPORTED_PROTOCOL_VERSION))]


def test_requests_of_a_later_version_that_are_owed_answers_count_too() -> None:
    bankd = engine(BANKD, SERVER)
    receive(bankd, frame(CREATE) * MAX_UNANSWERED)
    (event,) = receive(bankd, frame(CREATE, version=3))
    assert isinstance(event, LinkFailed)


@pytest.mark.parametrize("version", [0, 1])
def test_earlier_version_is_like_ours(version: int) -> None:
    # rspro.md 5.1: nobody checks it.
    assert receive(engine(), frame(CREATED, version=version)) == [Received(CREATED, 0)]


def test_unknown_alternative_is_reported() -> None:
    raw = bytes.fromhex("000eee07300b800102810105a203bf3c00")
    assert receive(engine(), raw) == [ReceivedUnknown(60, 5)]


def test_undecodable_request_may_be_answered() -> None:
    connection = engine(SERVER, None)
    message = rspro.ConnectClientReq(engines.identity(CLIENT_ROLE), CLIENT)
    raw = frame(message, tag=6).replace(bytes.fromhex("020101020100"), bytes.fromhex("0201ff020100"))
    (event,) = receive(connection, raw)
    assert isinstance(event, Undecodable)
    assert event.payload == raw[4:]
    assert (event.error.field, event.error.tag) == ("connectClientReq.clientSlot.clientId", 6)
    answer = rspro.ConnectClientRes(connection.identity, ResultCode.ILLEGAL_CLIENT_ID)
    connection.send(answer, now=0, reply_to=6)
    assert sent(connection) == [RsproPdu(6, answer)]


def test_undecodable_response_is_owed_nothing() -> None:
    raw = bytes.fromhex("000dee07300a800102810105a202a500")
    (event,) = receive(engine(), raw)
    assert isinstance(event, Undecodable)


def test_undecodable_requests_count_as_unanswered() -> None:
    raw = bytes.fromhex("000dee07300a800102810105a202a400")
    got = receive(engine(BANKD, SERVER), raw * (MAX_UNANSWERED + 1))
    assert isinstance(got[-1], LinkFailed)


def test_stream_goes_on_after_what_cannot_be_read() -> None:
    first, second = receive(engine(), bytes.fromhex("0001ee07") + frame(CREATED))
    assert isinstance(first, Undecodable)
    assert second == Received(CREATED, 0)


def test_nothing_counts_after_broken_framing() -> None:
    connection = engine()
    got = receive(connection, frame(CREATED) + bytes.fromhex("0000ee") + frame(CREATED), frame(CREATED), ccm.PING)
    assert got == [Received(CREATED, 0), LinkFailed("empty frame of protocol EE")]
    assert connection.data_to_send() == b""
    assert connection.next_deadline() is None
    connection.handle_timer(1e9)
    assert engines.events(connection) == []
