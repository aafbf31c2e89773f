# SPDX-License-Identifier: Apache-2.0
"""The software cards of ``remsim bankd --reader sim``, each of which counts the commands that reach it.

A reader source from outside the package, for measurements only. The counts are the cards' own, whatever the bank thinks
of them; reading a card's ICCID is not among them. They are written to a file when the source stops.
"""

import json
import os
from pathlib import Path
from typing import Final

from bench.null_reader import provide
from remsim.readers.base import CardReader, Done, PresenceListener, ReaderSource
from remsim.readers.sim.source import SimReader, SimSource

#: Name of the source, for ``remsim bankd --reader``.
SOURCE: Final = "counted"
#: The environment variable with its settings, as JSON: slots, profile, card_time_s, file.
_SETTINGS: Final = "REMSIM_BENCH_COUNTED"


def reader_name(index: int) -> str:
    """The name of the reader with this number, from 0."""
    return f"remsim sim {index:02d}"


def plug_in(folder: Path, *, profiles: list[str], card_time_s: float, counts: Path) -> dict[str, str]:
    """Make the source known from ``folder``, with a card for each profile; return the environment for the bankd.

    ``counts`` is the file with the number of commands by reader, once the bankd has ended in good order.
    """
    settings = {
        "slots": len(profiles),
        "profile": ",".join(profiles),
        "card_time_s": card_time_s,
        "file": str(counts),
    }
    return provide(folder, SOURCE, "bench.counted_cards:CountedSource") | {_SETTINGS: json.dumps(settings)}


class CountedReader(CardReader):
    """A software card that counts."""

    def __init__(self, inner: SimReader) -> None:
        self.name = inner.name
        self.commands = 0
        self._inner = inner

    async def open(self) -> bytes:
        """Power the card up."""
        return await self._inner.open()

    async def cold_reset(self) -> bytes:
        """Take VCC away and give it back."""
        return await self._inner.cold_reset()

    async def warm_reset(self) -> bytes:
        """Pulse RST."""
        return await self._inner.warm_reset()

    async def transmit(self, tpdu: bytes) -> bytes:
        """Not a modem's command."""
        return await self._inner.transmit(tpdu)

    def submit(self, tpdu: bytes, done: Done) -> bytes | None:
        """A modem's command."""
        self.commands += 1
        return self._inner.submit(tpdu, done)

    async def close(self) -> None:
        """Power off."""
        await self._inner.close()


class CountedSource(ReaderSource):
    """Readers as of ``SimSource``, as the environment says."""

    def __init__(self, **_settings: object) -> None:
        settings = json.loads(os.environ[_SETTINGS])
        self._file = Path(settings["file"])
        self._inner = SimSource(
            slots=settings["slots"], profile=settings["profile"], card_time_s=settings["card_time_s"]
        )
        self._readers: dict[str, CountedReader] = {}

    async def start(self) -> None:
        """Check that the cards can work here."""
        await self._inner.start()

    async def names(self) -> list[str]:
        """All readers."""
        return await self._inner.names()

    def watch(self, listener: PresenceListener) -> None:
        """Tell ``listener`` what is there."""
        self._inner.watch(listener)

    def reader(self, name: str) -> CardReader:
        """The reader of that name, which is always the same object."""
        if name not in self._readers:
            self._readers[name] = CountedReader(self._inner.reader(name))
        return self._readers[name]

    async def stop(self) -> None:
        """Power all cards off, and write the counts."""
        await self._inner.stop()
        self._file.write_text(json.dumps({name: one.commands for name, one in self._readers.items()}))
