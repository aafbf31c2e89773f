# SPDX-License-Identifier: Apache-2.0
"""The book of requests under way: what is owed, what was asked, and how much of either is too much."""

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
    book = Requests()
    assert all(book.owe(rspro.CreateMappingReq, tag) for tag in range(MAX_UNANSWERED))
    assert not book.owe(rspro.CreateMappingReq, 9999)
    assert book.owe(TpduModemToCard, 1), "another kind"
    assert len(book.owed[rspro.CreateMappingRes]) == MAX_UNANSWERED


def test_more_requests_of_ours_than_a_sound_peer_leaves_unanswered_are_not_noted() -> None:
    book = Requests()
    assert all(book.ask(Asked(tag, CREATE, 0.0)) for tag in range(MAX_OUTSTANDING))
    assert not book.ask(Asked(9999, CREATE, 0.0))
    assert book.match(rspro.CreateMappingReq, 0, is_echoed=False) is not None
    assert book.ask(Asked(9999, CREATE, 0.0))


def test_answer_settles_its_request_once() -> None:
    book = Requests()
    book.owe(rspro.CreateMappingReq, 7)
    assert book.settle(CREATED, 7) == 7
    for tag in (7, None):
        with pytest.raises(LocalProtocolError, match="answers no open request"):
            book.settle(CREATED, tag)


def test_commands_are_waived_and_forgotten_together() -> None:
    book = Requests()
    book.owe(TpduModemToCard, 1)
    book.owe(rspro.CreateMappingReq, 2)
    book.ask(Asked(3, CREATE, 1.0))
    book.ask(Asked(4, COMMAND, 2.0))
    assert book.oldest_command() == 2.0
    book.waive_commands()
    book.forget_commands()
    assert rspro.TpduCardToModem not in book.owed
    assert book.settle(CREATED, 2) == 2
    assert book.oldest_command() is None
    assert book.match(TpduModemToCard, 4, is_echoed=True) is None
    found = book.match(rspro.CreateMappingReq, 3, is_echoed=True)
    assert found is not None
    assert found.tag == 3
