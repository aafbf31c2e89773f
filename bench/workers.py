# SPDX-License-Identifier: Apache-2.0
"""Processes of a measurement that take orders: ``begin`` starts a window, ``end`` has its figures told as JSON."""

import asyncio
import json
import sys
from typing import Final, Self

from tests.doubles.programs import Program

_START_S: Final = 90.0
_TELL_S: Final = 90.0


class Worker:
    """``python -m MODULE ARGUMENTS``, for the time of a ``with`` block."""

    def __init__(self, module: str, *arguments: object) -> None:
        self.program = Program([sys.executable, "-m", module, *map(str, arguments)])

    async def wait_ready(self) -> None:
        """Until it says so. Raises ProgramError."""
        await asyncio.to_thread(self.program.wait_for_stdout, "^ready$", timeout_s=_START_S)

    def begin(self) -> None:
        """Forget what was, and count from now on."""
        self.program.send_line("begin")

    async def end(self) -> dict[str, float]:
        """What was counted since ``begin``. Raises ProgramError."""
        so_far = len(self.program.stdout.lines)
        self.program.send_line("end")
        found = await asyncio.to_thread(self.program.wait_for_stdout, r"^(\{.*\})$", after=so_far, timeout_s=_TELL_S)
        figures: dict[str, float] = json.loads(found[1])
        return figures

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.program.close_input()
        self.program.stop()


async def orders() -> asyncio.StreamReader:
    """For the process itself: the lines of its input."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader
