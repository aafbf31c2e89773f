# SPDX-License-Identifier: Apache-2.0
"""State machines as tables: a pair of state and event that is not listed is a bug of ours, never of a peer.

A machine is three things: an enum of states and one of events (``State``, ``Event``), a ``Transitions`` table, and an
object that is in one of the states (``Stateful``). ``step`` is the only place that sets a state; a test reads the
sources and proves it. The diagrams in ``docs/states.md`` are drawn from the tables.
"""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, ClassVar, Generic, TypeVar

from remsim.core.errors import RemsimError


class IllegalTransitionError(RemsimError):
    """Something happened that the table does not list for this state."""


class State(Enum):
    """Base of an enum of states. The value is the state's name for people."""

    # Members are singletons; the hash that Enum computes from the name costs more than the look-up itself.
    __hash__ = object.__hash__


class Event(Enum):
    """Base of an enum of events that move a machine. The value says in a few words what happened."""

    __hash__ = object.__hash__


S = TypeVar("S", bound=State)
E = TypeVar("E", bound=Event)


class Transitions(Generic[S, E]):
    """Which state follows. ``machine`` names the kind of object in errors."""

    def __init__(self, machine: str, table: Mapping[tuple[S, E], S]) -> None:
        self.machine = machine
        #: Not to be changed.
        self.table = dict(table)

    def following(self, state: S, event: E) -> S:
        """The state after ``event`` in ``state``. Raises IllegalTransitionError if the pair is not listed."""
        try:
            return self.table[state, event]
        except KeyError:
            raise IllegalTransitionError(f"{self.machine}: {event.value!r} in state {state.value}") from None

    def allows(self, state: S, event: E) -> bool:
        """Whether the pair is listed."""
        return (state, event) in self.table

    def __iter__(self) -> Iterator[tuple[S, E, S]]:
        """All rows in the order of the table: state, event, following state."""
        return ((state, event, following) for (state, event), following in self.table.items())

    def __len__(self) -> int:
        return len(self.table)


class Stateful(Generic[S, E]):
    """An object that is in one state at a time. A subclass names its table in ``TRANSITIONS``."""

    __slots__ = ("_state",)

    TRANSITIONS: ClassVar[Transitions[Any, Any]]  # a ClassVar cannot name the class's parameters
    _table: ClassVar[dict[tuple[Any, Any], Any]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._table = cls.TRANSITIONS.table

    def __init__(self, state: S) -> None:
        self._state = state

    @property
    def state(self) -> S:
        """The present state."""
        return self._state

    def step(self, event: E) -> S:
        """Move on, and return the new state. Raises IllegalTransitionError if the table does not list the pair."""
        # Twice for each command of a card, so the table is asked without a call in between.
        try:
            following: S = self._table[self._state, event]
        except KeyError:
            following = self.TRANSITIONS.following(self._state, event)
        self._state = following
        return following
