# SPDX-License-Identifier: Apache-2.0
"""Load: N clients that each play one TPDU after the other, and what they saw.

The generator is a program in C (``tests/reference/tools``) where a compiler is at hand, so that it does not limit
what is measured; else ``python -m bench.load``, which takes the same arguments and prints the same line. The
latter also speaks TLS, and plays other commands than SELECT.
"""

import argparse
import asyncio
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from bench.client_tls import client_context
from bench.frames import CLIENT, frame
from bench.numbered import FIRST_TAG, NumberedFrame
from remsim.core.ids import BankSlot, ClientSlot
from remsim.net.runtime.process import raise_open_file_limit
from remsim.wire import ccm
from remsim.wire.ipa import FrameReader
from remsim.wire.link.ability_bits import RESUME
from remsim.wire.messages.codec import decode_pdu
from remsim.wire.messages.rspro import (
    NO_FLAGS,
    ConnectClientReq,
    ResultCode,
    SessionInd,
    SetAtrReq,
    SetAtrRes,
    TpduCardToModem,
    TpduModemToCard,
)
from tests.reference import ROOT, reference

_LINE: Final = re.compile(
    r"clients (\d+)  tpdu/s (\d+)  p50 ([\d.]+) us  p90 ([\d.]+)  p99 ([\d.]+)  p99\.9 ([\d.]+)  max (\d+)"
)
#: The generator of this module, without arguments.
OWN: Final = [sys.executable, "-m", "bench.load"]
#: Beyond the measuring time: for connecting, and for being mapped.
_PATIENCE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What the clients saw: rate of all together, round trips in microseconds."""

    sessions: int
    rate: float
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    max_us: float


class LoadError(RuntimeError):
    """The generator did not come to a result."""


def generator(folder: Path) -> list[str]:
    """The command line of the generator, without arguments; one in C is compiled into ``folder``."""
    if compiler := shutil.which("gcc"):
        program = folder / "rspro_load"
        subprocess.run([compiler, "-O2", "-w", "-o", program, reference("tools", "rspro_load.c")], check=True)
        return [str(program)]
    return OWN


async def load(
    argv: list[str],
    *,
    port: int,
    bank: int,
    sessions: int,
    seconds: float,
    length: int = 7,
    options: Sequence[str] = (),
) -> Seen:
    """Run the generator ``argv`` against a bankd on 127.0.0.1. Raises LoadError.

    ``options`` are for ``OWN`` only.
    """
    numbers = ("127.0.0.1", port, bank, sessions, seconds, length)
    process = await asyncio.create_subprocess_exec(
        *argv, *map(str, numbers), *options, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=ROOT
    )
    try:
        async with asyncio.timeout(seconds + _PATIENCE_S):
            out, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise LoadError(f"the load generator did not end with {sessions} sessions") from None
    found = _LINE.search(out.decode())
    if found is None:
        raise LoadError(f"{sessions} sessions: {(out + errors).decode(errors='replace').strip()[-300:]}")
    count, rate, *times = found.groups()
    return Seen(int(count), float(rate), *map(float, times))


class _Client(asyncio.Protocol):
    def __init__(self, herd: "_Herd", slot: int) -> None:
        self._herd = herd
        client, bank = ClientSlot(herd.client_id, slot), BankSlot(herd.bank, herd.first_slot + slot)
        # With or without resume, the tags grow, so that both cost the generator the same.
        abilities = (RESUME,) if herd.resumes else None
        self._hello = frame(ConnectClientReq(CLIENT.with_abilities(abilities), client))
        self._command = NumberedFrame.of(TpduModemToCard(client, bank, NO_FLAGS, herd.command))
        self._tag = FIRST_TAG
        self._reader = FrameReader()
        self._usual: NumberedFrame | None = None
        self._has_atr = False
        self._since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport.write(self._hello)

    def connection_lost(self, exc: Exception | None) -> None:
        self._herd.lost += 1

    def itself(self) -> "_Client":
        """The factory of this connection."""
        return self

    def play(self) -> None:
        """Send the command."""
        self._since = time.perf_counter()
        self._tag += 1
        self._transport.write(self._command.with_tag(self._tag))

    def data_received(self, data: bytes) -> None:
        # But for its tag, the answer is the same every time.
        if self._usual is not None and data == self._usual.with_tag(self._tag):
            self._herd.times.append(time.perf_counter() - self._since)
            self.play()
            return
        self._reader.receive_data(data)
        while (found := self._reader.next_frame()) is not None:
            is_rspro, payload = found
            if not is_rspro:
                if payload == ccm.PING[-1:]:
                    self._transport.write(ccm.PONG)
                continue
            pdu = decode_pdu(payload)
            if isinstance(pdu.msg, SetAtrReq):
                self._transport.write(frame(SetAtrRes(ResultCode.OK), pdu.tag))
                if not self._has_atr:
                    self._has_atr = True
                    self._herd.on_ready()
            elif isinstance(pdu.msg, SessionInd):
                self._herd.offered += 1
            elif isinstance(pdu.msg, TpduCardToModem):
                self._usual = NumberedFrame.of(pdu.msg)
                self._herd.times.append(time.perf_counter() - self._since)
                self.play()


class _Herd:
    """All clients of one run."""

    def __init__(
        self, *, bank: int, sessions: int, command: bytes, client_id: int, first_slot: int, resumes: bool
    ) -> None:
        self.resumes = resumes
        #: Sessions that can be resumed.
        self.offered = 0
        self.bank = bank
        self.command = command
        self.client_id = client_id
        self.first_slot = first_slot
        self.times: list[float] = []
        self.lost = 0
        self._missing = sessions
        self.ready = asyncio.Event()
        self.clients = [_Client(self, slot) for slot in range(sessions)]

    def on_ready(self) -> None:
        """One more has its card."""
        self._missing -= 1
        if self._missing == 0:
            self.ready.set()


async def _main(given: argparse.Namespace) -> int:
    raise_open_file_limit()
    loop = asyncio.get_running_loop()
    sessions, seconds = given.sessions, given.seconds
    herd = _Herd(
        bank=given.bank,
        sessions=sessions,
        command=given.command or bytes((0xA0, 0xA4, 0, 0, given.length - 5)) + bytes(given.length - 5),
        client_id=given.client,
        first_slot=given.first_slot,
        resumes=given.resume,
    )
    context = None if given.tls is None else client_context(given.tls)
    transports = [
        (await loop.create_connection(client.itself, given.host, given.port, ssl=context))[0] for client in herd.clients
    ]
    async with asyncio.timeout(_PATIENCE_S / 2):
        await herd.ready.wait()
    began = time.perf_counter()
    for client in herd.clients:
        client.play()
    await asyncio.sleep(seconds)
    took_s = time.perf_counter() - began
    times = sorted(herd.times)
    lost = herd.lost
    for transport in transports:
        transport.abort()
    if given.resume and herd.offered < sessions:
        print(f"{herd.offered} of {sessions} sessions can be resumed")
        return 1
    if lost or not times:
        print(f"{lost} connections lost, {len(times)} round trips")
        return 1
    at = [times[min(len(times) - 1, int(len(times) * part))] * 1e6 for part in (0.5, 0.9, 0.99, 0.999, 1)]
    print(
        f"clients {sessions}  tpdu/s {len(times) / took_s:.0f}  p50 {at[0]:.1f} us  p90 {at[1]:.1f}  p99 {at[2]:.1f}"
        f"  p99.9 {at[3]:.1f}  max {at[4]:.0f}"
    )
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("bank", type=int)
    parser.add_argument("sessions", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("length", type=int, help="bytes of the command")
    parser.add_argument("--client", type=int, default=1, metavar="ID")
    parser.add_argument("--first-slot", type=int, default=0, metavar="N", help="of the bank: of client ID:0")
    parser.add_argument("--command", type=bytes.fromhex, metavar="HEX", help="instead of SELECT")
    parser.add_argument("--resume", action="store_true", help="name the ability resume.1")
    parser.add_argument("--tls", type=Path, metavar="FOLDER", help="over TLS, with the credentials in FOLDER")
    return parser.parse_args()


if __name__ == "__main__":
    from bench.loops import run

    sys.exit(run(_main(_arguments())))
