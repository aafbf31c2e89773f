# SPDX-License-Identifier: Apache-2.0
"""Uses every PC/SC reader at once and says how it went, as JSON; for a PC/SC library of a test's own."""

import asyncio
import json
import time

from remsim.readers.base import CardReader, Presence
from remsim.readers.pcsc import PcscSource

_COMMAND = bytes.fromhex("00b0000010")
_ROUNDS = 50


async def _exercise(reader: CardReader) -> list[str]:
    atr = await reader.open()
    for _ in range(_ROUNDS):
        assert await reader.transmit(_COMMAND) == b"\x90\x00"
    warm, cold = await reader.warm_reset(), await reader.cold_reset()
    await reader.close()
    return [raw.hex() for raw in (atr, warm, cold)]


async def main() -> None:
    """Open all readers, exchange commands, reset, close."""
    source = PcscSource()
    await source.start()
    present: set[str] = set()
    source.watch(lambda event: present.add(event.reader) if event.presence is Presence.PRESENT else None)
    names = await source.names()
    began = time.monotonic()
    atrs = await asyncio.gather(*(_exercise(source.reader(name)) for name in names))
    took_s = time.monotonic() - began
    await source.stop()
    print(json.dumps({"names": names, "present": len(present), "atrs": atrs, "took_s": took_s}))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main())
