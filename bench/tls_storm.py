# SPDX-License-Identifier: Apache-2.0
"""Clients that all connect to a server over TLS at the same moment, each with a certificate of its own.

A process of its own (``python -m bench.tls_storm``). Says ``ready`` when all certificates are loaded; ``begin`` starts
the storm, and after it ``end`` has the figures told as JSON. Times run from ``begin`` to the client being accepted.
"""

import argparse
import asyncio
import gc
import json
import ssl
import sys
import time
from pathlib import Path
from typing import Final

from bench.client_tls import client_context
from bench.frames import CLIENT, frame
from bench.loops import run
from bench.swarm import Peer
from bench.workers import orders
from remsim.core.ids import ClientSlot
from remsim.net.runtime.process import raise_open_file_limit
from remsim.wire.link.abilities import ABILITIES
from remsim.wire.messages.rspro import ConnectClientReq

_PATIENCE_S: Final = 60.0


async def _connect(number: int, port: int, context: ssl.SSLContext, began: float) -> float | None:
    """Seconds until it was accepted; None: it was not."""
    peer = Peer(frame(ConnectClientReq(CLIENT.with_abilities(ABILITIES), ClientSlot(number, 0))))
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await asyncio.get_running_loop().create_connection(lambda: peer, "127.0.0.1", port, ssl=context)
            return time.perf_counter() - began if await peer.accepted else None
    except (OSError, TimeoutError):
        return None


async def _storm(port: int, contexts: list[ssl.SSLContext]) -> dict[str, float]:
    began = time.perf_counter()
    found = await asyncio.gather(*(_connect(n, port, context, began) for n, context in enumerate(contexts)))
    total_s = time.perf_counter() - began
    times = sorted(seconds * 1e3 for seconds in found if seconds is not None)
    told = {"accepted": float(len(times)), "total_s": total_s}
    for name, part in (("p50_ms", 0.5), ("p99_ms", 0.99), ("max_ms", 1.0)):
        told[name] = times[min(len(times) - 1, int(len(times) * part))] if times else float("nan")
    return told


async def _main(given: argparse.Namespace) -> int:
    raise_open_file_limit()
    contexts = [client_context(folder) for folder in given.folder]
    gc.freeze()
    lines = await orders()
    print("ready", flush=True)
    told: dict[str, float] = {}
    while line := await lines.readline():
        if line.strip() == b"begin":
            told = await _storm(given.port, contexts)
        else:
            print(json.dumps(told), flush=True)
    return 0


def main(arguments: list[str]) -> int:
    """Run until the input ends."""
    parser = argparse.ArgumentParser(prog="python -m bench.tls_storm", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="of the server")
    parser.add_argument("folder", type=Path, nargs="+", help="credentials of client 0, 1, 2 …")
    return run(_main(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
