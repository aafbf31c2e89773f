# SPDX-License-Identifier: Apache-2.0
"""Frames that a receiver must survive: each is refused, tolerated or waited for as its ``kind`` demands.

Who refuses a frame of kind ``reject`` is stated for each: the framing, the codec, the link, or the coordinator whose
tests show it (``COORDINATORS``).
"""

from enum import Enum

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire.link.engine import (
    Event,
    IdentityReceived,
    LinkEngine,
    LinkFailed,
    Received,
    ReceivedUnknown,
    Undecodable,
)
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import (
    ComponentIdentity,
    ComponentType,
    ConnectClientReq,
    TpduCardToModem,
    TpduModemToCard,
)
from tests.doubles import vectors
from tests.doubles.vectors import BadFrame

#: Well formed and in range, but not what the session may carry: decoded, then refused by the coordinator named here.
COORDINATORS: dict[str, str] = {
    "ipa-frame-1151": "bankd: a command TPDU has 5 to 260 bytes",
    "ipa-frame-60000": "bankd: a command TPDU has 5 to 260 bytes",
    "ipa-frame-65535": "bankd: a command TPDU has 5 to 260 bytes",
    "tpdu-data-0": "bankd: a command TPDU has 5 to 260 bytes",
    "tpdu-data-4": "bankd: a command TPDU has 5 to 260 bytes",
    "tpdu-data-261": "bankd: a command TPDU has 5 to 260 bytes",
    "tpdu-wrong-bank": "bankd: not the mapped slot",
    "tpdu-wrong-client": "bankd: not the identified client",
    "card2modem-empty": "client: a response TPDU has 2 to 258 bytes",
    "card2modem-1": "client: a response TPDU has 2 to 258 bytes",
    "card2modem-900": "client: a response TPDU has 2 to 258 bytes",
}

#: A frame of CCM whose type is unknown to us is ignored: here the PDU that hides in it has no effect.
IGNORED_BY_THE_LINK = {"ipa-rspro-under-ccm-proto"}

#: The stream cannot be followed after these, so the link is closed. Other bad frames are skipped.
BREAK_THE_STREAM = {
    "ipa-zero-length-osmo",
    "ipa-zero-length-ccm",
    "ipa-zero-length-other",
    "ipa-ext-unknown",
    "ipa-ext-ctrl",
    "ipa-proto-rsl",
    "ipa-proto-oml",
    "ipa-proto-unknown",
    # Kind "incomplete": the rest of the PDU is read as a header, and makes none.
    "ipa-length-too-small",
}


class Outcome(Enum):
    """What a link makes of a frame."""

    LINK_FAILED = "link failed"
    UNDECODABLE = "undecodable"
    MESSAGE = "message"
    NOTHING = "nothing"


def play(frame: BadFrame, then: bytes = b"") -> tuple[list[Event], bytes]:
    """Events and answers of an engine that receives the frame when it is sent, ``then`` more, and nothing else."""
    identity = ComponentIdentity(ComponentType.REMSIM_SERVER, "test", "remsim", "1")
    connection = LinkEngine(identity=identity, peer=None, now=0.0)
    connection.data_to_send()
    if not frame.is_first:
        connection.connected()
    connection.receive_data(frame.raw + then, 0.0)
    events = []
    while (event := connection.next_event()) is not None:
        events.append(event)
    return events, connection.data_to_send()


def outcome(events: list[Event]) -> Outcome:
    """The strongest of the events."""
    if any(isinstance(event, LinkFailed) for event in events):
        return Outcome.LINK_FAILED
    if any(isinstance(event, Undecodable) for event in events):
        return Outcome.UNDECODABLE
    return Outcome.MESSAGE if events else Outcome.NOTHING


def of_kind(*kinds: str) -> list[BadFrame]:
    """The frames of these kinds."""
    return [frame for frame in vectors.bad_frames() if frame.kind in kinds]


def test_every_frame_is_of_a_known_kind() -> None:
    assert {frame.kind for frame in vectors.bad_frames()} == {"reject", "either", "tolerate", "incomplete", "legal"}
    assert len(vectors.bad_frames()) == 122
    assert set(COORDINATORS) | IGNORED_BY_THE_LINK <= {frame.name for frame in of_kind("reject")}


@pytest.mark.parametrize("frame", of_kind("reject"), ids=lambda f: f.name)
def test_rejected_frame_is_refused(frame: BadFrame) -> None:
    events, answer = play(frame)
    if frame.name in COORDINATORS:
        assert outcome(events) is Outcome.MESSAGE
    elif frame.name in IGNORED_BY_THE_LINK:
        assert outcome(events) is Outcome.NOTHING
    else:
        expected = Outcome.LINK_FAILED if frame.name in BREAK_THE_STREAM else Outcome.UNDECODABLE
        assert outcome(events) is expected
    assert answer == b""


@pytest.mark.parametrize("frame", of_kind("either"), ids=lambda f: f.name)
def test_sloppy_ber_is_accepted_or_refused(frame: BadFrame) -> None:
    events, answer = play(frame)
    assert outcome(events) in (Outcome.MESSAGE, Outcome.UNDECODABLE)
    assert answer == b""


#: What comes of frames of kind "tolerate"; the connection is kept.
TOLERATED: dict[str, tuple[type[Event] | None, bytes]] = {
    "ccm-unknown-type": (None, b""),
    "ccm-id-nack": (None, b""),
    "ccm-id-get-odd": (None, bytes.fromhex("0001fe050001fe06")),
    "ccm-id-get-unknown-tag": (None, bytes.fromhex("0001fe050001fe06")),
    "ccm-id-resp-empty": (IdentityReceived, b""),
    "ccm-id-resp-no-unit": (IdentityReceived, b""),
    "ccm-id-resp-bad-len": (IdentityReceived, b""),
    "alt-unknown-21": (ReceivedUnknown, b""),
    "alt-unknown-30": (ReceivedUnknown, b""),
    "alt-unknown-30-primitive": (ReceivedUnknown, b""),
    "alt-unknown-high": (ReceivedUnknown, b""),
    "nest-200": (Received, b""),
    "string-nul": (Received, b""),
    "result-unknown": (Received, b""),
}


@pytest.mark.parametrize("frame", of_kind("tolerate"), ids=lambda f: f.name)
def test_harmless_frame_leaves_the_connection_as_it_was(frame: BadFrame) -> None:
    events, answer = play(frame)
    kind, expected_answer = TOLERATED[frame.name]
    assert [type(event) for event in events] == ([] if kind is None else [kind])
    assert answer == expected_answer


@pytest.mark.parametrize("frame", of_kind("incomplete"), ids=lambda f: f.name)
def test_incomplete_frame_is_waited_for(frame: BadFrame) -> None:
    events, answer = play(frame)
    assert outcome(events) is (Outcome.LINK_FAILED if frame.name in BREAK_THE_STREAM else Outcome.NOTHING)
    assert answer == b""


#: What comes of frames of kind "legal".
LEGAL: dict[str, tuple[type[Event] | None, bytes]] = {
    "ccm-id-get": (None, bytes.fromhex("000afe05000708302f302f30000001fe06")),
    "ccm-id-resp-good": (IdentityReceived, b""),
    # rspro.md 3: as classic servers and bankds do, and some wait for it.
    "ccm-id-ack": (None, bytes.fromhex("0001fe06")),
    "ccm-pong-unasked": (None, b""),
    "ccm-ping-with-payload": (None, bytes.fromhex("0001fe01")),
    "range-version-1": (Received, b""),
}


@pytest.mark.parametrize("frame", of_kind("legal"), ids=lambda f: f.name)
def test_legal_frame_has_its_effect(frame: BadFrame) -> None:
    events, answer = play(frame)
    kind, expected_answer = LEGAL[frame.name]
    assert [type(event) for event in events] == ([] if kind is None else [kind])
    assert answer == expected_answer


@pytest.mark.parametrize(
    "frame", [f for f in vectors.bad_frames() if f.name not in BREAK_THE_STREAM], ids=lambda f: f.name
)
def test_connection_stays_usable_after_a_whole_frame(frame: BadFrame) -> None:
    if frame.kind == "incomplete":
        return  # what follows would be its rest
    _, answer = play(frame, bytes.fromhex("0001fe00"))
    assert answer.endswith(bytes.fromhex("0001fe01"))


def test_what_coordinators_refuse_has_the_stated_defect() -> None:
    client, bank = ClientSlot(1, 0), BankSlot(1, 2)
    for frame in vectors.bad_frames():
        if frame.name not in COORDINATORS:
            continue
        ((event,), _) = play(frame)
        assert isinstance(event, Received)
        match event.message:
            case TpduModemToCard(sender, receiver, _, data):
                is_long = not rspro.MIN_COMMAND <= len(data) <= rspro.MAX_COMMAND
                assert is_long == ("wrong" not in frame.name)
                assert (sender != client) == (frame.name == "tpdu-wrong-client")
                assert (receiver != bank) == (frame.name == "tpdu-wrong-bank")
            case TpduCardToModem(data=data):
                assert not rspro.MIN_RESPONSE <= len(data) <= rspro.MAX_RESPONSE
            case message:
                pytest.fail(f"{frame.name}: {message}")


def test_out_of_range_number_of_a_connect_request_may_be_answered() -> None:
    # known-limits.md 22: validate, answer with a result code. The event carries what is needed for it.
    for name in ("range-client-1024", "range-client-65537", "range-client-negative", "range-slot-1024"):
        (frame,) = [f for f in vectors.bad_frames() if f.name == name]
        ((event,), _) = play(frame)
        assert isinstance(event, Undecodable)
        assert (event.error.alternative, event.error.tag) == (2, 0)
        assert event.error.field.startswith("connectClientReq.clientSlot.")


def test_first_message_with_a_nul_in_its_name_keeps_it() -> None:
    (frame,) = [f for f in vectors.bad_frames() if f.name == "string-nul"]
    ((event,), _) = play(frame)
    assert isinstance(event, Received)
    assert isinstance(event.message, ConnectClientReq)
    assert "\0" in event.message.identity.name
