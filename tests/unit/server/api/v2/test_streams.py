# SPDX-License-Identifier: Apache-2.0
"""How many streams there may be at a time, of all tokens and of one."""

from contextlib import ExitStack

from remsim.server.api import limits
from remsim.server.api.v2.streams import Readers
from remsim.server.core import tracing
from remsim.server.core.tokens import Grant, Scope, TokenRole

MOST, OF_ONE = limits.MAX_TRACE_READERS, limits.MAX_TRACE_READERS_OF_ONE


def grant(token_id: str) -> Grant:
    return Grant(token_id, "n", TokenRole.VIEWER, Scope())


def why_not(readers: Readers, token_id: str) -> str:
    return readers.are_too_many(grant(token_id), MOST, OF_ONE)


def test_one_token_does_not_take_the_traces_of_the_others() -> None:
    readers = Readers()
    with ExitStack() as open_ones:
        for _ in range(OF_ONE - 1):
            open_ones.enter_context(readers.reading(grant("a")))
        assert not why_not(readers, "a")
        with readers.reading(grant("a")):
            assert why_not(readers, "a") == "24 streams are open with this token already"
            assert not why_not(readers, "b")
        assert not why_not(readers, "a")
    assert readers.count == 0


def test_all_tokens_together_have_a_limit() -> None:
    readers = Readers()
    with ExitStack() as open_ones:
        for number in range(MOST):
            assert not why_not(readers, str(number // OF_ONE))
            open_ones.enter_context(readers.reading(grant(str(number // OF_ONE))))
        assert why_not(readers, "c") == "64 streams are open already"


def test_traces_of_one_token_leave_slots_that_may_be_traced() -> None:
    assert OF_ONE < tracing.MAX_TRACED
