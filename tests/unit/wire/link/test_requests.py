# SPDX-License-Identifier: Apache-2.0
"""Requests under way: what is expected, what was asked, and how much of either is too much."""

import pytest

from remsim.wire.errors import LocalProtocolError
from remsim.wire.link.requests import MAX_OUTSTANDING, MAX_UNANSWERED, Asked, Requests
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import NO_FLAGS, ResultCode, TpduModemToCard
from tests.doubles.engines import BANK, CLIENT

CREATE = rspro.CreateMappingReq(CLIENT, BANK)
COMMAND = TpduModemToCard(CLIENT, BANK, NO_FLAGS, bytes(5))
CREATED = rspro.CreateMappingRes(ResultCode.OK)


def test_more_requests_than_are_allowed_are_not_noted() -> None:
    requests = Requests()
    assert all(requests.expect_response(rspro.CreateMappingReq, tag) for tag in range(MAX_UNANSWERED))
    assert not requests.expect_response(rspro.CreateMappingReq, 9999)
    assert requests.expect_response(TpduModemToCard, 1), "another kind"
    assert len(requests.expected[rspro.CreateMappingRes]) == MAX_UNANSWERED


def test_more_requests_of_ours_than_a_sound_peer_leaves_unanswered_are_not_noted() -> None:
    requests = Requests()
    assert all(requests.ask(Asked(tag, CREATE, 0.0)) for tag in range(MAX_OUTSTANDING))
    assert not requests.ask(Asked(9999, CREATE, 0.0))
    assert requests.match(rspro.CreateMappingReq, 0, is_echoed=False) is not None
    assert requests.ask(Asked(9999, CREATE, 0.0))


def test_answer_completes_its_request_once() -> None:
    requests = Requests()
    requests.expect_response(rspro.CreateMappingReq, 7)
    assert requests.complete(CREATED, 7) == 7
    for tag in (7, None):
        with pytest.raises(LocalProtocolError, match="answers no open request"):
            requests.complete(CREATED, tag)


def test_commands_are_cancelled_and_forgotten_together() -> None:
    requests = Requests()
    requests.expect_response(TpduModemToCard, 1)
    requests.expect_response(rspro.CreateMappingReq, 2)
    requests.ask(Asked(3, CREATE, 1.0))
    requests.ask(Asked(4, COMMAND, 2.0))
    assert requests.oldest_command() == 2.0
    requests.cancel_commands()
    requests.forget_commands()
    assert rspro.TpduCardToModem not in requests.expected
    assert requests.complete(CREATED, 2) == 2
    assert requests.oldest_command() is None
    assert requests.match(TpduModemToCard, 4, is_echoed=True) is None
    found = requests.match(rspro.CreateMappingReq, 3, is_echoed=True)
    assert found is not None
    assert found.tag == 3
