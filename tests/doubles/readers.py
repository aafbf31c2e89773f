# SPDX-License-Identifier: Apache-2.0
"""Readers whose every answer the test decides."""

import asyncio

from remsim.readers.base import CardReader, Done, Presence, PresenceEvent, PresenceListener, ReaderSource
from remsim.readers.errors import ReaderError, ReaderUnavailableError

Outcome = bytes | ReaderError | Exception


def give(outcome: Outcome) -> bytes:
    """Return it or raise it."""
    if isinstance(outcome, bytes):
        return outcome
    raise outcome


class ScriptedReader(CardReader):
    """Each operation gives what stands under its name in ``outcomes``."""

    def __init__(self, name: str = "scripted", **outcomes: Outcome) -> None:
        self.name = name
        self.outcomes: dict[str, Outcome] = {"open": b"\x3b\x00", "cold": b"\x3b\x01", "warm": b"\x3b\x02"}
        self.outcomes |= {"transmit": b"\x90\x00", **outcomes}
        self.log: list[str] = []

    def _do(self, what: str) -> bytes:
        self.log.append(what)
        return give(self.outcomes[what])

    async def open(self) -> bytes:
        return self._do("open")

    async def cold_reset(self) -> bytes:
        return self._do("cold")

    async def warm_reset(self) -> bytes:
        return self._do("warm")

    async def transmit(self, tpdu: bytes) -> bytes:
        return self._do("transmit")

    async def close(self) -> None:
        self.log.append("close")


class InstantReader(ScriptedReader):
    """Answers commands at once, or later if not ``is_instant``."""

    is_instant = True

    def submit(self, tpdu: bytes, done: Done) -> bytes | None:
        return self._do("transmit") if self.is_instant else super().submit(tpdu, done)


class CallbackReader(ScriptedReader):
    """Answers by calling back, when the test says so."""

    done: Done

    def submit(self, tpdu: bytes, done: Done) -> None:
        self.log.append("transmit")
        self.done = done


class HastyReader(ScriptedReader):
    """Calls back before it has returned, which no reader should do."""

    def submit(self, tpdu: bytes, done: Done) -> None:
        try:
            done(self._do("transmit"))
        except ReaderError as error:
            done(error)


class HangingReader(ScriptedReader):
    """Never comes back from the operation ``where``, except by being cancelled."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self._where = where
        self.closed = asyncio.Event()

    async def _hang(self, what: str) -> bytes:
        outcome = self._do(what)
        if what == self._where:
            await asyncio.Event().wait()
        return outcome

    async def open(self) -> bytes:
        return await self._hang("open")

    async def cold_reset(self) -> bytes:
        return await self._hang("cold")

    async def warm_reset(self) -> bytes:
        return await self._hang("warm")

    async def transmit(self, tpdu: bytes) -> bytes:
        return await self._hang("transmit")

    async def close(self) -> None:
        self.log.append("close")
        if self._where == "close":
            await asyncio.Event().wait()
        self.closed.set()


class ScriptedSource(ReaderSource):
    """Readers by name; the test says what comes and goes."""

    def __init__(self, *readers: CardReader, at_start: tuple[str, ...] = ()) -> None:
        self.readers = {reader.name: reader for reader in readers}
        self.at_start = at_start or tuple(self.readers)
        self.start_error: ReaderUnavailableError | None = None
        self._listener: PresenceListener | None = None
        #: Where readers are plugged in, by name.
        self.places: dict[str, str] = {}
        self.is_stopped = False

    async def start(self) -> None:
        if self.start_error is not None:
            raise self.start_error

    async def names(self) -> list[str]:
        return list(self.at_start)

    def watch(self, listener: PresenceListener) -> None:
        self._listener = listener
        for name in self.at_start:
            asyncio.get_running_loop().call_soon(self.tell, name, Presence.PRESENT)

    def tell(self, name: str, presence: Presence, cause: str = "") -> None:
        """A reader or card comes or goes."""
        if self._listener is not None:
            self._listener(PresenceEvent(name, presence, cause=cause))

    def reader(self, name: str) -> CardReader:
        return self.readers.setdefault(name, ScriptedReader(name))

    def place(self, name: str) -> str:
        return self.places.get(name, "")

    async def stop(self) -> None:
        self._listener = None
        self.is_stopped = True
