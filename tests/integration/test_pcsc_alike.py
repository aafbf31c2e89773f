# SPDX-License-Identifier: Apache-2.0
"""Both readers of PC/SC over one real pcscd: the same commands, resets and faults, the same answers, one by one."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import pytest

from remsim.readers.base import CardReader, Presence, PresenceEvent, ReaderSource
from remsim.readers.errors import ReaderError
from remsim.readers.pcsc import PcscSource
from remsim.readers.pcscd import PcscdDaemon, PcscdSource
from tests.doubles.pcsc_socket import pcsc_through
from tests.doubles.pcscd import READER_NAMES, VPCD_PORTS, PcscdNamespace
from tests.doubles.programs import PATIENCE_S, Program, remsim
from tests.reference import reference

_STEPS = 500
#: Where in the sequence the cards are pulled, and when they are put back.
_PULLED = {150: 160, 350: 352}
_OPERATIONS = ("command",) * 24 + ("damaged",) * 6 + ("cold", "warm", "close", "open")
_WHEN_CLOSED = ("open", "open", "command", "cold", "close")


def trace() -> list[bytes]:
    """The commands of a recorded start of a modem."""
    steps = map(json.loads, reference("traces", "iot-modem-boot.jsonl").read_text(encoding="ascii").splitlines())
    return [bytes.fromhex(step["cmd"]) for step in steps if "cmd" in step]


class Side:
    """One reader with a card of its own in it."""

    def __init__(self, source: ReaderSource, namespace: PcscdNamespace, number: int) -> None:
        self._name = READER_NAMES[number]
        self._namespace = namespace
        self._port = VPCD_PORTS[number]
        self.reader: CardReader = source.reader(self._name)
        self._presence = Presence.UNKNOWN
        self._moved = asyncio.Event()
        self.events: list[Presence] = []
        source.watch(self._on_event)

    def _on_event(self, event: PresenceEvent) -> None:
        if event.reader == self._name:
            self._presence = event.presence
            self.events.append(event.presence)
            self._moved.set()

    async def _until(self, presence: Presence) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self._presence is not presence:
                self._moved.clear()
                await self._moved.wait()

    async def insert(self) -> None:
        self._card: Program = self._namespace.program(remsim("uicc", "--vpcd", f"127.0.0.1:{self._port}"))
        await self._until(Presence.PRESENT)

    async def pull(self) -> None:
        await asyncio.to_thread(self._card.stop)
        await self._until(Presence.ABSENT)

    async def do(self, operation: str, command: bytes) -> tuple[str, object]:
        """How it ended: bytes, or the kind of error and its code."""
        works: dict[str, Callable[[], Coroutine[object, object, bytes | None]]] = {
            "command": lambda: self.reader.transmit(command),
            "damaged": lambda: self.reader.transmit(command),
            "cold": self.reader.cold_reset,
            "warm": self.reader.warm_reset,
            "close": self.reader.close,
            "open": self._open,
        }
        try:
            return "done", await works[operation]()
        except ReaderError as error:
            return type(error).__name__, error.code

    async def _open(self) -> bytes:
        await self.reader.close()
        return await self.reader.open()


@pytest.fixture(params=[False, True], ids=["exclusive", "shared"])
async def sides(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Side, Side]]:
    with PcscdNamespace(tmp_path) as namespace, pcsc_through(namespace):
        is_shared: bool = request.param
        library = PcscSource(is_shared=lambda _name: is_shared)
        daemon = PcscdSource(daemons=[PcscdDaemon(namespace.socket)], is_shared=lambda _name: is_shared)
        await library.start()
        await daemon.start()
        both = Side(library, namespace, 0), Side(daemon, namespace, 1)
        try:
            for side in both:
                await side.insert()
            yield both
        finally:
            for side in both:
                await side.reader.close()
            await daemon.stop()
            await library.stop()


async def test_both_readers_answer_alike(sides: tuple[Side, Side]) -> None:
    chance, commands = random.Random(20261129), trace()
    at, ended = 0, dict.fromkeys(("done", "CardAbsentError", "ReaderUnavailableError"), 0)
    put_back, is_open = -1, False
    for step in range(_STEPS):
        if step in _PULLED:
            put_back = _PULLED[step]
            await asyncio.gather(*(side.pull() for side in sides))
        elif step == put_back:
            await asyncio.gather(*(side.insert() for side in sides))
        operation = chance.choice(_OPERATIONS if is_open else _WHEN_CLOSED)
        if step in _PULLED:
            operation = "command"
        command, at = commands[at % len(commands)], at + 1
        if operation == "damaged":
            place = chance.randrange(len(command))
            command = command[:place] + bytes((chance.randrange(256),)) + command[place + 1 :]
            command = command[: chance.choice((5, len(command)))]
        first, second = await asyncio.gather(*(side.do(operation, command) for side in sides))
        assert first == second, f"step {step}: {operation} {command.hex()}"
        if operation in ("open", "close"):
            is_open = operation == "open" and first[0] == "done"
        ended[first[0]] = ended.get(first[0], 0) + 1
    assert all(ended.values()), ended
    assert ended["done"] > _STEPS / 2
    assert sides[0].events == sides[1].events
