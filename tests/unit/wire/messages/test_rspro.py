# SPDX-License-Identifier: Apache-2.0
"""Messages as values: enumerations that are open, names that are legal, refusals."""

import dataclasses
from typing import cast

import pytest

from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import (
    RESPONSE_TO,
    ComponentIdentity,
    ComponentType,
    ErrorCode,
    ErrorSeverity,
    ResultCode,
)

IDENTITY = ComponentIdentity(ComponentType.REMSIM_BANKD, "vm", "remsim-bankd", "1")


@pytest.mark.parametrize("kind", [ResultCode, ErrorCode, ErrorSeverity, rspro.AddressKind])
def test_open_enumeration_keeps_unknown_numbers(kind: type[ResultCode]) -> None:
    member = kind(77)
    assert member == 77
    assert member.name == "UNKNOWN_77"
    assert member not in list(kind)


def test_open_enumeration_refuses_what_is_no_number() -> None:
    with pytest.raises(ValueError, match="'ok' is not a valid ResultCode"):
        ResultCode(cast(int, "ok"))


def test_closed_enumeration_refuses_unknown_numbers() -> None:
    with pytest.raises(ValueError, match="3 is not a valid ComponentType"):
        ComponentType(3)


def test_identity_with_other_abilities_is_otherwise_the_same() -> None:
    named = IDENTITY.with_abilities(("echo.1",))
    assert named == dataclasses.replace(IDENTITY, sw_version="1+x1")
    assert named.with_abilities(None) == IDENTITY


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("board-7", "board-7"),
        ("x" * 64, "x" * 32),
        ("Zürich\n", "Z?rich?"),
        ("\x7f", "?"),
        ("", "?"),
    ],
)
def test_clean_name_makes_a_legal_component_name(text: str, name: str) -> None:
    assert rspro.clean_name(text) == name


@pytest.mark.parametrize(("request_class", "response_class"), RESPONSE_TO.items())
def test_refusal_is_the_response_to_the_request(
    request_class: type[rspro.Request], response_class: type[rspro.Response]
) -> None:
    found = rspro.refusal(request_class, ResultCode.ILLEGAL_SLOT_ID, IDENTITY)
    if response_class is rspro.TpduCardToModem:
        assert found is None  # it has no place for a result
        return
    assert type(found) is response_class
    assert not isinstance(found, rspro.TpduCardToModem)
    assert found.result is ResultCode.ILLEGAL_SLOT_ID
    if isinstance(found, rspro.ConnectBankRes | rspro.ConnectClientRes):
        assert found.identity == IDENTITY


@pytest.mark.parametrize("kind", [rspro.ErrorInd, rspro.SetAtrRes, rspro.UnknownMessage])
def test_nothing_refuses_what_is_no_request(kind: type) -> None:
    assert rspro.refusal(kind, ResultCode.ILLEGAL_SLOT_ID, IDENTITY) is None


def test_requests_and_responses_are_pairs() -> None:
    assert {response: request for request, response in RESPONSE_TO.items()} == rspro.REQUEST_OF
