# SPDX-License-Identifier: Apache-2.0
"""What is done in one place only. The sources are read; nothing is imported."""

import ast
from collections.abc import Iterator
from functools import cache

import pytest

from tests import sources

TASKS = "remsim.net.runtime.tasks"
ENGINES = "remsim.net.engines"
RATE_LIMIT = "remsim.core.rate_limit"

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
    # Locks between programs
    "flock": "remsim.net.runtime.state_lock",
    "lockf": "remsim.net.runtime.state_lock",
    # Who holds an identity
    "TakeOvers": "remsim.core.claims",
    # Limits of rates; all others use buckets with keys, which are made of these
    "TokenBucket": RATE_LIMIT,
}
#: Functions of our own that happen to have such a name, the engine's default, and the bucket of a link.
OTHERS = {
    ("remsim.wire.link.engine", "KeepAliveTimes"),
    ("remsim.net.allowance", "TokenBucket"),
}
#: What three parts decide by, each for itself.
CLAIMERS = {"remsim.bankd.core.connections", "remsim.bankd.core.server_links", "remsim.server.core.admission"}


def used_in_calls(module: ast.Module) -> Iterator[str]:
    """The last part of each name that is called, or passed to something that is called."""
    for node in sources.nodes(module):
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
    for name in ("create_task", "gather", "TaskGroup", "to_thread", "LinkEngine", "flock", "TakeOvers", "TokenBucket"):
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


def test_all_who_let_peers_take_over_from_each_other_use_the_same_claims() -> None:
    assert {module for module, names in _calls().items() if "IdentityClaims" in names} == CLAIMERS
    # The doctor has a class of this name, which is no action.
    users = {module for module, names in _calls().items() if "Probe" in names}
    assert {module for module in users if not module.startswith("remsim.doctor.")} == CLAIMERS


def _is_now(node: ast.AST) -> bool:
    """The present: ``now``, or a clock that is read."""
    if isinstance(node, ast.Call):
        node = node.func
        return isinstance(node, ast.Attribute) and node.attr in {"time", "monotonic", "_now", "_clock"}
    return isinstance(node, ast.Name) and node.id == "now"


def refills(module: ast.Module) -> Iterator[str]:
    """Arithmetic of token buckets: what was earned since a time, or from when on a bucket will be whole.

    A bucket either keeps what is left in it, and adds ``(now - then) * rate``; or it keeps a time, and adds to
    ``max(that, now)``. A division by a literal changes the unit of a time.
    """
    for node in sources.nodes(module):
        if not isinstance(node, ast.BinOp):
            continue
        for side, other in ((node.left, node.right), (node.right, node.left)):
            is_earned = isinstance(node.op, ast.Mult | ast.Div | ast.FloorDiv) and isinstance(side, ast.BinOp)
            if is_earned and isinstance(side, ast.BinOp) and isinstance(side.op, ast.Sub) and _is_now(side.left):
                if not isinstance(other, ast.Constant):
                    yield ast.unparse(node)
            elif isinstance(node.op, ast.Add) and isinstance(side, ast.Call) and isinstance(side.func, ast.Name):
                if side.func.id == "max" and any(_is_now(argument) for argument in side.args):
                    yield ast.unparse(node)


def test_there_is_one_token_bucket() -> None:
    found = {module for module, path in sources.modules().items() if list(refills(sources.tree(path)))}
    assert found == {RATE_LIMIT}


@pytest.mark.parametrize(
    "source",
    [
        "left = min(burst, left + (now - self._at) * rate.per_second) - length",
        "left += (loop.time() - at) / interval_s",
        "self._empty_at[source] = max(self._empty_at.pop(source, now), now) + forgiven_s",
        "at = interval_s * count + max(at, self._clock())",
    ],
)
def test_token_bucket_is_found_however_it_is_written(source: str) -> None:
    assert list(refills(ast.parse(source)))


@pytest.mark.parametrize("source", ["days = (now - issued_at) / 86400", "due = now + delay_s", "age_s = now - then"])
def test_other_arithmetic_with_times_is_no_token_bucket(source: str) -> None:
    assert not list(refills(ast.parse(source)))


def test_types_are_not_calls() -> None:
    assert "TaskGroup" not in used_in_calls(ast.parse("group: asyncio.TaskGroup | None = None"))


def _makes_frozen(module: ast.Module) -> bool:
    """Whether a class in it has the decorator ``dataclass(frozen=True, slots=True)``, without more."""
    wanted = {"frozen": True, "slots": True}
    return any(
        isinstance(decorator, ast.Call)
        and getattr(decorator.func, "id", "") == "dataclass"
        and {each.arg: getattr(each.value, "value", None) for each in decorator.keywords} == wanted
        for node in sources.nodes(module)
        if isinstance(node, ast.ClassDef)
        for decorator in node.decorator_list
    )


def _imported_from(module: ast.Module, name: str) -> set[str]:
    """The modules from which it imports this name."""
    return {
        str(node.module)
        for node in sources.nodes(module)
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}
    }


def test_frozen_dataclasses_are_made_the_quick_way() -> None:
    slow = {
        module
        for module, path in sources.modules().items()
        if _makes_frozen(tree := sources.tree(path))
        and _imported_from(tree, "dataclass") != {"remsim.core.values"}
        and not _imported_from(tree, "InitVar")
    }
    assert not slow


@pytest.mark.parametrize(
    ("source", "is_frozen"),
    [
        ("@dataclass(frozen=True, slots=True)\nclass A: ...", True),
        ("@dataclass(slots=True)\nclass A: ...", False),
        ("@dataclass(frozen=True, slots=True, order=True)\nclass A: ...", False),
        ("@dataclass\nclass A: ...", False),
    ],
)
def test_frozen_dataclass_is_known_by_its_decorator(source: str, is_frozen: bool) -> None:
    assert _makes_frozen(ast.parse(source)) is is_frozen
