# SPDX-License-Identifier: Apache-2.0
"""One client's side of a socket of pcscd, without I/O: requests in, bytes out; bytes in, replies out.

Replies have no header, so the order of the requests says what comes next; they may be sent before earlier ones are
answered. The one thing that comes without being next is the end of a wait. In 4:4 and 4:5 WAIT is answered with the
table first. In 4:6 it is not answered at all, so whether pcscd has begun to watch is asked with a further VERSION, the
one reply that cannot be mistaken for an event: it begins with 4, and an event with 0.

What arrives and cannot be is kept as ``trouble``; from then on nothing is understood, and the socket is of no use.
The work is bounded: each byte is copied once, and no reply is longer than ``MAX_ROWS`` rows.
"""

from collections import deque
from typing import Final, NamedTuple

from remsim.readers.pcscd.protocol import (
    ATTRIBUTE,
    CONNECT,
    CONTEXT,
    CONTROL,
    COUNT,
    DISPOSITION,
    ESTABLISH,
    EVENT,
    HANDLE,
    HEADER,
    MAJOR,
    MAX_DATA,
    MAX_ROWS,
    MINORS,
    RECONNECT,
    ROW,
    TABLE_ROWS,
    TRANSMIT,
    VERSION,
    PcscdCommand,
    PcscdProtocolError,
    ReaderTable,
    body_size,
    frame,
    reader_field,
)

_SUCCESS: Final = 0
#: What a client library on a 64-bit machine says about its PCI; pcscd looks at the protocol only.
_PCI_LENGTH: Final = 16
_ANY_PROTOCOL: Final = 0x1000 | 3
_FROM_TABLE_SIZE: Final = 6
#: A name of this module is found faster than a member of an enumeration.
_TRANSMIT: Final = PcscdCommand.TRANSMIT
_unpack_response: Final = TRANSMIT.unpack_from


class VersionReply(NamedTuple):
    """What pcscd speaks, and whether it accepts what was asked for."""

    code: int
    minor: int


class ContextReply(NamedTuple):
    """A context."""

    code: int
    context: int


class CardReply(NamedTuple):
    """A card, and the protocol in use; of CONNECT and RECONNECT."""

    code: int
    card: int
    protocol: int


class CodeReply(NamedTuple):
    """Of commands that are done or not."""

    code: int


class DataReply(NamedTuple):
    """An attribute, or what a driver said. Without data unless ``code`` is 0."""

    code: int
    data: bytes


class TableReply(NamedTuple):
    """The readers, in reply to ``table`` or ``wait``."""

    code: int
    table: ReaderTable


class WaitEnded(NamedTuple):
    """Something happened at a reader, or the wait was ended (``code`` is not 0)."""

    code: int


#: The response of a card, which is nearly all that arrives, is its bytes alone; of one that failed there is a code.
Reply = VersionReply | ContextReply | CardReply | CodeReply | DataReply | TableReply | WaitEnded | bytes


class _Awaited(NamedTuple):
    """A reply that is to come: to which command, what of the request comes back in it, and the least it measures."""

    command: PcscdCommand
    echo: int
    size: int


class PcscdClient:
    """One socket. ``minor`` is the version agreed on, None before."""

    __slots__ = ("_awaited", "_buffer", "_heads", "_is_waiting", "_need", "minor", "trouble")

    def __init__(self) -> None:
        self.minor: int | None = None
        #: What arrived and cannot be a reply; what came before it was understood.
        self.trouble: PcscdProtocolError | None = None
        self._awaited: deque[_Awaited] = deque()
        self._buffer = bytearray()
        # So many bytes there must be before it is worth looking.
        self._need = 0
        self._is_waiting = False
        # Of TRANSMIT, by the command's length: card and protocol, all but the command, and what is awaited.
        self._heads: dict[int, tuple[int, int, bytes, _Awaited]] = {}

    @property
    def is_idle(self) -> bool:
        """Whether no reply is to come."""
        return not self._awaited

    # Requests

    def version(self, minor: int) -> bytes:
        """Ask for version 4:``minor``."""
        return self._ask(PcscdCommand.VERSION, VERSION.pack(MAJOR, minor, _SUCCESS), minor, VERSION.size)

    def next_version(self, refusal: VersionReply) -> int | None:
        """The version to ask for after a refusal, None if there is no further one."""
        if refusal.minor in MINORS:
            return refusal.minor
        return None

    def establish(self) -> bytes:
        """Make a context (scope: user)."""
        return self._ask(PcscdCommand.ESTABLISH_CONTEXT, ESTABLISH.pack(0, 0, _SUCCESS), 0, ESTABLISH.size)

    def release(self, context: int) -> bytes:
        """Let go of a context and all its cards."""
        return self._ask(PcscdCommand.RELEASE_CONTEXT, CONTEXT.pack(context, _SUCCESS), context, CONTEXT.size)

    def cancel(self, context: int) -> bytes:
        """End the wait of another socket, which has this context."""
        return self._ask(PcscdCommand.CANCEL, CONTEXT.pack(context, _SUCCESS), context, CONTEXT.size)

    def connect(self, context: int, reader: str, share: int, protocols: int) -> bytes:
        """Connect to a card. Raises ValueError if there can be no reader of that name."""
        body = CONNECT.pack(context, reader_field(reader), share, protocols, 0, 0, _SUCCESS)
        return self._ask(PcscdCommand.CONNECT, body, context, CONNECT.size)

    def reconnect(self, card: int, share: int, protocols: int, initialization: int) -> bytes:
        """Reset a card."""
        body = RECONNECT.pack(card, share, protocols, initialization, 0, _SUCCESS)
        return self._ask(PcscdCommand.RECONNECT, body, card, RECONNECT.size)

    def disconnect(self, card: int, disposition: int) -> bytes:
        """Let go of a card."""
        return self._ask(PcscdCommand.DISCONNECT, DISPOSITION.pack(card, disposition, _SUCCESS), card, DISPOSITION.size)

    def begin(self, card: int) -> bytes:
        """Begin a transaction."""
        return self._ask(PcscdCommand.BEGIN_TRANSACTION, HANDLE.pack(card, _SUCCESS), card, HANDLE.size)

    def end(self, card: int, disposition: int) -> bytes:
        """End a transaction."""
        return self._ask(
            PcscdCommand.END_TRANSACTION, DISPOSITION.pack(card, disposition, _SUCCESS), card, DISPOSITION.size
        )

    def status(self, card: int) -> bytes:
        """Ask whether the card is still the one that it was; the rest is in the table."""
        return self._ask(PcscdCommand.STATUS, HANDLE.pack(card, _SUCCESS), card, HANDLE.size)

    def attribute(self, card: int, number: int) -> bytes:
        """Ask for an attribute of a reader."""
        body = ATTRIBUTE.pack(card, number, b"", ATTRIBUTE.size - 16, _SUCCESS)
        return self._ask(PcscdCommand.GET_ATTRIB, body, card, ATTRIBUTE.size)

    def control(self, card: int, code: int, data: bytes) -> bytes:
        """Say something to the reader's driver."""
        body = CONTROL.pack(card, code, len(data), MAX_DATA, 0, _SUCCESS)
        return self._ask(PcscdCommand.CONTROL, body, card, CONTROL.size, data)

    def transmit(self, card: int, protocol: int, command: bytes) -> bytes:
        """Exchange a command of at most ``MAX_DATA`` bytes with a card."""
        made = self._heads.get(len(command))
        if made is None or made[0] != card or made[1] != protocol:
            body = (card, protocol, _PCI_LENGTH, len(command), _ANY_PROTOCOL, _PCI_LENGTH, MAX_DATA, _SUCCESS)
            head = HEADER.pack(TRANSMIT.size, _TRANSMIT) + TRANSMIT.pack(*body)
            made = card, protocol, head, _Awaited(_TRANSMIT, card, TRANSMIT.size)
            self._heads[len(command)] = made
        self._awaited.append(made[3])
        return made[2] + command

    def table(self) -> bytes:
        """Ask for the readers. Not while a wait is pending in 4:6."""
        self._check_quiet()
        if self._minor() < _FROM_TABLE_SIZE:
            return self._ask(PcscdCommand.GET_READERS_STATE, b"", 0, TABLE_ROWS * ROW.size)
        # Both at once: between size and table a reader might come.
        size = self._ask(PcscdCommand.GET_READERS_STATE_SIZE, b"", 0, COUNT.size)
        return size + frame(PcscdCommand.GET_READERS_STATE_ARRAY)

    def wait(self) -> bytes:
        """Ask to be told once of the next event. Answered with the table, in 4:6 with a ``VersionReply``."""
        if self._is_waiting:
            raise RuntimeError("a wait is pending already")
        if self._minor() < _FROM_TABLE_SIZE:
            request = self._ask(PcscdCommand.WAIT_READER_STATE_CHANGE, b"", 0, TABLE_ROWS * ROW.size)
        else:
            request = frame(PcscdCommand.WAIT_READER_STATE_CHANGE) + self.version(self._minor())
        self._is_waiting = True
        return request

    def stop_waiting(self) -> bytes:
        """End a wait: exactly one ``WaitEnded`` comes, be it by this request or by an event."""
        return frame(PcscdCommand.STOP_WAITING_READER_STATE_CHANGE)

    def _ask(self, command: PcscdCommand, body: bytes, echo: int, size: int, data: bytes = b"") -> bytes:
        expected = body_size(command, MINORS[0] if self.minor is None else self.minor)
        if expected != len(body):
            raise RuntimeError(f"{command.name} is no request of version 4:{self.minor}")
        if command is not PcscdCommand.VERSION:
            self._check_quiet()
        self._awaited.append(_Awaited(command, echo, size))
        return frame(command, body, data)

    def _minor(self) -> int:
        if self.minor is None:
            raise RuntimeError("no version was agreed on")
        return self.minor

    def _check_quiet(self) -> None:
        if self._is_waiting and self._minor() >= _FROM_TABLE_SIZE:
            raise RuntimeError("while a wait is pending, an event could not be told from the reply")

    # Replies

    def response_in(self, data: bytes) -> bytes | None:
        """The response of a card, if that is all that is awaited, and ``data`` is the whole of it and nothing else.

        Nearly all that arrives is that. None: nothing was taken, and ``data`` is for ``receive``.
        """
        awaited = self._awaited
        if len(awaited) != 1 or self._buffer or self._is_waiting or self.trouble is not None:
            return None
        command, card, size = awaited[0]
        if command is not _TRANSMIT or len(data) < size:
            return None
        found, _, _, _, _, _, length, code = _unpack_response(data)
        if found != card or code != _SUCCESS or length != len(data) - size:
            return None
        awaited.clear()
        return data[size:]

    def receive(self, data: bytes) -> list[Reply]:
        """All replies that are complete now, in order. Never raises: see ``trouble``, which ends it for ever."""
        if self.trouble is not None:
            return []
        self._buffer += data
        replies: list[Reply] = []
        try:
            while self._buffer and len(self._buffer) >= self._need:
                found = self._next()
                if found is None:
                    break
                replies.append(found)
                self._need = 0
        except PcscdProtocolError as error:
            self.trouble = error
            self._buffer.clear()
        return replies

    def _next(self) -> Reply | None:
        """Take the next reply out of the buffer; None, with ``_need`` set, if it is not complete."""
        buffer = self._buffer
        if self._is_waiting and not self._is_reply_next():
            if len(buffer) < EVENT.size:
                # Behind a VERSION, four bytes tell which of the two it is.
                self._need = EVENT.size if not self._awaited or len(buffer) >= COUNT.size else COUNT.size
                return None
            timeout, code = EVENT.unpack_from(buffer)
            if timeout:
                raise PcscdProtocolError(f"pcscd sent something that is no event: it begins with {timeout}")
            self._is_waiting = False
            del buffer[: EVENT.size]
            return WaitEnded(code)
        if not self._awaited:
            raise PcscdProtocolError("pcscd sent something that was not asked for")
        awaited = self._awaited[0]
        size = awaited.size
        if len(buffer) >= size:
            size += self._more(awaited)
        if len(buffer) < size:
            self._need = size
            return None
        reply = self._parse(awaited, bytes(buffer[:size]))
        del buffer[:size]
        self._awaited.popleft()
        return reply

    def _is_reply_next(self) -> bool:
        """Whether, during a wait, a reply comes before its end. In 4:6, VERSION begins with 4, and an event with 0."""
        if not self._awaited:
            return False
        return self._minor() < _FROM_TABLE_SIZE or any(self._buffer[: COUNT.size])

    def _more(self, awaited: _Awaited) -> int:
        """How much follows behind the fixed part of a reply. Raises PcscdProtocolError."""
        buffer, command = self._buffer, awaited.command
        if command is PcscdCommand.TRANSMIT:
            fields = TRANSMIT.unpack_from(buffer)
            length = fields[6] if fields[7] == _SUCCESS else 0
        elif command is PcscdCommand.CONTROL:
            fields = CONTROL.unpack_from(buffer)
            length = fields[4] if fields[5] == _SUCCESS else 0
        elif command is PcscdCommand.GET_READERS_STATE_SIZE:
            (rows,) = COUNT.unpack_from(buffer)
            if not 0 <= rows <= MAX_ROWS:
                raise PcscdProtocolError(f"pcscd says that it has {rows} readers; {MAX_ROWS} are possible")
            return int(rows) * ROW.size
        else:
            return 0
        if length > MAX_DATA:
            raise PcscdProtocolError(f"pcscd announces a response of {length} bytes; {MAX_DATA} are possible")
        return int(length)

    def _parse(self, awaited: _Awaited, raw: bytes) -> Reply:
        command, echo, size = awaited
        match command:
            case PcscdCommand.VERSION:
                return self._on_version(raw)
            case PcscdCommand.ESTABLISH_CONTEXT:
                _, context, code = ESTABLISH.unpack(raw)
                return ContextReply(code, context)
            case PcscdCommand.CONNECT:
                context, _, _, _, card, protocol, code = CONNECT.unpack(raw)
                _check_echo(command, context, echo)
                return CardReply(code, card, protocol)
            case PcscdCommand.RECONNECT:
                card, _, _, _, protocol, code = RECONNECT.unpack(raw)
                _check_echo(command, card, echo)
                return CardReply(code, card, protocol)
            case PcscdCommand.TRANSMIT:
                fields = TRANSMIT.unpack_from(raw)
                _check_echo(command, fields[0], echo)
                return raw[size:] if fields[-1] == _SUCCESS else CodeReply(fields[-1])
            case PcscdCommand.CONTROL:
                fields = CONTROL.unpack_from(raw)
                _check_echo(command, fields[0], echo)
                return DataReply(fields[-1], raw[size:])
            case PcscdCommand.GET_ATTRIB:
                return _attribute(raw, echo)
            case PcscdCommand.GET_READERS_STATE | PcscdCommand.WAIT_READER_STATE_CHANGE:
                return TableReply(_SUCCESS, ReaderTable(raw))
            case PcscdCommand.GET_READERS_STATE_SIZE:
                return TableReply(_SUCCESS, ReaderTable(raw[COUNT.size :]))
            case PcscdCommand.DISCONNECT | PcscdCommand.END_TRANSACTION:
                number, _, code = DISPOSITION.unpack(raw)
            case _:
                number, code = HANDLE.unpack(raw) if command in _OF_HANDLES else CONTEXT.unpack(raw)
        _check_echo(command, number, echo)
        return CodeReply(code)

    def _on_version(self, raw: bytes) -> VersionReply:
        major, minor, code = VERSION.unpack(raw)
        asked = self._awaited[0].echo
        if major != MAJOR or minor < 0:
            raise PcscdProtocolError(f"version {major}:{minor} is none that is known")
        if code == _SUCCESS:
            if minor < asked:
                raise PcscdProtocolError(f"pcscd accepts version {MAJOR}:{asked} and speaks {MAJOR}:{minor}")
            # It names its own, even when it has agreed to an older one.
            self.minor = asked
        return VersionReply(code, minor)


_OF_HANDLES: Final = frozenset({PcscdCommand.BEGIN_TRANSACTION, PcscdCommand.STATUS})


def _check_echo(command: PcscdCommand, number: int, echo: int) -> None:
    if number != echo:
        raise PcscdProtocolError(f"pcscd answers {command.name} for {number:#x} and was asked for {echo:#x}")


def _attribute(raw: bytes, echo: int) -> DataReply:
    card, _, value, length, code = ATTRIBUTE.unpack(raw)
    _check_echo(PcscdCommand.GET_ATTRIB, card, echo)
    if code != _SUCCESS:
        return DataReply(code, b"")
    if length > len(value):
        raise PcscdProtocolError(f"pcscd announces an attribute of {length} bytes; {len(value)} are possible")
    return DataReply(code, value[:length])
