# SPDX-License-Identifier: Apache-2.0
"""Asks pcscd, over its own socket, for its version and its readers (docs/reference/pcscd.md); touches no card.

This needs neither libpcsclite nor pyscard, and tells apart what they report with one code: no socket, no rights, nobody
behind the socket, a refusal by polkit, and a pcscd that hangs, is stopped, or serves as many programs as it can. The
messages are those of ``readers.pcscd``; the connection is not, because its errors are fewer.
"""

import asyncio
import os
import socket as sockets
import stat
import struct
from pathlib import Path
from typing import Final, TypeVar

from remsim.core.values import dataclass
from remsim.net.runtime.commands import output_of
from remsim.net.runtime.tasks import in_thread
from remsim.readers.pcsc_common import codes
from remsim.readers.pcsc_common.values import NO_PROTOCOL, SHARE_DIRECT
from remsim.readers.pcscd.client import CardReply, ContextReply, PcscdClient, Reply, TableReply, VersionReply
from remsim.readers.pcscd.protocol import MAJOR, MINORS, TABLE_ROWS

#: pcscd answers at once; it is asked a few things.
DEADLINE_S: Final = 5.0
#: Rows of the table of 4:4 and 4:5: readers beyond are neither listed nor watched.
MAX_READERS: Final = TABLE_ROWS
_READ: Final = 4096
#: pcscd's queue of connections is full: it is tried again so soon.
_TRY_AGAIN_S: Final = 0.05
#: process, user and group (unix(7)).
_CREDENTIALS: Final = struct.Struct("=iII")
#: Each open Unix socket of this host, and the state of one that is connected (proc(5)).
_SOCKETS: Final = Path("/proc/net/unix")
_CONNECTED: Final = "03"
#: SCARD_W_SECURITY_VIOLATION.
_FORBIDDEN: Final = 0x8010006A
#: No reader is called so: what is asked of it is refused by polkit, or fails for want of a reader.
_NO_READER: Final = "remsim doctor: no such reader"

R = TypeVar("R", bound=Reply)


@dataclass(frozen=True, slots=True)
class ReaderSeen:
    """One row of the table. ``name`` is what the bankd calls it: with the prefix of its pcscd."""

    name: str
    has_card: bool


@dataclass(frozen=True, slots=True)
class PcscdFacts:
    """What was learnt. ``trouble`` is None if pcscd told its readers."""

    socket: Path
    #: ``absent``, ``no socket``, ``no rights``, ``nobody``, ``refused``, ``silent``, ``foreign``.
    trouble: str | None = None
    #: Permissions of the socket or of the folder that stands in the way; 0 if unknown.
    mode: int = 0
    #: What pcscd speaks, such as (4, 4).
    protocol: tuple[int, int] | None = None
    readers: tuple[ReaderSeen, ...] = ()
    #: What it said that cannot be understood.
    detail: str = ""
    #: Process that listens; 1 is a service manager, which starts pcscd for the first program; 0 if unknown.
    listener: int = 0
    #: That process was stopped (SIGSTOP).
    is_stopped: bool = False
    #: Its connections, as far as the kernel shows them to us; counted where pcscd does not serve us.
    clients: int = 0
    #: polkit lets us list readers and not connect to cards.
    forbids_cards: bool = False


class _ForeignError(Exception):
    """Something else than pcscd, or one that we do not understand."""


class _ClosedError(Exception):
    """pcscd has closed the connection."""


class _Talk:
    """One connection. Its methods raise OSError, _ClosedError and _ForeignError."""

    def __init__(self, end: sockets.socket) -> None:
        self.client = PcscdClient()
        self.protocol: tuple[int, int] | None = None
        self._end = end

    async def ask(self, request: bytes, kind: type[R]) -> R:
        """Send a request; return its one reply."""
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._end, request)
        while True:
            data = await loop.sock_recv(self._end, _READ)
            if not data:
                raise _ClosedError
            replies = self.client.receive(data)
            if self.client.trouble is not None:
                raise _ForeignError(str(self.client.trouble))
            for reply in replies:
                if isinstance(reply, kind):
                    return reply

    async def agree(self) -> None:
        """Agree on a version, as the reader does."""
        minor: int | None = MINORS[0]
        asked: list[int] = []
        while minor is not None and minor not in asked:
            asked.append(minor)
            reply = await self.ask(self.client.version(minor), VersionReply)
            self.protocol = (MAJOR, reply.minor)
            if reply.code == codes.SUCCESS:
                return
            minor = self.client.next_version(reply)
        known = ", ".join(f"{MAJOR}:{minor}" for minor in sorted(MINORS))
        spoken = "none" if self.protocol is None else "{}:{}".format(*self.protocol)
        raise _ForeignError(f"it speaks {spoken}; known are {known}")

    async def read_table(self, prefix: str) -> tuple[ReaderSeen, ...]:
        """All readers that it lists."""
        reply = await self.ask(self.client.table(), TableReply)
        return tuple(ReaderSeen(f"{prefix}{row.name}", row.has_card) for row in reply.table)

    async def is_kept_from_cards(self) -> bool:
        """Whether polkit forbids to connect to cards: it is asked before pcscd looks for the reader."""
        context = (await self.ask(self.client.establish(), ContextReply)).context
        request = self.client.connect(context, _NO_READER, SHARE_DIRECT, NO_PROTOCOL)
        return (await self.ask(request, CardReply)).code == _FORBIDDEN


async def ask_pcscd(socket: Path, *, prefix: str = "", has_polkit: bool = False) -> PcscdFacts:
    """Never raises; ends within ``DEADLINE_S``. ``has_polkit``: find out, too, whether polkit permits cards."""
    trouble, mode = _look_at(socket)
    if trouble is not None:
        return PcscdFacts(socket, trouble, mode)
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM | sockets.SOCK_NONBLOCK) as end:
        talk, listener, forbids_cards, detail = _Talk(end), 0, False, ""
        readers: tuple[ReaderSeen, ...] = ()
        try:
            async with asyncio.timeout(DEADLINE_S):
                await _connect(end, socket)
                listener = _listener(end)
                await talk.agree()
                readers = await talk.read_table(prefix)
                if has_polkit:
                    forbids_cards = await talk.is_kept_from_cards()
        except TimeoutError:
            trouble = "silent"
        except PermissionError:
            trouble = "no rights"
        except (_ClosedError, ConnectionResetError, BrokenPipeError):
            trouble = "refused"
        except _ForeignError as error:
            trouble, detail = "foreign", str(error)
        except OSError:
            trouble = "nobody"
    return PcscdFacts(
        *(socket, trouble, mode, talk.protocol),
        *(() if trouble else readers, detail, listener),
        is_stopped=trouble == "silent" and _is_stopped(listener),
        clients=await in_thread(_count_clients, socket) if trouble == "refused" else 0,
        forbids_cards=forbids_cards,
    )


async def _connect(end: sockets.socket, socket: Path) -> None:
    """Connect; wait while the queue is full, which the event loop's own function takes for a connection."""
    while True:
        try:
            end.connect(str(socket))
        except BlockingIOError:
            await asyncio.sleep(_TRY_AGAIN_S)
        else:
            return


def _listener(end: sockets.socket) -> int:
    """The process that listens at the other end, 0 if it is of another namespace."""
    return int(_CREDENTIALS.unpack(end.getsockopt(sockets.SOL_SOCKET, sockets.SO_PEERCRED, _CREDENTIALS.size))[0])


def _is_stopped(process: int) -> bool:
    """Whether a process was stopped by a signal."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    # Number, name in parentheses, state (proc(5)); the name may have blanks and parentheses in it.
    return text.rpartition(")")[2].split()[:1] == ["T"]


def _count_clients(socket: Path) -> int:
    """Connections at the listening end of ``socket``."""
    try:
        lines = _SOCKETS.read_text(encoding="utf-8", errors="replace").splitlines()
        path = str(socket.resolve())
    except OSError:
        return 0
    # Seven columns and the path, which may have blanks in it.
    rows = (line.split(maxsplit=7) for line in lines)
    return sum(len(row) > 7 and row[5] == _CONNECTED and row[7] == path for row in rows)


def _look_at(socket: Path) -> tuple[str | None, int]:
    """What stands in the way of a connection, and the permissions of what does; (None, those of the socket) if none."""
    try:
        found = socket.stat()
    except FileNotFoundError:
        return "absent", 0
    except PermissionError:
        return "no rights", 0
    except OSError:
        return "absent", 0
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISSOCK(found.st_mode):
        return "no socket", mode
    # To connect is to write (unix(7)).
    return (None, mode) if os.access(socket, os.W_OK) else ("no rights", mode)


@dataclass(frozen=True, slots=True)
class PcscLite:
    """What ``pcscd --version`` says; empty and False where it does not."""

    version: str = ""
    has_polkit: bool = False


def parse_version(text: str) -> PcscLite:
    """Read the output of ``pcscd --version``."""
    version, has_polkit = "", False
    for line in text.splitlines():
        if line.startswith("pcsc-lite version"):
            version = line.removeprefix("pcsc-lite version").strip().rstrip(".")
        elif line.startswith("Enabled features:"):
            has_polkit = "polkit" in line.split()
    return PcscLite(version, has_polkit)


async def pcsc_lite(program: str) -> PcscLite:
    """Ask the installed pcscd, not the running one. Never raises."""
    said = await output_of(program, "--version", deadline_s=DEADLINE_S)
    return PcscLite() if said is None else parse_version(said.decode("utf-8", "replace"))
