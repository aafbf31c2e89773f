# SPDX-License-Identifier: Apache-2.0
"""Sessions that each play commands at a steady rate, as modems at work do, and note how long every answer took.

A process of its own (``python -m bench.paced``). Client 1:i has a link to the server, over which it sends one PING each
second, and one to the bankd, over which it plays commands on slot i. Says ``ready`` when all sessions have their cards.
A line ``begin`` on its input starts a window of measurement, ``end`` ends it and has its figures printed as JSON.
"""

import argparse
import asyncio
import json
import socket
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from bench.client_tls import client_context
from bench.frames import CLIENT, frame
from bench.loops import run
from bench.priority import step_forward
from bench.workers import orders
from remsim.core.ids import BankSlot, ClientSlot
from remsim.net.runtime.process import calm_garbage_collector, raise_open_file_limit
from remsim.wire import ccm
from remsim.wire.ipa import FrameReader
from remsim.wire.messages.codec import decode_pdu
from remsim.wire.messages.rspro import (
    NO_FLAGS,
    ConfigClientBankReq,
    ConfigClientBankRes,
    ConnectClientReq,
    Message,
    ResultCode,
    SetAtrReq,
    SetAtrRes,
    TpduCardToModem,
    TpduModemToCard,
)

_PATIENCE_S: Final = 60.0
_PING_S: Final = 1.0
#: A session that waits for longer is as good as broken.
_OVERDUE_S: Final = 5.0
#: SELECT of the master file.
_COMMAND: Final = bytes.fromhex("A0A40000023F00")


@dataclass(slots=True)
class Window:
    """What happened since ``begin``."""

    #: Seconds for each command, and for each PING of the server.
    commands: list[float] = field(default_factory=list)
    pings: list[float] = field(default_factory=list)
    #: Commands that could not be sent in time, because the answer before was not there.
    held_up: int = 0
    began: float = field(default_factory=time.perf_counter)

    def figures(self) -> dict[str, float]:
        """For JSON; times in microseconds."""
        found: dict[str, float] = {"commands": len(self.commands), "held_up": self.held_up, "pings": len(self.pings)}
        found["seconds"] = time.perf_counter() - self.began
        for name, times in (("", sorted(self.commands)), ("ping_", sorted(self.pings))):
            for label, part in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)):
                if times:
                    found[f"{name}{label}_us"] = times[min(len(times) - 1, int(len(times) * part))] * 1e6
        return found


class _Link(asyncio.Protocol):
    """A link of a client: introduces itself, answers PING, and hands over messages."""

    def __init__(self, herd: "Herd", slot: int) -> None:
        self._herd = herd
        self.client = ClientSlot(1, slot)
        self._reader = FrameReader()
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport.write(frame(ConnectClientReq(CLIENT, self.client)))

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True

    def data_received(self, data: bytes) -> None:
        self._reader.receive_data(data)
        while (found := self._reader.next_frame()) is not None:
            is_rspro, payload = found
            if is_rspro:
                pdu = decode_pdu(payload)
                self.on_message(cast(Message, pdu.msg), pdu.tag)
            elif payload == ccm.PING[-1:]:
                self.transport.write(ccm.PONG)
            elif payload == ccm.PONG[-1:]:
                self.on_pong()

    def on_message(self, message: Message, tag: int) -> None:
        """Something of RSPRO has come."""

    def on_pong(self) -> None:
        """A PONG has come."""


class ControlLink(_Link):
    """To the server."""

    since = 0.0

    def on_message(self, message: Message, tag: int) -> None:
        if isinstance(message, ConfigClientBankReq):
            self.transport.write(frame(ConfigClientBankRes(ResultCode.OK), tag))

    def on_pong(self) -> None:
        self._herd.window.pings.append(time.perf_counter() - self.since)

    def act(self) -> None:
        """Send a PING."""
        self.since = time.perf_counter()
        self.transport.write(ccm.PING)


class Session(_Link):
    """To the bankd."""

    def __init__(self, herd: "Herd", slot: int) -> None:
        super().__init__(herd, slot)
        bank = BankSlot(herd.bank, slot)
        self._command = frame(TpduModemToCard(self.client, bank, NO_FLAGS, _COMMAND), 2)
        self.since = 0.0
        self.is_waiting = False
        self._has_card = False
        # When a command became due that could not be sent, because an answer was outstanding.
        self._due: float | None = None

    def on_message(self, message: Message, tag: int) -> None:
        if isinstance(message, SetAtrReq):
            self.transport.write(frame(SetAtrRes(ResultCode.OK), tag))
            if not self._has_card:
                self._has_card = True
                self._herd.on_ready()
        elif isinstance(message, TpduCardToModem):
            self._herd.window.commands.append(time.perf_counter() - self.since)
            self.is_waiting = False
            if self._due is not None:
                # Time that it spent waiting to be sent counts, or a slow answer would hide those behind it.
                due, self._due = self._due, None
                self._play(due)

    def act(self) -> None:
        """The next command is due."""
        now = time.perf_counter()
        if not self.is_waiting:
            self._play(now)
        else:
            self._herd.window.held_up += 1
            if self._due is None:
                self._due = now

    def _play(self, since: float) -> None:
        self.since = since
        self.is_waiting = True
        self.transport.write(self._command)


class Herd:
    """All clients."""

    def __init__(self, *, bank: int, sessions: int) -> None:
        self.bank = bank
        self.window = Window()
        self._missing = sessions
        self.ready = asyncio.Event()
        self.sessions = [Session(self, slot) for slot in range(sessions)]
        self.controls = [ControlLink(self, slot) for slot in range(sessions)]

    @property
    def broken(self) -> int:
        """Links that are gone, and sessions whose answer does not come."""
        overdue = time.perf_counter() - _OVERDUE_S
        lost = sum(link.is_lost for link in (*self.sessions, *self.controls))
        return lost + sum(one.is_waiting and one.since < overdue and not one.is_lost for one in self.sessions)

    def on_ready(self) -> None:
        """One more session has its card."""
        self._missing -= 1
        if self._missing == 0:
            self.ready.set()

    async def connect(self, *, server: int, bankd: int, context: ssl.SSLContext | None) -> None:
        """Bring all links up, and wait for the cards. Raises OSError and TimeoutError."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_PATIENCE_S):
            for links, port in ((self.controls, server), (self.sessions, bankd)):
                for link in links:
                    await loop.create_connection(_itself(link), "127.0.0.1", port, ssl=context)
            await self.ready.wait()

    def start(self, rate: float) -> None:
        """Let all act from now on, each in its turn."""
        everybody: list[tuple[Sequence[Session | ControlLink], float]]
        everybody = [(self.sessions, 1 / rate), (self.controls, _PING_S)]
        for actors, interval_s in everybody:
            for index, actor in enumerate(actors):
                _Beat(actor, interval_s, index / len(actors)).start()


class _Beat:
    """Lets one link act at equal intervals, whatever delays there are."""

    def __init__(self, actor: Session | ControlLink, interval_s: float, phase: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._actor = actor
        self._interval_s = interval_s
        self._next = self._loop.time() + phase * interval_s

    def start(self) -> None:
        self._loop.call_at(self._next, self._beat)

    def _beat(self) -> None:
        if not self._actor.is_lost:
            self._actor.act()
            self._next += self._interval_s
            self.start()


def _itself(link: _Link) -> Callable[[], _Link]:
    return lambda: link


async def _main(given: argparse.Namespace) -> int:
    raise_open_file_limit()
    step_forward()
    herd = Herd(bank=given.bank, sessions=given.sessions)
    context = None if given.tls is None else client_context(given.tls)
    await herd.connect(server=given.server, bankd=given.bankd, context=context)
    calm_garbage_collector()
    herd.start(given.rate)
    lines = await orders()
    print("ready", flush=True)
    while line := await lines.readline():
        if line.strip() == b"end":
            print(json.dumps(herd.window.figures() | {"broken": herd.broken}), flush=True)
        herd.window = Window()
    return 0


def main(arguments: list[str]) -> int:
    """Run until the input ends."""
    parser = argparse.ArgumentParser(prog="python -m bench.paced", description=__doc__)
    parser.add_argument("--server", type=int, required=True, metavar="PORT")
    parser.add_argument("--bankd", type=int, required=True, metavar="PORT")
    parser.add_argument("--bank", type=int, default=1, metavar="ID")
    parser.add_argument("--sessions", type=int, required=True, metavar="N")
    parser.add_argument("--rate", type=float, required=True, help="commands per second of each session")
    parser.add_argument("--tls", type=Path, metavar="FOLDER", help="over TLS, with the credentials in FOLDER")
    return run(_main(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
