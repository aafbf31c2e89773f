# SPDX-License-Identifier: Apache-2.0
"""Lines from a file descriptor, without blocking the event loop and whatever pieces they come in.

Lines end with LF, CR LF or CR; the last one may have no end. Terminals, pipes, sockets and files are alike to the
caller. Reading is on demand: nobody types ahead of what is consumed by more than one buffer.
"""

import asyncio
import contextlib
import fcntl
import os
import stat
import struct
import termios
from collections import deque
from dataclasses import replace
from typing import Final

from remsim.core.values import dataclass

_CHUNK: Final = 65536
#: No line that means anything is longer; the rest of such a line is dropped.
MAX_LINE: Final = 4096


@dataclass(frozen=True, slots=True)
class InputLine:
    """``number`` counts from 1. ``is_cut``: it was longer than ``MAX_LINE``.

    ``is_stale``: it was there, or begun, when the lines before it were declared void.
    """

    number: int
    text: str
    is_cut: bool = False
    is_stale: bool = False


class LineSplitter:
    """Turns pieces of bytes into lines. Bytes that are not ASCII become question marks."""

    def __init__(self) -> None:
        self._lines: deque[InputLine] = deque()
        self._part = bytearray()
        self._is_cut = False
        self._after_cr = False
        self._count = 0
        self._is_part_stale = False

    def feed(self, data: bytes, *, is_stale: bool = False) -> None:
        """Take what was read; ``is_stale``: lines that begin in it are void."""
        for byte in data:
            is_lf_of_crlf = byte == 0x0A and self._after_cr
            self._after_cr = byte == 0x0D
            if is_lf_of_crlf:
                continue
            if byte in (0x0A, 0x0D):
                self._end_line(is_stale=is_stale)
            elif len(self._part) < MAX_LINE:
                self._is_part_stale = is_stale if not self._part else self._is_part_stale
                self._part.append(byte)
            else:
                self._is_cut = True

    def end(self) -> None:
        """The input is at its end; what is left is a line."""
        if self._part:
            self._end_line()

    def make_stale(self) -> None:
        """Everything so far is void."""
        self._lines = deque(replace(line, is_stale=True) for line in self._lines)
        self._is_part_stale = bool(self._part)

    def pop(self) -> InputLine | None:
        """The next whole line."""
        return self._lines.popleft() if self._lines else None

    def _end_line(self, *, is_stale: bool = False) -> None:
        self._count += 1
        is_stale = self._is_part_stale if self._part else is_stale
        text = self._part.decode("ascii", "replace").replace("\N{REPLACEMENT CHARACTER}", "?")
        self._lines.append(InputLine(self._count, text, self._is_cut, is_stale))
        self._part.clear()
        self._is_cut = False


class InputLines:
    """``async for line in InputLines(fd)``. The descriptor stays open and its flags are left alone."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._splitter = LineSplitter()
        self._is_at_end = False
        #: So many bytes that are still to be read were there when the input was declared void.
        self._stale = 0

    def make_stale(self) -> None:
        """Mark every line that was typed or written so far, read or not, as void. Reads nothing."""
        self._splitter.make_stale()
        self._stale = available(self._descriptor)

    def __aiter__(self) -> "InputLines":
        return self

    async def __anext__(self) -> InputLine:
        while (line := self._splitter.pop()) is None:
            if self._is_at_end:
                raise StopAsyncIteration
            data = await self._read()
            if data:
                stale, self._stale = self._stale, max(0, self._stale - len(data))
                self._splitter.feed(data[:stale], is_stale=True)
                self._splitter.feed(data[stale:])
            else:
                self._is_at_end = True
                self._splitter.end()
        return line

    async def _read(self) -> bytes:
        """What is there, at least one byte; empty at the end."""
        if stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            return os.read(self._descriptor, _CHUNK)
        loop = asyncio.get_running_loop()
        readable: asyncio.Future[None] = loop.create_future()
        try:
            loop.add_reader(self._descriptor, _set, readable)
        except PermissionError:
            # epoll(7) refuses devices that are always ready, such as /dev/null.
            return os.read(self._descriptor, _CHUNK)
        try:
            await readable
        finally:
            loop.remove_reader(self._descriptor)
        return os.read(self._descriptor, _CHUNK)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def available(descriptor: int) -> int:
    """How many bytes can be read from ``descriptor`` without waiting; 0 where the system does not tell."""
    answer = bytearray(4)
    with contextlib.suppress(OSError):
        fcntl.ioctl(descriptor, termios.FIONREAD, answer)
    return max(0, int(struct.unpack("i", answer)[0]))
