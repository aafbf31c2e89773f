# SPDX-License-Identifier: Apache-2.0
"""What is done in one place only. The sources are read; nothing is imported."""

import ast
from collections.abc import Iterator
from functools import cache

import pytest

from tests import sources

TASKS = "remsim.net.runtime.tasks"
ENGINES = "remsim.net.engines"

#: Functions and classes by the last part of their name, and the only module that may call them or pass them on.
HOME = {
    # Tasks, and work in a thread of the pool
    "create_task": TASKS,
    "ensure_future": TASKS,
    "gather": TASKS,
    "TaskGroup": TASKS,
    "to_thread": TASKS,
    "run_in_executor": TASKS,
    # Engines of links
    "LinkEngine": ENGINES,
    "KeepAliveTimes": ENGINES,
}
#: Functions of our own that happen to have such a name, and the engine's default.
OTHERS = {("remsim.doctor.bank", "gather"), ("remsim.wire.link.engine", "KeepAliveTimes")}


def used_in_calls(module: ast.Module) -> Iterator[str]:
    """The last part of each name that is called, or passed to something that is called."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            for part in (node.func, *node.args, *(keyword.value for keyword in node.keywords)):
                if isinstance(part, ast.Attribute):
                    yield part.attr
                elif isinstance(part, ast.Name):
                    yield part.id


@cache
def _calls() -> dict[str, frozenset[str]]:
    """By module, what ``used_in_calls`` finds in it."""
    return {module: frozenset(used_in_calls(sources.tree(path))) for module, path in sources.modules().items()}


@pytest.mark.parametrize("name", HOME)
def test_is_used_at_home_only(name: str) -> None:
    users = {module for module, names in _calls().items() if name in names}
    assert users <= {HOME[name]} | {module for module, other in OTHERS if other == name}


def test_each_home_uses_what_it_is_home_of() -> None:
    for name in ("create_task", "gather", "TaskGroup", "to_thread", "LinkEngine"):
        assert name in _calls()[HOME[name]], name


@pytest.mark.parametrize(
    "source",
    [
        "asyncio.create_task(work())",
        "loop.create_task(work())",
        "create_task(work())",
        "soon(asyncio.create_task, work)",
    ],
)
def test_starting_a_task_is_found_however_it_is_written(source: str) -> None:
    assert "create_task" in used_in_calls(ast.parse(source))


def test_types_are_not_calls() -> None:
    assert "TaskGroup" not in used_in_calls(ast.parse("group: asyncio.TaskGroup | None = None"))
