# SPDX-License-Identifier: Apache-2.0
"""Machines move by their table only."""

import pytest

from remsim.core.state_machine import Event, IllegalTransitionError, State, Stateful, Transitions


class Lamp(State):
    """States of the machine under test."""

    OFF = "off"
    ON = "on"


class Push(Event):
    """Its events."""

    UP = "pushed up"
    DOWN = "pushed down"


TABLE = Transitions("lamp", {(Lamp.OFF, Push.UP): Lamp.ON, (Lamp.ON, Push.DOWN): Lamp.OFF})


class Switch(Stateful[Lamp, Push]):
    """A machine."""

    TRANSITIONS = TABLE


def test_machine_follows_its_table() -> None:
    switch = Switch(Lamp.OFF)
    assert switch.step(Push.UP) is Lamp.ON
    assert switch.state is Lamp.ON
    assert switch.step(Push.DOWN) is Lamp.OFF


def test_pair_that_is_not_listed_is_an_error_that_names_it_and_moves_nothing() -> None:
    switch = Switch(Lamp.OFF)
    with pytest.raises(IllegalTransitionError, match="lamp: 'pushed down' in state off"):
        switch.step(Push.DOWN)
    assert switch.state is Lamp.OFF


def test_state_cannot_be_set() -> None:
    with pytest.raises(AttributeError):
        Switch(Lamp.OFF).state = Lamp.ON  # type: ignore[misc]  # this is what must not be possible


def test_table_gives_its_rows_in_order() -> None:
    assert list(TABLE) == [(Lamp.OFF, Push.UP, Lamp.ON), (Lamp.ON, Push.DOWN, Lamp.OFF)]
    assert len(TABLE) == 2


def test_pairs_can_be_asked_for() -> None:
    assert TABLE.allows(Lamp.OFF, Push.UP)
    assert not TABLE.allows(Lamp.ON, Push.UP)
