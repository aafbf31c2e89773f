# SPDX-License-Identifier: Apache-2.0
"""``python -m bench`` lists the measurements and takes all of them, ``python -m bench NAME …`` takes one.

A measurement is a module of this package with ``main(arguments) -> exit status`` that prints tables and knows
``--json FILE``. To add one, put it into ``BENCHES``.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Bench:
    """One measurement: the module that takes it, and what it is about."""

    module: str
    about: str


#: In the order in which they are taken, the short ones first.
BENCHES: Final[dict[str, Bench]] = {
    "startup": Bench("bench.startup", "processor time until a program is ready, next to the bare interpreter"),
    "codec": Bench("bench.codec", "encode and decode messages, next to asn1tools"),
    "roundtrip": Bench("bench.roundtrip", "a TPDU through the bankd and back, next to a bare echo"),
    "resume": Bench("bench.resume_cost", "what it costs a TPDU at client and bankd that its session outlives a link"),
    "boot": Bench("bench.boot", "the start of a modem far from its card, with and without answers ahead"),
    "pcscd": Bench("bench.pcscd", "PC/SC by a library with threads, and by pcscd's socket from the event loop"),
    "vpcd": Bench("bench.vpcd", "a PC/SC program on the virtual reader, next to the same on the reader itself"),
    "modem": Bench("bench.modem_side", "what a client adds to a TPDU when all its modems boot at once"),
    "guard": Bench("bench.guard_cost", "what the guard's shipped rules cost a TPDU"),
    "trace": Bench("bench.trace_cost", "what a trace costs the sessions that nobody watches"),
    "tls": Bench("bench.tls_cost", "what TLS costs a TPDU, and a thousand clients that connect at once"),
    "garbage": Bench("bench.garbage", "sessions while garbage comes to the ports, and without it"),
    "flood": Bench("bench.flood", "a session over TLS, and the programs' end, while PINGs flood the plaintext ports"),
    "cuts": Bench("bench.cuts", "modems that boot while their links are cut or freeze, with and without resume"),
    "page": Bench("bench.page", "the page of a large installation while many look at it, in a browser"),
    "server": Bench("bench.server_swarm", "a server with ten thousand clients"),
}


def take(name: str, arguments: Sequence[str]) -> int:
    """Take one measurement; return its exit status."""
    status: int = importlib.import_module(BENCHES[name].module).main(arguments)
    return status


def _take_all(folder: Path | None) -> int:
    worst = 0
    for name in BENCHES:
        print(f"\n== {name}", flush=True)
        worst = max(worst, take(name, [] if folder is None else ["--json", str(folder / f"{name}.json")]))
    return worst


def main(arguments: Sequence[str]) -> int:
    """Return the exit status: the worst of the measurements'."""
    if arguments and arguments[0] in BENCHES:
        return take(arguments[0], arguments[1:])
    listing = "\n".join(f"  {name:10} {bench.about}" for name, bench in BENCHES.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Takes all measurements, or the one that is named; NAME --help shows the options of one.",
        epilog=f"measurements:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", metavar="NAME", choices=BENCHES, help="take only this one")
    parser.add_argument("--list", action="store_true", help="only list them")
    parser.add_argument("--json", type=Path, metavar="FOLDER", help="write the figures of each to FOLDER/NAME.json")
    given = parser.parse_args(arguments)
    print(listing)
    if given.list:
        return 0
    if given.json is not None:
        given.json.mkdir(parents=True, exist_ok=True)
    return _take_all(given.json)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
