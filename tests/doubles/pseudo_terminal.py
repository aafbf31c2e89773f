# SPDX-License-Identifier: Apache-2.0
"""A pseudo-terminal with a person at it, who types and waits for what is shown."""

import asyncio
import os
import re

import pytest

from tests.doubles.programs import PATIENCE_S


class PseudoTerminal:
    """``theirs`` is the program's end. Made in the event loop; ``close`` it."""

    def __init__(self) -> None:
        self.ours, self.theirs = os.openpty()
        self._shown = ""
        self._new = asyncio.Event()
        asyncio.get_running_loop().add_reader(self.ours, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self.ours, 65536)
        except OSError:  # the other end is closed
            asyncio.get_running_loop().remove_reader(self.ours)
            return
        # Colours and cursor movements are not what is tested.
        self._shown += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", data.decode(errors="replace"))
        self._new.set()

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())

    async def see(self, text: str) -> None:
        """Wait until ``text`` is shown, and forget everything up to it."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while text not in self._shown:
                    self._new.clear()
                    await self._new.wait()
        except TimeoutError:
            pytest.fail(f"{text!r} is not in {self._shown!r}", pytrace=False)
        self._shown = self._shown.partition(text)[2]

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.ours)
        os.close(self.ours)
        os.close(self.theirs)
