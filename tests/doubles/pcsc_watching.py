# SPDX-License-Identifier: Apache-2.0
"""Watches PC/SC readers until so many have a card, uses the last one, and says what it saw, as JSON.

``python -m tests.doubles.pcsc_watching COUNT``; for a pcscd of a test's own, whose socket the environment names.
"""

import asyncio
import json
import sys

from remsim.readers.base import Presence, PresenceEvent
from remsim.readers.pcsc import PcscSource
from tests.doubles.programs import PATIENCE_S


async def main(count: int) -> None:
    """Watch, use, stop."""
    source = PcscSource()
    await source.start()
    present: dict[str, None] = {}
    are_there = asyncio.Event()

    def on_event(event: PresenceEvent) -> None:
        if event.presence is Presence.PRESENT:
            present[event.reader] = None
        if len(present) == count:
            are_there.set()

    source.watch(on_event)
    async with asyncio.timeout(PATIENCE_S):
        await are_there.wait()
    names = await source.names()
    reader = source.reader(names[-1])
    atr = await reader.open()
    number = await reader.transmit(bytes.fromhex("00b0000002"))
    await reader.close()
    await source.stop()
    print(json.dumps({"names": names, "atr": atr.hex(), "number": number.hex()}))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
