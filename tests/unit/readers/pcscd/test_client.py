# SPDX-License-Identifier: Apache-2.0
"""The client's side of pcscd's protocol: layouts, versions, what comes in which order, what cannot be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remsim.readers.pcscd import protocol
from remsim.readers.pcscd.client import (
    CardReply,
    CodeReply,
    ContextReply,
    DataReply,
    PcscdClient,
    Reply,
    TableReply,
    VersionReply,
    WaitEnded,
)
from remsim.readers.pcscd.protocol import PcscdCommand, ReaderRow, ReaderTable

CARD, CONTEXT = 0x20001, 0x10001
REFUSED = 0x8010001E
ROW = protocol.ROW.pack(b"Reader 00 00", 3, 0x34, 0, b"\x3b\x00", 2, 1)
NO_ROW = bytes(protocol.ROW.size)


def client_of(minor: int) -> PcscdClient:
    client = PcscdClient()
    client.version(minor)
    assert client.receive(protocol.VERSION.pack(4, minor, 0)) == [VersionReply(0, minor)]
    return client


@pytest.mark.parametrize(
    ("command", "size"),
    [
        (PcscdCommand.ESTABLISH_CONTEXT, 12),
        (PcscdCommand.RELEASE_CONTEXT, 8),
        (PcscdCommand.CONNECT, 152),
        (PcscdCommand.RECONNECT, 24),
        (PcscdCommand.DISCONNECT, 12),
        (PcscdCommand.BEGIN_TRANSACTION, 8),
        (PcscdCommand.END_TRANSACTION, 12),
        (PcscdCommand.TRANSMIT, 32),
        (PcscdCommand.CONTROL, 24),
        (PcscdCommand.STATUS, 8),
        (PcscdCommand.CANCEL, 8),
        (PcscdCommand.GET_ATTRIB, 280),
        (PcscdCommand.SET_ATTRIB, 280),
        (PcscdCommand.VERSION, 12),
        (PcscdCommand.GET_READERS_STATE, 0),
    ],
)
def test_bodies_measure_what_pcscd_wants_in_all_versions(command: PcscdCommand, size: int) -> None:
    assert [protocol.body_size(command, minor) for minor in (4, 5, 6)] == [size] * 3


def test_later_commands_are_unknown_to_earlier_versions() -> None:
    assert [protocol.body_size(PcscdCommand.GET_READER_EVENTS, minor) for minor in (4, 5, 6)] == [None, 0, 0]
    assert [protocol.body_size(PcscdCommand.GET_READERS_STATE_SIZE, minor) for minor in (4, 5, 6)] == [None, None, 0]
    assert protocol.ROW.size == 184


def test_command_of_a_card_follows_the_body_and_is_not_counted() -> None:
    client = client_of(4)
    for _ in range(2):  # The second is made of what was kept of the first.
        request = client.transmit(CARD, 1, b"\0\xb0\0\0\2")
        assert protocol.HEADER.unpack_from(request) == (32, 9)
        assert protocol.TRANSMIT.unpack_from(request, 8)[:4] == (CARD, 1, 16, 5)
        assert request[40:] == b"\0\xb0\0\0\2"


def test_refused_version_names_the_one_to_ask_for() -> None:
    client = PcscdClient()
    client.version(6)
    (refusal,) = client.receive(protocol.VERSION.pack(4, 4, REFUSED))
    assert refusal == VersionReply(REFUSED, 4)
    assert client.minor is None
    assert client.next_version(VersionReply(REFUSED, 4)) == 4
    assert client.next_version(VersionReply(REFUSED, 3)) is None
    assert client.next_version(VersionReply(REFUSED, 7)) is None
    client.version(4)
    client.receive(protocol.VERSION.pack(4, 4, 0))
    assert client.minor == 4


def test_server_that_names_its_own_version_has_agreed_to_the_older_one() -> None:
    client = PcscdClient()
    client.version(4)
    assert client.receive(protocol.VERSION.pack(4, 6, 0)) == [VersionReply(0, 6)]
    assert client.minor == 4


@pytest.mark.parametrize("reply", [(3, 4, 0), (4, -1, 0), (4, 5, 0), (0, 0, 0)])
def test_versions_that_cannot_be(reply: tuple[int, int, int]) -> None:
    client = PcscdClient()
    client.version(6)
    assert "version" in refusal(client, protocol.VERSION.pack(*reply))


def conversation(client: PcscdClient) -> tuple[bytes, list[Reply]]:
    """A card that is opened, used and closed: what pcscd sends, and what it means."""
    client.establish()
    client.connect(CONTEXT, "Reader 00 00", 1, 1)
    client.reconnect(CARD, 1, 1, 2)
    client.begin(CARD)
    client.transmit(CARD, 1, bytes(5))
    client.transmit(CARD, 1, bytes(5))
    client.control(CARD, 1, b"xy")
    client.attribute(CARD, 0x20110)
    client.end(CARD, 0)
    client.status(CARD)
    client.disconnect(CARD, 2)
    client.release(CONTEXT)
    client.cancel(CONTEXT)
    sent = [
        protocol.ESTABLISH.pack(0, CONTEXT, 0),
        protocol.CONNECT.pack(CONTEXT, b"Reader 00 00", 1, 1, CARD, 1, 0),
        protocol.RECONNECT.pack(CARD, 1, 1, 2, 1, 0),
        protocol.HANDLE.pack(CARD, 0x8010000B),
        protocol.TRANSMIT.pack(CARD, 1, 16, 5, 1, 16, 4, 0) + b"\1\2\x90\0",
        protocol.TRANSMIT.pack(CARD, 1, 16, 5, 1, 16, 7, 0x80100069),
        protocol.CONTROL.pack(CARD, 1, 2, 9, 3, 0) + b"abc",
        protocol.ATTRIBUTE.pack(CARD, 0x20110, b"\1\2\3\4", 4, 0),
        protocol.DISPOSITION.pack(CARD, 0, 0),
        protocol.HANDLE.pack(CARD, 0x80100068),
        protocol.DISPOSITION.pack(CARD, 2, 0),
        protocol.CONTEXT.pack(CONTEXT, 0),
        protocol.CONTEXT.pack(CONTEXT, 0x80100003),
    ]
    meant: list[Reply] = [
        ContextReply(0, CONTEXT),
        CardReply(0, CARD, 1),
        CardReply(0, CARD, 1),
        CodeReply(0x8010000B),
        b"\1\2\x90\0",
        CodeReply(0x80100069),
        DataReply(0, b"abc"),
        DataReply(0, b"\1\2\3\4"),
        CodeReply(0),
        CodeReply(0x80100068),
        CodeReply(0),
        CodeReply(0),
        CodeReply(0x80100003),
    ]
    return b"".join(sent), meant


@given(st.lists(st.integers(1, 90)))
def test_replies_arrive_in_any_pieces(sizes: list[int]) -> None:
    client = client_of(4)
    stream, meant = conversation(client)
    heard: list[Reply] = []
    for size in sizes:
        heard += client.receive(stream[:size])
        stream = stream[size:]
    heard += client.receive(stream)
    assert heard == meant
    assert client.is_idle


@given(st.lists(st.integers(1, 90)))
def test_response_at_sight_is_the_one_that_would_be_heard(sizes: list[int]) -> None:
    client, other = client_of(4), client_of(4)
    stream, meant = conversation(client)
    conversation(other)
    heard: list[Reply] = []
    for size in [*sizes, len(stream)]:
        piece, stream = stream[:size], stream[size:]
        response = client.response_in(piece)
        heard += client.receive(piece) if response is None else [response]
        other.receive(piece)
        assert client.is_idle == other.is_idle
    assert heard == meant


@given(st.binary(min_size=2, max_size=258), st.integers(0, 300))
def test_only_a_whole_response_is_taken_at_sight(response: bytes, cut: int) -> None:
    client = client_of(4)
    reply = protocol.TRANSMIT.pack(CARD, 1, 16, 5, 1, 16, len(response), 0) + response
    client.transmit(CARD, 1, bytes(5))
    assert client.response_in(reply[:cut]) == (response if cut >= len(reply) else None)
    if cut >= len(reply):
        assert client.is_idle
        return
    assert client.receive(reply[:cut]) == []
    assert client.response_in(reply[cut:]) == (None if cut else response)
    assert client.receive(reply[cut:] if cut else b"") == ([response] if cut else [])


@pytest.mark.parametrize(
    "reply",
    [
        protocol.TRANSMIT.pack(CARD + 1, 1, 16, 5, 1, 16, 2, 0) + b"\x90\0",
        protocol.TRANSMIT.pack(CARD, 1, 16, 5, 1, 16, 2, 0x80100069) + b"\x90\0",
        protocol.TRANSMIT.pack(CARD, 1, 16, 5, 1, 16, 2, 0) + b"\x90\0\0",
        protocol.TRANSMIT.pack(CARD, 1, 16, 5, 1, 16, 3, 0) + b"\x90\0",
    ],
)
def test_reply_that_is_not_exactly_a_response_is_not_taken_at_sight(reply: bytes) -> None:
    client = client_of(4)
    client.transmit(CARD, 1, bytes(5))
    assert client.response_in(reply) is None
    assert not client.is_idle


def test_response_is_not_taken_at_sight_while_something_else_is_awaited() -> None:
    reply = protocol.TRANSMIT.pack(CARD, 1, 16, 5, 1, 16, 2, 0) + b"\x90\0"
    behind = client_of(4)
    behind.transmit(CARD, 1, bytes(5))
    behind.transmit(CARD, 1, bytes(5))
    assert behind.response_in(reply) is None
    assert behind.receive(reply) == [b"\x90\0"]
    assert behind.response_in(reply) == b"\x90\0"
    broken = client_of(4)
    broken.transmit(CARD, 1, bytes(5))
    assert refusal(broken, protocol.TRANSMIT.pack(CARD + 1, 1, 16, 5, 1, 16, 0, 0))
    assert broken.response_in(reply) is None


@given(st.binary(max_size=400), st.integers(0, 380))
def test_garbage_is_refused_and_ends_it(garbage: bytes, at: int) -> None:
    client = client_of(4)
    stream, meant = conversation(client)
    heard = client.receive(stream[:at] + garbage)
    assert len(heard) <= len(meant)
    if client.trouble is not None:
        assert str(client.trouble)
        assert client.receive(stream) == []


def refusal(client: PcscdClient, raw: bytes) -> str:
    client.receive(raw)
    return str(client.trouble or "")


def test_response_that_was_not_asked_for_is_refused() -> None:
    assert "not asked for" in refusal(client_of(4), b"\0")


@pytest.mark.parametrize("length", [protocol.MAX_DATA + 1, 0xFFFFFFFF])
def test_response_that_is_too_long_is_refused_at_its_announcement(length: int) -> None:
    client = client_of(4)
    client.transmit(CARD, 1, bytes(5))
    assert "65548 are possible" in refusal(client, protocol.TRANSMIT.pack(CARD, 1, 16, 5, 1, 16, length, 0))


@pytest.mark.parametrize("rows", [-1, protocol.MAX_ROWS + 1])
def test_table_of_an_impossible_size_is_refused(rows: int) -> None:
    client = client_of(6)
    client.table()
    assert "4096 are possible" in refusal(client, protocol.COUNT.pack(rows))


def test_answer_for_another_card_is_refused() -> None:
    client = client_of(4)
    client.transmit(CARD, 1, bytes(5))
    assert "TRANSMIT" in refusal(client, protocol.TRANSMIT.pack(CARD + 1, 1, 16, 5, 1, 16, 2, 0) + b"\x90\0")


def rows(reply: Reply) -> list[ReaderRow]:
    assert isinstance(reply, TableReply)
    return list(reply.table)


@pytest.mark.parametrize("minor", [4, 5])
def test_wait_gives_the_table_first_and_ends_once(minor: int) -> None:
    client = client_of(minor)
    assert client.wait() == protocol.HEADER.pack(0, 19)
    with pytest.raises(RuntimeError):
        client.wait()
    (reply,) = client.receive(ROW + NO_ROW * 15)
    assert rows(reply) == [ReaderRow("Reader 00 00", 3, 0x34, 0, b"\x3b\0", 1)]
    # STOP may cross the event: one answer comes in any case.
    assert client.stop_waiting() == protocol.HEADER.pack(0, 20)
    assert client.receive(protocol.EVENT.pack(0, 0)) == [WaitEnded(0)]
    client.wait()
    heard = client.receive(NO_ROW * 16 + protocol.EVENT.pack(0, 0x80100002))
    assert rows(heard[0]) == []
    assert heard[1:] == [WaitEnded(0x80100002)]


@pytest.mark.parametrize("event_first", [False, True])
@pytest.mark.parametrize("piece", [1, 3, 100])
def test_in_4_6_an_event_may_come_before_the_barrier(event_first: bool, piece: int) -> None:
    client = client_of(6)
    assert client.wait() == protocol.HEADER.pack(0, 19) + protocol.frame(
        PcscdCommand.VERSION, protocol.VERSION.pack(4, 6, 0)
    )
    with pytest.raises(RuntimeError, match="could not be told"):
        client.table()
    parts = [protocol.VERSION.pack(4, 6, 0), protocol.EVENT.pack(0, 0)]
    stream = b"".join(reversed(parts) if event_first else parts)
    heard: list[Reply] = []
    for at in range(0, len(stream), piece):
        heard += client.receive(stream[at : at + piece])
    expected: list[Reply] = [VersionReply(0, 6), WaitEnded(0)]
    assert heard == (expected[::-1] if event_first else expected)
    client.table()
    (reply,) = client.receive(protocol.COUNT.pack(2) + ROW * 2)
    assert len(rows(reply)) == 2


def test_event_that_cannot_be_is_refused() -> None:
    client = client_of(4)
    client.wait()
    client.receive(NO_ROW * 16)
    assert "no event" in refusal(client, protocol.EVENT.pack(1, 0))


def test_row_is_found_by_its_whole_name_only() -> None:
    other = protocol.ROW.pack(b"Reader 00 001", 0, 2, 0, b"", 0, 0)
    # A name within another row's ATR is none.
    inside = protocol.ROW.pack(b"x", 0, 4, 0, b"Reader 00 00\0", 12, 1)
    starting = protocol.ROW.pack(b"Reader 01 00", 0, 0, 0, b"", 34, 0)
    table = ReaderTable(other + inside + ROW + starting)
    assert table.row_of("Reader 00 00") == ReaderRow("Reader 00 00", 3, 0x34, 0, b"\x3b\0", 1)
    assert table.row_of("Reader 00 0") is None
    found = table.row_of("Reader 01 00")
    assert found is not None
    assert (found.atr, found.is_known) == (b"", False)
    assert [row.has_card for row in table] == [False, True, True, False]
    assert len(table) == 4


@pytest.mark.parametrize("name", ["x" * 128, "a\0b"])
def test_names_that_no_reader_has(name: str) -> None:
    with pytest.raises(ValueError, match="such a name"):
        client_of(4).connect(CONTEXT, name, 1, 1)
