# SPDX-License-Identifier: Apache-2.0
"""One socket of pcscd in the event loop: connect, agree on a version, ask, be told that it is over.

The socket is read and written by hand in the loop's reader call-back. A transport of asyncio costs three times the
processor time for each command, and one of uvloop saves nothing.

A request that hangs cannot be ended: pcscd serves a socket's requests one after the other. ``abandon`` shuts our half,
so that pcscd lets go of card and context when its driver returns; that it has, is seen by its closing the other half.
"""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from remsim.core.errors import reason_of
from remsim.readers.errors import CardMuteError, ReaderError, ReaderUnavailableError
from remsim.readers.pcsc_common import codes
from remsim.readers.pcscd.client import PcscdClient, Reply, VersionReply, WaitEnded
from remsim.readers.pcscd.protocol import MAJOR, MINORS

#: A response and what is before it, in an object that Python's own allocator makes, not the C library's.
_READ: Final = 448
#: What is read behind it where that is not all: a table.
_READ_MORE: Final = 1 << 16
#: pcscd's queue of connections is full: it is tried again so soon.
_TRY_AGAIN_S: Final = 0.01
#: Unsent bytes beyond this are more than our requests ever are at a time.
_MAX_UNSENT: Final = 1 << 18

Answer = Reply | ReaderError
OnAnswer = Callable[[Answer], None]
R = TypeVar("R", bound=Reply)


class VersionUnknownError(ReaderUnavailableError):
    """pcscd speaks no version that we know."""


class PcscdUnwillingError(ReaderUnavailableError):
    """pcscd is there, and does not serve us: it hangs, or refuses. Another kind of client would fare no better."""


class PcscdChannel:
    """Make, use and close it in the event loop. ``deadline_s`` is for each ``ask``."""

    def __init__(self, path: Path, *, deadline_s: float) -> None:
        self.client = PcscdClient()
        #: Told of the end of a wait, and of the end of the connection.
        self.on_wait_ended: Callable[[WaitEnded], None] | None = None
        self.on_lost: Callable[[ReaderError], None] | None = None
        #: The version that pcscd speaks itself.
        self.server_minor = 0
        #: Something listened at the socket.
        self.was_reached = False
        #: Why it is over; None while it is not.
        self.trouble: ReaderError | None = None
        self._path = path
        self._deadline_s = deadline_s
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._answers: deque[OnAnswer | None] = deque()
        self._unsent = b""

    @property
    def is_open(self) -> bool:
        """Whether pcscd is there at the other end, even if it was abandoned."""
        return self._socket is not None

    @property
    def is_busy(self) -> bool:
        """Whether an answer is to come that somebody waits for."""
        return any(answer is not None for answer in self._answers)

    def now(self) -> float:
        """The loop's time."""
        return self._loop.time()

    async def open(self) -> None:
        """Connect and agree on a version. Raises ReaderUnavailableError, VersionUnknownError if there is none."""
        try:
            async with asyncio.timeout(self._deadline_s):
                self._socket = await self._connect()
                self.was_reached = True
                self._loop.add_reader(self._socket, self._on_readable)
                await self._agree()
        except (TimeoutError, CardMuteError):
            text = f"pcscd does not answer at {self._path}"
            raise PcscdUnwillingError(text, hint="systemctl restart pcscd") from None
        finally:
            if self.client.minor is None:
                self.close()

    async def _connect(self) -> socket.socket:
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            while True:
                try:
                    end.connect(str(self._path))
                except BlockingIOError:
                    # A Unix socket does not say when there is room: only trying tells.
                    await asyncio.sleep(_TRY_AGAIN_S)
                else:
                    return end
        except OSError as error:
            end.close()
            kind = PcscdUnwillingError if isinstance(error, PermissionError) else ReaderUnavailableError
            raise kind(
                f"cannot connect to pcscd at {self._path}: {reason_of(error)}",
                hint="check that pcscd runs and accepts this user",
            ) from None
        except BaseException:
            end.close()
            raise

    async def _agree(self) -> None:
        minor: int | None = MINORS[0]
        asked: list[int] = []
        while minor is not None and minor not in asked:
            asked.append(minor)
            try:
                reply = await self.ask(self.client.version(minor), VersionReply)
            except ReaderUnavailableError as error:
                if self.client.trouble is None:
                    raise self._refused(error) from None
                raise VersionUnknownError(f"what answers at {self._path} is no pcscd: {self.client.trouble}") from None
            self.server_minor = reply.minor
            if reply.code == codes.SUCCESS:
                return
            minor = self.client.next_version(reply)
        known = ", ".join(f"{MAJOR}:{known}" for known in sorted(MINORS))
        raise VersionUnknownError(
            f"pcscd at {self._path} speaks protocol {MAJOR}:{self.server_minor}; known are {known}",
            hint="use --reader pcsc, which asks the library that came with pcscd",
        )

    def _refused(self, error: ReaderUnavailableError) -> PcscdUnwillingError:
        return PcscdUnwillingError(
            f"pcscd refuses us: it closes the connection at {self._path}",
            code=error.code,
            hint="polkit does not permit it, or pcscd serves 200 programs already: remsim doctor bankd tells",
        )

    def _broken(self, why: str) -> ReaderUnavailableError:
        return ReaderUnavailableError(f"the connection to pcscd at {self._path} broke: {why}", code=codes.E_NO_SERVICE)

    def send(self, request: bytes, *answers: OnAnswer | None) -> None:
        """Send what the client made; each of its replies goes to one of ``answers``, in order. None: to nobody.

        Where the connection is lost, all of them are told so, in the loop's next round if that is found out just now.
        """
        self._answers.extend(answers)
        end = self._socket
        if end is None or self._unsent:
            self._send_later(request)
            return
        try:
            sent = end.send(request)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._loop.call_soon(self.lose, self._broken(reason_of(error)))
            return
        if sent < len(request):
            self._send_later(request[sent:])

    async def ask(self, request: bytes, kind: type[R]) -> R:
        """Send a request and wait for its reply. Raises ReaderError; after its deadline, it is abandoned."""
        (reply,) = await self.ask_all(request, 1)
        assert isinstance(reply, kind)
        return reply

    async def ask_all(self, request: bytes, count: int) -> list[Reply]:
        """Send requests and wait for ``count`` replies. Raises ReaderError; after the deadline, it is abandoned."""
        futures: list[asyncio.Future[Answer]] = [self._loop.create_future() for _ in range(count)]
        self.send(request, *[_setter(future) for future in futures])
        replies: list[Reply] = []
        try:
            async with asyncio.timeout(self._deadline_s):
                for future in futures:
                    answer = await future
                    if isinstance(answer, ReaderError):
                        raise answer
                    replies.append(answer)
        except TimeoutError:
            raise CardMuteError(f"no answer within {self._deadline_s:g} s") from None
        return replies

    def abandon(self) -> None:
        """Give up what is asked, without an answer; pcscd lets go of all of it when its driver returns."""
        self._answers = deque([None] * len(self._answers))
        self.on_wait_ended = self.on_lost = None
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError:
                self.close()

    def close(self) -> None:
        """Close the socket; nobody is told anything any more. Idempotent."""
        self._answers.clear()
        self._unsent = b""
        self.on_wait_ended = self.on_lost = None
        end, self._socket = self._socket, None
        if end is not None:
            self._loop.remove_reader(end)
            self._loop.remove_writer(end)
            end.close()

    def _send_later(self, rest: bytes) -> None:
        if self._socket is None or len(self._unsent) > _MAX_UNSENT:
            self._loop.call_soon(self.lose, self.trouble or self._broken("it is closed"))
            return
        if not self._unsent:
            self._loop.add_writer(self._socket, self._on_writable)
        self._unsent += rest

    def _on_writable(self) -> None:
        if self._socket is None:
            return
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError as error:
            self.lose(self._broken(reason_of(error)))
            return
        if not self._unsent:
            self._loop.remove_writer(self._socket)

    def _on_readable(self) -> None:
        end = self._socket
        if end is None:
            return
        try:
            data = end.recv(_READ)
        except BlockingIOError:
            return
        except OSError as error:
            self.lose(self._broken(reason_of(error)))
            return
        response = self.client.response_in(data)
        if response is None:
            if len(data) == _READ:
                # If it fails, the next call sees why.
                with contextlib.suppress(OSError):
                    data += end.recv(_READ_MORE)
            self._take(data)
            return
        answer = self._answers.popleft()
        if answer is not None:
            answer(response)

    def _take(self, data: bytes) -> None:
        if not data:
            self.lose(self._broken("pcscd has closed it"))
            return
        client = self.client
        for reply in client.receive(data):
            if isinstance(reply, WaitEnded):
                if self.on_wait_ended is not None:
                    self.on_wait_ended(reply)
                continue
            if not self._answers:
                # It was closed by what one of the replies led to.
                return
            answer = self._answers.popleft()
            if answer is not None:
                answer(reply)
        if client.trouble is not None:
            self.lose(self._broken(str(client.trouble)))

    def lose(self, error: ReaderError) -> None:
        """Close it, and tell this error to all who wait for something. Idempotent."""
        answers, on_lost = self._answers, self.on_lost
        self._answers = deque()
        self.trouble = self.trouble or error
        self.close()
        for answer in answers:
            if answer is not None:
                answer(error)
        if on_lost is not None:
            on_lost(error)


def _setter(future: asyncio.Future[Answer]) -> OnAnswer:
    def put(answer: Answer) -> None:
        if not future.done():
            future.set_result(answer)

    return put
