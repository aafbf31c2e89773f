# SPDX-License-Identifier: Apache-2.0
"""What several contract tests need: each kind of loop, and an authority of their own."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path

import pytest
import uvloop

from tests.doubles.certificates import CertificateWorld
from tests.doubles.tls_world import Run


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine in a loop of this kind."""
    make = asyncio.new_event_loop if request.param == "asyncio" else uvloop.new_event_loop

    def run_in_loop(work: Coroutine[object, object, None]) -> None:
        with asyncio.Runner(loop_factory=make) as runner:
            runner.run(work)

    return run_in_loop


@pytest.fixture
def ca(tmp_path: Path) -> CertificateWorld:
    """An authority of our own."""
    return CertificateWorld(tmp_path / "lab")
