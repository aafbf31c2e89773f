# SPDX-License-Identifier: Apache-2.0
"""What the way over the network adds: a PC/SC program on the virtual reader, next to the same on the reader itself.

One pcscd has both readers. The software card is in the first; the bankd takes it from there, and ``remsim client
vpcd`` shows it in the second. So a command to the second goes through pcscd twice, and through client and bankd.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from bench import tables
from bench.tables import Cell
from remsim.emulators.script.player import percentile
from tests.doubles.pcscd import READER_NAMES, PcscdNamespace
from tests.doubles.programs import ProgramError
from tests.doubles.reader_chain import DIRECT, VIRTUAL, ReaderChain

_PATIENCE_S: Final = 120.0


def _measure(chain: ReaderChain, reader: int, count: int) -> list[float]:
    argv = [sys.executable, "-m", "bench.pcsc_meter", READER_NAMES[reader], str(count)]
    done = chain.namespace.run(argv, timeout_s=_PATIENCE_S)
    if done.returncode:
        raise ProgramError(f"{done.stderr}\n{chain.describe()}")
    return sorted(json.loads(done.stdout))


def _rows(measured: Mapping[str, Sequence[float]]) -> list[dict[str, Cell]]:
    direct = measured["direct"]
    return [
        {
            "reader": name,
            "p50 µs": percentile(durations, 0.5),
            "p99 µs": percentile(durations, 0.99),
            "added p50 µs": percentile(durations, 0.5) - percentile(direct, 0.5),
            "p50 ratio": percentile(durations, 0.5) / percentile(direct, 0.5),
            "p99 ratio": percentile(durations, 0.99) / percentile(direct, 0.99),
        }
        for name, durations in measured.items()
    ]


def main(arguments: Sequence[str]) -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench vpcd", description=__doc__)
    parser.add_argument("--count", type=int, default=2000, metavar="N", help="commands per reader")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="remsim-bench-") as folder, PcscdNamespace(Path(folder)) as namespace:
        chain = ReaderChain(namespace, Path(folder))
        try:
            before = _measure(chain, DIRECT, given.count)
            chain.start()
            virtual = _measure(chain, VIRTUAL, given.count)
            # The same once more, because others may have used the machine meanwhile.
            chain.client.stop()
            chain.bankd.stop()
            after = _measure(chain, DIRECT, given.count)
        except ProgramError as error:
            print(error, file=sys.stderr)
            return 1
    rows = _rows({"direct": sorted([*before, *after]), "virtual": virtual})
    tables.show("READ BINARY of 10 bytes by a PC/SC program", rows)
    tables.save(given.json, {"machine": tables.machine(), "rows": rows})
    return 0
