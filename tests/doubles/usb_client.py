# SPDX-License-Identifier: Apache-2.0
"""One SIMtrace2 slot on real libusb with a card in the program: ``python -m tests.doubles.usb_client LOOP SETTINGS``.

LOOP is one of ``LOOPS``, SETTINGS the emulator's as JSON. The card gives zeros, as many as are asked for; it is slow
for INS B2 and silent for INS 70.
"""

import asyncio
import json
import selectors
import signal
import sys
from collections.abc import Callable
from typing import Final

import uvloop

from remsim.emulators.base import EmulatorEvents, Hardware, Lines, PpsResult
from remsim.emulators.registry import make_emulator
from remsim.logs import get_logger, setup_logging
from remsim.net.runtime.report import report_error

ATR: Final = bytes.fromhex("3b9f96801fc78031a073be21136743200718000001a5")

#: In the first, libusb's descriptors are watched by the loop; the other two refuse the emulated node.
LOOPS: Final[dict[str, Callable[[], asyncio.AbstractEventLoop]]] = {
    "poll": lambda: asyncio.SelectorEventLoop(selectors.PollSelector()),
    "epoll": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


class _Slot(EmulatorEvents):
    def __init__(self, settings: dict[str, object]) -> None:
        self.emulator = make_emulator("simtrace2", settings)
        self.log = get_logger("test")

    def on_tpdu(self, number: int, tpdu: bytes) -> None:
        self.log.info("tpdu", ins=tpdu[1])
        answer = bytes(tpdu[4] or 256) + b"\x90\x00" if len(tpdu) == 5 else b"\x90\x00"
        if tpdu[1] == 0xB2:
            asyncio.get_running_loop().call_later(0.2, self.emulator.respond, number, answer)
        elif tpdu[1] != 0x70:
            self.emulator.respond(number, answer)

    def on_lines(self, lines: Lines) -> None:
        self.log.info("lines", vcc=lines.vcc_present, rst_active=lines.reset_active)

    def on_pps(self, result: PpsResult) -> None:
        self.log.info("pps", d_index=result.d_index)

    def on_hardware(self, hardware: Hardware) -> None:
        self.log.info("hardware", is_present=hardware.is_present)


async def _main(settings: dict[str, object]) -> None:
    slot = _Slot(settings)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await slot.emulator.start(slot)
    try:
        slot.emulator.select_sim(remote=True)
        slot.emulator.set_atr(ATR)
        slot.emulator.insert_card()
        await stop.wait()
    finally:
        await slot.emulator.stop()
    slot.log.info("stopped")


def main(loop: str, settings: str) -> int:
    """Return the exit status."""
    setup_logging(level="debug", log_format="text")
    try:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(_main(json.loads(settings)))
    except Exception as error:  # noqa: BLE001  # the top of the process
        return report_error(error, program="test")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
