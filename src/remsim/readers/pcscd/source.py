# SPDX-License-Identifier: Apache-2.0
"""Readers of one or several pcscd as a reader source, and whether there is a pcscd that we understand."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from remsim.core.values import dataclass
from remsim.net.runtime.tasks import all_of
from remsim.readers.base import PresenceEvent, PresenceListener, ReaderSource
from remsim.readers.pcsc_common.states import KnownReaders
from remsim.readers.pcsc_common.usb import USB_DEVICES, PlaceAnswers
from remsim.readers.pcscd.card import PcscdReader
from remsim.readers.pcscd.channel import PcscdChannel
from remsim.readers.pcscd.places import find_places
from remsim.readers.pcscd.protocol import MAJOR
from remsim.readers.pcscd.watcher import PcscdWatcher

#: Where clients of pcscd find it; the variable names another place, as it does for libpcsclite.
_SOCKET: Final = Path("/run/pcscd/pcscd.comm")
_SOCKET_VARIABLE: Final = "PCSCLITE_CSOCK_NAME"
#: A pcscd that systemd starts for us looks for its readers before it answers.
_PROBE_S: Final = 10.0


def default_socket() -> Path:
    """The socket of this host's pcscd."""
    return Path(os.environ.get(_SOCKET_VARIABLE) or _SOCKET)


async def protocol_of(socket: Path) -> str:
    """The protocol of the pcscd at ``socket``, such as ``4:4``, if we speak it, too. Raises ReaderError if not."""
    channel = PcscdChannel(socket, deadline_s=_PROBE_S)
    try:
        await channel.open()
        return f"{MAJOR}:{channel.client.minor}"
    finally:
        channel.close()


@dataclass(frozen=True, slots=True)
class PcscdDaemon:
    """One pcscd. ``prefix`` makes the names of its readers different from those of another one."""

    socket: Path
    prefix: str = ""


def name_daemons(sockets: Sequence[tuple[Path, str]]) -> list[PcscdDaemon]:
    """The daemons at these sockets, which may have names ("": none).

    The readers of one with a name are ``name/reader``. Of several, one without a name is called by its number, from 1.
    """
    daemons = []
    for number, (socket, name) in enumerate(sockets, start=1):
        shown = name or (str(number) if len(sockets) > 1 else "")
        daemons.append(PcscdDaemon(socket, f"{shown}/" if shown else ""))
    return daemons


class PcscdSource(ReaderSource):
    """All readers of these daemons. ``is_shared`` says by reader name whether its card is held in shared mode.

    ``daemons``: this host's pcscd if there are none. ``finds_places``: find out where readers are plugged in, which
    connects to each once when it comes. ``deadline_s`` is for each command and reset.
    """

    def __init__(
        self,
        *,
        deadline_s: float = 60.0,
        is_shared: Callable[[str], bool] = lambda _reader: False,
        daemons: Sequence[PcscdDaemon] = (),
        finds_places: bool = False,
        usb_devices: Path = USB_DEVICES,
    ) -> None:
        self._deadline_s = deadline_s
        self._is_shared = is_shared
        self._daemons = list(daemons) or [PcscdDaemon(default_socket())]
        self._finds_places = finds_places
        self._usb_devices = usb_devices
        self._watchers: list[PcscdWatcher] = []
        self._known = KnownReaders()
        # Sockets of calls that were given up and have not returned, by reader.
        self._stuck: dict[str, PcscdChannel] = {}

    async def start(self) -> None:
        """Begin to watch; a pcscd that does not run yet is waited for."""
        for daemon in self._daemons:
            finder = partial(self._find, daemon) if self._finds_places else None
            self._watchers.append(PcscdWatcher(daemon.socket, partial(self._on_event, daemon), find_places=finder))
        lists = await all_of(*(watcher.start() for watcher in self._watchers))
        self._known.names = [
            f"{daemon.prefix}{name}" for daemon, names in zip(self._daemons, lists, strict=True) for name in names
        ]

    async def _find(self, daemon: PcscdDaemon, names: Sequence[str]) -> PlaceAnswers:
        return await find_places(daemon.socket, names, self._usb_devices)

    def _on_event(self, daemon: PcscdDaemon, event: PresenceEvent) -> None:
        self._known.on_event(replace(event, reader=f"{daemon.prefix}{event.reader}") if daemon.prefix else event)

    async def names(self) -> list[str]:
        """The readers that are plugged in, in the order of the daemons and of each daemon."""
        return list(self._known.names)

    def watch(self, listener: PresenceListener) -> None:
        """Tell ``listener`` what is known already, then every change."""
        self._known.watch(listener)

    def _daemon_of(self, name: str) -> int:
        fitting = (number for number, daemon in enumerate(self._daemons) if name.startswith(daemon.prefix))
        return next(fitting, 0)

    def reader(self, name: str) -> PcscdReader:
        """A reader of that name, plugged in or not."""
        daemon = self._daemons[self._daemon_of(name)]
        return PcscdReader(
            name,
            path=daemon.socket,
            pcsc_name=name.removeprefix(daemon.prefix),
            is_shared=self._is_shared(name),
            deadline_s=self._deadline_s,
            stuck=self._stuck,
        )

    def place(self, name: str) -> str:
        """The path of its USB device."""
        number = self._daemon_of(name)
        if number >= len(self._watchers):
            return ""
        return self._watchers[number].places.get(name.removeprefix(self._daemons[number].prefix), "")

    async def stop(self) -> None:
        """Stop watching, and close the sockets of readers that hang."""
        self._known.end()
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            await watcher.stop()
        while self._stuck:
            self._stuck.popitem()[1].close()
