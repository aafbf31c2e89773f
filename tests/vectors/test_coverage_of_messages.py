# SPDX-License-Identifier: Apache-2.0
"""Nothing of the protocol is without a vector: messages, enumerations, CCM types."""

from collections.abc import Iterator

import pytest

from remsim.wire.ccm import CcmType
from remsim.wire.link.abilities import ABILITY_OF_ELEMENTS
from remsim.wire.messages import rspro
from remsim.wire.messages.codec import decode_pdu
from remsim.wire.messages.rspro import ErrorInd, RsproPdu
from remsim.wire.messages.schema import ALTERNATIVES, FIRST_OF_OURS, Struct
from tests.doubles import vectors

#: The recordings are of programs that know none of ours.
CLASSIC = [struct for number, struct in ALTERNATIVES.items() if number < FIRST_OF_OURS]


def recorded() -> Iterator[RsproPdu]:
    """Every PDU in the vectors: of the sessions, and of the examples."""
    for frame in vectors.frames():
        if frame.decoded["ipa"] == "RSPRO":
            yield decode_pdu(frame.raw[4:])
    for entry in vectors.document("messages.json")["messages"]:
        yield decode_pdu(bytes.fromhex(entry["der"]))


@pytest.mark.parametrize("struct", CLASSIC, ids=lambda s: s.name)
def test_every_message_has_a_vector(struct: Struct) -> None:
    assert any(isinstance(pdu.msg, struct.cls) for pdu in recorded())


@pytest.mark.parametrize("struct", CLASSIC, ids=lambda s: s.name)
def test_every_listed_classic_field_is_present_and_every_optional_one_absent_somewhere(struct: Struct) -> None:
    messages = [pdu.msg for pdu in recorded() if isinstance(pdu.msg, struct.cls)]
    of_ours = ABILITY_OF_ELEMENTS.get(struct.cls, ("", ""))[0]
    for field in struct.fields:
        if field.attr == of_ours:
            # Classic programs do not send it; it has vectors of its own.
            assert all(getattr(message, field.attr) is None for message in messages)
            continue
        assert any(getattr(message, field.attr) is not None for message in messages), field.name
        assert any(getattr(message, field.attr) is None for message in messages) == field.is_optional, field.name


def test_every_result_code_has_a_vector_in_every_response_with_one() -> None:
    for response in rspro.REQUEST_OF:
        if response is not rspro.TpduCardToModem:
            found = {getattr(pdu.msg, "result") for pdu in recorded() if isinstance(pdu.msg, response)}  # noqa: B009
            assert found == set(rspro.ResultCode), response


def test_every_error_report_has_a_vector() -> None:
    found = {(pdu.msg.severity, pdu.msg.code) for pdu in recorded() if isinstance(pdu.msg, ErrorInd)}
    assert found >= {(severity, code) for severity in rspro.ErrorSeverity for code in rspro.ErrorCode}


def test_every_ccm_type_in_use_has_a_vector() -> None:
    in_sessions = {frame.decoded["type"] for frame in vectors.frames() if frame.decoded["ipa"] == "CCM"}
    assert in_sessions == {kind.name for kind in CcmType} - {"ID_NACK"}
    # Nobody uses ID_NACK; that it does no harm is shown by its entry among the bad frames.
    assert any(frame.name == "ccm-id-nack" for frame in vectors.bad_frames())
