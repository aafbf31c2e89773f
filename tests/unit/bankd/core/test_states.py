# SPDX-License-Identifier: Apache-2.0
"""The state tables: every state is reached and left again, and what is not listed is refused."""

import pytest

from remsim.bankd.core.states import (
    CARD_TRANSITIONS,
    SESSION_TRANSITIONS,
    CardEvent,
    CardState,
    SessionEvent,
    SessionState,
    next_card_state,
    next_session_state,
)
from remsim.wire.errors import LocalProtocolError


def test_every_session_state_is_entered_and_left() -> None:
    assert {state for state, _event in SESSION_TRANSITIONS} == set(SessionState)
    assert set(SESSION_TRANSITIONS.values()) == set(SessionState)
    assert {event for _state, event in SESSION_TRANSITIONS} == set(SessionEvent)


def test_every_connected_session_that_lasts_can_end() -> None:
    ending = {state for state, event in SESSION_TRANSITIONS if event is SessionEvent.ENDED}
    lasting = set(SessionState) - {SessionState.INIT, SessionState.ACCEPTING, SessionState.CONNECTED_CLIENT}
    assert ending == lasting


def test_every_card_state_is_entered_and_left() -> None:
    assert {state for state, _event in CARD_TRANSITIONS} == set(CardState)
    assert set(CARD_TRANSITIONS.values()) == set(CardState)
    assert {event for _state, event in CARD_TRANSITIONS} == set(CardEvent)


def test_short_cut_of_the_hot_path_is_what_the_table_says() -> None:
    assert next_card_state(CardState.READY, CardEvent.COMMAND) is CardState.BUSY
    assert next_card_state(CardState.BUSY, CardEvent.DONE) is CardState.READY


def test_unlisted_pairs_are_refused() -> None:
    with pytest.raises(LocalProtocolError, match="INIT"):
        next_session_state(SessionState.INIT, SessionEvent.TCP_UP)
    with pytest.raises(LocalProtocolError, match="OFF"):
        next_card_state(CardState.OFF, CardEvent.DONE)
