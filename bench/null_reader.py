# SPDX-License-Identifier: Apache-2.0
"""Cards that answer 9000 at once, in the process: a reader source from outside the package, for measurements only.

What is measured with them is the bank itself. ``plug_in`` makes the source known to a ``remsim`` process the way any
other package would: by an entry point.
"""

import asyncio
import os
from pathlib import Path
from typing import Final

from remsim.readers.base import CardReader, Done, Presence, PresenceEvent, PresenceListener, ReaderSource
from remsim.readers.registry import GROUP

#: Name of the source, for ``remsim bankd --reader``.
SOURCE: Final = "null"
#: The environment variable that says how many readers there are.
READERS: Final = "REMSIM_BENCH_READERS"

#: Not from ``tests.reference``: the bankd under measurement imports this module, and should import no more than that.
_ROOT: Final = Path(__file__).resolve().parent.parent
_ATR: Final = bytes.fromhex("3B9F96801FC78031A073BE21136743200718000001A5")
_OK: Final = b"\x90\x00"


def reader_name(index: int) -> str:
    """The name of the reader with this number, from 0."""
    return f"Null Reader {index:04d}"


def provide(folder: Path, name: str, where: str) -> dict[str, str]:
    """Make a package in ``folder`` that provides source ``name``; return the environment in which it is found.

    ``where`` is module and class, as in an entry point.
    """
    metadata = folder / f"remsim_bench_{name}-0.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: remsim-bench-{name}\nVersion: 0\n")
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {where}\n")
    # Behind ours, what was there before: it may say which copy of the programs is meant.
    path = [str(folder), str(_ROOT), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, path))}


def plug_in(folder: Path, readers: int) -> dict[str, str]:
    """Make a package in ``folder`` that provides the source; return the environment in which it is found."""
    return provide(folder, SOURCE, "bench.null_reader:NullSource") | {READERS: str(readers)}


class NullReader(CardReader):
    """A reader whose card accepts every command."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def open(self) -> bytes:
        """Give the ATR."""
        return _ATR

    async def cold_reset(self) -> bytes:
        """Give the ATR."""
        return _ATR

    async def warm_reset(self) -> bytes:
        """Give the ATR."""
        return _ATR

    async def transmit(self, tpdu: bytes) -> bytes:
        """Answer 9000."""
        return _OK

    def submit(self, tpdu: bytes, done: Done) -> bytes:
        """Answer 9000."""
        return _OK

    async def close(self) -> None:
        """Nothing is held."""


class NullSource(ReaderSource):
    """As many null readers as the environment says."""

    def __init__(self, **_settings: object) -> None:
        self._names = [reader_name(index) for index in range(int(os.environ.get(READERS, "1")))]

    async def start(self) -> None:
        """Nothing to start."""

    async def names(self) -> list[str]:
        """All of them."""
        return list(self._names)

    def watch(self, listener: PresenceListener) -> None:
        """Every card is there, for ever."""
        loop = asyncio.get_running_loop()
        for name in self._names:
            loop.call_soon(listener, PresenceEvent(name, Presence.PRESENT, _ATR))

    def reader(self, name: str) -> CardReader:
        """The reader of that name."""
        return NullReader(name)

    async def stop(self) -> None:
        """Nothing to stop."""
