# SPDX-License-Identifier: Apache-2.0
"""A socket in place of PostgreSQL's, behind which the connection can be cut, or stand still, at a chosen moment."""

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Final, Self

#: What the socket of the default port is called, in the folder that a URL names as host.
SOCKET: Final = ".s.PGSQL.5432"
_COMMIT: Final = b"COMMIT"


class PostgresLink:
    """``async with`` listens in ``folder``, for the database server whose socket is in ``beyond``."""

    def __init__(self, folder: Path, beyond: Path) -> None:
        self.folder = folder
        self.beyond = beyond
        self._tasks: set[asyncio.Task[None]] = set()
        self._transports: set[asyncio.WriteTransport] = set()
        self._frozen: list[asyncio.Event] = []
        self._server: asyncio.Server | None = None
        #: Cut the connection "ahead" of the next commit, or "behind" it: before its answer comes.
        self.cuts_commit: str | None = None
        #: With that, nobody gets through any more.
        self.closes = False
        self._flows = asyncio.Event()
        self._flows.set()

    async def __aenter__(self) -> Self:
        self.folder.mkdir(exist_ok=True)
        await self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_listening()
        for transport in tuple(self._transports):
            transport.abort()
        self._flows.set()
        for frozen in self._frozen:
            frozen.set()
        await asyncio.gather(*self._tasks)

    async def listen(self) -> None:
        """Take connections."""
        self._server = await asyncio.start_unix_server(self._serve, self.folder / SOCKET)

    def stop_listening(self) -> None:
        """Refuse new connections."""
        if self._server is not None:
            self._server.close()
            self._server = None
            (self.folder / SOCKET).unlink(missing_ok=True)

    def freeze(self) -> None:
        """From now on nothing passes in the connections that are there. Nobody is told; new ones are as ever."""
        self._flows.clear()
        self._frozen.append(self._flows)
        self._flows = asyncio.Event()
        self._flows.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        near, far = await asyncio.open_unix_connection(self.beyond / SOCKET)
        passage = _Passage(self, self._flows)
        ends = {writer.transport, far.transport}
        self._transports |= ends
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(passage.of_requests(reader, far))
                group.create_task(passage.of_answers(near, writer))
        except* (_CutError, ConnectionError):
            pass
        finally:
            for each in ends:
                each.abort()
            self._transports -= ends
            self._tasks.discard(task)

    def take_cut(self) -> str | None:
        """What is to become of a commit that is about to pass."""
        how, self.cuts_commit = self.cuts_commit, None
        if how is not None and self.closes:
            self.stop_listening()
        return how


class _Passage:
    """One connection through the link."""

    def __init__(self, link: PostgresLink, flows: asyncio.Event) -> None:
        self._link = link
        self._flows = flows
        self._is_last_answer = False

    async def of_requests(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            await self._flows.wait()
            if _COMMIT in data:
                how = self._link.take_cut()
                if how == "ahead":
                    raise _CutError
                self._is_last_answer = how == "behind"
            target.write(data)
            await target.drain()
        raise _CutError

    async def of_answers(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            await self._flows.wait()
            if self._is_last_answer:
                raise _CutError
            target.write(data)
            await target.drain()
        raise _CutError


class _CutError(Exception):
    """The connection ends."""
