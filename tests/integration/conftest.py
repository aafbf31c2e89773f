# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests that run real programs."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.doubles.pcscd import PcscdNamespace
from tests.doubles.programs import quick_programs


def pytest_configure(config: pytest.Config) -> None:
    """Have one server of quick starts for all processes that run tests: they inherit our environment."""
    if not hasattr(config, "workerinput"):
        stack = ExitStack()
        stack.enter_context(quick_programs())
        config.add_cleanup(stack.close)


@pytest.fixture(scope="session", autouse=True)
def _starts_quickly(quick_start: Path) -> None:
    """All programs of these tests do."""


@pytest.fixture
def pcscd_namespace(tmp_path: Path) -> Iterator[PcscdNamespace]:
    """A real pcscd with two virtual readers, in namespaces of its own; see tests/doubles/pcscd.py."""
    with PcscdNamespace(tmp_path) as namespace:
        yield namespace
