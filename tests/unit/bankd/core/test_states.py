# SPDX-License-Identifier: Apache-2.0
"""The state tables: every state is reached and left again, and what is not listed is refused."""

import pytest

from remsim.bankd.core.states import (
    CARD_TRANSITIONS,
    CONNECTION_TRANSITIONS,
    CardEvent,
    CardState,
    ConnectionInput,
    ConnectionState,
)
from remsim.core.state_machine import IllegalTransitionError


def test_every_session_state_is_entered_and_left() -> None:
    rows = list(CONNECTION_TRANSITIONS)
    assert {state for state, _event, _to in rows} == set(ConnectionState)
    assert {to for _state, _event, to in rows} == set(ConnectionState)
    assert {event for _state, event, _to in rows} == set(ConnectionInput)


def test_every_connected_session_that_lasts_can_end() -> None:
    ending = {state for state, event, _to in CONNECTION_TRANSITIONS if event is ConnectionInput.ENDED}
    lasting = set(ConnectionState) - {ConnectionState.INIT, ConnectionState.ACCEPTING, ConnectionState.CONNECTED_CLIENT}
    assert ending == lasting


def test_every_card_state_is_entered_and_left() -> None:
    rows = list(CARD_TRANSITIONS)
    assert {state for state, _event, _to in rows} == set(CardState)
    assert {to for _state, _event, to in rows} == set(CardState)
    assert {event for _state, event, _to in rows} == set(CardEvent)


def test_unlisted_pairs_are_refused() -> None:
    with pytest.raises(IllegalTransitionError, match="INIT"):
        CONNECTION_TRANSITIONS.following(ConnectionState.INIT, ConnectionInput.TCP_UP)
    with pytest.raises(IllegalTransitionError, match="OFF"):
        CARD_TRANSITIONS.following(CardState.OFF, CardEvent.DONE)
