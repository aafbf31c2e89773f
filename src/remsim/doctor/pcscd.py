# SPDX-License-Identifier: Apache-2.0
"""Asks pcscd, over its own socket, for its version and its readers (docs/reference/pcscd.md); touches no card.

This needs neither libpcsclite nor pyscard, and tells apart what they report with one code: no socket, no rights, nobody
behind the socket, and a refusal by polkit.
"""

import asyncio
import contextlib
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Where clients of pcscd find it; libpcsclite reads the variable.
SOCKET: Final = Path("/run/pcscd/pcscd.comm")
SOCKET_VARIABLE: Final = "PCSCLITE_CSOCK_NAME"
#: pcscd answers at once; it is asked a few things.
DEADLINE_S: Final = 5.0

_COMMAND_VERSION: Final = 17
_COMMAND_READERS: Final = 18
#: All versions of pcscd accept one of these, and answer both with the same table of readers.
_PROTOCOLS: Final = ((4, 4), (4, 5))
_SUCCESS: Final = 0
_HEADER: Final = struct.Struct("=II")
_VERSION: Final = struct.Struct("=iiI")
#: Name, event counter, state bits, the sharing, ATR with padding, its length, protocol.
_ROW: Final = struct.Struct("=128sIIi33s3xII")
#: Rows of the table of these protocols: readers beyond are neither listed nor watched.
MAX_READERS: Final = 16
_PRESENT: Final = 0x04


@dataclass(frozen=True, slots=True)
class ReaderSeen:
    """One row of the table."""

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


class _ForeignError(Exception):
    """Something else than pcscd, or one that we do not understand."""


async def ask_pcscd(socket: Path) -> PcscdFacts:
    """Never raises; ends within ``DEADLINE_S``."""
    trouble, mode = _look_at(socket)
    if trouble is not None:
        return PcscdFacts(socket, trouble, mode)
    protocol: tuple[int, int] | None = None
    try:
        async with asyncio.timeout(DEADLINE_S):
            reader, writer = await asyncio.open_unix_connection(socket)
            try:
                protocol = await _agree(reader, writer)
                readers = await _read_table(reader, writer)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError:
        return PcscdFacts(socket, "silent", mode, protocol)
    except PermissionError:
        return PcscdFacts(socket, "no rights", mode)
    except (asyncio.IncompleteReadError, ConnectionResetError, BrokenPipeError):
        return PcscdFacts(socket, "refused", mode, protocol)
    except OSError:
        return PcscdFacts(socket, "nobody", mode)
    except _ForeignError:
        return PcscdFacts(socket, "foreign", mode, protocol)
    return PcscdFacts(socket, None, mode, protocol, readers)


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


async def _agree(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[int, int]:
    """Which version pcscd speaks itself; from here on it takes ours."""
    for wanted in _PROTOCOLS:
        writer.write(_HEADER.pack(_VERSION.size, _COMMAND_VERSION) + _VERSION.pack(*wanted, _SUCCESS))
        major, minor, code = _VERSION.unpack(await reader.readexactly(_VERSION.size))
        if code == _SUCCESS:
            return major, minor
    raise _ForeignError


async def _read_table(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[ReaderSeen, ...]:
    writer.write(_HEADER.pack(0, _COMMAND_READERS))
    table = await reader.readexactly(_ROW.size * MAX_READERS)
    rows = ((row[0].partition(b"\0")[0].decode("utf-8", "replace"), row[2]) for row in _ROW.iter_unpack(table))
    return tuple(ReaderSeen(name, bool(state & _PRESENT)) for name, state in rows if name)


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
    try:
        process = await asyncio.create_subprocess_exec(
            *(program, "--version"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return PcscLite()
    try:
        async with asyncio.timeout(DEADLINE_S):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return PcscLite()
    return parse_version(said.decode("utf-8", "replace"))
