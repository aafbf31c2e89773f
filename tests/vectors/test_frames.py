# SPDX-License-Identifier: Apache-2.0
"""Every recorded frame and every example message means what the recording says, and encodes to the same bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remsim.wire import ccm, ipa
from remsim.wire.ccm import CcmType
from remsim.wire.messages.codec import decode_pdu, encode_pdu
from tests.doubles import asn1, notation, strategies, vectors
from tests.doubles.vectors import Frame


def read_frames(*pieces: bytes) -> list[tuple[bool, bytes]]:
    """What a reader makes of these pieces of a stream."""
    reader = ipa.FrameReader()
    found = []
    for piece in pieces:
        reader.receive_data(piece)
        while (frame := reader.next_frame()) is not None:
            found.append(frame)
    assert not reader.buffer
    return found


def check_rspro(frame: Frame, payload: bytes) -> None:
    """Meaning and bytes of an RSPRO frame."""
    stated = {key: frame.decoded[key] for key in ("version", "tag", "msg")}
    pdu = decode_pdu(payload)
    assert notation.to_json(pdu) == stated
    assert notation.from_json(stated) == pdu
    assert ipa.encode_rspro(encode_pdu(pdu)) == frame.raw


def check_ccm(frame: Frame, payload: bytes) -> None:
    """Meaning and bytes of a CCM frame."""
    assert CcmType(payload[0]).name == frame.decoded["type"]
    assert payload[1:].hex() == frame.decoded.get("rest", "")
    assert ipa.encode_ccm(payload) == frame.raw


@pytest.mark.parametrize("session", vectors.sessions(), ids=lambda s: s.name)
def test_frames_of_session_decode_to_the_stated_meaning_and_encode_to_the_same_bytes(
    session: vectors.Session,
) -> None:
    for frame in session.frames:
        ((is_rspro, payload),) = read_frames(frame.raw)
        assert is_rspro == (frame.decoded["ipa"] == "RSPRO"), str(frame)
        (check_rspro if is_rspro else check_ccm)(frame, payload)


def test_all_sessions_are_there() -> None:
    assert [int(session.name[:2]) for session in vectors.sessions()] == list(vectors.SESSION_NUMBERS)
    assert len(vectors.frames()) == 959


@pytest.mark.parametrize("entry", vectors.document("messages.json")["messages"], ids=lambda e: str(e["name"]))
def test_example_message_decodes_and_encodes(entry: dict[str, object]) -> None:
    der, frame = bytes.fromhex(str(entry["der"])), bytes.fromhex(str(entry["frame"]))
    stated = entry["pdu"]
    assert isinstance(stated, dict)
    pdu = decode_pdu(der)
    assert notation.to_json(pdu) == stated
    assert notation.from_json(stated) == pdu
    assert encode_pdu(pdu) == der
    assert ipa.encode_rspro(der) == frame
    assert read_frames(frame) == [(True, der)]
    assert asn1.decode(der) == pdu
    assert asn1.encode(pdu) == der


STREAMS = [stream for session in vectors.sessions() for stream in session.streams().values()]


@given(stream=st.sampled_from(STREAMS), data=st.data())
def test_frames_joined_and_cut_anywhere_come_out_whole(stream: list[Frame], data: st.DataObject) -> None:
    joined = b"".join(frame.raw for frame in stream)
    found = read_frames(*data.draw(strategies.cuts(joined)))
    assert [ipa.encode_rspro(payload) if is_rspro else ipa.encode_ccm(payload) for is_rspro, payload in found] == [
        frame.raw for frame in stream
    ]


@pytest.mark.parametrize("session", vectors.sessions(), ids=lambda s: s.name)
def test_frames_arrive_byte_by_byte(session: vectors.Session) -> None:
    for stream in session.streams().values():
        joined = b"".join(frame.raw for frame in stream)
        assert len(read_frames(*(joined[i : i + 1] for i in range(len(joined))))) == len(stream)


def test_recorded_identity_answer_is_ours() -> None:
    # Session 27: what a classic program answers to ID_GET for the tags 08, 07 and 01 ... is what ours answers.
    asked = [frame for frame in vectors.frames() if frame.decoded.get("type") == "ID_GET"]
    answers = [frame for frame in vectors.frames() if frame.decoded.get("type") in ("ID_RESP", "ID_ACK")]
    assert len(asked) == 2
    for index, frame in enumerate(asked):
        expected = b"".join(answer.raw for answer in answers[2 * index : 2 * index + 2])
        assert ccm.answer_id_get(frame.raw[ipa.HEADER_SIZE + 1 :]) == expected
