# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests that run real programs."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.pcscd import PcscdNamespace
from tests.doubles.programs import INSTALLED, STAND_INS
from tests.doubles.quick_start import QuickStart


@pytest.fixture(scope="session", autouse=True)
def _quick_start() -> Iterator[None]:
    """Our programs start quickly: see tests/doubles/quick_start.py."""
    # Not below pytest's folders: the address of a socket is short.
    with (
        tempfile.TemporaryDirectory() as folder,
        QuickStart(Path(folder), installed=INSTALLED),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv(STAND_INS, folder)
        yield


@pytest.fixture
def pcscd_namespace(tmp_path: Path) -> Iterator[PcscdNamespace]:
    """A real pcscd with two virtual readers, in namespaces of its own; see tests/doubles/pcscd.py."""
    with PcscdNamespace(tmp_path) as namespace:
        yield namespace
