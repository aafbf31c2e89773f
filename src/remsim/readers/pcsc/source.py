# SPDX-License-Identifier: Apache-2.0
"""PC/SC readers as a reader source: one thread for each card that is open, one that watches."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

from remsim.readers.base import CardReader, Done, PresenceListener, ReaderSource
from remsim.readers.errors import ReaderError
from remsim.readers.pcsc.call_thread import CallThread
from remsim.readers.pcsc.card import PcscCard
from remsim.readers.pcsc.places import find_places
from remsim.readers.pcsc.scard import Scard, load_scard
from remsim.readers.pcsc.watcher import Watcher
from remsim.readers.pcsc_common.card import CardProcedures
from remsim.readers.pcsc_common.states import KnownReaders
from remsim.readers.pcsc_common.usb import USB_DEVICES


class PcscReader(CardReader):
    """One PC/SC reader. A card is held exclusively unless ``is_shared``."""

    def __init__(self, scard: Scard, name: str, *, is_shared: bool) -> None:
        self.name = name
        self._card = PcscCard(scard, name, is_shared=is_shared)
        self._procedures = CardProcedures(name, is_shared=is_shared)
        self._thread: CallThread | None = None
        # A thread whose call hangs at PC/SC, with the card still in its hands.
        self._stuck: CallThread | None = None

    @property
    def is_stuck(self) -> bool:
        """A thread has not returned from a call at PC/SC that was given up."""
        return self._stuck is not None and self._stuck.is_alive

    async def open(self) -> bytes:
        """Connect and power up."""
        if self._stuck is not None:
            if self._stuck.is_alive:
                raise self._procedures.hangs()
            self._stuck = None
        self._thread = CallThread(f"pcsc {self.name}")
        try:
            return await self._thread.run(self._card.open)
        except ReaderError:
            await self.close()
            raise

    async def cold_reset(self) -> bytes:
        """Reconnect with unpower."""
        return await self._open_thread().run(self._card.cold_reset)

    async def warm_reset(self) -> bytes:
        """Reconnect with reset."""
        return await self._open_thread().run(self._card.warm_reset)

    async def transmit(self, tpdu: bytes) -> bytes:
        """Exchange one TPDU."""
        return await self._open_thread().run(partial(self._card.transmit, tpdu))

    def submit(self, tpdu: bytes, done: Done) -> None:
        """Exchange one TPDU, with one hand-over to the thread and one back."""
        self._open_thread().submit(partial(self._card.transmit, tpdu), done)

    def _open_thread(self) -> CallThread:
        if self._thread is None:
            raise self._procedures.not_open()
        return self._thread

    async def close(self) -> None:
        """Disconnect with unpower, and end the thread; one that is stuck does so when its call returns."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if thread.is_busy:
            thread.end(self._card.close)
            self._stuck = thread
            return
        try:
            await thread.run(self._card.close)
        except ReaderError:
            return
        except asyncio.CancelledError:
            # It hangs in that, too.
            self._stuck = thread
            raise
        finally:
            thread.end()


class PcscSource(ReaderSource):
    """All PC/SC readers of this machine. ``is_shared`` says by reader name whether its card is held in shared mode.

    ``finds_places``: find out where readers are plugged in, which connects to each once when it comes.
    """

    def __init__(
        self,
        *,
        is_shared: Callable[[str], bool] = lambda _reader: False,
        scard: Scard | None = None,
        finds_places: bool = False,
        usb_devices: Path = USB_DEVICES,
    ) -> None:
        self._is_shared = is_shared
        self._finds_places = finds_places
        self._usb_devices = usb_devices
        self._scard = scard
        self._watcher: Watcher | None = None
        self._known = KnownReaders()

    async def start(self) -> None:
        """Load PC/SC and begin to watch; a service that does not run yet is waited for."""
        self._scard = scard = self._scard or load_scard()
        finder = partial(find_places, scard, devices=self._usb_devices) if self._finds_places else None
        self._watcher = Watcher(scard, self._known.on_event, find_places=finder)
        self._known.names = await self._watcher.start()

    async def names(self) -> list[str]:
        """The readers that are plugged in, in the order of PC/SC."""
        return list(self._known.names)

    def watch(self, listener: PresenceListener) -> None:
        """Tell ``listener`` what is known already, then every change."""
        self._known.watch(listener)

    def reader(self, name: str) -> PcscReader:
        """A reader of that name, plugged in or not. Raises ReaderUnavailableError if PC/SC is not installed."""
        self._scard = self._scard or load_scard()
        return PcscReader(self._scard, name, is_shared=self._is_shared(name))

    def place(self, name: str) -> str:
        """The path of its USB device."""
        return "" if self._watcher is None else self._watcher.places.get(name, "")

    async def stop(self) -> None:
        """Stop watching."""
        self._known.end()
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            await watcher.stop()
