# SPDX-License-Identifier: Apache-2.0
"""What TLS costs: the round trip of a TPDU over TLS next to plain TCP, and a thousand clients that connect at once.

One bankd process takes both kinds of links, at two ports; the same generator speaks both, in turns, so that the ratio
is what TLS costs both ends. In the storm each client has a certificate of its own, and the server is a real one.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import psutil

from bench import tables
from bench.certificates import Lab
from bench.load import OWN, Seen, load
from bench.loops import run
from bench.programs import BANK_ID, map_clients, open_programs, open_server
from bench.tables import Cell
from bench.workers import Worker
from remsim.core.identity import Identity

SESSIONS: Final = (1, 16, 64)
#: Numbers of the clients that speak TLS, and of those that do not: one who has shown a certificate must go on to.
_PROVEN: Final = 1
_PLAIN: Final = 2
_REFUSALS: Final = ("tls_refused", "peer_refused", "limit_reached", "identity_in_use")


def _row(sessions: int, plain: Sequence[Seen], tls: Sequence[Seen]) -> dict[str, Cell]:
    def middle(values: Sequence[float]) -> float:
        return statistics.median(values)

    pairs = list(zip(plain, tls, strict=True))
    return {
        "sessions": sessions,
        "p50 µs": middle([seen.p50_us for seen in plain]),
        "p50 µs, TLS": middle([seen.p50_us for seen in tls]),
        "p50 ratio": middle([second.p50_us / first.p50_us for first, second in pairs]),
        "p99 µs": middle([seen.p99_us for seen in plain]),
        "p99 µs, TLS": middle([seen.p99_us for seen in tls]),
        "p99 ratio": middle([second.p99_us / first.p99_us for first, second in pairs]),
        "TPDU/s": round(middle([seen.rate for seen in plain])),
        "TPDU/s, TLS": round(middle([seen.rate for seen in tls])),
    }


async def round_trips(lab: Lab, sessions: Sequence[int], *, seconds: float, rounds: int) -> list[dict[str, Cell]]:
    """A row for each number of sessions; medians of all rounds."""
    most = max(sessions)
    rows: list[dict[str, Cell]] = []
    second_port = ["--listen-plaintext", "127.0.0.1:0", "--plaintext"]
    with tempfile.TemporaryDirectory(prefix="remsim-bench-") as folder:
        async with open_programs(Path(folder), lab, slots=2 * most, bankd_options=second_port) as programs:
            await map_clients(programs, sessions=most, client_id=_PROVEN)
            await map_clients(programs, sessions=most, client_id=_PLAIN, first_slot=most)
            ports = {_PLAIN: programs.plain_port(programs.bankd), _PROVEN: programs.bankd_port}
            options = {
                _PLAIN: ["--client", str(_PLAIN), "--first-slot", str(most)],
                _PROVEN: ["--tls", str(lab.credentials(Identity.client(_PROVEN)).directory)],
            }
            for count in sessions:
                seen: dict[int, list[Seen]] = {_PLAIN: [], _PROVEN: []}
                for _ in range(rounds):
                    for kind, found in seen.items():
                        found.append(
                            await load(
                                OWN,
                                port=ports[kind],
                                bank=BANK_ID,
                                sessions=count,
                                seconds=seconds,
                                options=options[kind],
                            )
                        )
                rows.append(_row(count, seen[_PLAIN], seen[_PROVEN]))
                print(f"{count} sessions done", file=sys.stderr)
    return rows


async def storm(lab: Lab, clients: int, rounds: int) -> list[dict[str, Cell]]:
    """A row for each storm, of which each meets a server that has just started."""
    folders = [str(lab.credentials(Identity.client(number)).directory) for number in range(clients)]
    rows: list[dict[str, Cell]] = []
    for number in range(1, rounds + 1):
        with tempfile.TemporaryDirectory(prefix="remsim-bench-") as folder, ExitStack() as stack:
            async with open_server(Path(folder), lab) as (server, port, _):
                worker = stack.enter_context(Worker("bench.tls_storm", "--port", port, *folders))
                await worker.wait_ready()
                used = psutil.Process(server.pid).cpu_times()
                worker.begin()
                figures = await worker.end()
                now = psutil.Process(server.pid).cpu_times()
                refusals = sum(any(word in line for word in _REFUSALS) for line in server.stderr.lines)
                cpu_s = now.user + now.system - used.user - used.system
                rows.append(
                    {
                        "storm": number,
                        "clients": clients,
                        "accepted": int(figures["accepted"]),
                        "refusals": refusals,
                        "total s": figures["total_s"],
                        "handshakes/s": figures["accepted"] / figures["total_s"],
                        "p50 ms": figures["p50_ms"],
                        "p99 ms": figures["p99_ms"],
                        "slowest ms": figures["max_ms"],
                        "server's CPU ms each": cpu_s * 1e3 / clients,
                    }
                )
    return rows


async def _measure(given: argparse.Namespace, lab: Lab) -> tuple[list[dict[str, Cell]], list[dict[str, Cell]]]:
    rows = await round_trips(lab, given.sessions, seconds=given.seconds, rounds=given.rounds)
    return rows, await storm(lab, given.clients, given.storms)


def main(arguments: Sequence[str]) -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(prog="python -m bench tls", description=__doc__)
    parser.add_argument("--sessions", type=int, nargs="+", default=list(SESSIONS), metavar="N")
    parser.add_argument("--seconds", type=float, default=2.0, help="duration of one run (default: 2)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each kind (default: 5)")
    parser.add_argument("--clients", type=int, default=1000, metavar="N", help="of one storm (default: 1000)")
    parser.add_argument("--storms", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument(
        "--certificates", type=Path, metavar="FOLDER", help="where certificates are kept for later runs"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="remsim-bench-") as folder:
        rows, storms = run(_measure(given, Lab(given.certificates or Path(folder))))
    tables.show("TPDU round trip over TLS; ratios are to plain TCP", rows)
    tables.show("Clients that connect at once over TLS, from the first to all being accepted", storms)
    document = {"bench": "tls", "machine": tables.machine(), "rows": rows, "storms": storms}
    tables.save(given.json, document)
    return 0
