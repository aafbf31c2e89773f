# SPDX-License-Identifier: Apache-2.0
"""Two starts of one modem through the virtual SIMtrace2, 300 ms away from its card."""

import asyncio
import statistics
from pathlib import Path
from typing import Final

import pytest

from remsim.config.simtrace2 import SimtraceSettings
from remsim.emulators.simtrace2.emulator import SimtraceEmulator
from remsim.readers.sim.profiles import load_profile
from remsim.uicc import Uicc
from tests.doubles.ahead_equivalence import recorded
from tests.doubles.cutting_proxy import CuttingProxy
from tests.doubles.suite import Suite
from tests.doubles.usb_bus import FakeBus
from tests.doubles.virtual_modem import VirtualModem

_ROUND_TRIP_S: Final = 0.3
#: What slow cards take for a command, several times over: this machine may have other things to do.
_CARD_S: Final = 0.05
_COMMANDS: Final = 25


@pytest.mark.timeout(120)
async def test_line_does_not_wait_for_the_link_where_the_answer_came_ahead(tmp_path: Path) -> None:
    bus = FakeBus()
    plugged = bus.plug()
    modem, stand, direct = VirtualModem(), plugged.modems[0], Uicc(load_profile("iot-modem"))
    emulators = [SimtraceEmulator(SimtraceSettings(), bus)]
    loop = asyncio.get_running_loop()
    async with CuttingProxy(delay_s=_ROUND_TRIP_S / 2) as proxy:
        suite = Suite(
            tmp_path, emulators, profile="iot-modem", proxy=proxy, resume="always", card_time_ms=3, ahead="on"
        )
        async with suite:
            slot = plugged.device.slots[0]
            await bus.until(lambda: slot.is_enabled and slot.atr == direct.profile.atr)
            ahead = suite.client.slots[0].coordinator.ahead
            for start in range(2):
                assert await stand.run(modem.cold_reset()) == direct.cold_reset()
                on_hits: list[float] = []
                for tpdu in recorded("iot-modem")[:_COMMANDS]:
                    hits, began = ahead.hits, loop.time()
                    assert await stand.run(modem.exchange(tpdu)) == direct.transmit(tpdu)
                    if ahead.hits > hits:
                        on_hits.append(loop.time() - began)
                if start:
                    assert len(on_hits) >= _COMMANDS // 2
                    assert max(on_hits) < _ROUND_TRIP_S
                    assert statistics.median(on_hits) < _CARD_S
            assert slot.violations == []
            # No sign of life had to be sent to a modem that waits.
            assert modem.nulls == 0
