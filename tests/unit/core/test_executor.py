# SPDX-License-Identifier: Apache-2.0
"""Actions are carried out in order, whatever happens meanwhile."""

from dataclasses import dataclass

import pytest

from remsim.core.executor import ActionExecutor


@dataclass(frozen=True)
class Say:
    """An action."""

    text: str


@dataclass(frozen=True)
class Break:
    """An action that fails."""


@dataclass(frozen=True)
class Unknown:
    """An action that nobody carries out."""


class Stage:
    """What happened, in order."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.executor: ActionExecutor[object] = ActionExecutor(
            {Say: self.say, Break: self.fail},
            on_failure=lambda action, error: self.said.append(f"{type(action).__name__}: {type(error).__name__}"),
            after=lambda: self.said.append("."),
        )

    def say(self, action: Say) -> None:
        """Carry out; a text with an arrow leads to another action."""
        first, _, then = action.text.partition(">")
        if then:
            self.executor.run([Say(then)])
        self.said.append(first)

    def fail(self, _action: Break) -> None:
        """Fail."""
        raise ValueError("broken")


def test_actions_that_follow_from_others_come_after_them() -> None:
    stage = Stage()
    stage.executor.run([Say("a>c"), Say("b")])
    assert stage.said == ["a", "b", "c", "."]


def test_action_that_fails_keeps_nothing_back() -> None:
    stage = Stage()
    stage.executor.run([Break(), Say("a"), Unknown(), Say("b")])
    assert stage.said == ["Break: ValueError", "a", "Unknown: KeyError", "b", "."]


def test_long_chain_of_actions_needs_no_deep_stack() -> None:
    left = 5000

    def again(action: Say) -> None:
        nonlocal left
        left -= 1
        if left:
            executor.run([action])

    executor: ActionExecutor[object] = ActionExecutor(
        {Say: again}, on_failure=lambda action, error: pytest.fail(str(error)), after=lambda: None
    )
    executor.run([Say("again")])
    assert left == 0


def test_end_is_told_once_for_each_call_from_outside() -> None:
    stage = Stage()
    stage.executor.run([])
    stage.executor.run([Say("a")])
    assert stage.said == [".", "a", "."]


def test_interruption_leaves_the_executor_usable() -> None:
    def interrupt(_action: Break) -> None:
        raise KeyboardInterrupt

    executor: ActionExecutor[object] = ActionExecutor(
        {Break: interrupt, Say: lambda action: None}, on_failure=lambda action, error: None, after=lambda: None
    )
    with pytest.raises(KeyboardInterrupt):
        executor.run([Break()])
    executor.run([Say("a")])
