# SPDX-License-Identifier: Apache-2.0
"""Sees cards and readers of one pcscd come and go, and pcscd itself as well: one socket that mostly waits.

What is asked while a wait is pending goes over a second socket in 4:6, where the event could not be told from the
reply. Nothing is missed between two waits: pcscd has begun to watch before the table is read.

A pcscd that hangs is noticed because each wait is ended after ``LOOK_AGAIN_S``, which it has to answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from remsim.logs import get_logger
from remsim.net.runtime.tasks import when_done
from remsim.readers.base import Presence, PresenceEvent
from remsim.readers.errors import CardMuteError, ReaderError, ReaderUnavailableError
from remsim.readers.pcsc_common.states import ReaderStates
from remsim.readers.pcsc_common.usb import PlaceAnswers, ReaderPlaces
from remsim.readers.pcscd.channel import PcscdChannel
from remsim.readers.pcscd.client import TableReply, VersionReply, WaitEnded
from remsim.readers.pcscd.protocol import MAJOR, TABLE_ROWS, ReaderRow, ReaderTable
from remsim.readers.pcscd.retry import PcscdRetry

#: A wait is ended after so long, to see that pcscd is alive.
LOOK_AGAIN_S: Final = 2.0
#: pcscd answers at once. One that systemd starts for us looks for its readers first.
ANSWER_S: Final = 10.0
#: Each opening of a card is an event: so many are looked at together.
_LEAST_S: Final = 0.02

Listener = Callable[[PresenceEvent], None]
#: Finds out where readers are plugged in; ends within some seconds.
PlaceFinder = Callable[[Sequence[str]], Awaitable[PlaceAnswers]]


class PcscdWatcher:
    """Calls ``listener``. Make, start and stop it in the event loop."""

    def __init__(self, path: Path, listener: Listener, *, find_places: PlaceFinder | None = None) -> None:
        self._places = ReaderPlaces()
        self._path = path
        self._listener = listener
        self._find_places = find_places
        self._loop = asyncio.get_running_loop()
        self._states = ReaderStates(get_logger("readers"))
        self._retry = PcscdRetry()
        self._first: asyncio.Future[list[str]] = self._loop.create_future()
        self._ended: asyncio.Future[None] | None = None
        self._channels: list[PcscdChannel] = []
        # Set at the end of a wait, and at our own end.
        self._wake = asyncio.Event()
        self._has_event = False
        self._is_stopping = False
        self._is_limit_told = False

    @property
    def places(self) -> dict[str, str]:
        """Where readers are plugged in, as far as that is known: before a reader's first event, if it can be asked."""
        return self._places.found

    async def start(self) -> list[str]:
        """Begin; return the readers that are there now, none if pcscd is not."""
        ended = self._ended = self._loop.create_future()

        def on_end(outcome: object) -> None:
            if isinstance(outcome, Exception):
                get_logger("readers").error("driver_error", exc_info=outcome)
            if not ended.done():
                ended.set_result(None)
            self._say_first([])

        when_done(self._run(), on_end, name=f"watch {self._path}")
        return await self._first

    async def stop(self) -> None:
        """End it."""
        self._is_stopping = True
        self._wake.set()
        for channel in tuple(self._channels):
            channel.lose(ReaderUnavailableError("we stop"))
        if self._ended is not None:
            await self._ended

    async def _run(self) -> None:
        while not self._is_stopping:
            try:
                await self._watch()
            except CardMuteError:
                self._on_service_gone(self._silence())
            except ReaderError as error:
                if not self._is_stopping:
                    self._on_service_gone(error)
            finally:
                was_reached = any(channel.was_reached for channel in self._channels)
                while self._channels:
                    self._channels.pop().close()
            delay_s = self._retry.on_lost(self._loop.time(), was_reached=was_reached)
            if delay_s and not self._is_stopping:
                self._wake.clear()
                await self._pause(delay_s)

    async def _pause(self, seconds: float) -> bool:
        """Wait for an event, the loss of the connection or our end; False if nothing happened for so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    def _say_first(self, names: list[str]) -> None:
        if not self._first.done():
            self._first.set_result(names)

    def _tell(self, events: Sequence[PresenceEvent]) -> None:
        for event in events:
            self._listener(event)

    def _on_service_gone(self, error: ReaderError) -> None:
        hint = error.hint or "check that pcscd runs and accepts this user"
        self._tell(self._states.on_service_gone(str(error), hint))
        self._places.on_list(())
        self._say_first([])

    async def _channel(self) -> PcscdChannel:
        channel = PcscdChannel(self._path, deadline_s=ANSWER_S)
        self._channels.append(channel)
        await channel.open()
        return channel

    async def _watch(self) -> None:
        """Follow readers until that fails. Raises ReaderError."""
        channel = await self._channel()
        lists_all = channel.client.minor not in (4, 5)
        other = await self._channel() if lists_all else channel
        channel.on_wait_ended, channel.on_lost = self._on_wait_ended, lambda _error: self._wake.set()
        while not self._is_stopping:
            self._wake.clear()
            self._has_event = False
            reply = (await channel.ask_all(channel.client.wait(), 1))[0]
            if isinstance(reply, VersionReply):
                reply = await other.ask(other.client.table(), TableReply)
            assert isinstance(reply, TableReply)
            await self._on_table(reply.table)
            self._states.on_service_there()
            self._retry.on_served(self._loop.time())
            if not lists_all:
                self._check_limit(channel, sum(1 for _ in reply.table))
            await self._wait(channel)

    async def _wait(self, channel: PcscdChannel) -> None:
        """Let the wait end, by an event or by ourselves. Raises ReaderError."""
        if not await self._pause(LOOK_AGAIN_S):
            channel.send(channel.client.stop_waiting())
            if not await self._pause(ANSWER_S):
                raise self._silence()
        elif self._has_event:
            await asyncio.sleep(_LEAST_S)
        if channel.trouble is not None:
            raise channel.trouble

    def _silence(self) -> ReaderUnavailableError:
        return ReaderUnavailableError(f"pcscd does not answer at {self._path}", hint="systemctl restart pcscd")

    def _on_wait_ended(self, _ended: WaitEnded) -> None:
        self._has_event = True
        self._wake.set()

    async def _on_table(self, table: ReaderTable) -> None:
        rows = list(table)
        known = set(self._states.names)
        self._tell(self._states.on_list([row.name for row in rows]))
        names = self._states.names
        late = await self._look_for_places([name for name in names if name not in known], rows)
        self._say_first(names)
        for row in rows:
            self._tell(self._states.on_state(row.name, _presence(row), row.events, row.atr))
        self._tell(self._states.on_places(late))

    async def _look_for_places(self, new: Sequence[str], rows: Sequence[ReaderRow]) -> list[str]:
        """Ask new readers, and those that can be asked now; return which of these have told."""
        self._places.on_list(self._states.names)
        uses = {row.name: row.sharing for row in rows}
        asked = [*new, *self._places.due(uses.get)]
        if not asked or self._find_places is None:
            return []
        return self._places.on_answers(asked, await self._find_places(asked))

    def _check_limit(self, channel: PcscdChannel, rows: int) -> None:
        """Say once that the table is full, where there may be readers beyond it."""
        if self._is_limit_told or rows < TABLE_ROWS:
            return
        self._is_limit_told = True
        get_logger("readers").warning(
            "pcsc_readers_at_limit",
            readers=rows,
            protocol=f"{MAJOR}:{channel.server_minor}",
            socket=str(self._path),
            text=f"this pcscd lists {TABLE_ROWS} readers at most; any others are not seen and not served",
            hint=f"run one pcscd for each {TABLE_ROWS} readers, named in [[pcscd]], or use pcsc-lite 2.5 or later",
        )


def _presence(row: ReaderRow) -> Presence:
    if not row.is_known:
        return Presence.UNKNOWN
    return Presence.PRESENT if row.has_card else Presence.ABSENT
