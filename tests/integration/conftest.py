# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests that run real programs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.pcscd import PcscdNamespace


@pytest.fixture(scope="session", autouse=True)
def _starts_quickly(quick_start: None) -> None:
    """All programs of these tests do."""


@pytest.fixture
def pcscd_namespace(tmp_path: Path) -> Iterator[PcscdNamespace]:
    """A real pcscd with two virtual readers, in namespaces of its own; see tests/doubles/pcscd.py."""
    with PcscdNamespace(tmp_path) as namespace:
        yield namespace
