# SPDX-License-Identifier: Apache-2.0
"""The stand-in pcscd (``tests/reference/tools/null_pcscd.c``): any number of readers, in each version, with faults."""

import functools
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.doubles.pcscd import wait_for_socket
from tests.doubles.programs import Program
from tests.reference import reference


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Kept as long as the process."""
    return tempfile.TemporaryDirectory(prefix="remsim-null-")


@functools.cache
def compiled() -> Path:
    """The program."""
    program = Path(_folder().name) / "null_pcscd"
    source = reference("tools", "null_pcscd.c")
    subprocess.run(["gcc", "-O2", "-w", "-o", str(program), str(source)], check=True)
    return program


@dataclass
class NullPcscd:
    """One that runs. ``faults`` is its folder of faults."""

    socket: Path
    faults: Path
    program: Program

    def fault(self, kind: str, reader: int) -> None:
        """``absent``, ``gone``, ``fail`` or ``mute``, until it is mended."""
        (self.faults / f"{kind}-{reader}").touch()

    def mend(self, kind: str, reader: int) -> None:
        """Take the fault away."""
        (self.faults / f"{kind}-{reader}").unlink()


@contextmanager
def null_pcscd(folder: Path, name: str = "null", env: Mapping[str, str] | None = None) -> Iterator[NullPcscd]:
    """Start it, with its socket in ``folder``; ``env`` holds its NULL_ variables without that prefix."""
    socket, faults = folder / f"{name}.comm", folder / f"{name}-faults"
    faults.mkdir(exist_ok=True)
    given = {f"NULL_{key}": value for key, value in (env or {}).items()}
    with Program([str(compiled()), str(socket)], env={**os.environ, "NULL_DIR": str(faults), **given}) as program:
        wait_for_socket(socket, program)
        yield NullPcscd(socket, faults, program)
