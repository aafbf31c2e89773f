# SPDX-License-Identifier: Apache-2.0
"""A pcscd of version 4:4 in the loop of the test, whose readers and cards are moved by hand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from remsim.readers.pcscd import protocol
from remsim.readers.pcscd.protocol import PcscdCommand

ATR = bytes.fromhex("3b9f96801fc78031a073be21136743200718000001a5")
UNKNOWN_READER = 0x80100009
UNSUPPORTED = 0x8010001F
SHARING_VIOLATION = 0x8010000B


@dataclass
class ScriptedPcscd:
    """Move ``readers`` and call ``change``. Names may be there twice."""

    #: Names with the state bits of their rows.
    readers: list[tuple[str, int]]
    #: SCARD_ATTR_CHANNEL_ID by name; a reader without one has a driver that does not tell.
    channels: dict[str, int] = field(default_factory=dict)
    #: Nobody gets an answer to a direct connection to these.
    blocking: set[str] = field(default_factory=set)
    #: Another program holds these for itself alone.
    held: set[str] = field(default_factory=set)
    #: What cards answer to each command; a number: how the command fails.
    response: bytes | int = b"\x90\x00"
    #: How a transaction begins.
    on_begin: int = 0
    #: What was asked for.
    log: list[PcscdCommand] = field(default_factory=list)
    _waiting: set[asyncio.StreamWriter] = field(default_factory=set)
    _cards: dict[int, str] = field(default_factory=dict)

    def change(self, *readers: tuple[str, int]) -> None:
        """These are the readers now."""
        self.readers = list(readers)
        for writer in self._waiting:
            writer.write(protocol.EVENT.pack(0, 0))
        self._waiting.clear()

    def _table(self) -> bytes:
        rows = [
            protocol.ROW.pack(_raw(name), 0, bits, -1 if name in self.held else 0, ATR, len(ATR), 1)
            for name, bits in self.readers
        ]
        return b"".join(rows).ljust(protocol.TABLE_ROWS * protocol.ROW.size, b"\0")

    async def serve(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client."""
        try:
            while True:
                size, number = protocol.HEADER.unpack(await stream.readexactly(protocol.HEADER.size))
                command = PcscdCommand(number)
                self.log.append(command)
                body = await stream.readexactly(size)
                if command is PcscdCommand.TRANSMIT:
                    await stream.readexactly(protocol.TRANSMIT.unpack(body)[3])
                writer.write(self._answer(command, body, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            self._waiting.discard(writer)
            writer.close()

    def _answer(self, command: PcscdCommand, body: bytes, writer: asyncio.StreamWriter) -> bytes:
        match command:
            case PcscdCommand.VERSION:
                _, minor, _ = protocol.VERSION.unpack(body)
                return protocol.VERSION.pack(4, 4, 0 if minor == 4 else 0x8010001E)
            case PcscdCommand.ESTABLISH_CONTEXT:
                return protocol.ESTABLISH.pack(0, 7, 0)
            case PcscdCommand.CONNECT:
                context, raw, share, preferred, *_ = protocol.CONNECT.unpack(body)
                name = raw.partition(b"\0")[0].decode("utf-8", "surrogateescape")
                if name in self.blocking:
                    return b""
                code = 0 if name in dict(self.readers) else UNKNOWN_READER
                code = SHARING_VIOLATION if name in self.held else code
                self._cards[len(self._cards) + 1] = name
                return protocol.CONNECT.pack(context, raw, share, preferred, len(self._cards), 1, code)
            case PcscdCommand.RECONNECT:
                return protocol.RECONNECT.pack(*protocol.RECONNECT.unpack(body)[:4], 1, 0)
            case PcscdCommand.BEGIN_TRANSACTION:
                return protocol.HANDLE.pack(protocol.HANDLE.unpack(body)[0], self.on_begin)
            case PcscdCommand.GET_READERS_STATE:
                return self._table()
            case PcscdCommand.TRANSMIT:
                head = protocol.TRANSMIT.unpack(body)[:6]
                if isinstance(self.response, int):
                    return protocol.TRANSMIT.pack(*head, 0, self.response)
                return protocol.TRANSMIT.pack(*head, len(self.response), 0) + self.response
            case PcscdCommand.GET_ATTRIB:
                card, number, *_ = protocol.ATTRIBUTE.unpack(body)
                channel = self.channels.get(self._cards[card])
                value = b"" if channel is None else channel.to_bytes(4, "little")
                return protocol.ATTRIBUTE.pack(card, number, value, len(value), 0 if value else UNSUPPORTED)
            case PcscdCommand.WAIT_READER_STATE_CHANGE:
                self._waiting.add(writer)
                return self._table()
            case PcscdCommand.STOP_WAITING_READER_STATE_CHANGE:
                was_waiting = writer in self._waiting
                self._waiting.discard(writer)
                return protocol.EVENT.pack(0, 0) if was_waiting else b""
            case _:
                return body


def _raw(name: str) -> bytes:
    """Surrogates stand for bytes that are no UTF-8."""
    return name.encode("utf-8", "surrogateescape")


@asynccontextmanager
async def scripted_pcscd(path: Path, *readers: tuple[str, int]) -> AsyncIterator[ScriptedPcscd]:
    """Let it listen at ``path``."""
    pcscd = ScriptedPcscd(list(readers))
    server = await asyncio.start_unix_server(pcscd.serve, path)
    try:
        yield pcscd
    finally:
        server.close()
        await server.wait_closed()
