# SPDX-License-Identifier: Apache-2.0
"""What tests of the reader ``pcscd`` share: a source that is started, what it tells, and the stand-in's cards."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from remsim.readers.base import Presence, PresenceEvent
from remsim.readers.pcscd import PcscdDaemon, PcscdSource

ATR = bytes.fromhex("3B9F96801FC78031A073BE21136743200718000001A5")
READ = bytes.fromhex("00B0000002")
SELECT = bytes.fromhex("00A40004023F00")


def name(number: int) -> str:
    return f"Null Reader {number:04} 00"


class Watched:
    """What a source told."""

    def __init__(self) -> None:
        self.events: list[PresenceEvent] = []
        self.latest: dict[str, Presence] = {}

    def __call__(self, event: PresenceEvent) -> None:
        self.events.append(event)
        self.latest[event.reader] = event.presence

    def present(self) -> int:
        return list(self.latest.values()).count(Presence.PRESENT)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            turn = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(0.002, turn.set_result, None)
            await turn


@asynccontextmanager
async def started(*sockets: Path, deadline_s: float = 20.0, is_shared: bool = False) -> AsyncIterator[PcscdSource]:
    source = PcscdSource(
        daemons=[PcscdDaemon(socket) for socket in sockets],
        deadline_s=deadline_s,
        is_shared=lambda _reader: is_shared,
    )
    await source.start()
    try:
        yield source
    finally:
        await source.stop()
