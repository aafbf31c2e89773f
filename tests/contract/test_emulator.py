# SPDX-License-Identifier: Apache-2.0
"""What every card emulator must do, whatever is behind it; run against each that needs no hardware."""

from collections.abc import Callable
from functools import partial

import pytest

from remsim.config.simtrace2 import SimtraceSettings
from remsim.emulators.base import CardEmulator, EmulatorEvents, Lines, PpsResult
from remsim.emulators.registry import BUILT_IN, make_emulator
from remsim.emulators.simtrace2.emulator import SimtraceEmulator
from tests.doubles.usb_bus import FakeBus

ATR = bytes.fromhex("3b9f96801fc78031a073be21136743200718000001a5")

#: Settings with which an emulator finds nothing on the machine that runs the tests.
SETTINGS: dict[str, dict[str, object]] = {"vpcd": {"vpcd": "127.0.0.1:1"}, "simtrace2": {"path": "255-255"}}


def on_virtual_device() -> CardEmulator:
    """The SIMtrace2 emulator with a device, whose modem is off."""
    bus = FakeBus()
    bus.plug("ngff_cardem")
    return SimtraceEmulator(SimtraceSettings(), bus)


FACTORIES: dict[str, Callable[[], CardEmulator]] = {
    **{name: partial(make_emulator, name, SETTINGS.get(name, {})) for name in BUILT_IN},
    "simtrace2 with a device": on_virtual_device,
}


class Unbothered(EmulatorEvents):
    """The owner of the emulator; nothing happens at the modem in these tests."""

    def on_tpdu(self, number: int, tpdu: bytes) -> None:
        raise AssertionError(tpdu)

    def on_lines(self, lines: Lines) -> None:
        # Hardware may tell at the beginning that there is no power.
        assert lines.vcc_present is False, lines

    def on_pps(self, result: PpsResult) -> None:
        raise AssertionError(result)


@pytest.fixture(params=sorted(FACTORIES))
async def emulator(request: pytest.FixtureRequest) -> CardEmulator:
    return FACTORIES[str(request.param)]()


async def test_life_with_a_card(emulator: CardEmulator) -> None:
    await emulator.start(Unbothered())
    emulator.select_sim(remote=True)
    emulator.set_atr(ATR)
    emulator.insert_card()
    emulator.reset_modem()
    emulator.set_atr(ATR[:-1])
    emulator.remove_card()
    emulator.select_sim(remote=False)
    await emulator.stop()


async def test_answers_that_nobody_waits_for_are_dropped(emulator: CardEmulator) -> None:
    await emulator.start(Unbothered())
    emulator.respond(1, b"\x90\x00")
    emulator.abort(2, "late")
    await emulator.stop()


async def test_stop_may_come_at_any_time_and_again(emulator: CardEmulator) -> None:
    await emulator.stop()
    await emulator.start(Unbothered())
    emulator.set_atr(ATR)
    emulator.insert_card()
    await emulator.stop()
    await emulator.stop()


async def test_card_removed_twice_is_gone(emulator: CardEmulator) -> None:
    await emulator.start(Unbothered())
    emulator.remove_card()
    emulator.set_atr(ATR)
    emulator.insert_card()
    emulator.remove_card()
    emulator.remove_card()
    await emulator.stop()
