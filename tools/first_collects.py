# SPDX-License-Identifier: Apache-2.0
"""A plug-in for pytest: with ``-p tools.first_collects`` the first process of xdist collects alone, then the others do.

In a fresh clone everything that is imported must be compiled, and pytest rewrites each file of tests. Processes that
collect at the same time all do this work, which takes longer than the collection itself. One that comes later finds it
done. This is worth the wait where something else uses the second processor meanwhile.
"""

import os
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

_FIRST: Final = "gw0"
#: Names the folder in which the first process leaves a file when it has collected. All inherit it.
_FOLDER: Final = "FOLDER_OF_FIRST_COLLECTS"
#: The others go on after this time, whatever became of the first one.
_PATIENCE_S: Final = 120.0
_LOOK_S: Final = 0.1


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder."""
    if _worker() is None:
        folder = tempfile.TemporaryDirectory()
        config.add_cleanup(folder.cleanup)
        os.environ[_FOLDER] = folder.name


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Wait for the first process, or be it."""
    collected = Path(os.environ[_FOLDER]) / "collected"
    if _worker() in (None, _FIRST):
        try:
            return (yield)
        finally:
            collected.touch()
    until = time.monotonic() + _PATIENCE_S
    while not collected.exists() and time.monotonic() < until:
        time.sleep(_LOOK_S)
    return (yield)


def _worker() -> str | None:
    """The name of this process among those that run tests; None for the one that started them."""
    return os.environ.get("PYTEST_XDIST_WORKER")
