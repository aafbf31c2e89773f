# SPDX-License-Identifier: Apache-2.0
"""What every client host needs: a clock that is right, and a server that answers."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import remsim
from remsim.config import HostPort
from remsim.doctor.check import CheckOutcome, CheckResult, Situation
from remsim.wire.ccm import PING, CcmType
from remsim.wire.errors import FrameError
from remsim.wire.ipa import FrameReader

_SERVER_DEADLINE_S: Final = 5.0
_CLOCK_DEADLINE_S: Final = 3.0
_READ_BYTES: Final = 4096


async def check_clock(_situation: Situation) -> Sequence[CheckResult]:
    """Certificates, logs and traces need the right time; a small board without a battery starts in the past."""
    now = datetime.now(UTC)
    installed = _installed()
    if now < installed:
        text = f"it is {now:%Y-%m-%d %H:%M} UTC here, before this program was installed ({installed:%Y-%m-%d})"
        return [CheckResult("clock", CheckOutcome.PROBLEM, text, "set the clock: timedatectl set-ntp true")]
    synchronised = await _is_synchronised()
    text = f"{now:%Y-%m-%d %H:%M} UTC"
    if synchronised is False:
        return [CheckResult("clock", CheckOutcome.NOTE, f"{text}, set by no time server", "timedatectl set-ntp true")]
    return [CheckResult("clock", CheckOutcome.OK, text + (", set by a time server" if synchronised else ""))]


def _installed() -> datetime:
    return datetime.fromtimestamp(Path(remsim.__file__).stat().st_mtime, UTC)


async def _is_synchronised() -> bool | None:
    """What the system says; None if it cannot be asked."""
    try:
        process = await asyncio.create_subprocess_exec(
            *("timedatectl", "show", "--property=NTPSynchronized", "--value"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return None
    try:
        async with asyncio.timeout(_CLOCK_DEADLINE_S):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return None
    return {b"yes": True, b"no": False}.get(said.strip())


async def check_server(situation: Situation) -> Sequence[CheckResult]:
    """Whether something that speaks RSPRO answers at the server's address. Shows it no identity."""
    return [await ping_server(situation.server)]


async def ping_server(server: HostPort) -> CheckResult:
    """Connect, send PING, and wait for PONG (rspro.md, section 3): any server answers before it knows us."""
    began = time.perf_counter()
    try:
        async with asyncio.timeout(_SERVER_DEADLINE_S):
            await _exchange_ping(server)
    except TimeoutError:
        mend = "is it the right host and port, and does a firewall on the way let RSPRO (TCP 9998) through?"
        return CheckResult("server", CheckOutcome.PROBLEM, f"{server} does not answer", mend)
    except socket.gaierror as error:
        mend = "check the name, and this host's DNS (resolvectl query, /etc/resolv.conf)"
        return CheckResult("server", CheckOutcome.PROBLEM, f"{server.host} cannot be found: {error.strerror}", mend)
    except ConnectionRefusedError:
        mend = "start it there (remsim server), or name the right one with --server HOST:PORT"
        return CheckResult("server", CheckOutcome.PROBLEM, f"nothing listens at {server}", mend)
    except (FrameError, EOFError) as error:
        mend = "another program has this port: RSPRO is on 9998, REST on 9997, the bankd on 9999"
        return CheckResult("server", CheckOutcome.PROBLEM, f"{server} speaks no RSPRO: {error}", mend)
    except OSError as error:
        return CheckResult(
            "server", CheckOutcome.PROBLEM, f"{server} cannot be reached: {error}", "check the route to it"
        )
    return CheckResult("server", CheckOutcome.OK, f"{server} answers in {(time.perf_counter() - began) * 1000:.0f} ms")


async def _exchange_ping(server: HostPort) -> None:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        writer.write(PING)
        frames = FrameReader()
        while True:
            data = await reader.read(_READ_BYTES)
            if not data:
                raise EOFError("it closes the connection")
            frames.receive_data(data)
            while (frame := frames.next_frame()) is not None:
                is_rspro, payload = frame
                if not is_rspro and payload[0] == CcmType.PONG:
                    return
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
