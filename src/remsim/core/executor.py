# SPDX-License-Identifier: Apache-2.0
"""Carries out what a coordinator returns: actions in order, without recursion, none kept back by another's failure."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

A = TypeVar("A")


class ActionExecutor(Generic[A]):
    """Carries out the actions of one coordinator.

    ``performers`` has one function for each class of action. An action may lead to events, and those to more actions:
    these wait in a queue until the ones before them are done. ``on_failure`` is told of an action that raised, and the
    next one is carried out all the same. ``after`` is called each time the queue has run empty.
    """

    def __init__(
        self,
        performers: Mapping[type, Callable[..., None]],
        *,
        on_failure: Callable[[A, Exception], None],
        after: Callable[[], None],
    ) -> None:
        self._performers = dict(performers)
        self._on_failure = on_failure
        self._after = after
        self._queue: deque[A] = deque()
        self._is_working = False

    def run(self, actions: Iterable[A]) -> None:
        """Carry out ``actions`` behind those that wait already. Returns at once if called from within an action."""
        self._queue.extend(actions)
        if self._is_working:
            return
        self._is_working = True
        try:
            while self._queue:
                action = self._queue.popleft()
                try:
                    self._performers[type(action)](action)
                except Exception as error:  # noqa: BLE001  # one session's trouble must not keep others' actions back
                    self._on_failure(action, error)
        finally:
            self._is_working = False
        self._after()
