# SPDX-License-Identifier: Apache-2.0
"""What a client adds to each TPDU when its modems boot all at once: from a command's last USB packet to its answer.

Server and bankd are processes of their own; the cards answer at once (``bench.null_reader``). The client with its
SIMtrace2 slots is this process, and behind the USB seam there is next to nothing: a device that knows CONFIG and STATUS
and plays a recorded boot. ``paced`` lets the characters take their time at the highest usual speed (TA1 = 96), as with
real modems; ``no pause`` sends the next command the moment the last one is answered, which no modem can.
"""

import argparse
import asyncio
import json
import struct
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

import httpx2

from bench import null_reader, tables
from bench.loops import run
from bench.tables import Cell
from remsim.client.observer import ClientObserver
from remsim.client.runner import SlotSpec
from remsim.client.service import ClientService
from remsim.config import ClientConfig, HostPort
from remsim.config.simtrace2 import SimtraceSettings
from remsim.core.ids import ClientSlot
from remsim.emulators.simtrace2.boards import Endpoint, InterfaceSetting
from remsim.emulators.simtrace2.emulator import SimtraceEmulator
from remsim.emulators.simtrace2.find import DeviceInfo, Found
from remsim.emulators.simtrace2.usb import TransferEnd, UsbBus, UsbListener, UsbPort
from remsim.logs import setup_logging
from remsim.net.runtime.process import calm_garbage_collector
from tests.doubles.programs import Program, remsim

SLOTS: Final = (1, 8)
_BANK: Final = 1
_CLIENT: Final = 7
_PATIENCE_S: Final = 60.0
#: 12 etu of 16 clock cycles (F = 512, D = 32) at 3.57 MHz.
_CHARACTER_S: Final = 12 * 16 / 3_570_000
_OUT, _BULK, _INTERRUPT = 0x04, 0x85, 0x86
_SETTING: Final = InterfaceSetting(
    0, 0, 0xFF, 2, 0, (Endpoint(_OUT, 2, 64, 0), Endpoint(_BULK, 2, 64, 0), Endpoint(_INTERRUPT, 3, 64, 1))
)
_FINAL, _PB_AND_RX = 0x02, 0x08


@dataclass(frozen=True, slots=True)
class Step:
    """One command of the recorded boot, and how long its characters take."""

    tpdu: bytes
    characters: int


def recorded_boot() -> list[Step]:
    """The commands of the IoT modem's boot."""
    text = resources.files("remsim.demo").joinpath("iot-modem-boot.jsonl").read_text(encoding="utf-8")
    entries = [entry for entry in map(json.loads, text.splitlines()) if "cmd" in entry]
    # Procedure byte and status word are characters, too.
    return [Step(bytes.fromhex(one["cmd"]), len(one["cmd"]) // 2 + one.get("rlen", 0) + 3) for one in entries]


def _message(msg_class: int, msg_type: int, payload: bytes) -> bytes:
    return struct.pack("<BBBBHH", msg_class, msg_type, 0, 0, 0, 8 + len(payload)) + payload


def _status(flags: int) -> bytes:
    return _message(1, 4, struct.pack("<IHBBBI", flags, 0, 1, 1, 10, 9600))


class BootingPort(UsbPort):
    """A device whose modem plays the boot, again and again, once it is let go."""

    def __init__(self, listener: UsbListener, owner: "BootingBus") -> None:
        self._listener = listener
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._next = 0
        self._since = 0.0
        self.is_ready = False
        self.times: list[float] = []

    def submit_in(self, endpoint: int) -> None:
        """Whatever there is to say is said at once."""
        return

    def _tell(self, endpoint: int, message: bytes) -> None:
        for at in range(0, len(message), 64):
            self._listener.on_in(endpoint, TransferEnd.COMPLETED, message[at : at + 64])

    def submit_out(self, data: bytes, *, has_zero_packet: bool) -> None:
        """Take a message, as a device does."""
        if data[:2] == b"\x01\x01":
            self._on_tx_data(data[8], time.perf_counter())
        elif data[:2] == b"\x01\x08":
            self._loop.call_soon(self._tell, _BULK, _message(1, 8, data[8:12] + b"\x00\x03"))
        elif data[:2] == b"\x01\x04":
            self._loop.call_soon(self._tell, _BULK, _status(0x03 if self.is_ready else 0x10))
        elif data[:2] == b"\x01\x05" and data[8] and not self.is_ready:
            self.is_ready = True
            for flags in (0x11, 0x13, 0x03):
                self._loop.call_soon(self._tell, _INTERRUPT, _status(flags))
            self._owner.on_ready()
        self._loop.call_soon(self._listener.on_out, TransferEnd.COMPLETED, len(data))

    def begin(self) -> None:
        """The next command's header."""
        step = self._owner.boot[self._next % len(self._owner.boot)]
        has_data = len(step.tpdu) > 5
        if not has_data:
            self._since = time.perf_counter()
        self._tell(_BULK, _message(1, 6, b"\x01\0\0\0\x05\0" + step.tpdu[:5]))

    def _on_tx_data(self, flags: int, now: float) -> None:
        step = self._owner.boot[self._next % len(self._owner.boot)]
        if flags & _PB_AND_RX:
            self._loop.call_soon(self._send_data, step.tpdu[5:])
        elif flags & _FINAL:
            self.times.append(now - self._since)
            self._next += 1
            if self._next < self._owner.commands:
                pause_s = step.characters * _CHARACTER_S if self._owner.is_paced else 0.0
                self._loop.call_later(pause_s, self.begin)
            else:
                self._owner.on_done()

    def _send_data(self, data: bytes) -> None:
        self._since = time.perf_counter()
        self._tell(_BULK, _message(1, 6, b"\x02\0\0\0" + struct.pack("<H", len(data)) + data))

    def cancel_out(self) -> None:
        """Nothing is ever in progress."""
        return

    def clear_halt(self, endpoint: int) -> None:
        """Nothing ever stalls."""
        return

    async def read_string(self, index: int) -> str | None:
        """Nobody needs it."""
        return None

    async def close(self) -> None:
        """Nothing is held."""
        return


class BootingBus(UsbBus):
    """As many devices as slots."""

    def __init__(self, slots: int, *, commands: int, is_paced: bool) -> None:
        self.boot = recorded_boot()
        self.commands = commands
        self.is_paced = is_paced
        self.ports: list[BootingPort] = []
        self._slots = slots
        self._missing = slots
        self._running = slots
        self.ready = asyncio.Event()
        self.done = asyncio.Event()

    def on_ready(self) -> None:
        """One more modem has its card."""
        self._missing -= 1
        if not self._missing:
            self.ready.set()

    def on_done(self) -> None:
        """One more boot is over."""
        self._running -= 1
        if not self._running:
            self.done.set()

    def devices(self) -> list[DeviceInfo]:
        """All of them."""
        return [
            DeviceInfo(0x1D50, 0x60E3, 1, number + 1, f"1-{number + 1}", None, {1: (_SETTING,)})
            for number in range(self._slots)
        ]

    def open(self, found: Found, listener: UsbListener) -> UsbPort:
        """Another one."""
        self.ports.append(BootingPort(listener, self))
        return self.ports[-1]

    async def wait_change(self, timeout_s: float) -> None:
        """Nothing ever changes."""
        await asyncio.sleep(timeout_s)


async def _map(rest: str, slots: int) -> None:
    async with httpx2.AsyncClient(base_url=f"http://{rest}/api/backend/v1", timeout=_PATIENCE_S) as client:
        for number in range(slots):
            numbers = {
                "bank": {"bankId": _BANK, "slotNr": number},
                "client": {"clientId": _CLIENT, "slotNr": number},
            }
            (await client.post("/slotmaps", json=numbers)).raise_for_status()


async def _measure(slots: int, commands: int, server: HostPort, *, is_paced: bool) -> dict[str, Cell]:
    bus = BootingBus(slots, commands=commands, is_paced=is_paced)
    specs = []
    for number in range(slots):
        values = {"server": server, "client": ClientSlot(_CLIENT, number), "plaintext": True}
        emulator = SimtraceEmulator(SimtraceSettings(path=f"1-{number + 1}"), bus)
        specs.append(SlotSpec(ClientConfig.model_validate(values), emulator, ClientObserver()))
    service = ClientService(specs)
    await service.start()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await bus.ready.wait()
            calm_garbage_collector()
            # The answers to what was sent last are still on their way.
            await asyncio.sleep(0.2)
            for port in bus.ports:
                port.begin()
            await bus.done.wait()
    finally:
        await service.stop()
    times = sorted(duration for port in bus.ports for duration in port.times)
    at = [times[min(len(times) - 1, int(len(times) * part))] * 1e6 for part in (0.5, 0.9, 0.99, 1)]
    return {
        "slots": slots,
        "modems": "paced" if is_paced else "no pause",
        "TPDUs": len(times),
        **{f"{name} µs": value for name, value in zip(("p50", "p90", "p99", "max"), at, strict=True)},
    }


async def measure(slots: Sequence[int], commands: int) -> list[dict[str, Cell]]:
    """All rows."""
    rows: list[dict[str, Cell]] = []
    most = max(slots)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="remsim-bench-")))
        listen = ["--plaintext", "--rest-open", "--rspro", "127.0.0.1:0", "--rest", "127.0.0.1:0"]
        server = stack.enter_context(Program(remsim("server", *listen, "--state", str(folder / "server"))))
        said = await asyncio.to_thread(server.wait_for, r"listening rspro=(\S+) rest=(\S+)")
        rspro, rest = said.groups()
        config = folder / "bankd.toml"
        tables_of_slots = "".join(
            f'[[slot]]\nslot = {number}\nreader = "{null_reader.reader_name(number)}"\n' for number in range(most)
        )
        config.write_text(f'reader = "{null_reader.SOURCE}"\n{tables_of_slots}', encoding="utf-8")
        words = ["--plaintext", "--server", rspro, "--listen", "127.0.0.1:0", "--config", str(config)]
        words += ["--bank-id", str(_BANK), "--slots", str(most), "--state", str(folder / "bankd")]
        env = null_reader.plug_in(folder / "plugin", most)
        bankd = stack.enter_context(Program(remsim("bankd", *words), env=env))
        await asyncio.to_thread(bankd.wait_for, "server_connected|listening")
        await _map(rest, most)
        for is_paced in (True, False):
            for count in slots:
                row = await _measure(count, commands, HostPort.parse(rspro), is_paced=is_paced)
                rows.append(row)
    return rows


def main(arguments: Sequence[str]) -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(prog="python -m bench modem", description=__doc__)
    parser.add_argument("--slots", type=int, nargs="+", default=list(SLOTS), metavar="N")
    parser.add_argument("--commands", type=int, default=1000, help="commands of each modem (default: 1000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    given = parser.parse_args(arguments)
    setup_logging(level="warning", log_format="text")
    rows = run(measure(given.slots, given.commands))
    tables.show("Added time per TPDU: client and bankd on loopback, without USB and card", rows)
    tables.save(given.json, {"bench": "modem", "machine": tables.machine(), "rows": rows})
    return 0
