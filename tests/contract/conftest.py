# SPDX-License-Identifier: Apache-2.0
"""What several contract tests need: each kind of loop, an authority of their own, and a server with its callers."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path

import pytest
import uvloop

from tests.doubles.certificates import CertificateWorld
from tests.doubles.rest_lab import Lab, open_lab
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


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """A server whose REST interface asks for a token."""
    async with open_lab(tmp_path) as made:
        yield made
