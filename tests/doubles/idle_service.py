# SPDX-License-Identifier: Apache-2.0
"""A service that does nothing until it is told to stop, as a program: ``python -m tests.doubles.idle_service``.

The word behind it says how it behaves: ``drain`` stops at once, ``stubborn`` never, ``hangup`` logs SIGHUP.
"""

import asyncio
import sys

from remsim.config import ClientConfig, HostPort
from remsim.logs import get_logger
from remsim.metrics import ProgramMetrics
from remsim.net.runtime.process import run_service


class IdleService:
    """See the module."""

    def __init__(self, *, is_stubborn: bool) -> None:
        self.started = asyncio.Event()
        self._is_stubborn = is_stubborn
        self._stop = asyncio.Event()

    async def start(self) -> None:
        self.started.set()

    async def run(self) -> None:
        await self._stop.wait()

    def request_stop(self) -> None:
        if not self._is_stubborn:
            self._stop.set()

    async def stop(self) -> None:
        get_logger("idle").info("released")


def main(behaviour: str) -> int:
    """Run the service; return its exit status."""
    return run_service(
        lambda: IdleService(is_stubborn=behaviour == "stubborn"),
        config=ClientConfig(metrics=HostPort("127.0.0.1", 0)),
        metrics=ProgramMetrics("idle"),
        on_hangup=(lambda: get_logger("idle").info("hung_up")) if behaviour == "hangup" else None,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
