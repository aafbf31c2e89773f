# SPDX-License-Identifier: Apache-2.0
"""A real pcscd with the virtual reader vpcd, in a network and mount namespace of its own.

vpcd listens on all addresses and pcscd on a fixed path, so neither may run in the host's namespaces: here loopback is
the only network, and ``/run`` is empty but for what we put there. USB readers of the host are hidden from this pcscd.
A program that talks to it or to vpcd must run inside, too: see ``command``, ``run`` and ``program``; bankd, server and
client of one test therefore all run inside.

Without root a user namespace is made as well, where the kernel allows it.
"""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from tests.doubles.programs import PATIENCE_S, TIED_TO_US, Program, ProgramError
from tests.doubles.socket_activator import hundredfold_alarm
from tests.reference import ROOT

#: Where Debian's package vsmartcard-vpcd tells pcscd about its driver.
_INSTALLED_CONFIG: Final = Path("/etc/reader.conf.d/vpcd")

#: vpcd gives two slots; each waits for a card on a port of its own.
VPCD_PORTS: Final = (35963, 35964)
_TWIN_PORT: Final = 36963
READER_NAMES: Final = ("Virtual PCD 00 00", "Virtual PCD 00 01")

#: Waits at its end until our side of its input is closed, by us or by our death: then the namespaces go.
_HOLDER: Final = """
set -e
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/pcscd
ip link set lo up
echo ready
read -r _ || true
"""


class PcscdNamespace:
    """The namespaces with pcscd in them. Everything started through it is ended by ``close`` (or ``with``)."""

    def __init__(self, folder: Path, *, has_twins: bool = False, is_activated: bool = False) -> None:
        """Make the namespaces and start pcscd; ``folder`` (a tmp_path) takes its configuration.

        ``has_twins``: a second entry has the same FRIENDLYNAME, so that there are two readers of each name.
        ``is_activated``: it is started for who connects, as systemd does it, and ends when idle for 0.6 s (in place of
        60 s); ``pcscd`` is what starts it, see ``socket_activator``.

        Raises ProgramError if namespaces, pcscd or vpcd are not to be had.
        """
        self._config = folder / "reader.conf.d"
        self._no_drivers = folder / "no-usb-drivers"
        self._programs: list[Program] = []
        self._write_config(has_twins=has_twins)
        self._holder = _hold_namespaces()
        try:
            self.pcscd = self.activate_pcscd() if is_activated else self.start_pcscd()
        except BaseException:
            self.close()
            raise

    def write_second_config(self, folder: Path) -> None:
        """Make a folder of configuration for a further pcscd, with two readers of its own."""
        folder.mkdir()
        ports = f"0x{VPCD_PORTS[0]:04X}", f"0x{_TWIN_PORT:04X}"
        text = (self._config / "vpcd").read_text(encoding="utf-8").replace(*ports)
        (folder / "vpcd").write_text(text, encoding="utf-8")

    def _write_config(self, *, has_twins: bool) -> None:
        if not _INSTALLED_CONFIG.is_file():
            raise ProgramError(f"{_INSTALLED_CONFIG} is missing: install vsmartcard-vpcd (make test does)")
        library = re.search(r"^LIBPATH\s+(\S+)$", _INSTALLED_CONFIG.read_text(encoding="utf-8"), re.MULTILINE)
        if library is None:
            raise ProgramError(f"{_INSTALLED_CONFIG} names no LIBPATH")
        self._config.mkdir(parents=True)
        self._no_drivers.mkdir()
        entries = {"vpcd": VPCD_PORTS[0]} | ({"twin": _TWIN_PORT} if has_twins else {})
        for name, first_port in entries.items():
            port = f"0x{first_port:04X}"
            lines = ['FRIENDLYNAME "Virtual PCD"', f"DEVICENAME /dev/null:{port}", f"LIBPATH {library[1]}"]
            text = "\n".join([*lines, f"CHANNELID {port}", ""])
            (self._config / name).write_text(text, encoding="utf-8")

    @property
    def socket(self) -> Path:
        """The socket of its pcscd, as it is reached from outside."""
        return Path(f"/proc/{self._holder.pid}/root/run/pcscd/pcscd.comm")

    def command(self, argv: Sequence[str]) -> list[str]:
        """``argv`` as a command line that runs inside; the process id stays that of the program itself."""
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        # The root of the holder and not that of the namespace: they differ in a chroot.
        inside = ["nsenter", "--target", str(self._holder.pid), *user, "--net", "--mount", "--root", "--"]
        # Entering a mount namespace leads to its root folder; entering a user namespace undoes the tie that Program
        # makes, so it is made again behind it.
        # Where PC/SC of the test's own process looks for its pcscd is nothing that a program in here should inherit.
        plain = ("env", "--unset=PCSCLITE_CSOCK_NAME", f"--chdir={ROOT}")
        return [*inside, *plain, *TIED_TO_US, *argv]

    def program(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> Program:
        """Start ``argv`` inside; ``close`` ends it if nobody did before."""
        program = Program(self.command(argv), env=env)
        self._programs.append(program)
        return program

    def run(self, argv: Sequence[str], *, timeout_s: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
        """Run ``argv`` inside to its end, whatever its exit status. Raises TimeoutExpired."""
        return subprocess.run(
            self.command(argv), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False
        )

    def start_pcscd(self) -> Program:
        """Start pcscd (again, after its ``stop`` or ``kill``) and wait until it serves. It becomes ``pcscd``."""
        self.pcscd = self.program(self._pcscd_argv(), env=self._pcscd_env())
        self.pcscd.wait_for_stdout("daemon ready")
        # It says so before it listens.
        wait_for_socket(self.socket, self.pcscd)
        return self.pcscd

    def activate_pcscd(self) -> Program:
        """Own its socket, and start pcscd for who connects. It becomes ``pcscd``."""
        argv = ["env", f"LD_PRELOAD={hundredfold_alarm()}", *self._pcscd_argv(), "--auto-exit"]
        activator = [sys.executable, "-m", "tests.doubles.socket_activator", "/run/pcscd/pcscd.comm", *argv]
        self.pcscd = self.program(activator, env=self._pcscd_env())
        self.pcscd.wait_for_stdout("socket owned")
        return self.pcscd

    def _pcscd_argv(self) -> list[str]:
        return ["pcscd", "--foreground", "--info", "--config", str(self._config)]

    def _pcscd_env(self) -> dict[str, str]:
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        return {"PCSCLITE_HP_DROPDIR": str(self._no_drivers), "PATH": path}

    def close(self) -> None:
        """End what still runs inside, last started first, and let the namespaces go. Idempotent."""
        while self._programs:
            self._programs.pop().stop()
        if self._holder.stdin is not None and not self._holder.stdin.closed:
            self._holder.communicate(timeout=PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def wait_for_socket(path: Path, program: Program) -> None:
    """Wait until ``program`` listens there. Raises ProgramError."""
    until = time.monotonic() + PATIENCE_S
    while not _listens(path):
        if time.monotonic() > until:
            raise ProgramError(f"nobody listens at {path}\n{program.describe()}")
        select.select([], [], [], 0.01)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as end:
        return end.connect_ex(str(path)) == 0


def _hold_namespaces() -> subprocess.Popen[str]:
    """Make the namespaces; they live as long as the returned process. Raises ProgramError."""
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    holder = subprocess.Popen(
        ["unshare", *user, "--net", "--mount", "--propagation", "private", "sh", "-c", _HOLDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Ctrl-C at the terminal is for us: the namespaces must outlive the programs that we end then.
        process_group=0,
        env={**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"},
    )
    assert holder.stdout is not None
    if not select.select([holder.stdout], [], [], PATIENCE_S)[0]:
        holder.send_signal(signal.SIGKILL)
    if holder.stdout.readline().strip() != "ready":
        _, complaint = holder.communicate(timeout=PATIENCE_S)
        raise ProgramError(f"no namespaces of our own here: {complaint.strip()}")
    return holder
