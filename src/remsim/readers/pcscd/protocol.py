# SPDX-License-Identifier: Apache-2.0
"""The messages of pcscd's socket protocol as bytes, without I/O: versions 4:4, 4:5 and 4:6 (docs/reference/pcscd.md).

Numbers are in the byte order of the machine: both ends run on it. A request is a header ``{size, command}`` and a body;
a reply is that body with its output members filled in, without a header, so only who has asked knows what it is.
``frame`` makes requests; what the replies of each command look like is in ``client``.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

from remsim.core.errors import RemsimError


class PcscdProtocolError(RemsimError):
    """What the other end sent cannot be a reply of pcscd."""


class PcscdCommand(IntEnum):
    """Numbers of the commands."""

    ESTABLISH_CONTEXT = 1
    RELEASE_CONTEXT = 2
    CONNECT = 4
    RECONNECT = 5
    DISCONNECT = 6
    BEGIN_TRANSACTION = 7
    END_TRANSACTION = 8
    TRANSMIT = 9
    CONTROL = 10
    STATUS = 11
    CANCEL = 13
    GET_ATTRIB = 15
    SET_ATTRIB = 16
    VERSION = 17
    GET_READERS_STATE = 18
    WAIT_READER_STATE_CHANGE = 19
    STOP_WAITING_READER_STATE_CHANGE = 20
    GET_READER_EVENTS = 21
    GET_READERS_STATE_SIZE = 22
    GET_READERS_STATE_ARRAY = 23


#: The one number before the colon, and those behind it, the newest first: in this order they are asked for.
MAJOR: Final = 4
MINORS: Final = (6, 5, 4)

NAME_LENGTH: Final = 128
_ATTRIBUTE_LENGTH: Final = 264
#: A short APDU needs 261 bytes; pcscd takes an extended one in each direction.
MAX_DATA: Final = 65_548
#: Rows of the table of 4:4 and 4:5: further readers are neither listed nor watched.
TABLE_ROWS: Final = 16
#: More rows than this are no table of readers: USB has 127 devices on a bus, and a reader has a few slots.
MAX_ROWS: Final = 4096
_LONGEST_ATR: Final = 33

#: size of the body, command.
HEADER: Final = struct.Struct("=II")
#: major, minor, rv.
VERSION: Final = struct.Struct("=iiI")
#: scope, context, rv.
ESTABLISH: Final = struct.Struct("=III")
#: context, rv; of RELEASE_CONTEXT and CANCEL.
CONTEXT: Final = struct.Struct("=II")
#: context, reader, share mode, preferred protocols, card, active protocol, rv.
CONNECT: Final = struct.Struct(f"=I{NAME_LENGTH}sIIiII")
#: card, share mode, preferred protocols, initialization, active protocol, rv.
RECONNECT: Final = struct.Struct("=iIIIII")
#: card, disposition, rv; of DISCONNECT and END_TRANSACTION.
DISPOSITION: Final = struct.Struct("=iII")
#: card, rv; of BEGIN_TRANSACTION and STATUS.
HANDLE: Final = struct.Struct("=iI")
#: card, protocol and length of the PCI and length of what is sent, the same three of what is received, rv.
TRANSMIT: Final = struct.Struct("=iIIIIIII")
#: card, code, length sent, length to be received, length received, rv.
CONTROL: Final = struct.Struct("=iIIIII")
#: card, number, value, length, rv.
ATTRIBUTE: Final = struct.Struct(f"=iI{_ATTRIBUTE_LENGTH}sII")
#: What a wait ends with: timeout (always 0 from pcscd), rv; and of GET_READER_EVENTS: count, rv.
EVENT: Final = struct.Struct("=II")
#: Number of rows.
COUNT: Final = struct.Struct("=i")
#: name, event counter, state bits, sharing, ATR, its length, protocol.
ROW: Final = struct.Struct(f"=128sIIi{_LONGEST_ATR}s3xII")

#: What a request's body measures; commands of later versions say from which on there are any.
_BODIES: Final[dict[PcscdCommand, tuple[int, int]]] = {
    PcscdCommand.ESTABLISH_CONTEXT: (ESTABLISH.size, 4),
    PcscdCommand.RELEASE_CONTEXT: (CONTEXT.size, 4),
    PcscdCommand.CONNECT: (CONNECT.size, 4),
    PcscdCommand.RECONNECT: (RECONNECT.size, 4),
    PcscdCommand.DISCONNECT: (DISPOSITION.size, 4),
    PcscdCommand.BEGIN_TRANSACTION: (HANDLE.size, 4),
    PcscdCommand.END_TRANSACTION: (DISPOSITION.size, 4),
    PcscdCommand.TRANSMIT: (TRANSMIT.size, 4),
    PcscdCommand.CONTROL: (CONTROL.size, 4),
    PcscdCommand.STATUS: (HANDLE.size, 4),
    PcscdCommand.CANCEL: (CONTEXT.size, 4),
    PcscdCommand.GET_ATTRIB: (ATTRIBUTE.size, 4),
    PcscdCommand.SET_ATTRIB: (ATTRIBUTE.size, 4),
    PcscdCommand.VERSION: (VERSION.size, 4),
    PcscdCommand.GET_READERS_STATE: (0, 4),
    PcscdCommand.WAIT_READER_STATE_CHANGE: (0, 4),
    PcscdCommand.STOP_WAITING_READER_STATE_CHANGE: (0, 4),
    PcscdCommand.GET_READER_EVENTS: (0, 5),
    PcscdCommand.GET_READERS_STATE_SIZE: (0, 6),
    PcscdCommand.GET_READERS_STATE_ARRAY: (0, 6),
}

#: Bits of a row's state.
_ABSENT: Final = 0x02
_PRESENT: Final = 0x04


def body_size(command: PcscdCommand, minor: int) -> int | None:
    """Bytes of a request's body in version 4:``minor``, without data behind it; None: the version has no such command.

    A pcscd closes the socket of a client whose body measures anything else.
    """
    size, since = _BODIES[command]
    return size if minor >= since else None


def frame(command: PcscdCommand, body: bytes = b"", data: bytes = b"") -> bytes:
    """A request. ``data`` is the command for the card, which the size in the header does not count."""
    return HEADER.pack(len(body), command) + body + data


def reader_field(name: str) -> bytes:
    """A reader's name for CONNECT. Raises ValueError if pcscd cannot have a reader of that name."""
    raw = name.encode("utf-8", "replace")
    if len(raw) >= NAME_LENGTH or b"\0" in raw:
        raise ValueError("no reader of pcscd has such a name")
    return raw


class ReaderRow(NamedTuple):
    """One reader as pcscd's table has it. ``events`` counts cards that came or went; ``atr`` may be empty."""

    name: str
    events: int
    state: int
    sharing: int
    atr: bytes
    protocol: int

    @property
    def is_known(self) -> bool:
        """Whether the state says anything: a reader that is being initialised has none yet."""
        return bool(self.state & (_PRESENT | _ABSENT))

    @property
    def has_card(self) -> bool:
        """Whether there is a card in it, be it mute."""
        return bool(self.state & _PRESENT)


class ReaderTable:
    """The table of readers, read row by row when it is asked for: it may have hundreds of which one is wanted."""

    __slots__ = ("_raw",)

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def __len__(self) -> int:
        """Return the number of rows, empty ones included."""
        return len(self._raw) // ROW.size

    def __iter__(self) -> Iterator[ReaderRow]:
        """Iterate over the rows that have a reader, in pcscd's order. Two may have the same name."""
        for fields in ROW.iter_unpack(self._raw):
            row = _row(fields)
            if row.name:
                yield row

    def row_of(self, name: str) -> ReaderRow | None:
        """The first row of that name."""
        wanted = reader_field(name) + b"\0"
        at = self._raw.find(wanted)
        while at >= 0:
            if at % ROW.size == 0:
                return _row(ROW.unpack_from(self._raw, at))
            at = self._raw.find(wanted, at + 1)
        return None


def _row(fields: tuple[bytes, int, int, int, bytes, int, int]) -> ReaderRow:
    name, events, state, sharing, atr, length, protocol = fields
    # A reader that is being initialised has a length beyond the longest: it has no ATR yet.
    known = atr[:length] if length <= _LONGEST_ATR else b""
    return ReaderRow(name.partition(b"\0")[0].decode("utf-8", "replace"), events, state, sharing, known, protocol)
