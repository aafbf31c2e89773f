# SPDX-License-Identifier: Apache-2.0
"""What a start costs: processor time until a program is ready or has ended, beyond that of the bare interpreter.

Each is started several times, in turns, and the least counts: other work on the machine only ever adds. The first round
does not count: it compiles what was not compiled, and the server makes its database. A program that serves is ready
when it tells the service manager so; nobody is at the other end of what it dials.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from bench import tables
from bench.tables import Cell
from tests.doubles.programs import TIED_TO_US

_READY_S: Final = 60.0
_NOWHERE: Final = "127.0.0.1:9"
_ANY: Final = "127.0.0.1:0"
_NO_BYTECODE: Final = "PYTHONDONTWRITEBYTECODE"

#: Commands that end by themselves.
COMMANDS: Final[dict[str, list[str]]] = {
    "remsim --help": ["--help"],
    "remsim ctl --help": ["ctl", "--help"],
}

#: Programs that serve.
SERVICES: Final[dict[str, list[str]]] = {
    "remsim client vpcd": ["client", "vpcd", "--plaintext", "--server", _NOWHERE, "--vpcd", _NOWHERE],
    "remsim bankd": ["bankd", "--plaintext", "--server", _NOWHERE, "--listen", _ANY, "--reader", "sim"],
    "remsim server": ["server", "--plaintext", "--rest-open", "--rspro", _ANY, "--rest", _ANY],
}


def _until_end(argv: Sequence[str], home: Path) -> float:
    """Seconds of the processor for a command that ends. Raises CalledProcessError."""
    process = started(argv, _environment(home))
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, argv)
    return usage.ru_utime + usage.ru_stime


def _until_ready(argv: Sequence[str], home: Path) -> float:
    """Seconds of the processor, of all threads, until the program says that it is ready. Raises TimeoutError."""
    path = home / "notify"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(_READY_S)
        environment = _environment(home) | {"NOTIFY_SOCKET": str(path)}
        with started(argv, environment) as process:
            try:
                while manager.recv(4096) != b"READY=1":
                    pass
                return processor_s(process.pid)
            finally:
                process.terminate()


def started(argv: Sequence[str], environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    """A program that ends with this one, even if this one is killed; what ties it to this one counts for each."""
    return subprocess.Popen([*TIED_TO_US, *argv], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def processor_s(pid: int) -> float:
    """Seconds of the processor that a process has used, exactly: what ``times`` tells is counted in hundredths."""
    spent = [path.read_text(encoding="ascii").split()[0] for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(map(int, spent)) / 1e9


def _environment(home: Path) -> dict[str, str]:
    """Without our settings; and what was compiled is kept, whatever the caller's environment says."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("REMSIM_", _NO_BYTECODE))}
    return kept | {"HOME": str(home), "XDG_STATE_HOME": str(home / "state")}


def measure(remsim: str, rounds: int) -> list[dict[str, Cell]]:
    """A row for each program, with that of the bare interpreter first."""
    cases: dict[str, tuple[Callable[[Sequence[str], Path], float], list[str]]] = {
        "python -c pass": (_until_end, [sys.executable, "-c", "pass"])
    }
    cases |= {name: (_until_end, [remsim, *words]) for name, words in COMMANDS.items()}
    cases |= {name: (_until_ready, [remsim, *words]) for name, words in SERVICES.items()}
    least = dict.fromkeys(cases, float("inf"))
    with tempfile.TemporaryDirectory(prefix="remsim-bench-") as folder:
        for take, argv in cases.values():
            take(argv, Path(folder))
        for number in range(rounds):
            for name, (take, argv) in cases.items():
                least[name] = min(least[name], take(argv, Path(folder)))
            print(f"round {number + 1} of {rounds} done", file=sys.stderr)
    bare = least["python -c pass"]
    return [
        {"program": name, "CPU s": spent, "beyond bare, s": spent - bare, "ratio": spent / bare}
        for name, spent in least.items()
    ]


def main(arguments: Sequence[str]) -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(prog="python -m bench startup", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="starts of each (default: 5)")
    parser.add_argument(
        "--remsim",
        metavar="FILE",
        default=str(Path(sys.executable).with_name("remsim")),
        help="the program to start, for instance that of another version (default: this one)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    given = parser.parse_args(arguments)
    rows = measure(given.remsim, given.rounds)
    tables.show("Processor time until a program is ready or has ended", rows)
    tables.save(given.json, {"bench": "startup", "machine": tables.machine(), "rows": rows})
    return 0
