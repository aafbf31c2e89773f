# SPDX-License-Identifier: Apache-2.0
"""A host with emulated USB, as a program: devices, modems in front of them, and programs that see them through libusb.

``umockdev-wrapper /usr/bin/python3 -m tests.doubles.usb_stage`` takes commands, one JSON object a line with ``do`` and
its arguments, and answers each with one line that begins with ``reply``. ``tests/doubles/usb_host.py`` speaks it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.doubles.modem_rig import ModemStand
from tests.doubles.simtrace2_device import Slot, VirtualSimtrace2
from tests.doubles.usbfs import UsbDevice
from tests.doubles.virtual_modem import ModemError, Procedure, VirtualModem

from gi.repository import GLib, UMockdev  # isort: skip  # usbfs has chosen the version

_HUB: Final = "/devices/pci0000:00/0000:00:14.0/usb1"
#: Descriptors of a root hub with one configuration and its interrupt endpoint.
_HUB_DESCRIPTORS: Final = "12010002090001406B1D020006050302010109021900010100E0000904000001090000000705810304000C"


def _node(address: int) -> str:
    return f"bus/usb/001/{address:03d}"


def _record(path: str, address: int, speed: int, descriptors: str, serial: str = "") -> str:
    lines = [
        f"P: {path}",
        f"N: {_node(address)}",
        "E: DEVTYPE=usb_device",
        f"E: DEVNAME=/dev/{_node(address)}",
        "E: BUSNUM=001",
        f"E: DEVNUM={address:03d}",
        "E: SUBSYSTEM=usb",
        "A: busnum=1\\n",
        f"A: devnum={address}\\n",
        f"A: speed={speed}\\n",
        "A: bConfigurationValue=1\\n",
        f"H: descriptors={descriptors}",
    ]
    if serial:
        lines.append(f"A: serial={serial}\\n")
    return "\n".join([*lines, "", ""])


class Plugged:
    """A device at one port, with its modems."""

    def __init__(self, stage: "Stage", board: str, path: str, serial: str, descriptors: dict[str, Any]) -> None:
        self.device = VirtualSimtrace2(board)
        self.path = path
        self.serial = serial
        self.descriptor = bytes.fromhex(descriptors["device"])
        self.configurations = [bytes.fromhex(raw) for raw in descriptors["configurations"]]
        self.modems = [VirtualModem() for _ in self.device.slots]
        self.stands = [ModemStand(partial(self._slot, number)) for number in range(len(self.modems))]
        self._timers: dict[int, int] = {}
        #: By slot: the ATR that is awaited, and what to do once its card plays.
        self._awaited: dict[int, tuple[bytes, Callable[[], object]]] = {}
        self.node: UsbDevice | None = None
        self._stage = stage

    def _slot(self, number: int) -> Slot:
        return self.device.slots[number]

    @property
    def syspath(self) -> str:
        """Its folder below /sys."""
        return f"{_HUB}/{self.path}"

    def plug(self, address: int) -> None:
        """Appear."""
        self.address = address
        self.node = node = UsbDevice()
        node.attach(self.device, self.configurations, self.descriptor, self.kick)
        raw = (self.descriptor + b"".join(self.configurations)).hex().upper()
        # In this order: a program that opens the node before it is answered for is ended by umockdev.
        self._stage.testbed.attach_ioctl(f"/dev/{_node(address)}", node)
        self._stage.testbed.add_from_string(_record(self.syspath, address, 12, raw, self.serial))
        self._stage.testbed.uevent(f"/sys{self.syspath}", "add")

    def unplug(self) -> None:
        """Vanish. The node says so to all that still have it open: umockdev ends programs that are not answered."""
        assert self.node is not None
        self.node.unplug()
        self._stage.testbed.uevent(f"/sys{self.syspath}", "remove")
        self._stage.testbed.remove_device(f"/sys{self.syspath}")
        self.device.restart()

    def kick(self) -> None:
        """The host has sent something: the modems may go on."""
        for number in range(len(self.stands)):
            self._advance(number)
            self._look_for_card(number)

    def await_card(self, number: int, atr: bytes, done: Callable[[], object]) -> None:
        """Call ``done`` once the slot plays a card with this ATR."""
        self._awaited[number] = (atr, done)
        self._look_for_card(number)

    def _look_for_card(self, number: int) -> None:
        atr, done = self._awaited.get(number, (b"", None))
        slot = self._slot(number)
        if done is not None and slot.is_enabled and slot.atr == atr:
            del self._awaited[number]
            done()

    def _advance(self, number: int) -> bool:
        timer = self._timers.pop(number, None)
        if timer is not None:
            GLib.source_remove(timer)
        now = time.monotonic()
        due = self.stands[number].advance(now)
        if self.node is not None:
            self.node.pump()
        if due is not None:
            self._timers[number] = GLib.timeout_add(max(1, round((due - now) * 1000)), self._on_timer, number)
        return False

    def _on_timer(self, number: int) -> bool:
        self._timers.pop(number, None)
        return self._advance(number)

    def run(self, number: int, procedure: Procedure[Any], done: Callable[[object, ModemError | None], None]) -> None:
        """Let a modem do something."""
        self.stands[number].begin(procedure, done, time.monotonic())
        self._advance(number)


class Stage:
    """Takes the commands."""

    def __init__(self) -> None:
        self.testbed = UMockdev.Testbed.new()
        self.testbed.add_from_string(_record(_HUB, 1, 480, _HUB_DESCRIPTORS))
        self.loop = GLib.MainLoop()
        self.plugged: dict[str, Plugged] = {}
        self.programs: dict[int, subprocess.Popen[bytes]] = {}
        self._address = 6
        self._input = b""

    def read(self, *_: object) -> bool:
        """Commands have come; their end is ours."""
        data = os.read(0, 1 << 20)
        if not data:
            self.loop.quit()
            return False
        *lines, self._input = (self._input + data).split(b"\n")
        for line in lines:
            command = json.loads(line)
            getattr(self, "do_" + command.pop("do"))(**command)
        return True

    def reply(self, **values: object) -> bool:
        """One line."""
        _say(f"reply {json.dumps(values)}")
        return False

    def do_plug(self, board: str, path: str, serial: str, descriptors: dict[str, Any]) -> None:
        self.plugged[path] = plugged = Plugged(self, board, path, serial, descriptors)
        self._address += 1
        plugged.plug(self._address)
        self.reply(address=self._address)

    def do_unplug(self, path: str) -> None:
        self.plugged[path].unplug()
        self.reply()

    def do_replug(self, path: str) -> None:
        self._address += 1
        self.plugged[path].plug(self._address)
        self.reply(address=self._address)

    def do_modem(self, path: str, slot: int, act: str, tpdu: str = "") -> None:
        plugged = self.plugged[path]
        modem = plugged.modems[slot]
        procedures: dict[str, Callable[[], Procedure[Any]]] = {
            "cold_reset": modem.cold_reset,
            "warm_reset": modem.warm_reset,
            "power_off": modem.power_off,
            "exchange": lambda: modem.exchange(bytes.fromhex(tpdu)),
        }

        def done(result: object, error: ModemError | None) -> None:
            if error is not None:
                self.reply(error=f"{type(error).__name__}: {error}")
            else:
                self.reply(result=result.hex() if isinstance(result, bytes) else None)

        plugged.run(slot, procedures[act](), done)

    def do_await_card(self, path: str, slot: int, atr: str) -> None:
        self.plugged[path].await_card(slot, bytes.fromhex(atr), self.reply)

    def do_begin(self, path: str, slot: int, tpdu: str) -> None:
        """Begin a command and do not wait for its end."""
        plugged = self.plugged[path]
        plugged.run(slot, plugged.modems[slot].exchange(bytes.fromhex(tpdu)), lambda _result, _error: None)
        self.reply()

    def do_abandon(self, path: str, slot: int) -> None:
        self.plugged[path].stands[slot].abandon()
        self.reply()

    def do_inject(self, path: str, endpoint: int, packet: str) -> None:
        node = self.plugged[path].node
        assert node is not None
        node.inject(endpoint, bytes.fromhex(packet))
        self.reply()

    def do_fail(self, path: str, endpoint: int, number: int) -> None:
        node = self.plugged[path].node
        assert node is not None
        node.fail(endpoint, number)
        self.reply()

    def do_state(self, path: str, slot: int) -> None:
        plugged = self.plugged[path]
        state, node = plugged.device.slots[slot], plugged.node
        assert node is not None
        self.reply(
            is_enabled=state.is_enabled,
            atr=state.atr.hex(),
            violations=state.violations,
            board_events=state.board_events,
            zero_packets=node.zero_packets,
            halts_cleared=node.halts_cleared,
            nulls=plugged.modems[slot].nulls,
        )

    def do_start(self, argv: list[str], env: dict[str, str]) -> None:
        """Start a program that sees the emulated USB."""
        # The testbed has set the variable behind the interpreter's back.
        program = subprocess.Popen(argv, env={**os.environ, "UMOCKDEV_DIR": self.testbed.get_root_dir(), **env})
        self.programs[program.pid] = program
        GLib.child_watch_add(0, program.pid, self._on_ended)
        self.reply(pid=program.pid)

    def _on_ended(self, pid: int, status: int) -> None:
        del self.programs[pid]
        _say(f"ended {pid} {os.waitstatus_to_exitcode(status)}")

    def do_signal(self, pid: int, number: int) -> None:
        if pid in self.programs:
            os.kill(pid, number)
        self.reply()

    def close(self) -> None:
        """End what still runs."""
        for pid in tuple(self.programs):
            os.kill(pid, signal.SIGKILL)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Serve until the input ends."""
    stage = Stage()
    root = Path(stage.testbed.get_root_dir())
    GLib.io_add_watch(0, 0, GLib.IOCondition.IN | GLib.IOCondition.HUP, stage.read)
    stage.reply(root=str(root))
    try:
        stage.loop.run()
    finally:
        stage.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
