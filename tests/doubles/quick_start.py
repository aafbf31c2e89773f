# SPDX-License-Identifier: Apache-2.0
"""Starts our programs without importing everything each time: they are forked from a process that has done so.

A start of ``remsim server`` takes most of a second of the processor, and the tests have hundreds of starts. Within
``QuickStart`` there is a folder in which each installed script has a stand-in (quick_start.c) that asks a server
(quick_start_server.py) for a process that runs the script. A test that looks at the start itself uses the installed
script.
"""

import os
import pkgutil
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Self

import remsim
from tests.doubles.quick_start_server import WHO

SCRIPTS: Final = (
    "remsim",
    *(f"remsim-{name}" for name in ("server", "bankd", "client-shell", "client-st2", "apitool")),
)
_HERE: Final = Path(__file__).parent
#: In the folder, next to the stand-ins.
_SOCKET: Final = "s"
_PATIENCE_S: Final = 60.0

#: Of others, what the programs import when they need it.
_LIBRARIES: Final = (
    *("aiosqlite", "anyio._backends._asyncio", "anyio._core._sockets", "anyio.streams.tls", "anyio.abc"),
    *("cyclopts.config", "cyclopts.help", "cyclopts.help.silent", "docstring_parser", "rich._emoji_codes"),
    *("httpcore2", "pydantic.dataclasses", "truststore", "uvicorn.lifespan.off", "uvloop"),
    *("asyncpg", "sqlalchemy.dialects.postgresql.asyncpg"),
    *("encodings.idna", "importlib.readers", "importlib.resources.readers", "pkgutil", "_strptime"),
    # FastAPI asks at the first route whether its model is one of the old kind.
    *("cryptography.hazmat.backends.openssl.backend", "pydantic.v1"),
)


def modules() -> list[str]:
    """What is imported before anything runs: all of ours, and what that imports while it runs."""
    ours = [module.name for module in pkgutil.walk_packages(remsim.__path__, "remsim.")]
    return [name for name in ours if ".migrations" not in name and not name.endswith(".__main__")] + [
        name for name in _LIBRARIES if find_spec(name.partition(".")[0]) is not None
    ]


def running_for(folder: Path, pid: int) -> int:
    """The process that runs in place of this stand-in of the folder; the process itself if it is none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
        link.settimeout(_PATIENCE_S)
        if link.connect_ex(str(folder / _SOCKET)):
            return pid
        link.send(struct.pack("=ii", WHO, pid))
        _, found = struct.unpack("=ii", link.recv(8))
    return int(found) or pid


def is_ready(folder: Path) -> bool:
    """Whether the server of these stand-ins has imported everything. Until then they start their scripts as usual."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
        return link.connect_ex(str(folder / _SOCKET)) == 0


def wait_until_ready(folder: Path) -> None:
    """For tests that would prove nothing with an usual start. Raises AssertionError."""
    until = time.monotonic() + _PATIENCE_S
    while not is_ready(folder):
        assert time.monotonic() < until, "the server of quick starts does not start"
        select.select([], [], [], 0.01)


class QuickStart:
    """``with`` has a server for the scripts of one folder. ``folder`` holds their stand-ins."""

    def __init__(
        self, folder: Path, *, installed: Path, scripts: Sequence[str] = SCRIPTS, imports: Sequence[str] | None = None
    ) -> None:
        """Start the server, and do not wait for it; ``folder`` must be there. Raises CalledProcessError."""
        self._folder = folder
        address = folder / _SOCKET
        macros = [f'-DSOCKET_PATH="{address}"', f'-DFOLDER="{installed}"']
        stand_in = folder / "stand-in"
        subprocess.run(["gcc", "-O2", *macros, "-o", stand_in, _HERE / "quick_start.c"], check=True)
        for name in scripts:
            os.link(stand_in, folder / name)
        words = modules() if imports is None else imports
        program = [sys.executable, str(_HERE / "quick_start_server.py"), str(address), str(installed), *words]
        self._process = subprocess.Popen(program, stdin=subprocess.PIPE)

    def close(self) -> None:
        """End the server and all that it runs."""
        if not is_ready(self._folder):
            self._process.kill()
        self._process.communicate(timeout=_PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
