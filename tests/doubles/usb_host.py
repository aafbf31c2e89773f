# SPDX-License-Identifier: Apache-2.0
"""A host with emulated USB for tests: plug devices in, let their modems act, run programs that use libusb on them.

The other end is ``tests/doubles/usb_stage.py`` in Debian's interpreter behind umockdev. Needs neither USB in the kernel
nor privileges.
"""

import json
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from tests.doubles.programs import PATIENCE_S, Program, ProgramError
from tests.reference import ROOT, reference

SERIAL: Final = "00112233445566778899aabbccddeeff"
_DEBIAN_PYTHON: Final = "/usr/bin/python3"


class ModemTroubleError(AssertionError):
    """The modem found fault with its card."""


class UsbHost:
    """The host; ``with`` ends everything on it. ``stage`` has the output of all programs on it."""

    def __init__(self) -> None:
        if shutil.which("umockdev-wrapper") is None:
            raise ProgramError("umockdev-wrapper is missing: install umockdev (make test does)")
        self.stage = Program(
            ["umockdev-wrapper", _DEBIAN_PYTHON, "-m", "tests.doubles.usb_stage"],
            env={"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}", "PYTHONDONTWRITEBYTECODE": "1"},
        )
        self._seen = 0
        self._root = Path(str(self._reply()["root"]))

    @property
    def environment(self) -> dict[str, str]:
        """With these variables any program sees the emulated USB."""
        return {"LD_PRELOAD": "libumockdev-preload.so.0", "UMOCKDEV_DIR": str(self._root)}

    def _reply(self) -> dict[str, Any]:
        match = self.stage.wait_for_stdout(r"^reply (.*)$", after=self._seen)
        lines = self.stage.stdout.lines
        self._seen = 1 + next(at for at in range(self._seen, len(lines)) if lines[at].startswith("reply "))
        values: dict[str, Any] = json.loads(match[1])
        return values

    def do(self, do: str, **arguments: object) -> dict[str, Any]:
        """Give one command and return the reply."""
        self.stage.send_line(json.dumps({"do": do, **arguments}))
        return self._reply()

    def plug(self, board: str = "simtrace", path: str = "1-4", *, serial: str = SERIAL) -> None:
        """Plug a new device in."""
        boards = json.loads(reference("vectors", "simtrace2", "descriptors.json").read_text(encoding="utf-8"))["boards"]
        descriptors = {name: boards[board][name] for name in ("device", "configurations")}
        self.do("plug", board=board, path=path, serial=serial, descriptors=descriptors)

    def await_card(self, atr: bytes, path: str = "1-4", slot: int = 0) -> None:
        """Wait until the device plays a card with this ATR: it is told so after the program has found it ready."""
        self.do("await_card", path=path, slot=slot, atr=atr.hex())

    def cold_reset(self, path: str = "1-4", slot: int = 0) -> bytes:
        """Let the modem power its card up; return the ATR. Raises ModemTroubleError."""
        return self._modem(path, slot, "cold_reset")

    def exchange(self, tpdu: bytes, path: str = "1-4", slot: int = 0) -> bytes:
        """Let the modem send a command; return the answer. Raises ModemTroubleError."""
        return self._modem(path, slot, "exchange", tpdu=tpdu.hex())

    def _modem(self, path: str, slot: int, act: str, **more: str) -> bytes:
        reply = self.do("modem", path=path, slot=slot, act=act, **more)
        if "error" in reply:
            raise ModemTroubleError(f"{reply['error']}\n{self.stage.describe()}")
        return bytes.fromhex(reply["result"] or "")

    def state(self, path: str = "1-4", slot: int = 0) -> dict[str, Any]:
        """What the device says about itself."""
        return self.do("state", path=path, slot=slot)

    def start(self, argv: Sequence[str], env: Mapping[str, str] | None = None) -> int:
        """Start a program there; its lines come on ``stage.stderr``. Return its process id."""
        return int(self.do("start", argv=list(argv), env=dict(env or {}))["pid"])

    def end(self, pid: int, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.do("signal", pid=pid, number=int(number))
        return int(self.stage.wait_for_stdout(rf"^ended {pid} (-?\d+)$")[1])

    def wait_for(self, pattern: str, *, after: int = 0) -> None:
        """Wait for a line of a program there."""
        self.stage.wait_for(pattern, after=after, timeout_s=PATIENCE_S)

    def mark(self) -> int:
        """For ``wait_for``: only lines from here on."""
        return self.stage.mark()

    def close(self) -> None:
        """End everything."""
        self.stage.close_input()
        self.stage.wait()
        # umockdev leaves its folder behind if its process was killed.
        shutil.rmtree(self._root, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
